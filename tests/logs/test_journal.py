"""The journal: groups, segments, and disks that fail."""

from __future__ import annotations

import errno

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.checkpoint import Checkpoint
from scalekit.logs.journal import PROBE_SECONDS, Hold, Journal, Segment, Unavailable, segment_numbers
from scalekit.logs.memory import MemoryDirectory
from tests.logs.lanes import SteppedLane

FULL = OSError(errno.ENOSPC, "No space left on device")


class JournalTests(SynchronousTestCase):
    """`Journal`."""

    def setUp(self) -> None:
        self.directory = MemoryDirectory()
        self.lane = SteppedLane()
        self.clock = Clock()
        self.journal = Journal(self.directory, self.lane, self.clock, segment_bytes=10, waiting_limit=100)

    def append(self, frame: bytes, last: int = 1, latest: int = 1) -> Deferred[None]:
        """Append, and note nothing else."""
        return self.journal.append(frame, last, last, latest)

    def work(self) -> None:
        """Let the thread do all it has to."""
        while self.lane.step():
            pass

    def used(self) -> dict[str, bytes]:
        """What the segments would hold after a loss of power, without the room that is not used."""
        left = self.directory.survive()
        return {name[-1]: left.read(name).rstrip(b"\0") for name in left.names()}

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
        self.lane.step()  # the spare segment
        steps = self.directory.steps
        self.lane.step()
        self.assertEqual([self.successResultOf(other) for other in others], [None, None])
        self.assertEqual(self.directory.steps - steps, 2)  # one write, one sync
        self.successResultOf(idle)
        self.successResultOf(self.journal.idle())
        self.assertEqual(self.used(), {"1": b"abc", "2": b""})
        self.assertEqual((self.journal.groups, self.journal.synced_bytes, self.journal.waiting_bytes), (2, 3, 0))

    def test_segments_have_their_room(self) -> None:
        """Each is made at its full size before it is needed; a group that is larger makes one that is as large."""
        for frame in (b"1" * 6, b"2" * 6, b"3" * 30):
            self.append(frame)
            self.work()
        self.assertEqual(self.used(), {"1": b"1" * 6, "2": b"2" * 6, "3": b"3" * 30, "4": b""})
        self.assertEqual([self.directory.size(f"journal-0000000{number}") for number in (1, 2, 3, 4)], [10, 10, 30, 10])
        self.journal.close()  # gives back what is not used
        self.assertEqual([name[-1] for name in self.directory.names()], ["1", "2", "3"])

    def test_each_begins_with_a_preamble(self) -> None:
        """Which is asked for when it is begun."""
        self.journal = Journal(
            self.directory, self.lane, Clock(), segment_bytes=10, preamble=lambda first: b"<%d>" % first
        )
        for last, frame in ((1, b"a"), (1, b"b"), (2, b"12345678")):
            self.append(frame, last)
            self.work()
        self.assertEqual(self.used(), {"1": b"<1>ab", "2": b"<2>12345678", "3": b""})

    def test_the_queue_has_a_bound(self) -> None:
        """Beyond it: 503, at once, and what waits is not touched."""
        first, second = self.append(bytes(60)), self.append(bytes(40))
        fault = self.failureResultOf(self.append(b"x"), Unavailable).value
        self.assertEqual((fault.status, fault.reason, fault.retry_after), (503, "journal-full", 1))
        self.work()
        self.successResultOf(first)
        self.successResultOf(second)

    def test_a_failed_descriptor_is_never_used_again(self) -> None:
        """The group goes to the spare segment; what was acknowledged before stays where it is."""
        self.append(b"a")
        self.work()
        for step in (0, 1):  # write, sync
            appended = self.append(b"b")
            self.directory.fail_after(step, error=FULL)
            self.work()
            self.successResultOf(appended)
            self.assertFalse(self.journal.failed)
        self.assertEqual(self.used(), {"1": b"a", "2": b"b", "3": b"b", "4": b""})
        self.assertEqual((self.journal.failures, len(self.journal.segments)), (2, 3))

    def test_a_second_failure_refuses(self) -> None:
        """503 and not well; a file in which nothing was acknowledged is removed; with room again it goes on."""
        refused = self.append(b"a")
        self.directory.fail_after(1, error=FULL, times=9)
        self.work()
        self.assertEqual(self.failureResultOf(refused, Unavailable).value.reason, "disk")
        self.assertTrue(self.journal.failed)
        self.directory.fail_after(0, error=FULL, times=0)
        taken = self.append(b"b")
        self.work()
        self.successResultOf(taken)
        self.assertFalse(self.journal.failed)
        self.assertEqual(self.used()["3"], b"b")

    def test_a_probe(self) -> None:
        """Finds out that the disk works again, though nobody sends anything; what comes then is as always."""
        self.append(b"a", 1)
        self.work()
        self.directory.fail_after(0, error=FULL, times=9)
        refused = self.append(b"b", 2)
        self.work()
        self.failureResultOf(refused, Unavailable)
        self.journal.probe()
        self.assertFalse(self.lane.step())  # too early
        for is_well in (False, True):
            self.clock.advance(PROBE_SECONDS)
            self.journal.probe()
            self.work()
            self.assertEqual(self.journal.failed, not is_well)
            self.directory.fail_after(0, error=FULL, times=0)
        steps = self.directory.steps
        self.clock.advance(PROBE_SECONDS)
        self.journal.probe()
        self.assertEqual((self.lane.step(), self.directory.steps), (False, steps))  # it is well: there is no need
        taken = self.append(b"c", 3)
        self.work()
        self.successResultOf(taken)
        self.assertEqual("".join(data.decode() for _, data in sorted(self.used().items())), "ac")

    def test_segments_go_when_they_are_written(self) -> None:
        """The oldest, whose numbers and times are covered; never the one that is written to."""
        for number in (1, 2, 3):
            self.append(bytes(10), number, number * 10)
            self.work()
        journal = self.journal
        self.assertEqual([segment.first for segment in journal.segments], [1, 2, 3])
        self.assertEqual([journal.first_needed(2, time) for time in (9, 19, 20)], [1, 2, 3])
        self.assertEqual(journal.first_needed(9, 99), 3)
        self.assertEqual(journal.take_disposable(Checkpoint(sequence=9, watermark=99), keep_bytes=20), [])
        self.assertEqual(journal.take_disposable(Checkpoint(sequence=2, watermark=19)), ["journal-00000001"])
        self.assertEqual(journal.take_disposable(Checkpoint(sequence=9, watermark=99)), ["journal-00000002"])
        self.assertEqual(repr(journal), "<Journal 1 segments, 0 bytes waiting>")

    def test_segments_are_held(self) -> None:
        """For those who have not read them, up to a size each."""
        for number in (1, 2, 3, 4):
            self.append(bytes(10), number, number * 10)
            self.work()
        written = Checkpoint(sequence=9, watermark=99)
        for holds in ([Hold(0, 30)], [Hold(3, 99), Hold(0, 21)]):
            self.assertEqual(self.journal.take_disposable(written, holds=holds), [])
        for hold, number in ((Hold(1, 30), 1), (Hold(0, 10), 2), (Hold(9, 99), 3)):
            self.assertEqual(self.journal.take_disposable(written, holds=[hold]), [f"journal-0000000{number}"])

    def test_names(self) -> None:
        """Of segments, among others, in order."""
        self.assertEqual(Segment(12).name, "journal-00000012")
        self.assertEqual(
            segment_numbers(["journal-00000012", "log.txt", "journal-2", "journal-x", "journal-"]), [2, 12]
        )
        self.journal.close()
        self.assertEqual(Journal(self.directory, self.lane, Clock()).first_needed(1, 1), 0)
