"""A damaged log is searched: what can be read of it is found."""

from __future__ import annotations

import errno
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs import sealing
from scalekit.logs.counts import Counts
from scalekit.logs.directory import Directory
from scalekit.logs.entry import Entry
from scalekit.logs.fsck.checking import check
from scalekit.logs.journal import Unavailable
from scalekit.logs.memory import MemoryDirectory
from scalekit.logs.records import parse_record
from scalekit.logs.search.budget import Budget
from scalekit.logs.search.counting import histogram
from scalekit.logs.search.indexes import Indexes
from scalekit.logs.search.language import parse_query
from scalekit.logs.search.matching import Matcher
from scalekit.logs.search.searching import Answer, search
from tests.logs.fsck.logs import HOUR, START, after_power_loss, places, start
from tests.logs.search.indexed import T, add_index, reader_of, sealed

LOGS = [after_power_loss(is_compressed=False), after_power_loss(is_compressed=True)]
PLACES = places(LOGS)


def messages(answer: Answer) -> list[str]:
    """Of what is found."""
    return [record.Message for line in answer.lines if (record := parse_record(line)) is not None]


class FullDirectory(MemoryDirectory):
    """A disk on which nothing can grow while ``is_full``; removing, renaming and shortening need no room."""

    is_full = True

    def step(self, do: Callable[[float], None]) -> None:
        before = sum(map(self.size, self.names()))
        super().step(do)
        if self.is_full and sum(map(self.size, self.names())) > before:
            raise OSError(errno.ENOSPC, "No space left on device")

    def free(self) -> int:
        return 0 if self.is_full else super().free()


class DamageTests(SynchronousTestCase):
    """`search` and `histogram`."""

    def serve(self, directory: Directory) -> list[str]:
        """Start on it, search, and go on until its volumes are sealed: what is found at first."""
        collector, clock = start(directory, START + 2 * HOUR + 200)
        clock.pump([1.0] * 4)
        found = []
        for _ in range(2):
            self.successResultOf(collector.append([Entry(None, "INFO", "s", "new")]))
            clock.pump([1.0] * 4)
            matcher = Matcher(parse_query("", 0))
            answer = search(collector.reader, Indexes(Counts()), matcher, Budget(float), 99, is_backwards=True)
            now = int(clock.seconds() * 1e9)
            histogram(collector.reader, Indexes(Counts()), matcher, Budget(float), 9, now)
            found.append(messages(answer))
            clock.advance(HOUR)
            clock.pump([20.0] * 5)
        self.assertEqual([len([one for one in each if one == "new"]) for each in found], [1, 2])
        self.successResultOf(collector.stopService())
        return [one for one in found[0] if one != "new"]

    @settings(max_examples=40, deadline=None)
    @given(st.sampled_from(PLACES), st.integers(0, 7))
    def test_a_flipped_bit(self, place: tuple[int, str, int], bit: int) -> None:
        """Anywhere in sealed, closing and open volumes, journal, checkpoints: it starts, serves, and seals."""
        number, name, position = place
        directory = LOGS[number].survive()
        content = bytearray(directory.read(name))
        content[position] ^= 1 << bit
        directory.write_from(name, 0, bytes(content))
        found = self.serve(directory)
        # A frame or two lines, or a compressed block, which is a volume of four here.
        self.assertGreaterEqual(len(found), 13 - (4 if name.endswith(".gz") else 2), place)
        self.assertLessEqual(len(found), 13, place)

    def test_a_full_disk(self) -> None:
        """It starts, what is there is found, and entries are refused; then they are taken, and nothing is missing."""
        for log in LOGS:
            directory = FullDirectory()
            directory._files = log.survive()._files
            collector, clock = start(directory, START + 2 * HOUR + 200)
            clock.pump([1.0] * 4)
            matcher = Matcher(parse_query("", 0))
            answer = search(collector.reader, Indexes(Counts()), matcher, Budget(float), 99, is_backwards=False)
            self.assertEqual((len(answer.lines), answer.partial), (13, None))
            fault = self.failureResultOf(collector.append([Entry(None, "INFO", "s", "new")]), Unavailable).value
            self.assertEqual((fault.reason, collector.trouble), ("disk-full", "The log's disk is nearly full."))
            directory.is_full = False
            clock.pump([1.0] * 4)
            self.successResultOf(collector.append([Entry(None, "INFO", "s", "new")]))
            clock.pump([1.0] * 4)
            self.successResultOf(collector.stopService())
            self.assertEqual((check(directory).is_clean, check(directory).entries), (True, 14))

    def test_a_damaged_block(self) -> None:
        """The lines of all others are found, in either direction, with an index and without; and it is said."""
        self.patch(sealing, "BLOCK_BYTES", 1000)
        directory = MemoryDirectory()
        entries = [Entry(T + n, "INFO", "s", f"n{n} all") for n in range(100)]
        manifest, output = sealed(directory, entries, is_compressed=True)
        add_index(directory, manifest, self.mktemp())
        truth = bytearray(directory.read(manifest.truth))
        truth[manifest.blocks[3] + 20] ^= 1
        directory.replace(manifest.truth, bytes(truth))
        reader = reader_of(directory, output)
        without = Indexes(Counts())
        without.distrust(manifest.index)
        for text in ("all", "all from:2023-11-14T22:13:20Z"):
            matcher = Matcher(parse_query(text, T))
            for indexes in (without, Indexes(Counts())):
                for is_backwards in (False, True):
                    answer = search(reader, indexes, matcher, Budget(float), 1000, is_backwards=is_backwards)
                    numbers = {int(each.split()[0][1:]) for each in messages(answer)}
                    self.assertEqual((answer.partial, answer.until), ("damaged", None))
                    missing = set(range(100)) - numbers
                    self.assertEqual(missing, set(range(min(missing), max(missing) + 1)))
                    self.assertTrue(5 < len(missing) < 15, missing)
                counted = histogram(reader, indexes, matcher, Budget(float), 5, T)
                self.assertEqual((counted.partial, sum(map(sum, counted.counts))), ("damaged", 100 - len(missing)))
