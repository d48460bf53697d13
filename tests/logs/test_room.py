"""Room on the disk: when there is too little, and that it is told of."""

from __future__ import annotations

from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.memory import MemoryDirectory
from scalekit.logs.room import Room
from scalekit.logs.settings import LINES_PER_BYTE, Settings


class RoomTests(SynchronousTestCase):
    """`Room`."""

    def test_told_once(self) -> None:
        """When the disk gets short, and when it has room again; not at each look."""
        directory = MemoryDirectory()
        room = Room(Settings(reserve_bytes=1000, segment_bytes=100))
        told = []
        for free, waiting, is_short in (
            (1100, 0, False),
            (1099, 0, True),
            (50, 0, True),
            (1100 + 10 * LINES_PER_BYTE, 11, True),
            (1100 + 10 * LINES_PER_BYTE, 10, False),
            (5000, 10, False),
        ):
            directory.room = free
            with capturedLogs() as events:
                room.look(directory, waiting)
            self.assertEqual((room.is_short, room.free_bytes), (is_short, free))
            told.append([event["log_level"] for event in events])
        self.assertEqual(told, [[], [LogLevel.error], [], [], [LogLevel.info], []])

    def test_a_disk_that_cannot_be_asked(self) -> None:
        """It has no room, is told of once, and nobody who looks fails."""
        directory = MemoryDirectory()
        room = Room(Settings(reserve_bytes=1000, segment_bytes=100))
        told = []

        def broken() -> int:
            raise OSError("Input/output error")

        for free in (broken, broken, lambda: 5000):
            self.patch(directory, "free", free)
            with capturedLogs() as events:
                room.look(directory, 0)
            self.assertEqual((room.is_short, room.free_bytes), (True, 0) if free is broken else (False, 5000))
            told.append([event["log_level"] for event in events])
        self.assertEqual(told, [[LogLevel.error], [], [LogLevel.info]])
