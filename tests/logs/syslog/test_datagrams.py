"""Senders over UDP: what comes while the disk is busy, and what is too much."""

from __future__ import annotations

import socket

from twisted.internet import reactor
from twisted.internet.error import CannotListenError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from scalekit.logs.syslog import datagrams
from scalekit.logs.syslog.datagrams import DatagramPort, SyslogDatagrams
from scalekit.logs.syslog.intake import Intake
from tests.logs.syslog.collecting import DecidedCollector
from tests.logs.syslog.test_stamps import utc


class SyslogDatagramsTests(SynchronousTestCase):
    """`SyslogDatagrams`."""

    def make(self, rate: float = 0.0) -> None:
        self.clock = Clock()
        self.collector = DecidedCollector(rate)
        self.counts = self.collector.counts.syslog["udp"]
        self.intake = Intake(self.collector, self.clock, lambda: 1_795_472_055.0, utc)
        self.datagrams = SyslogDatagrams(self.intake, self.clock, lambda host: host != "192.0.2.66")

    def hear(self, *texts: str, host: str = "192.0.2.7") -> None:
        for text in texts:
            self.datagrams.datagramReceived(text.encode(), (host, 40000))

    def test_batches(self) -> None:
        """What comes in one turn is one batch, and what comes while that is written is the next."""
        self.make()
        self.successResultOf(self.datagrams.when_written())
        self.hear("<14>a", "<14>b")
        self.clock.advance(0)
        self.hear("<14>c")
        self.hear("<14>d", host="::ffff:192.0.2.8")
        self.clock.advance(0)
        written = self.datagrams.when_written()
        [(entries, _)] = self.collector.waiting
        self.assertEqual([entry.message for entry in entries], ["a", "b"])
        self.collector.accept()
        self.clock.advance(0)
        [(entries, _)] = self.collector.waiting
        self.assertEqual([(entry.message, entry.source) for entry in entries], [("c", "192.0.2.7"), ("d", "192.0.2.8")])
        self.assertNoResult(written)
        self.collector.accept()
        self.successResultOf(written)
        self.assertEqual((self.counts, repr(self.datagrams)), ({"received": 4}, "<SyslogDatagrams 0 bytes waiting>"))

    def test_a_full_queue(self) -> None:
        """Drops what comes, counted, until something is written; what was taken waits for the collector."""
        self.patch(datagrams, "QUEUE_BYTES", 600)
        self.make()
        self.hear(*(f"<14>{number}" for number in range(5)))
        self.clock.advance(0)
        self.hear("<14>5")
        self.collector.refuse()
        self.clock.advance(1)
        self.hear("<14>6")
        self.collector.accept()
        self.hear("<14>7")
        self.clock.advance(0)
        self.collector.accept()
        self.assertEqual(self.collector.written, ["0", "1", "2", "7"])
        self.assertEqual(self.counts, {"received": 8, "queue": 4})

    def test_what_is_not_taken(self) -> None:
        """Strangers, what is no message, and sources that write too much: counted."""
        self.make(rate=1)
        self.collector.spend(self.intake.parse("udp", []))
        self.hear("<14>a", host="192.0.2.66")
        self.hear("\x16\x03")
        self.clock.advance(0)
        self.assertEqual(self.collector.waiting, [])
        self.hear(*["<14>mad: m"] * 12)
        self.clock.advance(0)
        self.collector.accept()
        self.hear("<14>mad: m", "<14>sane: m")
        self.clock.advance(0)
        self.collector.accept()
        self.assertEqual(self.collector.written, ["m"] * 13)
        self.assertEqual(self.counts, {"foreign": 1, "received": 15, "malformed": 1, "over-budget": 1})


class DatagramPortTests(TestCase):
    """`DatagramPort`, on real sockets."""

    def open(self) -> DatagramPort:
        clock = Clock()
        self.collector = DecidedCollector()
        self.intake = Intake(self.collector, clock, lambda: 1_795_472_055.0, utc)
        self.datagrams = SyslogDatagrams(self.intake, clock, lambda host: True)
        self.clock = clock
        port = DatagramPort(0, self.datagrams, "127.0.0.1", reactor)
        port.startListening()
        return port

    async def test_what_the_kernel_has_and_has_not(self) -> None:
        """The last that was sent is read; what found no room in the kernel's buffer is counted, once."""
        port = self.open()
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(sender.close)
        self.assertGreaterEqual(port.socket.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF), 65536)
        port.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # the least that there is: a few messages
        self.assertEqual(port.new_drops(), 0)
        for _ in range(100):
            sender.sendto(b"<14>a", ("127.0.0.1", port.getHost().port))
        port.take_last()
        self.clock.advance(0)
        [(entries, _)] = self.collector.waiting
        self.assertEqual(len(entries) + port.new_drops(), 100)
        self.assertGreater(len(entries), 0)
        self.assertEqual(port.new_drops(), 0)
        await port.stopListening()
        self.assertEqual(port.new_drops(), 0)

    async def test_a_port_that_is_taken(self) -> None:
        taken = self.open()
        with self.assertRaises(CannotListenError):
            DatagramPort(taken.getHost().port, self.datagrams, "127.0.0.1", reactor).startListening()
        await taken.stopListening()
