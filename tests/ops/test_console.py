"""The log of a daemon in the foreground."""

from __future__ import annotations

import io
import sys
from typing import Any

from twisted.logger import LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from scalekit.ops.console import formatted, stdout_observer


def event(**more: Any) -> dict[str, Any]:
    return {
        "log_time": 1700000000.25,
        "log_level": LogLevel.warn,
        "log_namespace": "scalekit.balancer.prober",
        "log_format": "{instance} is down",
        "instance": "127.0.0.1:3000",
        **more,
    }


class FormattedTests(SynchronousTestCase):
    def test_one_line(self) -> None:
        self.assertEqual(
            formatted(event()), "2023-11-14 22:13:20.250 warn     balancer.prober: 127.0.0.1:3000 is down\n"
        )

    def test_other_packages_and_events_without_level(self) -> None:
        text = formatted(event(log_namespace="twisted.web", log_level=None))
        self.assertEqual(text, "2023-11-14 22:13:20.250 info     twisted.web: 127.0.0.1:3000 is down\n")

    def test_a_traceback_stands_below_and_is_indented(self) -> None:
        text = formatted(event(log_failure=Failure(RuntimeError("broken"))))
        assert text is not None
        first, *rest = text.splitlines()
        self.assertTrue(first.endswith("is down"))
        self.assertTrue(all(line.startswith("    ") for line in rest))
        self.assertIn("RuntimeError: broken", text)

    def test_an_event_that_says_nothing_gives_no_line(self) -> None:
        self.assertIsNone(formatted(event(log_format="")))

    def test_the_observer_writes_to_the_standard_output(self) -> None:
        out = io.StringIO()
        self.patch(sys, "stdout", out)
        stdout_observer()(event())
        self.assertTrue(out.getvalue().endswith("127.0.0.1:3000 is down\n"))
