"""Applications that log while the log service is there, dead, hangs or is slow, and end: nothing is lost or doubled."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit.logs import open_sender
from scalekit.kit.sender import CLOSE_SECONDS
from tests.kit.collecting import FakeCollector
from tests.ports import free_ports
from tests.scenarios.logging_app import COUNT
from tests.scenarios.running import CHECKOUT, PATIENCE_SECONDS, until


class App:
    """
    `logging_app`, with a log service and a spool of its own.

    :param service: ``well``, ``dead``, ``hung``, or ``slow``: slower than somebody who ends waits for it.
    :param ending: see `logging_app`.
    """

    def __init__(self, case: SynchronousTestCase, service: str, ending: str) -> None:
        self.name = f"{service}, {ending}"
        self.case = case
        self.ending = ending
        self.spool = Path(case.mktemp()).absolute()
        (self.port,) = free_ports(1)
        self.collector = None if service == "dead" else self.collect()
        if self.collector is not None and service == "hung":
            self.collector.gate.clear()
        if self.collector is not None and service == "slow":
            self.collector.delay_seconds = CLOSE_SECONDS + 1
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.scenarios.logging_app"),
                *(f"http://127.0.0.1:{self.port}", str(self.spool), ending),
            ],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        case.addCleanup(self.kill)

    def collect(self) -> FakeCollector:
        collector = FakeCollector(self.port)
        self.case.addCleanup(collector.stop)
        return collector

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    def wait_logged(self) -> None:
        assert self.process.stdout is not None
        self.case.assertEqual(self.process.stdout.readline(), b"ready\n", self.name)

    def wait_ended(self) -> None:
        self.case.assertEqual(self.process.wait(PATIENCE_SECONDS), 0, self.name)

    def recover(self) -> FakeCollector:
        """The log service is well, and the next process of the same source is there, which sends what is spooled."""
        self.collector = collector = self.collector or self.collect()
        collector.delay_seconds = 0.0
        collector.gate.set()  # what was under way is taken now, and known when it comes again
        heir = open_sender("shop", collector.url, "", dict, str(self.spool), lambda text: None)
        self.case.addCleanup(heir.close, 0.0)
        heir.log("INFO", "next 0")
        return collector

    def check(self) -> None:
        """Each entry is there exactly once, and nothing is left to be sent."""
        assert self.collector is not None
        prefixes = ("app", "child", "bare") if self.ending == "fork" else ("app",)
        expected = {f"{prefix} {number}": 1 for prefix in prefixes for number in range(COUNT)}
        collector = self.collector
        until(lambda: len(collector.messages) > len(expected), f"all entries are there: {self.name}")
        found = Counter(collector.messages)
        self.case.assertEqual(found.pop("next 0"), 1)
        self.case.assertEqual(found, expected, self.name)
        until(lambda: not any(self.spool.rglob("*.spool")), f"nothing is spooled any more: {self.name}")
        if self.ending == "fork":
            self.case.assertGreaterEqual(len({name.partition("/")[0] for name, _ in collector.batches}), 3)


class AppLogsTests(SynchronousTestCase):
    def test_the_end_of_the_interpreter(self) -> None:
        """What is left is sent."""
        app = App(self, "well", "exit")
        app.wait_logged()
        app.wait_ended()
        assert app.collector is not None
        self.assertEqual(Counter(app.collector.messages), {f"app {number}": 1 for number in range(COUNT)})
        self.assertFalse(any(app.spool.rglob("*.spool")))

    def test_whatever_the_service_does_and_however_the_process_ends(self) -> None:
        """All at once: they wait for most of the time."""
        services, endings = ("dead", "hung", "slow"), ("exit", "term", "fork")
        apps = [App(self, service, ending) for service in services for ending in endings]
        for app in apps:
            app.wait_logged()
        for app in apps:
            if app.ending == "term":
                app.process.send_signal(signal.SIGTERM)
        for app in apps:
            app.wait_ended()
        for app in apps:
            app.recover()
        for app in apps:
            app.check()

    def test_a_service_that_hangs_and_a_process_that_is_killed(self) -> None:
        app = App(self, "hung", "kill")
        app.wait_logged()
        # After two seconds without an answer all of it is on disk.
        until(
            lambda: sum(file.read_bytes().count(b'"Message"') for file in app.spool.rglob("*.spool")) == COUNT,
            "spooled",
        )
        app.kill()
        app.recover()
        app.check()
