"""Tests of `scalekit.kit.memory_collector`, and that the real log service does the same."""

from __future__ import annotations

import logging

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from scalekit.interfaces import ILogSink
from scalekit.kit.context import context
from scalekit.kit.logs import Handler, open_sender_by
from scalekit.kit.memory_collector import Entry
from scalekit.kit.posting import Answer, coded, fields_of, read_answer
from scalekit.kit.sender import LogSender
from scalekit.kit.spool import Batch
from scalekit.kit.testing import MemoryCollector
from scalekit.logs.bodies import BODY_LIMIT
from scalekit.logs.collector import Collector
from scalekit.logs.memory import MemoryDirectory
from scalekit.logs.resource import LogResource
from scalekit.logs.settings import Settings
from scalekit.web.memory import ask
from scalekit.web.site import Site
from tests.kit.collector_conformance import Conformance
from tests.logs.lanes import SteppedLane

PATIENCE_SECONDS = 30.0


class RealCollectorTests(Conformance, SynchronousTestCase):
    """The resource of the log service, on a directory in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.directory = MemoryDirectory()
        self.lanes = (SteppedLane(), SteppedLane(), SteppedLane())
        settings = Settings(memory_bytes=100_000, segment_bytes=1_000_000)
        self.collector = Collector(lambda: self.directory, self.clock, self.lanes, settings)
        self.collector.startService()
        self.site = Site(LogResource(self.collector), BODY_LIMIT)

    def work(self) -> None:
        """Let the disk do what there is."""
        while any(lane.step() for lane in self.lanes):
            pass

    def post(self, batch: Batch) -> Answer:
        fields = [(name.encode(), value.encode()) for name, value in fields_of(batch).items()]
        exchange = ask(self.site, b"POST", b"/v1/entries", fields, coded(batch.lines))
        self.work()
        self.assertTrue(exchange.is_finished)
        return read_answer(exchange.status, None, exchange.sent)

    def taken(self) -> list[tuple[str, str, str]]:
        self.advance(10.0)
        lines = self.directory.read("log.txt").decode().splitlines() if "log.txt" in self.directory.names() else []
        return [(level, source, message) for _, level, source, message in (line.split(";", 3) for line in lines)]

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.work()


class MemoryCollectorTests(Conformance, SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.collector = MemoryCollector(self.clock.seconds)

    def post(self, batch: Batch) -> Answer:
        return self.collector.post(batch)

    def taken(self) -> list[tuple[str, str, str]]:
        return [(entry.level, entry.source, entry.message) for entry in self.collector.entries]

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)


class SinkTests(SynchronousTestCase):
    def test_what_an_application_logs_is_there_at_once(self) -> None:
        collector = MemoryCollector(source="shop", wall=lambda: 1.0)
        verifyObject(ILogSink, collector)
        logger = logging.Logger("shop.cart")
        logger.addHandler(Handler(sink=collector))
        with context(request_id="r1"):
            logger.warning("%d sold", 3, extra={"article": 7})
        [entry] = collector.entries
        self.assertEqual(
            (entry.level, entry.source, entry.message, entry.fields),
            ("WARN", "shop", "3 sold", {"request_id": "r1", "logger": "shop.cart", "article": 7}),
        )
        collector.log("INFO", "m")
        self.assertEqual(collector.entries[1:], [Entry("INFO", "1970-01-01T00:00:01.000000Z", "shop", "m", {})])
        self.assertEqual(repr(collector), "<MemoryCollector 2 entries>")


class DeliveryTests(SynchronousTestCase):
    """With the real sender."""

    def setUp(self) -> None:
        self.collector = MemoryCollector()

    def open(self) -> LogSender:
        sender = open_sender_by(lambda: self.collector, "shop", self.mktemp(), lambda text: None)
        self.addCleanup(sender.close, 0.0)
        return sender

    def test_it_arrives(self) -> None:
        sender = self.open()
        for number in range(3):
            sender.log("INFO", f"{number}")
        self.assertEqual([one.message for one in self.collector.wait_for(3, PATIENCE_SECONDS)], ["0", "1", "2"])
        self.assertRaises(TimeoutError, self.collector.wait_for, 4, 0.0)

    def test_what_is_refused_and_what_nobody_answers_comes_again(self) -> None:
        for fault in (
            lambda: self.collector.refuse(503, "disk-full"),
            lambda: self.collector.refuse(429, "over-budget", 0.01),
            lambda: setattr(self.collector, "is_away", True),
            lambda: self.collector.hang(),
        ):
            self.collector = collector = MemoryCollector()
            fault()
            sender = self.open()
            sender.log("INFO", "m")
            collector.wait_posted(1, PATIENCE_SECONDS)
            self.assertEqual(collector.entries, [])
            collector.abort()
            collector.accept()
            collector.wait_for(1, PATIENCE_SECONDS)
            sender.close(PATIENCE_SECONDS)
            self.assertEqual(collector.messages, ["m"])

    def test_what_is_given_up(self) -> None:
        self.collector.refuse(400, "bad")
        self.assertEqual(self.collector.post(Batch("me", 1, b"")), Answer(400, "bad", "400 bad"))
        sender = self.open()
        sender.log("INFO", "m")
        sender.close(PATIENCE_SECONDS)
        self.collector.accept()
        self.assertEqual(self.collector.entries, [])
