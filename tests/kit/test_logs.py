"""Tests of `scalekit.kit.logs`."""

from __future__ import annotations

import atexit
import io
import json
import logging
import logging.config
import os
import sys
from typing import Any

import structlog
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from scalekit.errors import ConfigurationFault
from scalekit.interfaces import ILogSink
from scalekit.kit.context import context
from scalekit.kit.logs import Handler, StructlogProcessor, open_logs, setup
from scalekit.kit.sender import LogSender
from scalekit.kit.sinks import Lines


@implementer(ILogSink)
class Sink:
    """Keeps entries."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str, float | None, dict[str, Any]]] = []

    def log(self, level: str, message: str, timestamp: float | None = None, fields: Any = None) -> None:
        self.entries.append((level, message, timestamp, dict(fields or {})))


class HandlerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.sink = Sink()
        self.log = logging.Logger("shop.cart")
        self.log.addHandler(Handler(sink=self.sink))

    def test_levels_text_and_fields(self) -> None:
        self.log.debug("d")
        self.log.info("%d sold", 3, extra={"article": 7})
        with context(request_id="r1"):
            self.log.warning("w")
        self.log.error("e")
        self.log.critical("c")
        self.log.log(25, "notice")
        name = {"logger": "shop.cart"}
        self.assertEqual(
            [(level, text, fields) for level, text, _, fields in self.sink.entries],
            [
                ("DEBUG", "d", name),
                ("INFO", "3 sold", {**name, "article": 7}),
                ("WARN", "w", {**name, "request_id": "r1"}),
                ("ERROR", "e", name),
                ("PANIC", "c", name),
                ("INFO", "notice", name),
            ],
        )

    def test_a_traceback_is_a_field(self) -> None:
        try:
            raise ValueError("sold out")
        except ValueError:
            self.log.exception("selling", stack_info=True)
        ((level, text, _, fields),) = self.sink.entries
        self.assertEqual((level, text), ("ERROR", "selling"))
        self.assertIn("ValueError: sold out", fields["traceback"])
        self.assertIn("Stack (most recent call last)", fields["traceback"])

    def test_what_cannot_be_formatted_is_told_by_logging_and_no_trouble_for_the_application(self) -> None:
        self.patch(sys, "stderr", io.StringIO())
        self.log.info("%d", "three")
        self.assertEqual(self.sink.entries, [])


class OpeningTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.state = self.mktemp()
        self.environ = {"STATE_DIRECTORY": self.state}
        self.patch(os, "environ", self.environ)
        self.stderr = io.StringIO()
        self.patch(sys, "stderr", self.stderr)
        self.at_exit: list[Any] = []
        self.patch(atexit, "register", self.at_exit.append)

    def test_without_a_url_it_writes_lines_to_stderr(self) -> None:
        sink = open_logs("shop")
        self.assertIsInstance(sink, Lines)
        sink.log("INFO", "sold")
        self.assertEqual(json.loads(self.stderr.getvalue())["Message"], "sold")

    def test_the_environment(self) -> None:
        self.environ |= {"SCALEKIT_LOGS": "https://logs.internal:6000", "SCALEKIT_SERVICE": "shop/1"}
        sender = open_logs()
        self.assertEqual(self.at_exit, [sender.close])
        shown = repr(sender)
        self.assertIn("https://logs.internal:6000", shown)
        self.assertIn(os.path.join(self.state, "spool", "shop_1-"), shown)

    def test_mistakes_are_told_at_the_start(self) -> None:
        self.assertRaises(ValueError, open_logs, "shop", "logs:6000")
        self.assertRaises(ConfigurationFault, open_logs, "shop", "https://logs", token_file=self.mktemp())

    def test_dict_config_and_setup(self) -> None:
        root = logging.getLogger()
        before, level = list(root.handlers), root.level
        self.addCleanup(root.setLevel, level)
        self.addCleanup(lambda: [root.removeHandler(one) for one in list(root.handlers) if one not in before])
        handler = setup("shop", url="https://logs:6000")
        self.assertIn(handler, root.handlers)
        self.assertIsInstance(handler.sink, LogSender)
        handler.close()
        made: Any = logging.config.DictConfigurator({}).configure_handler(
            {"class": "scalekit.kit.logs.Handler", "level": "INFO", "source": "shop", "url": "https://logs:6000"}
        )
        self.assertIsInstance(made, Handler)
        made.close()


class StructlogTests(SynchronousTestCase):
    def test_events_are_sent_and_handed_on(self) -> None:
        sink, rendered = Sink(), []

        def render(logger: Any, name: str, event: Any) -> str:
            rendered.append(dict(event))
            raise structlog.DropEvent

        log = structlog.wrap_logger(
            None,
            processors=[
                structlog.stdlib.add_log_level,
                structlog.processors.TimeStamper(),
                StructlogProcessor(sink=sink),
                render,
            ],
        ).bind(article=7)
        with context(request_id="r1"):
            log.info("sold", count=3)
        try:
            raise ValueError("sold out")
        except ValueError:
            log.exception("selling")
        (first, second) = sink.entries
        self.assertEqual(first, ("INFO", "sold", None, {"request_id": "r1", "article": 7, "count": 3}))
        self.assertEqual(second[:2], ("ERROR", "selling"))
        self.assertIn("ValueError: sold out", second[3]["traceback"])
        self.assertEqual(rendered[0]["event"], "sold")
