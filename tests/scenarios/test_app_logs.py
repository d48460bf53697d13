"""Applications that log while the log service is there, dead, or hangs, and end: nothing is lost or doubled."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit.logs import open_sender
from tests.kit.collecting import FakeCollector
from tests.scenarios.logging_app import COUNT
from tests.scenarios.running import CHECKOUT, PATIENCE_SECONDS, free_ports, until


class AppLogsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.spool = Path(self.mktemp()).absolute()
        (self.port,) = free_ports(1)

    def collect(self) -> FakeCollector:
        collector = FakeCollector(self.port)
        self.addCleanup(collector.stop)
        return collector

    def start(self, ending: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.scenarios.logging_app"),
                *(f"http://127.0.0.1:{self.port}", str(self.spool), ending),
            ],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

        def end() -> None:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()

        self.addCleanup(end)
        assert process.stdout is not None
        self.assertEqual(process.stdout.readline(), b"ready\n")
        return process

    def recover(self, collector: FakeCollector, count: int) -> None:
        """What is spooled is sent by the next process of the same source."""
        heir = open_sender("shop", collector.url, "", dict, str(self.spool), lambda text: None)
        self.addCleanup(heir.close, 0.0)
        heir.log("INFO", "next 0")
        until(lambda: len(collector.messages) > count, "all entries are there")
        heir.close(PATIENCE_SECONDS)

    def check(self, collector: FakeCollector, *prefixes: str) -> None:
        """Each entry is there exactly once."""
        expected = {f"{prefix} {number}": 1 for prefix in prefixes for number in range(COUNT)}
        self.assertEqual(Counter(text for text in collector.messages if text != "next 0"), expected)
        self.assertEqual([file.name for file in self.spool.rglob("*.spool")], [])

    def test_the_end_of_the_interpreter(self) -> None:
        collector = self.collect()
        self.assertEqual(self.start("exit").wait(PATIENCE_SECONDS), 0)
        self.check(collector, "app")

    def test_a_dead_service_and_sigterm(self) -> None:
        process = self.start("term")
        process.send_signal(signal.SIGTERM)
        self.assertEqual(process.wait(PATIENCE_SECONDS), 0)
        collector = self.collect()
        self.recover(collector, COUNT)
        self.check(collector, "app")

    def test_a_service_that_hangs_and_a_process_that_is_killed(self) -> None:
        collector = self.collect()
        collector.gate.clear()
        process = self.start("kill")
        # After two seconds without an answer all of it is on disk.
        until(
            lambda: sum(file.read_bytes().count(b'"Message"') for file in self.spool.rglob("*.spool")) == COUNT,
            "spooled",
        )
        process.kill()
        process.wait()
        collector.gate.set()  # the first request is taken now, and known when it comes again
        self.recover(collector, COUNT)
        self.check(collector, "app")

    def test_forks(self) -> None:
        self.start("fork").wait(PATIENCE_SECONDS)
        collector = self.collect()
        self.recover(collector, 3 * COUNT)
        self.check(collector, "app", "child", "bare")
        self.assertGreaterEqual(len({name.partition("/")[0] for name, _ in collector.batches}), 3)
