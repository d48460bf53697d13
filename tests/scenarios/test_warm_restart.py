"""A cache that is ended and started again still has its values; one that was killed has none that was purged."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.ports import free_ports
from tests.scenarios.running import Answer, Daemon, connect, exchange, is_listening, until

AGE = {"Cache-Control": "max-age=600", "Surrogate-Key": "posts"}


class WarmRestartTests(SynchronousTestCase):
    timeout = 300

    def start(self) -> Daemon:
        url = f"https://127.0.0.1:{self.port}"
        daemon = Daemon(self.folder, "scalekit-cache", "--listen", url, "--state-directory", str(self.folder / "state"))
        self.addCleanup(daemon.clean_up)
        until(lambda: is_listening(self.port), "it listens")
        return daemon

    def ask(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        connection = connect(self.folder / "state", self.port)
        try:
            return exchange(connection, method, path, body, headers)
        finally:
            connection.close()

    def test_ended_and_killed(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        (self.port,) = free_ports(1)
        daemon = self.start()
        for name in ("a", "b"):
            self.assertEqual(self.ask("PUT", f"/v1/keys/{name}", name.encode() * 100_000, AGE).status, 201)
        self.assertEqual(daemon.end(signal.SIGTERM), 0)

        daemon = self.start()
        daemon.wait_for("2 values are back")
        answer = self.ask("GET", "/v1/keys/a")
        self.assertEqual((answer.body, answer.headers["cache-groups"]), (b"a" * 100_000, '"posts"'))
        self.assertIn(b'scalekit_cache_snapshot_records{result="restored"} 2.0', self.ask("GET", "/metrics").body)
        purge = json.dumps({"keys": ["a"]}).encode()
        self.assertEqual(self.ask("POST", "/v1/purge", purge).status, 200)
        self.assertEqual(daemon.end(signal.SIGINT), 0)

        daemon = self.start()
        daemon.wait_for("1 values are back")
        self.assertEqual([self.ask("GET", f"/v1/keys/{name}").status for name in ("a", "b")], [404, 200])
        purge = json.dumps({"tags": ["posts"]}).encode()
        self.assertEqual(self.ask("POST", "/v1/purge", purge).status, 200)
        self.assertEqual(daemon.end(signal.SIGKILL), -signal.SIGKILL)

        self.start()
        self.assertEqual(self.ask("GET", "/v1/keys/b").status, 404)
