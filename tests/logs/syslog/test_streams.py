"""Senders over a stream: they wait, they go, and nothing that was read is lost."""

from __future__ import annotations

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.syslog import intake as intake_module
from scalekit.logs.syslog import streams
from scalekit.logs.syslog.intake import Intake
from scalekit.logs.syslog.streams import IDLE_SECONDS, LEAVING_SECONDS, SyslogFactory
from scalekit.net.deadlines import Wheel
from tests.logs.syslog.collecting import DecidedCollector
from tests.logs.syslog.test_stamps import utc
from tests.net.conversation import MemoryTransport


class SyslogConnectionTests(SynchronousTestCase):
    """`SyslogConnection` and `SyslogFactory`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.wheel = Wheel(self.clock)
        self.wheel.start()
        self.addCleanup(self.wheel.stop)
        self.collector = DecidedCollector()
        self.intake = Intake(self.collector, self.clock, lambda: 1_795_472_055.0, utc)
        self.factory = SyslogFactory("tcp", self.intake, self.wheel, lambda host: host != "192.0.2.66")
        self.counts = self.collector.counts.syslog["tcp"]

    def connect(self) -> MemoryTransport:
        transport = MemoryTransport(self.clock)
        transport.connect(self.factory.buildProtocol(transport.getPeer()))
        return transport

    def hear(self, transport: MemoryTransport, data: bytes) -> None:
        transport.hear(data)
        transport.settle()

    def wait(self, seconds: float) -> None:
        """Let so much time pass, and the wheel's ticks."""
        self.clock.pump([0.25] * int(seconds * 4 + 3))

    def test_messages_are_written(self) -> None:
        """In order; with as much on its way to the disk as it may be, nothing more is read."""
        self.patch(streams, "WINDOW_BYTES", 9)
        sender = self.connect()
        self.hear(sender, b"<14>a\n<14>b\n<14>c")
        self.assertEqual((len(self.collector.waiting), sender.is_reading), (1, False))
        self.hear(sender, b"c\n<14>d\n")
        self.assertEqual(len(self.collector.waiting), 1)
        self.collector.accept()
        sender.settle()
        self.collector.accept()
        self.assertEqual((self.collector.written, sender.is_reading), (["a", "b", "cc", "d"], True))
        self.assertEqual((self.counts, self.factory.held_bytes), ({"received": 4}, 0))
        self.assertRegex(repr(self.factory), "^<SyslogFactory tcp, 1 connections, 0 bytes held>$")

    def test_a_collector_that_is_full(self) -> None:
        """The sender waits, for hours if need be, and nothing is lost."""
        self.patch(streams, "WINDOW_BYTES", 9)
        sender = self.connect()
        self.hear(sender, b"<14>a\n")
        self.assertTrue(sender.is_reading)
        self.hear(sender, b"<14>b......\n")
        for _ in range(3):
            self.collector.refuse()
            self.collector.refuse()
            self.clock.advance(1)
        self.wait(0)
        self.clock.advance(2 * IDLE_SECONDS)
        self.wait(0)
        self.assertFalse(sender.is_reading or sender.has_shut)
        self.collector.accept()
        self.collector.accept()
        self.assertEqual((self.collector.written, sender.is_reading, sender.loss), (["a", "b......"], True, None))

    def test_much_on_its_way(self) -> None:
        """Nobody reads, who comes anew neither, until there is room."""
        self.patch(intake_module, "WAITING_BYTES", 10)
        first, second = self.connect(), self.connect()
        self.hear(second, b"<14>b\n")
        self.hear(first, b"<14>a.......\n")
        self.hear(second, b"<14>c.......\n")
        third, fourth = self.connect(), self.connect()
        self.assertEqual([each.is_reading for each in (first, second, third, fourth)], [False] * 4)
        fourth.lose(ConnectionDone)
        self.assertEqual(len(self.collector.waiting), 3)
        self.collector.accept()
        self.assertFalse(first.is_reading or second.is_reading or third.is_reading)
        self.collector.accept()
        self.collector.accept()
        self.assertEqual([each.is_reading for each in (first, second, third)], [True] * 3)

    def test_the_sender_ends(self) -> None:
        """What it has begun is a message; then the connection is closed."""
        sender = self.connect()
        self.hear(sender, b"<14>a\n<14>b")
        sender.end()
        self.collector.accept()
        sender.settle()
        self.assertIs(sender.loss, None)
        self.collector.accept()
        sender.settle()
        self.assertEqual((self.collector.written, sender.loss), (["a", "b"], ConnectionDone))
        self.assertEqual(self.factory.connections, set())

    def test_the_sender_vanishes(self) -> None:
        """The same, and whatever of it is on its way gets there."""
        sender = self.connect()
        self.hear(sender, b"<14>a\n<14>b")
        sender.lose()
        self.assertEqual((self.factory.connections, self.factory.held_bytes), (set(), 0))
        self.collector.refuse()
        self.collector.accept()
        self.clock.advance(1)
        self.collector.accept()
        self.assertEqual(self.collector.written, ["b", "a"])

    def test_no_syslog(self) -> None:
        """A browser's request, and a count that is none, end the connection; what came before is taken."""
        browser = self.connect()
        self.hear(browser, b"POST / HTTP/1.1\r\n\r\n<14>forged\n")
        self.assertIs(browser.loss, ConnectionDone)
        sender = self.connect()
        self.hear(sender, b"5 <14>a<14>b\n")
        self.assertIs(sender.loss, None)
        self.collector.accept()
        sender.settle()
        self.assertEqual((self.collector.written, sender.loss), (["a"], ConnectionDone))
        self.assertEqual(self.counts, {"received": 1, "http": 1, "framing": 1})

    def test_what_is_no_message(self) -> None:
        """Does not hold up the others."""
        sender = self.connect()
        self.hear(sender, b"\x16\x03\n")
        self.assertTrue(sender.is_reading)
        self.hear(sender, b"<14>a\n")
        self.collector.accept()
        self.assertEqual((self.collector.written, self.counts), (["a"], {"received": 2, "malformed": 1}))

    def test_messages_without_an_end(self) -> None:
        """May take so much memory in all; whoever has taken more than its share then gets no more."""
        self.patch(streams, "HELD_BYTES", 100)
        self.patch(streams, "FAIR_BYTES", 50)
        fair, greedy = self.connect(), self.connect()
        self.hear(fair, b"<14>" + b"a" * 40)
        self.hear(greedy, b"<14>" + b"b" * 40)
        self.hear(greedy, b"b" * 40)
        self.collector.accept()
        greedy.settle()
        self.assertEqual((self.collector.written, greedy.loss), (["b" * 80], ConnectionDone))
        self.assertEqual((self.counts["memory"], fair.is_reading, self.factory.held_bytes), (1, True, 44))

    def test_silence(self) -> None:
        """Ends a connection in the same order as a drain."""
        sender = self.connect()
        self.wait(IDLE_SECONDS - 10)
        self.hear(sender, b"<14>a\n")
        self.collector.accept()
        self.wait(IDLE_SECONDS - 10)
        self.assertFalse(sender.has_shut)
        self.wait(10)
        sender.settle()
        self.assertTrue(sender.has_shut)
        self.wait(LEAVING_SECONDS)
        self.assertIs(sender.loss, ConnectionDone)

    def test_drain(self) -> None:
        """Our direction is closed; a sender that sees it ends, one that does not is read for a moment."""
        polite, busy = self.connect(), self.connect()
        drained = self.factory.drain()
        self.hear(polite, b"<14>a\n")
        self.collector.accept()
        polite.end()
        polite.settle()
        self.assertEqual((polite.has_shut, polite.loss), (True, ConnectionDone))
        self.hear(busy, b"<14>b\n<14>c")
        self.assertEqual(repr(busy.protocol), "<SyslogConnection from 192.0.2.7, leaving>")
        self.wait(LEAVING_SECONDS)
        busy.protocol.dataReceived(b"too late\n")
        self.collector.accept()
        self.assertNoResult(drained)
        self.collector.accept()
        busy.settle()
        self.successResultOf(drained)
        self.assertEqual((self.collector.written, busy.loss), (["a", "b", "c"], ConnectionDone))
        self.assertIs(self.factory.buildProtocol(polite.getPeer()), None)
        self.successResultOf(self.factory.drain())

    def test_who_may_not(self) -> None:
        """Is counted, and gets no connection."""
        self.assertIs(self.factory.buildProtocol(IPv4Address("TCP", "192.0.2.66", 1)), None)
        self.assertEqual(self.counts, {"foreign": 1})
