"""The journal: groups, segments, and disks that fail."""

from __future__ import annotations

import errno

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.checkpoint import Checkpoint
from scalekit.logs.journal import Journal, Segment, Unavailable, segment_numbers
from scalekit.logs.memory import MemoryDirectory
from tests.logs.lanes import SteppedLane

FULL = OSError(errno.ENOSPC, "No space left on device")


class JournalTests(SynchronousTestCase):
    """`Journal`."""

    def setUp(self) -> None:
        self.directory = MemoryDirectory()
        self.lane = SteppedLane()
        self.journal = Journal(self.directory, self.lane, Clock(), segment_bytes=10, waiting_limit=100)

    def append(self, frame: bytes, last: int = 1, latest: int = 1) -> Deferred[None]:
        """Append, and note nothing else."""
        return self.journal.append(frame, last, latest)

    def test_what_waits_goes_together(self) -> None:
        """One sync for all that came while the group before was written; nobody hears of it before."""
        first = self.append(b"a")
        others = [self.append(b"b"), self.append(b"c")]
        idle = self.journal.idle()
        self.assertNoResult(first)
        self.lane.step()
        self.assertIsNone(self.successResultOf(first))
        self.assertNoResult(others[0])
        self.assertNoResult(idle)
        steps = self.directory.steps
        self.lane.step()
        self.assertEqual([self.successResultOf(other) for other in others], [None, None])
        self.assertEqual(self.directory.steps - steps, 2)  # one write, one sync
        self.successResultOf(idle)
        self.successResultOf(self.journal.idle())
        self.assertEqual(self.directory.survive(0).read("journal-00000001"), b"abc")
        self.assertEqual((self.journal.groups, self.journal.synced_bytes, self.journal.waiting_bytes), (2, 3, 0))

    def test_the_queue_has_a_bound(self) -> None:
        """Beyond it: 503, at once, and what waits is not touched."""
        first, second = self.append(bytes(60)), self.append(bytes(40))
        fault = self.failureResultOf(self.append(b"x"), Unavailable).value
        self.assertEqual((fault.status, fault.reason, fault.retry_after_seconds), (503, "journal-full", 1))
        while self.lane.step():
            pass
        self.successResultOf(first)
        self.successResultOf(second)

    def test_a_failed_descriptor_is_never_used_again(self) -> None:
        """The group goes to a fresh segment; what was acknowledged before stays where it is."""
        self.append(b"a")
        self.lane.step()
        for step in (0, 1):  # write, sync
            appended = self.append(b"b")
            self.directory.fail_after(step, error=FULL)
            self.lane.step()
            self.successResultOf(appended)
            self.assertFalse(self.journal.failed)
        left = self.directory.survive(0)
        contents = [left.read(f"journal-0000000{number}") for number in (1, 2, 3)]
        self.assertEqual(contents, [b"a", b"b", b"b"])
        self.assertEqual((self.journal.failures, self.journal.segment_count), (2, 3))

    def test_a_second_failure_refuses(self) -> None:
        """503 and not well; a file in which nothing was acknowledged is removed; with room again it goes on."""
        refused = self.append(b"a")
        self.directory.fail_after(1, error=FULL, times=9)
        self.lane.step()
        self.assertEqual(self.failureResultOf(refused, Unavailable).value.reason, "disk")
        self.assertTrue(self.journal.failed)
        self.directory.fail_after(0, error=FULL, times=0)
        taken = self.append(b"b")
        self.lane.step()
        self.successResultOf(taken)
        self.assertFalse(self.journal.failed)
        self.assertEqual(self.directory.read("journal-00000003"), b"b")

    def test_segments_go_when_they_are_written(self) -> None:
        """A closed one whose numbers and times are covered; never the one that is written to."""
        for number in (1, 2, 3):
            self.append(bytes(10), number, number * 10)
            self.lane.step()
        self.assertEqual(self.journal.segment_count, 3)
        self.assertEqual(self.journal.take_disposable(Checkpoint(sequence=2, watermark=19)), ["journal-00000001"])
        self.assertEqual(self.journal.take_disposable(Checkpoint(sequence=9, watermark=99)), ["journal-00000002"])
        self.assertEqual(repr(self.journal), "<Journal 1 segments, 0 bytes waiting>")

    def test_names(self) -> None:
        """Of segments, among others, in order."""
        self.assertEqual(Segment(12).name, "journal-00000012")
        self.assertEqual(
            segment_numbers(["journal-00000012", "log.txt", "journal-2", "journal-x", "journal-"]), [2, 12]
        )
        self.journal.close()
