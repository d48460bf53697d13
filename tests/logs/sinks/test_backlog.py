"""What comes after a cursor."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.collector import Collector
from scalekit.logs.entry import Entry
from scalekit.logs.frames import Frame
from scalekit.logs.memory import MemoryDirectory
from scalekit.logs.past import Past, PastReader
from scalekit.logs.reading import manifests
from scalekit.logs.settings import Settings
from scalekit.logs.sinks import backlog
from scalekit.logs.sinks.backlog import Backlog, Leaving, Taken
from scalekit.logs.threads import DirectLane

T = 1_700_000_000


class BacklogTests(SynchronousTestCase):
    """`Backlog`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(T)
        lanes = (DirectLane(), DirectLane(), DirectLane())
        settings = Settings(segment_bytes=2000, journal_bytes=0)
        self.collector = Collector(MemoryDirectory, self.clock, lanes, settings)
        self.collector.startService()
        self.frames: list[Frame] = []
        self.collector.follow(self.frames.append)
        self.backlog = Backlog()

    def write(self, *messages: str) -> None:
        self.collector.append([Entry(T * 10**9, "INFO", "shop", message) for message in messages])

    def take(self, after: int, recent: int = 0, entries: int = 100, size: int = 10_000) -> Taken:
        """With the last ``recent`` frames in memory."""
        frames = self.frames[len(self.frames) - recent :]
        return self.backlog.take(after, self.collector.newest, frames, self.collector.reader, entries, size)

    def messages(self, taken: Taken) -> list[tuple[int, str]]:
        return [(one.sequence, one.entry.message) for one in taken.entries]

    def test_from_memory_and_from_disk(self) -> None:
        """The same."""
        self.write("a", "b")
        self.write("c")
        for recent in (0, 1, 2):
            self.backlog = Backlog()
            taken = self.take(1, recent)
            self.assertEqual((self.messages(taken), taken.last), ([(2, "b"), (3, "c")], 3))
            self.assertEqual((taken.entries[0].time, taken.entries[0].received), (T * 10**9, T * 10**9))

    def test_limits(self) -> None:
        """Of entries and of bytes; one entry there is at least."""
        self.write("a" * 50, "b" * 50, "c")
        self.assertEqual(self.take(0, entries=2).last, 2)
        self.assertEqual(self.take(0, size=99).last, 1)
        self.assertEqual(self.take(0, size=100).last, 2)
        self.assertEqual(self.take(0, size=1).last, 1)
        self.assertEqual(self.take(1, size=1).last, 2)
        self.assertEqual(self.messages(self.take(2)), [(3, "c")])

    def test_ahead(self) -> None:
        """No more than some frames are read at a time, and each entry is given once the cursor comes to it."""
        self.patch(backlog, "AHEAD_BYTES", 10)
        for number in range(20):
            self.write(str(number))
        found, cursor = [], 0
        while cursor < 20:
            taken = self.take(cursor)
            self.assertLessEqual(len(taken.entries), 2)
            found += [one.entry.message for one in taken.entries]
            cursor = taken.last
        self.assertEqual(found, [str(number) for number in range(20)])

    def write_long(self) -> int:
        """Some volumes, of two entries each and of those most are late; the first number that the journal has."""
        for number in range(1, 41):
            for place in (0, 1):
                time = int(self.clock.seconds()) - (number * 7 + place) % 5
                self.collector.append([Entry(time * 10**9, "WARN", "shop", f"n{number}-{place}", '{"n":1}')])
            self.clock.advance(60)
            self.clock.pump([2, 1800, 2])
        self.assertGreater(self.collector.counts.sealed, 2)
        return self.collector.reader.oldest

    def test_from_volumes(self) -> None:
        """What the journal has no more, in the order of numbers, as it was; also a little at a time."""
        received: dict[int, int] = {}
        self.collector.follow(lambda frame: received.update({frame.first: frame.received}))
        self.assertGreater(self.write_long(), 20)
        self.patch(backlog, "AHEAD_BYTES", 1000)
        found: list[Leaving] = []
        cursor = 3
        while cursor < 80:
            taken = self.take(cursor, entries=3)
            self.assertEqual(taken.missed, 0)
            found += taken.entries
            cursor = taken.last
        expected = [(2 * number - 1 + place, f"n{number}-{place}") for number in range(1, 41) for place in (0, 1)]
        self.assertEqual([(one.sequence, one.entry.message) for one in found], expected[3:])
        for one in found:
            self.assertEqual((one.entry.level, one.entry.source), ("WARN", "shop"))
            self.assertEqual((one.entry.time, one.entry.fields), (one.time, '{"n":1}'))
            # What was on time says no more than that.
            self.assertLess(abs(one.received - received[one.sequence]), 5 * 10**9)

    def test_a_gap(self) -> None:
        """What retention has removed is counted once, before the journal and between what is left; then it goes on."""
        oldest = self.write_long()
        directory: Any = self.collector.directory
        removed = []
        for manifest in manifests(directory)[1:3]:
            removed += list(range(manifest.first_sequence, manifest.last_sequence + 1))
            for name in manifest.files:
                if name in directory.names():
                    directory.remove(name)
        cursor = missed = 0
        told: list[int] = []
        while cursor < oldest:
            taken = self.take(cursor, entries=3)
            told += [one.sequence for one in taken.entries]
            missed += taken.missed
            cursor = taken.last
        self.assertEqual(missed, len(removed))
        self.assertEqual(told, [number for number in range(1, cursor + 1) if number not in removed])

    def test_what_is_being_sealed(self) -> None:
        """Is an error that passes, and no gap."""
        self.write_long()
        patch = self.patch(PastReader, "read", lambda self, after, *rest: Past([], after, 0))
        self.assertRaises(OSError, self.take, 3)
        patch.restore()
        self.assertEqual(self.take(3).entries[0].sequence, 4)

    def test_numbers_of_nobody(self) -> None:
        """Are passed over."""
        self.write("a", "b", "c")
        self.assertEqual(self.backlog.take(3, 5, (), self.collector.reader, 10, 10), Taken([], 5))
