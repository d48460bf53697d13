"""Real daemons: processes under twistd, asked by the standard library's clients."""

from __future__ import annotations

import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

import scalekit

#: A daemon that hangs fails its test and is not left behind.
PATIENCE_SECONDS = 60.0
_RUN = "from twisted.scripts.twistd import run; run()"
_CHECKOUT = str(Path(scalekit.__file__).parent.parent)


class DaemonCase(SynchronousTestCase):
    """A state directory, and daemons that end with the test."""

    def setUp(self) -> None:
        self.state = Path(self.mktemp()).absolute()
        self.state.mkdir(parents=True)
        self._clients: list[http.client.HTTPConnection] = []

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start ``twistd -n`` with these; `said` is what it has said so far."""
        with open(self.state / "said", "ab") as output:
            process = subprocess.Popen(
                [sys.executable, "-c", _RUN, "-n", *arguments, "--state-directory", str(self.state)],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONPATH": _CHECKOUT},
            )
        watchdog = threading.Timer(PATIENCE_SECONDS, process.kill)
        watchdog.start()

        def end() -> None:
            watchdog.cancel()
            watchdog.join()
            process.kill()
            process.wait()

        self.addCleanup(end)
        return process

    def said(self) -> str:
        """What the daemons have said so far."""
        return (self.state / "said").read_text()

    def end(
        self, process: subprocess.Popen[bytes], number: int = signal.SIGINT, keeps_connections: bool = False
    ) -> str:
        """
        Send it a signal; what it has said, after it has ended with status 0.

        :param keeps_connections: whether it finds the test's still open; it waits some seconds for their ends.
        """
        for client in [] if keeps_connections else self._clients:
            client.close()
        process.send_signal(number)
        self.assertEqual(process.wait(), 0, self.said())
        return self.said()

    def client(self, port: int, authority: Path | None = None) -> http.client.HTTPConnection:
        """A connection, opened; over TLS, verified by this authority, if there is one."""
        if authority is None:
            client = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
        else:
            trust = ssl.create_default_context(cafile=str(authority))
            client = http.client.HTTPSConnection("localhost", port, context=trust, timeout=PATIENCE_SECONDS)
        client.connect()
        self._clients.append(client)
        self.addCleanup(client.close)
        return client

    def eventually(self, what: Callable[[], Any]) -> Any:
        """What this gives once it is true and raises no OSError; another process decides when."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                found = what()
            except OSError:
                found = None
            if found:
                return found
            if time.monotonic() > deadline:
                raise AssertionError(f"{what} never came true")
            time.sleep(0.02)


def ask(
    client: http.client.HTTPConnection, target: str, method: str = "GET", fields: dict[str, str] | None = None
) -> tuple[http.client.HTTPResponse, bytes]:
    """One request and its answer."""
    client.request(method, target, headers=fields or {})
    answer = client.getresponse()
    return answer, answer.read()


def json_lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines; none while it is not there."""
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
