"""What comes after a cursor."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.collector import Collector
from scalekit.logs.entry import Entry
from scalekit.logs.frames import Frame
from scalekit.logs.memory import MemoryDirectory
from scalekit.logs.settings import Settings
from scalekit.logs.sinks import backlog
from scalekit.logs.sinks.backlog import Backlog, Taken
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

    def test_a_gap(self) -> None:
        """What the journal has no more is counted; then it goes on."""
        for number in range(60):
            self.write(str(number) * 50)
        for _ in range(3):
            self.clock.advance(2.5)
            self.write("later")
        oldest = self.collector.reader.oldest
        self.assertGreater(oldest, 2)
        taken = self.take(1)
        self.assertEqual(taken, Taken([], oldest - 1, oldest - 2))
        self.assertEqual(self.take(taken.last).entries[0].sequence, oldest)

    def test_numbers_of_nobody(self) -> None:
        """Are passed over."""
        self.write("a", "b", "c")
        self.assertEqual(self.backlog.take(3, 5, (), self.collector.reader, 10, 10), Taken([], 5))
