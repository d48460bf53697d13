"""A sink at work: what arrives, when, and what is left of it after stops and crashes."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from functools import partial

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.collector import Collector
from scalekit.logs.entry import Entry
from scalekit.logs.memory import MemoryDirectory, PowerLoss
from scalekit.logs.reading import manifests
from scalekit.logs.settings import Settings
from scalekit.logs.sinks import delivery, refused
from scalekit.logs.sinks.cursor import Cursor, read_cursor, write_cursor
from scalekit.logs.sinks.forwarder import GATHER_SECONDS, SAVE_SECONDS, STOP_SECONDS, Forwarder
from scalekit.logs.sinks.memory import MemoryDestination, Named
from scalekit.logs.sinks.outcomes import Delivered, Later, Outcome, Refused
from scalekit.logs.threads import DirectLane
from tests.logs.lanes import SteppedLane

T = 1_700_000_000


class Log:
    """A collector with a sink, on a directory that outlives both."""

    def __init__(self, held_bytes: int = 1 << 20) -> None:
        self.directory = MemoryDirectory()
        self.destination = MemoryDestination()
        self.held_bytes = held_bytes
        self.clock = Clock()
        self.clock.advance(T)
        self.ids = 0
        self.before_sink: Callable[[], object] = lambda: None
        self.start()

    def start(self) -> None:
        lanes = (DirectLane(), DirectLane(), DirectLane())
        settings = Settings(segment_bytes=2000, journal_bytes=0)
        self.collector = Collector(lambda: self.directory, self.clock, lanes, settings)
        self.lane = DirectLane()
        self.sink = Forwarder(
            "s",
            self.destination,
            self.collector,
            self.lane,
            self.clock,
            self.clock.seconds,
            lambda: 1.0,
            self.make_id,
            self.held_bytes,
        )
        self.collector.startService()
        self.before_sink()
        self.sink.startService()

    def make_id(self) -> str:
        self.ids += 1
        return f"log{self.ids}"

    def stop(self) -> Deferred[None]:
        stopped = self.sink.stopService()
        self.collector.stopService()
        return stopped

    def crash(self, left: float = 0.0) -> None:
        """Power loss, and a new start on what was synced and this part of what was not."""
        self.directory = self.directory.survive(lambda: left)
        clock, self.clock = self.clock, Clock()  # the old one's calls are gone, too
        self.clock.advance(clock.seconds())
        self.start()

    def write(self, *messages: str, fields: str | None = None) -> None:
        now = int(self.clock.seconds() * 1e9)
        self.collector.append([Entry(now, "INFO", "shop", message, fields) for message in messages])

    def pass_time(self, seconds: float) -> None:
        """In small steps, as each waits for the last one."""
        for _ in range(round(seconds / 0.05)):
            self.clock.advance(0.05)

    @property
    def messages(self) -> list[str]:
        return [one.entry.message for _, one in self.destination.arrived]

    @property
    def cursor(self) -> Cursor | None:
        return read_cursor(self.directory, "s")


class ForwarderTests(SynchronousTestCase):
    """`Forwarder`."""

    def setUp(self) -> None:
        self.log = Log()

    def test_entries_arrive(self) -> None:
        """Gathered for a moment, with names; then the cursor is on disk."""
        self.log.write("a", "b")
        self.log.pass_time(GATHER_SECONDS / 2)
        self.log.write("c")
        self.assertEqual(self.log.messages, [])
        self.log.pass_time(GATHER_SECONDS)
        self.assertEqual([name for name, _ in self.log.destination.arrived], ["log1-1", "log1-2", "log1-3"])
        self.assertEqual(self.log.cursor, Cursor("log1", 3))
        self.assertEqual((self.log.sink.lag, self.log.sink.lag_seconds, self.log.sink.delivery.sent), (0, 0.0, 3))

    def test_batches(self) -> None:
        """Many at once go in several, one after the other; the cursor is written now and then, and at the end."""
        self.patch(delivery, "BATCH_ENTRIES", 2)
        self.log.sink.delivery.limit = 2
        batches: list[int] = []

        def answer(batch: Named) -> Outcome:
            batches.append(len(batch))
            return Delivered()

        self.log.destination.answer = answer
        self.log.write(*"abcdefg")
        self.log.pass_time(1)
        self.assertEqual((batches, self.log.messages), ([2, 2, 2, 1], list("abcdefg")))
        self.assertEqual(self.log.cursor, Cursor("log1", 7))

    def test_away(self) -> None:
        """Tried again with pauses, for ever; all of it arrives once somebody is there; the write path never waits."""
        self.log.destination.answer = lambda batch: Later("away")
        self.log.write("a")
        self.log.pass_time(300)
        figures = self.log.sink.figures()
        self.assertEqual((figures["name"], figures["lag"], figures["trouble"], figures["sent"]), ("s", 1, "away", 0))
        self.assertGreater(self.log.sink.delivery.retries, 10)
        self.assertLess(self.log.sink.delivery.retries, 20)
        self.log.write("b")
        self.assertEqual(self.log.collector.counts.accepted, 2)
        self.assertEqual(self.log.sink.lag, 2)
        self.assertGreater(self.log.sink.lag_seconds, 299)
        self.log.destination.answer = lambda batch: Delivered()
        self.log.pass_time(31)
        self.assertEqual(self.log.messages, ["a", "b"])
        self.assertEqual(self.log.sink.delivery.trouble, "")

    def test_refused(self) -> None:
        """Goes aside with what was said, and all others arrive."""
        self.log.destination.answer = lambda batch: (
            Refused("it is odd") if any("odd" in one.entry.message for _, one in batch) else Delivered()
        )
        self.log.write("a", "odd 1", "b", "c", "odd 2")
        self.log.pass_time(1)
        self.assertEqual(self.log.messages, ["a", "b", "c"])
        self.assertEqual((self.log.sink.delivery.refused, self.log.cursor), (2, Cursor("log1", 5)))
        kept = [json.loads(line) for line in self.log.directory.read("refused-s.ndjson").splitlines()]
        self.assertEqual([(one["Error"], one["Entry"]["Message"]) for one in kept],
                         [("it is odd", "odd 1"), ("it is odd", "odd 2")])  # fmt: skip

    def test_refused_ones_have_a_bound(self) -> None:
        """Of the file; they are counted all the same."""
        self.patch(refused, "REFUSED_BYTES", 1)
        self.log.destination.answer = lambda batch: Refused("no")
        self.log.write("a", "b")
        self.log.pass_time(1)
        self.assertEqual(self.log.directory.read("refused-s.ndjson").count(b"\n"), 1)
        self.assertEqual(self.log.sink.delivery.refused, 2)

    def test_rejected_in_part(self) -> None:
        """Counted; it is over for them."""
        self.log.destination.answer = lambda batch: Delivered(1, "one was odd")
        self.log.write("a", "b")
        self.log.pass_time(1)
        self.assertEqual((self.log.sink.delivery.sent, self.log.sink.delivery.rejected), (1, 1))

    def test_a_stop_while_nobody_answers(self) -> None:
        """Gives it up after a moment; the next start sends the same again, by the same names."""
        self.log.destination.answer = lambda batch: None
        self.log.write("a")
        self.log.pass_time(1)
        stopped = self.log.sink.stopService()
        self.assertNoResult(stopped)
        self.log.clock.advance(STOP_SECONDS)
        self.successResultOf(stopped)
        self.successResultOf(self.log.sink.stopService())
        self.log.collector.stopService()
        self.assertTrue(self.log.destination.is_closed)
        self.log.destination.answer = lambda batch: Delivered()
        self.log.start()
        self.log.write("b")
        self.log.pass_time(1)
        [(first, _)] = self.log.destination.pending[0][0]
        self.assertEqual((self.log.messages, first), (["a", "b"], "log1-1"))
        self.assertEqual([name for name, _ in self.log.destination.arrived], ["log1-1", "log1-2"])

    def test_a_stop_while_an_answer_is_under_way(self) -> None:
        """Waits for it: nothing is sent twice."""
        self.log.destination.answer = lambda batch: None
        self.log.write("a")
        self.log.pass_time(1)
        stopped = self.log.sink.stopService()
        self.log.destination.pending[0][1].callback(Delivered())
        self.successResultOf(stopped)
        self.assertEqual(self.log.cursor, Cursor("log1", 1))

    def test_stops_while_it_waits(self) -> None:
        """For news, for more, or before another try."""
        for seconds in (0.0, GATHER_SECONDS / 2, 5.0):
            log = Log()
            log.destination.answer = lambda batch: Later("away")
            if seconds:
                log.write("a")
                log.pass_time(seconds)
            self.successResultOf(log.stop())
            self.assertEqual(log.clock.getDelayedCalls(), [])

    def test_entries_after_a_stop(self) -> None:
        """Are the next start's: the log takes them as ever."""
        self.successResultOf(self.log.sink.stopService())
        self.log.write("a")
        self.log.write("b")
        self.assertEqual(self.log.collector.counts.accepted, 2)
        self.log.collector.stopService()
        self.log.start()
        self.log.pass_time(1)
        self.assertEqual(self.log.messages, ["a", "b"])

    def test_a_log_that_is_closed(self) -> None:
        """Waits for its sinks, and they for an answer, for a moment."""
        self.log.destination.answer = lambda batch: None
        self.log.write("a")
        self.log.pass_time(1)
        stopped = self.log.collector.stopService()
        self.assertNoResult(stopped)
        self.log.destination.pending[0][1].callback(Delivered())
        self.successResultOf(stopped)
        self.assertEqual(self.log.cursor, Cursor("log1", 1))
        log = Log()
        log.destination.answer = lambda batch: None
        log.write("a")
        log.pass_time(1)
        stopped = log.collector.stopService()
        log.pass_time(STOP_SECONDS + 0.1)
        self.successResultOf(stopped)
        self.assertEqual(log.cursor, Cursor("log1", 0))

    def test_a_cursor_that_cannot_be_read_yet(self) -> None:
        """Is waited for."""
        self.log.stop()
        self.log.before_sink = lambda: self.patch(self.log.directory, "read", self.broken)
        with capturedLogs() as captured:
            self.log.start()
            self.log.pass_time(4)  # after half a second, and one more, and two
            found = self.log.sink.delivery
            self.assertEqual((found.retries, found.trouble), (4, f"the log cannot be read: {self.error}"))
            self.assertEqual(self.log.sink.figures()["trouble"], found.trouble)
            del self.log.directory.read
            self.log.pass_time(4)
        self.assertIsNone(self.log.sink.figures()["trouble"])  # though there was nothing to send
        told = [event["log_format"] for event in captured if event["log_namespace"].startswith("scalekit.logs.sinks")]
        self.assertEqual(told, ["sink {name}: entries wait: {trouble}", "sink {name}: entries go out again"])
        self.log.write("a")
        self.log.pass_time(1)
        self.assertEqual(self.log.messages, ["a"])

    def test_a_crash_before_the_cursor_is_written(self) -> None:
        """Some are sent again, by the same names; none is left out."""

        def answer(batch: Named) -> Outcome:
            self.log.directory.fail_after(0)
            return Delivered()

        self.log.destination.answer = answer
        self.log.write("a", "b")
        self.log.pass_time(SAVE_SECONDS)
        self.flushLoggedErrors(PowerLoss)
        self.log.destination.answer = lambda batch: Delivered()
        self.log.crash()
        self.log.write("c")
        self.log.pass_time(1)
        self.assertEqual(self.log.messages, ["a", "b", "a", "b", "c"])
        self.assertEqual([name for name, _ in self.log.destination.arrived[2:]], ["log1-1", "log1-2", "log1-3"])

    def test_a_cursor_that_cannot_be_written(self) -> None:
        """Is told, and costs repeats after a crash only."""
        self.log.write("a", "b")
        self.log.directory.fail_after(0, error=OSError(errno.ENOSPC, "No space left on device"))
        self.log.pass_time(0.3)
        self.assertEqual((self.log.messages, self.log.cursor), (["a", "b"], Cursor("log1", 0)))
        self.log.crash()
        self.log.pass_time(1)
        self.assertEqual(self.log.messages, ["a", "b", "a", "b"])

    def test_a_new_sink(self) -> None:
        """Begins with what the journal has."""
        self.assertEqual(self.log.cursor, Cursor("log1", 0))
        self.log.write("a")
        self.log.stop()
        self.log.directory.remove("sink-s.json")
        self.log.start()
        self.assertEqual(self.log.cursor, Cursor("log2", 0))
        self.log.pass_time(1)
        self.assertEqual([name for name, _ in self.log.destination.arrived], ["log2-1"])

    def test_another_log(self) -> None:
        """That ends before the cursor: its entries have other names."""
        self.log.write("a")
        self.log.pass_time(1)
        self.log.stop()
        write_cursor(self.log.directory, "s", Cursor("log1", 100))
        self.log.start()
        self.log.write("b")
        self.log.pass_time(1)
        self.assertEqual([name for name, _ in self.log.destination.arrived], ["log1-1", "log2-2"])

    def test_the_journal_is_held(self) -> None:
        """For what is not sent yet, up to a bound; and let go of then."""
        self.log.destination.answer = lambda batch: Later("away")
        for number in range(100):
            self.log.write(str(number) * 30)
            self.log.pass_time(0.5)
        self.assertEqual(self.log.collector.reader.oldest, 1)
        self.log.destination.answer = lambda batch: Delivered()
        self.log.pass_time(35)
        for _ in range(3):
            self.log.write("later")
            self.log.pass_time(3)
        self.assertGreater(self.log.collector.reader.oldest, 90)
        self.assertEqual((len(self.log.messages), self.log.sink.missed), (103, 0))

    def test_more_than_the_journal_holds(self) -> None:
        """Is read from the volumes: all of it arrives, in order, also while more comes."""
        log = Log(held_bytes=1)
        log.destination.answer = lambda batch: Later("away")
        # What it has read ahead is not gone for it.
        for number in range(100):
            log.write(str(number) * 30)
            log.pass_time(0.5)
        log.stop()
        log.destination.answer = lambda batch: Delivered()
        log.start()
        log.pass_time(35)
        self.assertGreater(log.collector.reader.oldest, 1)
        log.write("later")
        log.pass_time(1)
        self.assertEqual(log.messages, [*(str(number) * 30 for number in range(100)), "later"])
        self.assertEqual(log.sink.missed, 0)

    def test_a_gap(self) -> None:
        """What retention has removed before it was sent is counted; the rest arrives."""
        log = Log(held_bytes=1)
        log.destination.answer = lambda batch: Later("away")
        for number in range(100):
            log.write(str(number) * 30)
            log.pass_time(0.5)
        log.clock.advance(3600)
        for _ in range(4):
            log.write("later")
            log.pass_time(60)
        log.stop()
        (sealed,) = manifests(log.directory)
        for name in sealed.files:
            if name in log.directory.names():
                log.directory.remove(name)
        log.destination.answer = lambda batch: Delivered()
        log.start()
        log.pass_time(35)
        first = int(log.destination.arrived[0][0].rpartition("-")[2])  # the journal has some of them, too
        self.assertEqual(
            (log.sink.missed, len(log.messages), log.messages[-4:]), (first - 1, 105 - first, ["later"] * 4)
        )
        self.assertGreater(first, 1)

    def test_a_circle(self) -> None:
        """What comes back to where it has left is not sent again."""
        self.log.write("a")
        self.log.pass_time(1)
        [(name, _)] = self.log.destination.arrived
        self.log.write("back", fields=json.dumps({"log.record.uid": name}, separators=(",", ":")))
        self.log.write("b", fields='{"log.record.uid":"other-1"}')
        self.log.pass_time(1)
        self.assertEqual((self.log.messages, self.log.sink.circular), (["a", "b"], 1))

    def test_a_mistake(self) -> None:
        """Of a destination's is told, and not the end."""

        def answer(batch: Named) -> Outcome:
            raise ZeroDivisionError

        self.log.destination.answer = answer
        self.log.write("a")
        self.log.pass_time(1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.log.destination.answer = lambda batch: Delivered()
        self.log.pass_time(11)
        self.assertEqual(self.log.messages, ["a"])

    def test_a_disk_that_cannot_be_read(self) -> None:
        """For a moment."""
        lane = SteppedLane()
        self.patch(self.log.lane, "run", lane.run)
        self.log.write("a")
        self.log.pass_time(1)
        self.patch(self.log.sink._backlog, "take", self.broken)
        lane.step()
        del self.log.sink._backlog.take
        self.log.pass_time(11)
        while lane.step():
            pass
        self.assertEqual(self.log.messages, ["a"])

    error = OSError(errno.EIO, "Input/output error")

    def broken(self, *_: object) -> None:
        raise self.error

    def answered(self, outcome: Outcome | None, batch: Named) -> Outcome | None:
        return outcome

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.sampled_from(["write", "write", "wait", "away", "well", "silent", "restart", "crash"])), st.data()
    )
    def test_whatever_happens(self, steps: list[str], data: st.DataObject) -> None:
        """Each entry arrives, in order but for repeats, under one name; without a crash or a stop, once."""
        log = Log()
        answers: dict[str, Outcome | None] = {"away": Later("away"), "well": Delivered(), "silent": None}
        written: list[str] = []
        is_rough = False
        for step in steps:
            if step == "write":
                log.write(str(len(written)))
                written.append(str(len(written)))
            elif step == "wait":
                log.pass_time(1)
            elif step in answers:
                outcome = answers[step]
                log.destination.answer = partial(self.answered, outcome)
                if outcome is not None:
                    for batch, waiting in log.destination.pending:
                        if not waiting.called:
                            if step == "well":
                                log.destination.arrived += batch
                            waiting.callback(outcome)
                    log.destination.pending.clear()
            elif step == "restart":
                is_rough = is_rough or bool(log.destination.pending)
                log.sink.stopService()
                log.pass_time(STOP_SECONDS + 0.1)
                log.collector.stopService()
                log.destination.pending.clear()
                log.start()
            else:
                is_rough = True
                log.destination.pending.clear()
                log.crash(data.draw(st.sampled_from([0.0, 1.0])))
        log.destination.answer = lambda batch: Delivered()
        for batch, waiting in log.destination.pending:
            log.destination.arrived += batch
            waiting.callback(Delivered())
        log.pass_time(35)
        names = dict(log.destination.arrived)
        self.assertEqual(sorted(one.entry.message for one in names.values()), sorted(written))
        first_seen = list(dict.fromkeys(log.messages))
        self.assertEqual(first_seen, written)
        if not is_rough:
            self.assertEqual(log.messages, written)
