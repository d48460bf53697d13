"""Two caches that share their values by a redis-server, which is killed under load and comes back empty."""

from __future__ import annotations

import http.client
import json
import signal
import threading
from itertools import count
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.ports import free_ports
from tests.redis_server import RedisServer
from tests.scenarios.running import PATIENCE_SECONDS, Answer, Daemon, exchange, is_listening, until

AGE = {"Cache-Control": "max-age=600", "Surrogate-Key": "posts"}


class Cache(Daemon):
    """A running ``twistd scalekit-cache`` that shares."""

    def __init__(self, directory: Path, redis: RedisServer) -> None:
        (self.port,) = free_ports(1)
        directory.mkdir(parents=True)
        path = directory / "scalekit.toml"
        path.write_text(f'[cache]\nlisten = ["http://127.0.0.1:{self.port}"]\n[redis]\nurl = "{redis.url}"\n')
        super().__init__(
            directory, "scalekit-cache", "--config", str(path), "--state-directory", str(directory / "state")
        )
        until(lambda: is_listening(self.port), "the cache listens")
        until(lambda: not self.is_degraded(), "it shares")

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)

    def ask(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None) -> Answer:
        connection = self.connect()
        try:
            return exchange(connection, method, path, body, headers)
        finally:
            connection.close()

    def get(self, key: str) -> bytes | None:
        answer = self.ask("GET", f"/v1/keys/{key}")
        return answer.body if answer.status == 200 else None

    def is_degraded(self) -> bool:
        return b"\nscalekit_cache_degraded 1.0\n" in self.ask("GET", "/metrics").body


class Load:
    """Stores, reads and purges one key after the other, until it is left."""

    def __init__(self, cache: Cache) -> None:
        self._cache = cache
        self._is_over = False
        self._thread = threading.Thread(target=self._run)
        self.statuses: list[int] = []

    def _run(self) -> None:
        connection = self._cache.connect()
        for number in count():
            if self._is_over:
                break
            path = f"/v1/keys/load-{number % 50}"
            for method, body in (("PUT", b"x" * 100), ("GET", None), ("DELETE", None) if number % 5 else ("GET", None)):
                self.statuses.append(exchange(connection, method, path, body, AGE if body else None).status)
        connection.close()

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._thread.join(PATIENCE_SECONDS)

    def go_on(self) -> None:
        """Wait for some more."""
        before = len(self.statuses)
        until(lambda: len(self.statuses) > before + 100, "requests are answered")


class SharedCachesTests(SynchronousTestCase):
    timeout = 300

    def start(self, name: str) -> Cache:
        cache = Cache(self.folder / name, self.redis)
        self.addCleanup(cache.clean_up)
        return cache

    def test_two_caches(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.redis = RedisServer()
        self.addCleanup(self.redis.clean_up)
        one, two = self.start("one"), self.start("two")

        # What one stores both have; what one purges neither has.  Where Redis was too busy for a moment, each goes by
        # itself; so things are tried again.
        def is_at_both() -> bool:
            self.assertIn(one.ask("PUT", "/v1/keys/a", b"\0" * 100_000, AGE).status, (201, 204))
            return two.get("a") == b"\0" * 100_000

        until(is_at_both, "the other has it")
        purge = json.dumps({"tags": ["posts"]}).encode()
        until(lambda: two.ask("POST", "/v1/purge", purge).status == 200, "it is purged")
        until(lambda: one.get("a") is None, "it is purged here")

        keys = map("slow-{}".format, count())

        def is_for_both() -> bool:
            path = f"/v1/keys/{next(keys)}"
            first, second = (
                cache.ask("GET", path, None, {"Cache-Lease": "request"}).headers["cache-lease"] for cache in (one, two)
            )
            return first.startswith('"') and second == "taken"

        until(is_for_both, "one lease for both")

        one.ask("PUT", "/v1/keys/kept", b"kept", AGE)
        with Load(one) as load, Load(two) as other_load:
            load.go_on()
            self.redis.kill()
            until(lambda: one.is_degraded() and two.is_degraded(), "both say that it is away")
            self.assertEqual(one.get("kept"), b"kept")
            self.assertEqual(one.ask("POST", "/v1/purge", json.dumps({"keys": ["kept"]}).encode()).status, 202)
            load.go_on()
            other_load.go_on()
            self.redis.restart()
            until(lambda: not one.is_degraded() and not two.is_degraded(), "both have it again")
            load.go_on()
            other_load.go_on()
        self.assertEqual({*load.statuses, *other_load.statuses} - {200, 201, 202, 204, 404, 409}, set())

        def is_shared() -> bool:
            one.ask("PUT", "/v1/keys/b", b"again", AGE)
            return two.get("b") == b"again"

        until(is_shared, "they share again")
        for cache in (one, two):
            self.assertEqual(cache.end(signal.SIGINT), 0)
            self.assertNotIn("Traceback", cache.stdout)
            self.assertIn("Redis is away", cache.stdout)
