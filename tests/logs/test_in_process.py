"""The sink of the same process: never raises, never waits, has a bound."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from scalekit.interfaces import ILogSink
from scalekit.logs import in_process
from scalekit.logs.counts import Counts
from scalekit.logs.entry import MESSAGE_LIMIT, Entry
from scalekit.logs.in_process import GATHER_SECONDS, RETRY_SECONDS, InProcessSink


class Recorder:
    """A collector that keeps what it was given and answers when told."""

    def __init__(self) -> None:
        self.counts = Counts()
        self.batches: list[list[Entry]] = []
        self.answers: list[Deferred[bool]] = []

    def append(self, entries: Sequence[Entry]) -> Deferred[bool]:
        self.batches.append(list(entries))
        self.answers.append(Deferred())
        return self.answers[-1]


class InProcessSinkTests(SynchronousTestCase):
    """`InProcessSink`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.collector = Recorder()
        self.sink = InProcessSink(self.collector, self.clock, "balancer")

    def messages(self) -> list[list[str]]:
        """Of each batch."""
        return [[entry.message for entry in batch] for batch in self.collector.batches]

    def test_one_batch_at_a_time(self) -> None:
        """What comes within a moment goes together; what comes meanwhile goes next; then it is quiet."""
        verifyObject(ILogSink, self.sink)
        self.sink.log("INFO", "a")
        self.sink.log("fatal", "b", 5.5)
        self.assertEqual(self.messages(), [])
        self.clock.advance(GATHER_SECONDS)
        entries = [Entry(0, "INFO", "balancer", "a"), Entry(5_500_000_000, "PANIC", "balancer", "b")]
        self.assertEqual(self.collector.batches, [entries])
        self.sink.log("INFO", "c")
        self.clock.advance(10)
        self.assertEqual(len(self.messages()), 1)
        self.collector.answers[0].callback(True)
        self.clock.advance(GATHER_SECONDS)
        self.assertEqual(self.messages()[1:], [["c"]])
        self.collector.answers[1].callback(True)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_fields(self) -> None:
        """They are kept as those of a client are."""
        self.sink.log("INFO", "a", 0.0, {"request_id": "r1"})
        self.clock.advance(GATHER_SECONDS)
        self.assertEqual(self.collector.batches, [[Entry(0, "INFO", "balancer", "a", '{"request_id":"r1"}')]])

    def test_a_refused_batch_is_sent_again(self) -> None:
        """In its order, before what came since."""
        self.sink.log("INFO", "a")
        self.clock.advance(GATHER_SECONDS)
        self.sink.log("INFO", "b")
        self.collector.answers[0].errback(OSError())
        self.clock.advance(RETRY_SECONDS)
        self.assertEqual(self.messages(), [["a"], ["a", "b"]])

    def test_the_bound(self) -> None:
        """Beyond it entries are dropped, counted, and told of in an entry."""
        self.patch(in_process, "ENTRY_LIMIT", 2)
        for _ in range(5):
            self.sink.log("INFO", "x")
        self.clock.advance(GATHER_SECONDS)
        self.assertEqual(self.messages(), [["x", "x", "3 log entries were dropped here"]])
        self.patch(in_process, "BYTE_LIMIT", 2)
        for _ in range(3):
            self.sink.log("INFO", "yy")
        self.collector.answers[0].callback(True)
        self.clock.advance(GATHER_SECONDS)
        self.assertEqual(self.messages()[1:], [["yy", "2 log entries were dropped here"]])
        self.assertEqual(self.collector.counts.dropped, 5)

    def test_whatever_it_is_given(self) -> None:
        """Nothing raises; what cannot be an entry is dropped and counted."""
        for message, timestamp in ((None, None), ("x", float("nan")), ("x", float("inf")), ("x", 1e300), ("x", "now")):
            self.sink.log("INFO", message, timestamp)  # type: ignore[arg-type]
        self.assertEqual(self.collector.counts.dropped, 5)
        self.sink.log("strange", "\ud800")
        self.sink.log("INFO", "x" * (MESSAGE_LIMIT + 1))
        self.clock.advance(GATHER_SECONDS)
        surrogate, long, _ = self.collector.batches[0]
        self.assertEqual((surrogate.level, surrogate.message), ("INFO", "\\ud800"))
        self.assertTrue(long.message.endswith("[cut: 1 bytes more]"))

    def test_stop(self) -> None:
        """Hands over what it has; later entries, and what is then refused, are dropped and counted."""
        self.sink.log("INFO", "a")
        self.clock.advance(GATHER_SECONDS)
        self.sink.log("INFO", "b")
        self.sink.stop()
        self.sink.stop()
        self.sink.log("INFO", "c")
        self.assertEqual(self.messages(), [["a"], ["b"]])
        for answer in self.collector.answers:
            answer.errback(OSError())
        self.clock.advance(10)
        self.assertEqual(len(self.messages()), 2)
        self.assertEqual(self.collector.counts.dropped, 3)
        self.assertEqual(repr(self.sink), "<InProcessSink balancer 0 entries, 3 dropped>")
