"""From messages to the disk, as long as that takes."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.entry import Entry
from scalekit.logs.syslog.framing import Message
from scalekit.logs.syslog.intake import WAITING_BYTES, Intake
from tests.logs.syslog.collecting import DecidedCollector
from tests.logs.syslog.test_stamps import utc


def entry(message: str, source: str = "s") -> Entry:
    return Entry(None, "INFO", source, message)


class IntakeTests(SynchronousTestCase):
    """`Intake`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.collector = DecidedCollector()
        self.intake = self.make(self.collector)

    def make(self, collector: Any) -> Intake:
        return Intake(collector, self.clock, lambda: 1_795_472_055.0, utc)

    def test_parse(self) -> None:
        """Each with its own peer, this machine having none; what is no message is counted and kept."""
        received = [
            (Message(b"<14>a"), "10.0.0.7"),
            (Message(b"\x16\x03"), "10.0.0.7"),
            (Message(b"<14>b", 3), "127.0.0.1"),
        ]
        found = [(one.source, one.message) for one in self.intake.parse("tcp", received)]
        self.assertEqual(found, [("10.0.0.7", "a"), ("syslog", "b [cut: 3 bytes more]")])
        counts = self.collector.counts
        self.assertEqual((dict(counts.syslog["tcp"]), counts.rejected), ({"received": 3, "malformed": 1}, 1))
        [batch] = self.collector.quarantined
        self.assertEqual((batch.rejected_count, batch.bad), (1, [b"\x16\x03"]))
        self.assertEqual(batch.rejected, [(1, "syslog: It begins with a control character.")])

    def test_write_keeps_at_it(self) -> None:
        """Until the collector takes them, each second."""
        done = self.intake.write("tcp", [entry("a")], 1)
        for reason in ("memory", "disk-full"):
            self.collector.refuse(reason)
            self.assertNoResult(done)
            self.assertEqual(self.collector.waiting, [])
            self.clock.advance(1)
        idle = self.intake.when_idle()
        self.assertNoResult(idle)
        self.collector.accept()
        self.successResultOf(done)
        self.successResultOf(idle)
        self.successResultOf(self.intake.when_idle())
        self.assertEqual((self.collector.written, dict(self.collector.counts.syslog["tcp"])), (["a"], {}))

    def test_the_end_of_the_log(self) -> None:
        """What it does not take any more is counted."""
        done = self.intake.write("udp", [entry("a"), entry("b")], 2)
        self.collector.refuse("stopping")
        self.successResultOf(done)
        self.assertEqual(self.collector.counts.syslog["udp"]["stopping"], 2)

    def test_a_collector_that_fails(self) -> None:
        """Is told of in the log, and its entries are counted; nothing hangs."""
        self.collector.append = lambda entries: fail(ZeroDivisionError())  # type: ignore[method-assign]
        self.successResultOf(self.intake.write("tcp", [entry("a")], 1))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.collector.counts.syslog["tcp"]["stopping"], 1)

    def test_budgets(self) -> None:
        """Who can wait waits until its source may write again; of the others those go whose source may not."""
        self.collector = DecidedCollector(rate=1)
        self.intake = self.make(self.collector)
        self.assertEqual(self.collector.spend([entry("", "mad")] * 12), 0.0)
        entries = [entry("a", "mad"), entry("b"), entry("c", "mad")]
        self.assertEqual([one.message for one in self.intake.affordable("udp", entries)], ["b"])
        self.assertEqual(self.collector.counts.syslog["udp"]["over-budget"], 2)
        self.intake.write("udp", entries[:1], 1, is_charged=True)
        self.collector.accept()
        self.intake.write("tcp", entries[:1], 1)
        self.assertEqual(self.collector.waiting, [])
        self.collector.spend = lambda entries: 0.0  # type: ignore[method-assign]
        self.clock.advance(2)
        self.collector.accept()
        self.assertEqual(self.collector.written, ["a", "a"])

    def test_room(self) -> None:
        """Who waits for room is told once there is, and not if it has gone."""
        told: list[str] = []

        def never() -> None:
            told.append("never")

        writing: list[Deferred[None]] = [self.intake.write("tcp", [entry("a")], WAITING_BYTES) for _ in range(2)]
        self.assertTrue(self.intake.is_full)
        self.intake.when_room(lambda: told.append("room"))
        self.intake.when_room(never)
        self.intake.forget(never)
        self.intake.forget(never)
        self.assertEqual(told, [])
        self.collector.accept()
        self.assertEqual((told, self.intake.is_full), (["room"], False))
        self.collector.accept()
        self.assertEqual(told, ["room"])
        for done in writing:
            self.successResultOf(done)
        self.assertEqual(repr(self.intake), "<Intake 0 batches on their way>")
