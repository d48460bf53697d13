"""A collector whose disk, clock, and threads are the test's."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.collector import Collector
from scalekit.logs.entry import Entry
from scalekit.logs.memory import MemoryDirectory
from scalekit.logs.settings import Settings
from tests.logs.lanes import SteppedLane

SECOND = 1_000_000_000
START = 1_700_000_000  # 22:13:20
FULL = OSError(errno.ENOSPC, "No space left on device")


class CollectorCase(SynchronousTestCase):
    """
    A `Collector` on a disk in memory, with a delay of 2 s and a flush every 2 s.

    :cvar settings: what it has besides, unless `start` is told another.
    """

    settings: Mapping[str, Any] = {"memory_bytes": 10_000, "journal_bytes": 0, "segment_bytes": 4096}

    def setUp(self) -> None:
        self.directory = MemoryDirectory()
        self.clock = Clock()
        self.clock.advance(START)
        self.start()

    def start(self, **settings: Any) -> None:
        """A collector on the directory as it is."""
        self.lanes = (SteppedLane(), SteppedLane(), SteppedLane())
        all_settings = Settings(**{**self.settings, **settings})
        self.collector = Collector(lambda: self.directory, self.clock, self.lanes, all_settings)
        self.collector.startService()

    def crash(self, left: float = 0.0) -> None:
        """Power loss, and a new start on what was synced, and this part of what was not."""
        self.directory = self.directory.survive(lambda: left)
        clock, self.clock = self.clock, Clock()  # the old one's calls are gone, too
        self.clock.advance(clock.seconds())
        self.start()

    def work(self) -> None:
        """Let both threads do all they have to."""
        while any(lane.step() for lane in self.lanes):
            pass

    def append(self, message: str, offset: float | None = 0.0) -> Deferred[bool]:
        """Append an entry of that many seconds from now; None: without a time."""
        time = None if offset is None else int((self.clock.seconds() + offset) * SECOND)
        return self.collector.append([Entry(time, "INFO", "s", message)])

    def stop(self) -> None:
        """SIGTERM."""
        stopped = self.collector.stopService()
        self.work()
        self.successResultOf(stopped)

    def messages(self, name: str = "log.txt") -> str:
        """The messages of a file, one after the other."""
        return "".join(line.split(";", 3)[3] for line in self.directory.read(name).decode().splitlines())
