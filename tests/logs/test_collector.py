"""The collector: what it takes, writes, and finds again."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock

from scalekit.errors import ClientFault
from scalekit.logs.batches import parse_batch_name
from scalekit.logs.entry import Entry
from scalekit.logs.journal import Unavailable
from scalekit.logs.retention import Rules
from tests.logs.collecting import FULL, SECOND, START, CollectorCase


class CollectorTests(CollectorCase):
    """`Collector`."""

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
        self.assertEqual((counts.untimed, counts.restamped), (1, 0))
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

    def test_killed_again_and_again(self) -> None:
        """What was replayed is written at once: else a log that lives for less than a flush would replay ever more."""
        for number in range(1, 4):
            self.append(str(number))
            self.work()
            self.directory = self.directory.survive(lambda: 0.0)
            self.clock = Clock()
            self.clock.advance(START + 3 * number)
            self.start()
            self.clock.advance(0.25)
            self.work()
            self.assertEqual(self.messages(), "123"[:number])
        self.assertLess(len([name for name in self.directory.names() if name.startswith("journal-")]), 3)
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
