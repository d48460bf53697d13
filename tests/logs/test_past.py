"""What volumes have after a sequence number, against what was put into them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs import past
from scalekit.logs.past import Past, PastReader
from scalekit.logs.reading import Volume
from scalekit.logs.volumes import Manifest


def line(number: int) -> bytes:
    return b'{"Sequence":%d,"Message":"%d"}' % (number, number)


class Log:
    """As a `LogReader`; counts the lines that are read."""

    def __init__(self) -> None:
        self.found: list[Volume] = []
        self.texts: dict[tuple[int, bool], bytes] = {}
        self.count = 0

    def put(self, on_time: list[int], late: list[int], *, is_sealed: bool = False) -> None:
        """A volume with these."""
        number = len(self.found) + 1
        texts = [b"".join(line(one) + b"\n" for one in some) for some in (on_time, late)]
        self.texts[number, False], self.texts[number, True] = texts
        both = on_time + late
        manifest = Manifest("name", number, len(both), len(texts[0]), 0, 0, 0, 0, min(both), max(both))
        lengths = len(texts[0]), len(texts[1])
        self.found.append(
            Volume(number, len(both), *lengths, 0, 0, min(both), max(both), manifest if is_sealed else None)
        )

    def volumes(self) -> list[Volume]:
        return list(self.found)

    def lines(self, volume: Volume, position: int = 0, *, is_late: bool = False) -> Iterator[tuple[int, bytes]]:
        length = volume.late_length if is_late else volume.length
        for one in self.texts[volume.number, is_late][position:length].splitlines():
            self.count += 1
            yield position, one
            position += len(one) + 1


def read(reader: PastReader, log: Log, after: int, oldest: int = 1 << 40, byte_limit: int = 100) -> Past:
    as_reader: Any = log
    return reader.read(after, oldest, as_reader, lambda line: True, byte_limit, 1000)


class PastReaderTests(SynchronousTestCase):
    """`PastReader`."""

    def setUp(self) -> None:
        self.patch(past, "PART_BYTES", 200)

    @given(
        st.lists(st.lists(st.integers(-5, 5), min_size=1, max_size=40), min_size=1, max_size=4),
        st.sets(st.integers(1, 160)),
        st.integers(1, 300),
        st.booleans(),
    )
    def test_all_in_order(self, shifts: list[list[int]], gone: set[int], byte_limit: int, is_late: bool) -> None:
        """However it was sorted; what is not there is counted."""
        log = Log()
        number = 0
        expected: list[int] = []
        for place, shift in enumerate(shifts):
            numbers = range(number + 1, number + 1 + len(shift))
            number += len(shift)
            there = [
                one for one in sorted(numbers, key=lambda one: one + shift[one - numbers.start]) if one not in gone
            ]
            if there:
                is_sealed = place < len(shifts) - 1
                some = there[::3] if is_late and not is_sealed else []
                log.put(
                    [one for one in there if one not in some] or some,
                    some if len(some) < len(there) else [],
                    is_sealed=is_sealed,
                )
                expected += sorted(there)
        reader = PastReader()
        told: list[int] = []
        missing = after = 0
        while after < number:
            found = read(reader, log, after, number + 1, byte_limit)
            self.assertGreater(found.until, after)
            for sequence, text in found.lines:
                self.assertEqual(text, line(sequence))
                told.append(sequence)
            missing += found.missing
            after = found.until
        self.assertEqual((told, missing), (expected, number - len(expected)))

    def test_what_is_near_is_read(self) -> None:
        """Of a sealed volume and of an open one, once it is known where its numbers are; also when that has grown."""
        for is_sealed in (True, False):
            log = Log()
            log.put(list(range(1, 1001)), [], is_sealed=is_sealed)
            reader = PastReader()
            read(reader, log, 500)
            log.count = 0
            found = read(reader, log, 504)
            self.assertEqual([number for number, _ in found.lines], [505, 506, 507])
            self.assertLess(log.count, 30)
        log.found.clear()
        log.put(list(range(1, 2001)), [])
        found = read(reader, log, 1500)
        self.assertEqual([number for number, _ in found.lines], [1501, 1502])
        self.assertLess(log.count, 1100)

    def test_what_is_being_sealed(self) -> None:
        """Is not to be read now, whether it was before or not; and is no gap."""
        for was_known in (True, False):
            log = Log()
            log.put(list(range(1, 101)), [])
            reader = PastReader()
            if was_known:
                read(reader, log, 0)
            text = log.texts[1, False]
            log.texts[1, False] = b""
            self.assertEqual(read(reader, log, 50), Past([], 50, 0))
            log.texts[1, False] = text
            self.assertEqual(len(read(reader, log, 50).lines), 3)

    def test_what_goes_is_forgotten(self) -> None:
        """Removed volumes, and the open one that was sealed."""
        log = Log()
        log.put([1, 2], [3])
        reader = PastReader()
        read(reader, log, 0)
        self.assertEqual(repr(reader), "<PastReader of 2 files>")
        log.found.clear()
        log.put([1, 2, 3], [], is_sealed=True)
        for _ in range(2):
            read(reader, log, 0)
        self.assertEqual(repr(reader), "<PastReader of 1 files>")
        log.found.clear()
        self.assertEqual(read(reader, log, 0, 4), Past([], 3, 3))
        self.assertEqual(repr(reader), "<PastReader of 0 files>")
