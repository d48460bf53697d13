"""The collector: what it does when the disk fails or is full, and when more comes than it can write."""

from __future__ import annotations

from scalekit.logs import flushing, order
from scalekit.logs.journal import Unavailable
from scalekit.logs.order import ReorderBuffer
from scalekit.logs.output import CHECKPOINTS, read_checkpoint
from tests.logs.collecting import FULL, CollectorCase


class BoundTests(CollectorCase):
    """`Collector`, at its limits."""

    def test_a_disk_that_is_nearly_full(self) -> None:
        """503 before it is, so that what was taken can be written."""
        self.directory.room = 1000
        self.clock.advance(0.25)
        fault = self.failureResultOf(self.append("a"), Unavailable).value
        self.assertEqual((fault.reason, self.collector.trouble), ("disk-full", "The log's disk is nearly full."))
        self.directory.room = 1 << 30
        self.clock.advance(0.25)
        self.append("b")
        self.stop()
        self.assertEqual(self.messages(), "b")

    def test_room_for_what_was_taken(self) -> None:
        """The more waits, the more has to be free; then the journal keeps nothing for its readers."""
        self.stop()
        self.start(memory_bytes=1 << 30, reserve_bytes=1000, journal_bytes=1 << 30, segment_bytes=100)
        for _ in range(4):
            self.append("a" * 500)
            self.work()
            self.clock.advance(2)
            self.work()
        before = len(self.collector.journal.segments)
        self.append("a" * 500)
        self.work()
        self.directory.room = 2500
        self.clock.advance(0.25)
        self.work()
        self.failureResultOf(self.append("b"), Unavailable)
        self.assertLess(len(self.collector.journal.segments), before)
        self.clock.advance(4)
        self.work()
        self.clock.advance(0.25)
        self.append("b")
        self.work()
        self.assertIsNone(self.collector.trouble)
        self.stop()

    def test_a_tick_survives_an_exception(self) -> None:
        """It is logged, and the next tick flushes."""
        self.append("a")
        self.work()

        def broken(buffer: ReorderBuffer, now: int, limit: int) -> None:
            raise ValueError("once")

        patch = self.patch(ReorderBuffer, "release", broken)
        self.clock.advance(2)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        patch.restore()
        self.clock.advance(2)
        self.work()
        self.assertEqual(self.messages(), "a")
        self.stop()

    def test_more_than_one_flush_can_take(self) -> None:
        """The next begins at once; a stop writes all of it."""
        self.patch(flushing, "FLUSH_BYTES", 500)
        self.patch(order, "GATHERED_ENTRIES", 1)
        for is_stopped in (False, True):
            for number in range(9):
                self.append(str(number), number / 100)
            self.work()
            self.clock.advance(4)
            if is_stopped:
                self.stop()
            self.work()
            self.assertEqual(self.messages(), "012345678" * (1 + is_stopped))
            self.assertGreater(self.collector.counts.flushes, 2)
            volume = self.collector._output.checkpoint.volume
            self.assertEqual(volume.entries, 9 * (1 + is_stopped))

    def test_a_flush_that_takes_long(self) -> None:
        """The next ticks wait for it, acknowledgements do not."""
        self.append("a")
        self.work()
        self.clock.advance(2)
        for _ in range(3):
            self.clock.advance(2)
        appended = self.append("b")
        self.lanes[0].step()
        self.successResultOf(appended)
        self.assertTrue(self.lanes[1].step())
        self.assertFalse(self.lanes[1].step())
        self.assertEqual(self.messages(), "a")
        self.stop()

    def test_a_flush_that_fails_is_done_again(self) -> None:
        """Nothing of it counts, whichever step failed; the health says so meanwhile."""
        for failing in (0, 1):  # the log file, the checkpoint
            self.append(str(failing))
            self.work()
            self.clock.advance(2)
            self.directory.fail_after(failing, 0.5, FULL)
            self.work()
            self.assertEqual(self.collector.trouble, "The log file cannot be written.")
            self.clock.advance(2)
            self.work()
            self.assertIsNone(self.collector.trouble)
        self.assertEqual((self.messages(), self.collector.counts.flush_failures), ("01", 2))
        self.stop()

    def test_a_flush_that_fails_removes_nothing(self) -> None:
        """The journal goes on from either checkpoint: the newest is not the only one that has to do."""
        self.collector.journal._segment_bytes = 1
        for number in range(3):
            self.append(str(number))
            self.work()
            self.clock.advance(2)
            if number == 2:
                self.directory.fail_after(0, 0.0, FULL)
            self.work()
        newest = read_checkpoint(self.directory)
        assert newest is not None and self.collector.trouble is not None
        self.directory.write_from(CHECKPOINTS[newest.generation % 2], 0, b"damaged")
        self.crash(1.0)
        self.stop()
        self.assertEqual(self.messages(), "012")

    def test_a_full_disk_refuses(self) -> None:
        """503, unhealthy, and no number is lost from the accounts."""
        refused = self.append("a")
        self.directory.fail_after(0, error=FULL, times=9)
        self.work()
        self.failureResultOf(refused, Unavailable)
        self.assertEqual(self.collector.trouble, "The journal cannot be written.")
        self.directory.fail_after(0, error=FULL, times=0)
        self.append("b")
        self.stop()
        self.assertEqual(
            (self.messages(), self.collector.counts.refused, self.collector.counts.accepted), ("b", {"disk": 1}, 1)
        )

    def test_a_disk_that_works_again(self) -> None:
        """Is found out without any traffic, and an entry that comes then is taken; also after a crash."""
        self.append("a")
        self.work()
        refused = self.append("b")
        self.directory.fail_after(0, error=FULL, times=9)
        self.work()
        self.failureResultOf(refused, Unavailable)
        self.directory.fail_after(0, error=FULL, times=0)
        for _ in range(24):
            self.clock.advance(0.25)
            self.work()
        self.assertIsNone(self.collector.trouble)
        self.append("c")
        self.work()
        self.crash()
        self.append("d")
        self.stop()
        self.assertEqual(self.messages(), "acd")

    def test_memory_has_a_bound(self) -> None:
        """Beyond it 503, until the flush has made room."""
        self.append("x" * 10_000)
        self.work()
        self.failureResultOf(self.append("y"), Unavailable)
        self.clock.advance(2)
        self.failureResultOf(self.append("y"), Unavailable)  # it is not on disk yet
        self.work()
        self.append("z")
        self.work()
        self.assertLess(self.collector.waiting_bytes, 1000)
        self.stop()

    def test_a_volume_that_cannot_be_sealed(self) -> None:
        """Is sealed later; entries are taken and written all the while."""
        self.stop()
        self.start(grace_seconds=3)
        for _ in range(3):
            self.append("a")
            self.clock.advance(3600)
            self.work()
        self.directory.fail_after(2, error=FULL)  # the truth's new name
        self.clock.advance(4)
        self.work()
        self.assertEqual(self.collector.counts.sealed, 0)
        self.append("b", -3000)
        self.clock.advance(4)
        self.work()
        self.clock.advance(4)
        self.work()
        self.assertEqual(self.collector.counts.sealed, 1)
        self.stop()
