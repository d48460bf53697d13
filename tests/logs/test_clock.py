"""The collector's time: goes on when the wall clock jumps."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.clock import PATIENCE_SECONDS, LogClock

WALL = 1_700_000_000.0
SECOND = 1_000_000_000


class LogClockTests(SynchronousTestCase):
    """`LogClock`."""

    def setUp(self) -> None:
        self.clock = LogClock(WALL, 50.0)

    def seconds(self, monotonic: float) -> float:
        """What it shows after the beginning."""
        return round(self.clock.now(monotonic) / SECOND - WALL, 3)

    def test_a_slewed_clock(self) -> None:
        """Is followed at once, without a word."""
        self.assertIsNone(self.clock.compare(WALL + 10.5, 60.0))
        self.assertEqual(self.seconds(61.0), 11.5)
        self.assertEqual(repr(self.clock), "<LogClock, the wall clock +0.0 s ahead>")

    def test_a_jump_that_does_not_last(self) -> None:
        """Nothing happens but a warning."""
        self.assertIn("jumped by +3600.0 s", str(self.clock.compare(WALL + 3610, 60.0)))
        self.assertIsNone(self.clock.compare(WALL + 3611, 61.0))
        self.assertEqual(self.seconds(61.0), 11.0)
        self.assertIn("back", str(self.clock.compare(WALL + 12, 62.0)))
        self.assertEqual((self.seconds(62.0), self.clock.ahead), (12.0, 0.0))

    def test_a_jump_that_lasts(self) -> None:
        """Is followed after a while, forth and back."""
        for jump, start in ((3600.0, 60.0), (-3600.0, 300.0)):
            ahead = self.seconds(start) - (start - 50)
            wall = WALL + ahead + jump - 50
            self.assertIn("jumped", str(self.clock.compare(wall + start, start)))
            self.assertIsNone(self.clock.compare(wall + start + PATIENCE_SECONDS - 1, start + PATIENCE_SECONDS - 1))
            end = start + PATIENCE_SECONDS
            self.assertIn("followed", str(self.clock.compare(wall + end, end)))
            self.assertEqual(self.seconds(end), round(wall + end - WALL, 3))

    def test_a_second_jump(self) -> None:
        """Begins the wait anew."""
        self.clock.compare(WALL + 3610, 60.0)
        self.assertIn("+7200.0", str(self.clock.compare(WALL + 7250, 100.0)))
        self.assertIsNone(self.clock.compare(WALL + 7280, 130.0))
        self.assertEqual(self.seconds(130.0), 80.0)
