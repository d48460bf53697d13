"""Tests of `scalekit.kit.observer`."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from scalekit.interfaces import ILogSink
from scalekit.kit.logs import LogClient
from scalekit.kit.observer import LogService, observer
from tests.kit.fakes import FakeClient


@implementer(ILogSink)
class ObserverTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.entries: list[tuple[str, str]] = []
        self.observe = observer(self)

    def log(self, level: str, message: str, timestamp: float | None = None) -> None:
        self.entries.append((level, message))

    def test_levels_and_text(self) -> None:
        log = Logger("shop", observer=self.observe)
        log.debug("not sent")
        log.info("{count} sold", count=3)
        log.warn("w")
        log.error("e")
        log.critical("c")
        self.assertEqual(self.entries, [("INFO", "3 sold"), ("WARN", "w"), ("ERROR", "e"), ("PANIC", "c")])

    def test_a_failure_brings_its_traceback(self) -> None:
        log = Logger("shop", observer=self.observe)
        try:
            raise ValueError("sold out")
        except ValueError:
            log.failure("selling")
        ((level, text),) = self.entries
        self.assertEqual((level, text.splitlines()[0]), ("PANIC", "selling"))
        self.assertIn("ValueError: sold out", text)

    def test_what_is_said_about_the_way_to_the_log_is_not_sent_that_way(self) -> None:
        for namespace in ("scalekit.kit.logs", "twisted.web.client._HTTP11ClientFactory"):
            Logger(namespace, observer=self.observe).error("away")
        self.assertEqual(self.entries, [])

    def test_other_threads_go_through_the_reactor(self) -> None:
        handed: list[Any] = []
        observe = observer(self, lambda: False, lambda *call: handed.append(call))
        Logger("shop", observer=observe).info("from a thread")
        self.assertEqual(self.entries, [])
        handed[0][0](*handed[0][1:])
        self.assertEqual(self.entries, [("INFO", "from a thread")])


class LogServiceTests(SynchronousTestCase):
    def test_what_is_logged_while_it_runs_is_sent_and_the_rest_when_it_stops(self) -> None:
        clock = Clock()
        http = FakeClient(clock)
        client = LogClient("https://logs", "shop", http, clock, lambda: 1.0, lambda: 0.0)
        service = LogService(client, observer(client))
        log = Logger("shop")
        log.info("before")
        service.startService()
        log.info("meanwhile")
        stopped = service.stopService()
        log.info("after")
        clock.advance(0)
        self.assertIn(b"meanwhile", http.bodies[0] or b"")
        self.assertNotIn(b"after", http.bodies[0] or b"")
        self.assertNotIn(b"before", http.bodies[0] or b"")
        http.answer()
        self.successResultOf(stopped)
