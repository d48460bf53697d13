"""SIGKILL at random moments, with real processes, files and sockets."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta

from twisted.trial.unittest import SynchronousTestCase

WRITERS = 8
ROUNDS = 5
MOST_ROUNDS = 50
SPREAD_SECONDS = 0.45  # less than the delay of the process, half a second


class Daemon:
    """The process of `tests.logs.process`."""

    def __init__(self, path: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.logs.process", path], stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())

    def end(self, number: int) -> int:
        """Send it a signal; the exit status."""
        self.process.send_signal(number)
        status = self.process.wait(timeout=20)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


class Writer(threading.Thread):
    """Sends entries one after the other, some in batches, until the daemon is gone."""

    def __init__(self, daemon: Daemon, name: str, seed: int, on_acknowledged: threading.Semaphore) -> None:
        super().__init__()
        self._daemon_port = daemon.port
        self._label = name
        self._random = random.Random(seed)
        self._on_acknowledged = on_acknowledged
        self.acknowledged: list[str] = []
        self.sent: dict[str, str] = {}

    def _entry(self) -> tuple[str, str]:
        moment = datetime.now(UTC) - timedelta(seconds=self._random.uniform(0, SPREAD_SECONDS))
        time = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        label = f"{self._label}-{len(self.sent)}"
        self.sent[label] = time
        return label, json.dumps({"Level": "INFO", "Timestamp": time, "Source": self._label, "Message": label})

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._daemon_port, timeout=20)
        try:
            while True:
                count = self._random.choice([1, 1, 1, 20])
                entries = [self._entry() for _ in range(count)]
                path = "/" if count == 1 else "/v1/entries"
                connection.request("POST", path, "\n".join(text for _, text in entries))
                answer = connection.getresponse()
                accepted = json.loads(answer.read())["accepted"]
                assert (answer.status, accepted) == (200, count)
                self.acknowledged += [label for label, _ in entries]
                self._on_acknowledged.release()
        except (OSError, http.client.HTTPException):
            pass  # killed
        finally:
            connection.close()


class KillTests(SynchronousTestCase):
    """The log daemon as a process."""

    def test_killed_at_random_moments(self) -> None:
        """Every acknowledged entry is there once, and each volume is sorted."""
        path = self.mktemp()
        seed = random.randrange(1 << 32)
        chance = random.Random(seed)
        sent: dict[str, str] = {}
        acknowledged: list[str] = []
        number = 0
        # A machine that is slow, or chance, may kill it each time before a volume is sealed.
        while number < ROUNDS or not any(name.startswith("log-") for name in os.listdir(path)):
            self.assertLess(number, MOST_ROUNDS, "never sealed")
            number += 1
            daemon = Daemon(path)
            answers = threading.Semaphore(0)
            writers = [Writer(daemon, f"{number}-{who}", chance.randrange(1 << 32), answers) for who in range(WRITERS)]
            for writer in writers:
                writer.start()
            for _ in range(chance.randrange(20, 300)):
                self.assertTrue(answers.acquire(timeout=20))
            self.assertEqual(daemon.end(signal.SIGKILL), -signal.SIGKILL)
            for writer in writers:
                writer.join()
                sent |= writer.sent
                acknowledged += writer.acknowledged
        self.assertEqual(Daemon(path).end(signal.SIGTERM), 0)
        files = {name: self.labels(os.path.join(path, name)) for name in os.listdir(path) if ".txt" in name}
        found = [label for labels in files.values() for label in labels]
        self.assertEqual(len(found), len(set(found)), f"twice, seed {seed}")
        self.assertEqual(set(acknowledged) - set(found), set(), f"lost, seed {seed}")
        for name, labels in files.items():
            if not name.endswith(".late"):
                times = [sent[label] for label in labels]
                self.assertEqual(times, sorted(times), f"order in {name}, seed {seed}")

    def labels(self, path: str) -> list[str]:
        """The messages of a log file; none if it is not there."""
        if not os.path.exists(path):
            return []
        with open(path) as file:
            return [line.rstrip("\n").split(";", 3)[3] for line in file]

    def test_a_second_daemon_refuses(self) -> None:
        """While the first runs."""
        path = self.mktemp()
        daemon = Daemon(path)
        second = subprocess.run(
            [sys.executable, "-m", "tests.logs.process", path], capture_output=True, text=True, timeout=20, check=False
        )
        self.assertIn("another log daemon has this directory", second.stderr)
        self.assertNotEqual(second.returncode, 0)
        self.assertEqual(daemon.end(signal.SIGTERM), 0)
