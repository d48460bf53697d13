"""Purges of one HTTP cache reach the other, by a real Redis."""

from __future__ import annotations

from itertools import count
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import maybeDeferred, succeed
from twisted.trial.unittest import TestCase

from scalekit.cache.front.elsewhere import SharedStore
from scalekit.cache.front.purging import Purging
from scalekit.cache.keyvalue import Purged
from scalekit.cache.purge_log import PurgeLog
from scalekit.cache.store import Put, Window
from scalekit.config.urls import parse_redis_url
from scalekit.net.redis import redis_door
from tests.redis_server import RedisServer
from tests.waiting import settled, until

#: So that no test depends on how busy the machine is.
PATIENCE_SECONDS = 30.0
URL = b"https://a/page"

_runs = map("run-{}".format, count())
_clock = cast(Any, reactor)


class _Cache:
    """The HTTP cache of a balancer, as far as purges go."""

    def __init__(self, case: TestCase, redis: RedisServer) -> None:
        door = redis_door(parse_redis_url(redis.url), "", reactor)
        self.log = PurgeLog(door, "http:", next(_runs), _clock, lambda: 0.1, PATIENCE_SECONDS)
        self.store = SharedStore(1 << 20, self.log, _clock)
        self.swept = 0
        self.store.hurry = self.hurry
        self.purging = Purging(self.store, _clock, confirm=self.store.confirm)
        self.log.startService()
        case.addCleanup(self.stop)

    def hurry(self) -> None:
        self.swept += 1

    async def stop(self) -> None:
        await succeed(self.log.stopService())
        await settled()

    def put(self, key: bytes = URL) -> None:
        self.store.put(key, b"page", 60, _clock.seconds(), tags=(b"t",), if_error=60)

    def has(self, key: bytes = URL, window: Window = Window.FRESH) -> bool:
        return self.store.get(key, _clock.seconds(), window) is not None


class SharedStoreTests(TestCase):
    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        self.redis = RedisServer()
        self.addCleanup(self.redis.clean_up)
        self.one, self.two = _Cache(self, self.redis), _Cache(self, self.redis)
        await until(lambda: self.one.log.is_up and self.two.log.is_up, "both are connected")

    async def test_a_purge_reaches_the_other(self) -> None:
        purges: list[tuple[list[bytes], list[bytes], bytes | None, bool]] = [
            ([URL], [], None, False),
            ([], [b"t"], None, False),
            ([], [], b"http://a/p", False),
            ([], [], b"", True),
        ]
        for purge in purges:
            self.one.put()
            self.two.put()
            self.two.swept = 0
            self.assertIs(await maybeDeferred(self.one.purging.purge, *purge), Purged.EVERYWHERE)
            self.assertFalse(self.one.has())
            await until(lambda: not self.two.has(), f"{purge}")
            self.assertEqual(self.two.has(window=Window.FAILING), purge[3])
            self.assertGreater(self.two.swept, 0)

    async def test_what_makes_answers_invalid_here_does_so_there(self) -> None:
        """Also of what this one does not have; and what the other fetches meanwhile."""
        self.two.put()
        fill = self.two.store.begin(URL)
        self.one.store.purge_key(URL, _clock.seconds())
        await until(lambda: not self.two.has(), "it is gone")
        self.assertEqual(self.two.store.put(URL, b"old", 60, _clock.seconds(), fill=fill), Put.PURGED)
        self.one.put()
        self.assertTrue(self.one.has())

    async def test_while_redis_is_away(self) -> None:
        """It holds here, and there once Redis is back; who knows what else was missed."""
        self.redis.kill()
        await until(lambda: not self.one.log.is_up and not self.two.log.is_up, "both have seen it")
        for cache in (self.one, self.two):
            cache.put()
            cache.put(b"http://a/other")
        self.assertIs(self.one.purging.purge([URL], [], None, False), Purged.HERE)
        self.redis.restart()
        await until(lambda: not self.two.has(window=Window.FAILING), "it is purged")
        await until(lambda: not self.two.has(b"http://a/other"), "the rest is stale")
        self.assertTrue(self.two.has(b"http://a/other", Window.FAILING))

    async def test_nothing_is_left_in_redis_but_the_log(self) -> None:
        await maybeDeferred(self.one.purging.purge, [URL], [b"t"], b"http://a/p", True)
        self.assertEqual(self.redis.ask("DBSIZE"), b":2\r\n")  # the log, and the number of the latest purge
