"""Tests of `scalekit.kit.sinks`."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from scalekit.interfaces import ILogSink
from scalekit.kit.sinks import Lines, Nowhere


class SinksTests(SynchronousTestCase):
    def test_they_are_log_sinks(self) -> None:
        for sink in (Nowhere(), Lines("shop", print, float)):
            verifyObject(ILogSink, sink)
        Nowhere().log("INFO", "lost")

    def test_lines_as_a_log_service_would_get_them(self) -> None:
        written: list[str] = []
        Lines("shop", written.append, lambda: 0.0).log("INFO", "sold", fields={"article": 7})
        self.assertTrue(written[0].endswith("}\n"))
        self.assertEqual(
            json.loads(written[0]),
            {
                "Level": "INFO",
                "Timestamp": "1970-01-01T00:00:00.000000Z",
                "Source": "shop",
                "Message": "sold",
                "Fields": {"article": 7},
            },
        )

    def test_a_stream_that_is_closed(self) -> None:
        def write(text: str) -> Any:
            raise ValueError("I/O operation on closed file")

        Lines("shop", write, lambda: 0.0).log("INFO", "sold")
