"""The collector: what it takes, writes, refuses, and finds again."""

from __future__ import annotations

import errno
import json
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ClientFault
from scalekit.logs import collector as collector_module
from scalekit.logs.batches import parse_batch_name
from scalekit.logs.collector import Collector
from scalekit.logs.entry import Entry, parse_entry
from scalekit.logs.journal import Unavailable
from scalekit.logs.memory import MemoryDirectory
from scalekit.logs.order import ReorderBuffer
from scalekit.logs.output import CHECKPOINTS, read_checkpoint
from scalekit.logs.records import parse_record
from scalekit.logs.retention import Rules
from scalekit.logs.settings import Settings
from tests.logs.lanes import SteppedLane

SECOND = 1_000_000_000
START = 1_700_000_000  # 22:13:20
FULL = OSError(errno.ENOSPC, "No space left on device")


class CollectorTests(SynchronousTestCase):
    """`Collector`, with a delay of 2 s and a flush every 2 s."""

    def setUp(self) -> None:
        self.directory = MemoryDirectory()
        self.clock = Clock()
        self.clock.advance(START)
        self.start()

    def start(self, **settings: Any) -> None:
        """A collector on the directory as it is."""
        self.lanes = (SteppedLane(), SteppedLane(), SteppedLane())
        fixed = {"memory_bytes": 10_000, "journal_bytes": 0, "segment_bytes": 4096}
        self.collector = Collector(lambda: self.directory, self.clock, self.lanes, Settings(**{**fixed, **settings}))
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

    def test_sorted_after_the_delay(self) -> None:
        """Entries find their places; one that comes when its place is written goes to the late file, counted."""
        for message, offset in (("c", 0.5), ("a", -1.0), ("b", None)):
            appended = self.append(message, offset)
            self.assertNoResult(appended)
            self.work()
            self.successResultOf(appended)
        self.clock.advance(2)
        self.work()
        self.assertEqual(
            self.directory.read("log.txt"), b"2023-11-14 22:13:19;INFO;s;a\n2023-11-14 22:13:20;INFO;s;b\n"
        )
        self.append("x", -2.0)
        self.work()
        self.clock.advance(2)
        self.work()
        self.assertEqual((self.messages(), self.messages("log.txt.late")), ("abc", "x"))
        counts = self.collector.counts
        self.assertEqual((counts.accepted, counts.written, counts.written_late, counts.late), (4, 3, 1, 1))
        self.assertEqual(counts.restamped, 1)
        self.stop()

    def test_stop_writes_everything(self) -> None:
        """Also what is not due, what is still being synced, and what sinks hold; a start gives it its place again."""
        self.append("b", 3)
        self.work()
        self.append("a", 0)
        self.collector.sink("me").log("INFO", "s", self.clock.seconds() + 1)
        self.stop()
        self.assertEqual(self.messages(), "asb")
        self.failureResultOf(self.append("x"), Unavailable)
        self.assertEqual(self.collector.trouble, "The log is not running.")
        self.start()
        self.append("c", 0.5)
        self.stop()
        self.assertEqual((self.messages(), self.messages("log.txt.late")), ("acsb", ""))

    def test_a_crash_loses_nothing(self) -> None:
        """What was acknowledged is there after it, and the refused queue is not."""
        acknowledged = self.append("a", -1)
        self.work()
        self.successResultOf(acknowledged)
        lost = self.append("b")
        self.crash()
        self.assertNoResult(lost)
        self.stop()
        self.assertEqual(self.messages(), "a")

    def test_a_late_entry_that_a_flush_overtakes(self) -> None:
        """A checkpoint covers only the numbers that were in the buffer: one that was still being synced survives."""
        self.append("a", -1)
        self.work()
        self.clock.advance(1.5)
        late = self.append("b", -3)
        self.clock.advance(0.5)
        self.lanes[1].step()
        self.assertEqual(self.messages(), "a")
        self.lanes[0].step()
        self.successResultOf(late)
        self.crash()
        self.clock.advance(2)
        self.work()
        self.assertEqual((self.messages(), self.messages("log.txt.late")), ("a", "b"))
        self.stop()

    def test_a_volume_ends_and_goes(self) -> None:
        """With the hour; late entries get into it for a while, then it is sealed, and at last it is removed."""
        self.stop()
        hour = 3600 * SECOND
        self.start(grace_seconds=3, rules=Rules(age=2 * hour))
        self.append("a")
        self.work()
        self.clock.advance(4)
        self.work()
        self.clock.advance(3600)
        self.append("b", -1)
        self.work()
        self.clock.advance(2)
        self.work()  # with it, the volume ends
        (name,) = [name for name in self.directory.names() if name.endswith("00000001.txt")]
        self.append("c", -3000)
        self.work()
        self.clock.advance(2)
        self.work()
        self.assertEqual((self.messages(name), self.messages(f"{name}.late")), ("ab", "c"))
        self.clock.advance(3)
        self.work()
        self.assertEqual((self.messages(name), self.messages()), ("acb", ""))
        self.assertEqual([volume.is_sealed for volume in self.collector.reader.volumes()], [True, False])
        self.assertEqual(self.collector.counts.sealed, 1)
        self.clock.advance(7300)
        self.work()
        self.assertEqual([volume.number for volume in self.collector.reader.volumes()], [2])
        self.assertEqual(self.collector.counts.expired, {"age": 3})
        self.assertFalse([name for name in self.directory.names() if name.startswith("log-")])
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

    def test_exactly_once(self) -> None:
        """A repeat is acknowledged and not written, also after a crash; what cannot be the next is refused."""
        name = parse_batch_name("app/1")
        entry = Entry(int(START * SECOND), "INFO", "s", "a")
        written = self.collector.append([entry], name)
        self.failureResultOf(self.collector.append([entry], name), ClientFault)
        self.work()
        self.assertTrue(self.successResultOf(written))
        self.assertFalse(self.successResultOf(self.collector.append([entry], name)))
        nothing = self.collector.append([], parse_batch_name("app/2"))
        self.work()
        self.successResultOf(nothing)
        self.crash()
        for number, expected in ((1, False), (2, False)):
            repeated = self.collector.append([entry], parse_batch_name(f"app/{number}"))
            self.assertIs(self.successResultOf(repeated), expected)
        self.failureResultOf(self.collector.append([entry], parse_batch_name("app/4")), ClientFault)
        self.assertEqual(self.collector.counts.repeated, 2)
        self.stop()
        self.assertEqual(self.messages(), "a")

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

    def test_a_clock_that_jumps(self) -> None:
        """By an hour, and back: nothing is late, nothing waits; entries from over there are placed by their coming."""
        self.stop()
        jump = 0.0
        self.lanes = (SteppedLane(), SteppedLane(), SteppedLane())
        self.collector = Collector(
            lambda: self.directory, self.clock, self.lanes, wall=lambda: self.clock.seconds() + jump
        )
        self.collector.startService()
        self.append("a")
        jump = 3600.0
        self.clock.advance(0.25)
        self.append("c", 3600)
        self.append("b")
        self.work()
        self.clock.advance(4)
        self.work()
        self.assertEqual((self.messages(), self.messages("log.txt.late")), ("acb", ""))
        jump = 0.0
        self.append("d")
        self.work()
        self.clock.advance(4)
        self.work()
        self.assertEqual((self.messages(), self.collector.counts.late), ("acbd", 0))
        self.stop()

    def test_a_clock_that_stays_ahead_and_comes_back(self) -> None:
        """It is followed after a minute; when it is back, entries of its own hour are late, and none waits."""
        self.stop()
        ahead = 0.0
        self.lanes = (SteppedLane(), SteppedLane(), SteppedLane())
        self.collector = Collector(
            lambda: self.directory, self.clock, self.lanes, wall=lambda: self.clock.seconds() + ahead
        )
        self.collector.startService()
        for ahead, name, is_late in ((3600.0, "a", 0), (0.0, "b", 1)):
            for _ in range(300):  # a minute and a bit
                self.clock.advance(0.25)
                self.work()
            self.append(name, ahead)
            self.work()
            self.clock.advance(4)
            self.work()
            self.assertEqual((self.collector.counts.late, self.collector.counts.restamped), (is_late, 0))
        self.assertEqual((self.messages(), self.messages("log.txt.late")), ("a", "b"))
        self.stop()

    def test_clients_with_strange_clocks(self) -> None:
        """Each is placed: by its time if that can be, else by when it came; none holds back another."""
        sent = {
            "hour ahead": "2023-11-14T23:13:20Z",
            "hour behind": "2023-11-14T21:13:20Z",
            "year 1": "0001-01-01T00:00:00Z",
            "year 9999": "9999-12-31T23:59:59Z",
            "nanoseconds": "2023-11-14T22:13:20.000000001Z",
            "no zone": "2023-11-14T22:13:19",
            "elsewhere": "2023-11-15T00:13:18+02:00",
            "none": None,
        }
        for name, time in sent.items():
            entry = {"Level": "INFO", "Source": "s", "Message": f" {name}", "Timestamp": time}
            self.collector.append([parse_entry(json.dumps(entry).encode())])
        for _ in range(3):
            self.work()
            self.clock.advance(2)
        placed = ["hour behind", "elsewhere", "no zone", "hour ahead", "year 1", "year 9999", "none", "nanoseconds"]
        self.assertEqual(self.messages(), "".join(f" {name}" for name in placed))
        reader = self.collector.reader
        records = [parse_record(line) for _, line in reader.lines(reader.volumes()[0])]
        said = {record.Message.strip(): record.Said for record in records if record and record.Said}
        self.assertEqual(
            said,
            {
                "hour ahead": "2023-11-14T23:13:20.000000000Z",
                "year 1": "1677-09-21T00:12:43.145224192Z",
                "year 9999": "2262-04-11T23:47:16.854775807Z",
            },
        )
        self.assertEqual((self.collector.counts.restamped, self.collector.counts.late), (4, 0))
        self.stop()

    def test_a_slow_disk_makes_nothing_late(self) -> None:
        """The watermark waits for what was received and is not yet synced."""
        slow = self.append("a", 0)
        self.clock.advance(60)
        self.work()
        self.successResultOf(slow)
        self.clock.advance(2)
        self.work()
        self.assertEqual((self.messages(), self.messages("log.txt.late")), ("a", ""))
        self.stop()

    def test_a_refusal_makes_nothing_late(self) -> None:
        """The watermark still waits for what came before it and is not yet synced."""
        self.collector.journal._waiting_limit = 200
        slow = self.append("a", 0)
        self.failureResultOf(self.append("x" * 1000), Unavailable)
        self.clock.advance(60)
        self.work()
        self.successResultOf(slow)
        self.clock.advance(2)
        self.work()
        self.assertEqual((self.messages(), self.messages("log.txt.late")), ("a", ""))
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
        self.patch(collector_module, "FLUSH_BYTES", 500)
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

    def test_who_cancels_cancels_only_the_answer(self) -> None:
        """What is on its way to the disk gets into the file."""
        cancelled = self.append("a")
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.stop()
        self.assertEqual(self.messages(), "a")

    def test_no_entries(self) -> None:
        """Nothing is at once on disk, also when the log is stopped; stopping twice is once."""
        self.successResultOf(self.collector.append([]))
        self.stop()
        self.successResultOf(self.collector.stopService())
        self.assertEqual(repr(self.collector), "<Collector, closed>")

    def test_segments_are_removed(self) -> None:
        """What the older checkpoint covers goes; a segment that cannot be removed stays, and harms nobody."""
        self.collector.journal._segment_bytes = 1
        for number in range(8):
            self.append(str(number))
            self.work()
            self.clock.advance(2)
            if number == 7:
                self.directory.fail_after(2, error=FULL)  # after the log file and the checkpoint
            self.work()
        names = [name for name in self.directory.names() if name.startswith("journal-")]
        self.assertLess(len(names), 5)
        self.stop()
        self.assertEqual(self.messages(), "01234567")
        self.start()
        self.stop()
        self.assertEqual(self.messages(), "01234567")
