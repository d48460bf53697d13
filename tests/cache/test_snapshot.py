"""The format of a snapshot: what is written comes back, and what is damaged is skipped."""

from __future__ import annotations

from hypothesis import assume, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.snapshot import LONGEST_HEADING, Heading, Reading, Record, heading_bytes, record_bytes

MARKER = b"\x93mark\0\xffr"
HEADING = Heading(MARKER, "boot", 12.5, 1e9)
START = heading_bytes(HEADING)

RECORDS = st.builds(
    Record,
    st.binary(min_size=1, max_size=20),
    st.one_of(
        st.binary(max_size=200), st.just(MARKER), st.just(record_bytes(Record(b"k", b"v", 0, 0, 0, 0), b"8" * 8))
    ),
    *[st.floats(allow_nan=False)] * 4,
    st.lists(st.binary(min_size=1, max_size=5)).map(tuple),
    st.booleans(),
)


def read(data: bytes, size: int) -> tuple[list[Record], int]:
    """The records, and how often something was skipped."""
    reading = Reading()
    reading.feed(data[:LONGEST_HEADING])
    assert reading.heading() == HEADING
    found = reading.records()
    for place in range(LONGEST_HEADING, len(data), size):
        reading.feed(data[place : place + size])
        found += reading.records()
    found += reading.end()
    return found, reading.damaged


class RecordTests(SynchronousTestCase):
    @given(st.lists(RECORDS), st.integers(1, 5000))
    def test_what_is_written_comes_back(self, records: list[Record], size: int) -> None:
        self.assertEqual(read(START + b"".join(record_bytes(one, MARKER) for one in records), size), (records, 0))

    @given(st.lists(RECORDS, min_size=1, max_size=8), st.data(), st.integers(1, 5000))
    def test_one_damaged_byte_costs_one_record(self, records: list[Record], data: st.DataObject, size: int) -> None:
        pieces = [record_bytes(one, MARKER) for one in records]
        at = data.draw(st.integers(0, len(pieces) - 1))
        place = data.draw(st.integers(0, len(pieces[at]) - 1))
        damaged = bytearray(pieces[at])
        damaged[place] ^= data.draw(st.integers(1, 255))
        rest = [*pieces[:at], bytes(damaged), *pieces[at + 1 :]]
        self.assertEqual(read(START + b"".join(rest), size)[0], records[:at] + records[at + 1 :])
        self.assertGreaterEqual(read(START + b"".join(rest), size)[1], 1)

    @given(st.lists(RECORDS, min_size=1, max_size=8), st.data(), st.binary(max_size=50), st.integers(1, 5000))
    def test_what_is_missing_or_too_much(
        self, records: list[Record], data: st.DataObject, more: bytes, size: int
    ) -> None:
        """A piece cut out of it, and something else in its place: the records before and after that are read."""
        pieces = [record_bytes(one, MARKER) for one in records]
        whole = b"".join(pieces)
        first = data.draw(st.integers(0, len(whole) - 1))
        last = data.draw(st.integers(first + 1, len(whole)))
        assume(whole[first:last] != more)
        found, _ = read(START + whole[:first] + more + whole[last:], size)
        ends = [sum(map(len, pieces[: number + 1])) for number in range(len(pieces))]
        before = [one for one, end in zip(records, ends, strict=True) if end <= first]
        after = [one for one, end, piece in zip(records, ends, pieces, strict=True) if end - len(piece) >= last]
        self.assertEqual(found[: len(before)], before)
        self.assertEqual(found[len(found) - len(after) :], after)
        self.assertTrue(set(map(repr, found)) <= set(map(repr, records)))
        if len(found) == len(records):
            self.assertEqual(found, records)

    @given(st.binary(max_size=300))
    def test_anything_else(self, data: bytes) -> None:
        self.assertEqual(read(START + data, 7)[0], [])


class HeadingTests(SynchronousTestCase):
    @given(st.binary(max_size=100), st.integers(0, len(START) - 1))
    def test_no_heading(self, data: bytes, place: int) -> None:
        damaged = bytearray(START)
        damaged[place] ^= 1
        for start in (data, START[:place], bytes(damaged)):
            reading = Reading()
            reading.feed(start)
            self.assertRaises(ValueError, reading.heading)

    def test_elapsed(self) -> None:
        """In the same run of the machine by the steady clock, else by the wall's; None if that was set back."""
        self.assertEqual(HEADING.elapsed("boot", 20.0, 0.0), 7.5)
        self.assertEqual(HEADING.elapsed("other", 3.0, 1e9 + 60), 60.0)
        self.assertIsNone(HEADING.elapsed("other", 20.0, 1e9 - 1))
        self.assertIsNone(HEADING.elapsed("boot", 12.0, 1e9 + 60))
        self.assertEqual(Heading(MARKER, "", 0.0, 5.0).elapsed("", 9.0, 6.0), 1.0)
