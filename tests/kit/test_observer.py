"""Tests of `scalekit.kit.observer`."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, Logger
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer, provider

from scalekit.interfaces import ILogSink
from scalekit.kit.context import context
from scalekit.kit.observer import LogService, observer


@implementer(ILogSink)
class ObserverTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.entries: list[tuple[str, str]] = []
        self.fields: list[Any] = []
        self.observe = observer(self)

    def log(self, level: str, message: str, timestamp: float | None = None, fields: Any = None) -> None:
        self.entries.append((level, message))
        self.fields.append(fields)

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
        self.assertEqual(self.entries, [("PANIC", "selling")])
        self.assertIn("ValueError: sold out", self.fields[0]["traceback"])

    def test_what_is_said_about_the_way_to_the_log_is_not_sent_that_way(self) -> None:
        Logger("scalekit.kit.logs", observer=self.observe).error("away")
        self.assertEqual(self.entries, [])

    def test_fields(self) -> None:
        log = Logger("shop", observer=self.observe)
        with context(request_id="r1"):
            log.info("{count} sold", count=3, cart=object())
        self.assertEqual(self.fields, [{"request_id": "r1", "count": 3, "logger": "shop"}])


class LogServiceTests(SynchronousTestCase):
    def test_what_is_logged_while_it_runs_is_sent_and_the_rest_when_it_stops(self) -> None:
        seen: list[str] = []
        closed: Deferred[None] = Deferred()

        @provider(ILogObserver)
        def observe(event: dict[str, Any]) -> None:
            seen.append(event["log_format"])

        observing: ILogObserver = observe
        service = LogService(observing, lambda: closed)
        log = Logger("shop")
        log.info("before")
        service.startService()
        log.info("meanwhile")
        stopped = service.stopService()
        log.info("after")
        self.assertEqual(seen, ["meanwhile"])
        self.assertNoResult(stopped)
        closed.callback(None)
        self.successResultOf(stopped)
