"""
What every `ICacheStore` promises, held to by memory and by a real Redis; and what only sharing has.
"""

from __future__ import annotations

from itertools import count
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase

from scalekit.cache import purge_log
from scalekit.cache.ageing import Lifetimes
from scalekit.cache.keyvalue import KeyValue, Purged
from scalekit.cache.purge_log import PurgeLog
from scalekit.cache.purges import Kind
from scalekit.cache.redis_records import Purge
from scalekit.cache.redis_scripts import MOST_SINCE
from scalekit.cache.shared import SharedKeyValue
from scalekit.cache.store import Put, Store, Window
from scalekit.config.urls import parse_redis_url
from scalekit.net.redis import redis_door
from tests.cache.store_conformance import HOUR, make_store_tests
from tests.redis_server import RedisServer
from tests.waiting import POLL_SECONDS, settled, until

NAMESPACE = "scalekit:1:cache:"
#: So that no test depends on how busy the machine is.
PATIENCE_SECONDS = 30.0

_tokens = count(1)


def token() -> bytes:
    return b"token-%d" % next(_tokens)


def in_memory(case: TestCase) -> KeyValue:
    return KeyValue(Store(8 << 20), Clock(), token)


class Sharer:
    """A cache daemon as far as sharing goes."""

    def __init__(self, case: TestCase, redis: RedisServer, kind: type[SharedKeyValue] = SharedKeyValue) -> None:
        door = redis_door(parse_redis_url(redis.url), "", reactor)
        clock = cast(Any, reactor)
        self.log = PurgeLog(
            door, NAMESPACE, f"run-{next(_tokens)}", clock, lambda: 0.1, patience_seconds=PATIENCE_SECONDS
        )
        self.near = KeyValue(Store(8 << 20), reactor, token)
        self.service: Any = kind(self.near, self.log, token)
        self.log.startService()
        case.addCleanup(self.stop)

    async def stop(self) -> None:
        await succeed(self.log.stopService())
        await settled()

    async def up(self) -> Sharer:
        await until(lambda: self.log.is_up, "it shares")
        return self


class _Forgetful(SharedKeyValue):
    """Keeps nothing near: what it finds is from Redis."""

    def get(self, key: bytes, window: Window = Window.REVALIDATING) -> Any:
        self.store.forget(key, self.clock.seconds())
        return super().get(key, window)

    def ask(self, key: bytes, lease_seconds: float = 10.0) -> Any:
        self.store.forget(key, self.clock.seconds())
        return super().ask(key, lease_seconds)


async def by_redis(case: TestCase, kind: type[SharedKeyValue] = SharedKeyValue) -> Any:
    redis = RedisServer()
    case.addCleanup(redis.clean_up)
    return (await Sharer(case, redis, kind).up()).service


def by_redis_alone(case: TestCase) -> Any:
    return Deferred.fromCoroutine(by_redis(case, _Forgetful))


class MemoryTests(make_store_tests(in_memory)):  # type: ignore[misc]
    pass


class RedisTests(make_store_tests(lambda case: Deferred.fromCoroutine(by_redis(case)))):  # type: ignore[misc]
    pass


class RedisAloneTests(make_store_tests(by_redis_alone)):  # type: ignore[misc]
    pass


class SharingTests(TestCase):
    """Two caches and a real redis-server."""

    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        self.redis = RedisServer()
        self.addCleanup(self.redis.clean_up)
        self.one, self.two = await Sharer(self, self.redis).up(), await Sharer(self, self.redis).up()

    async def get(self, where: Sharer, key: bytes = b"k", window: Window = Window.FRESH) -> bytes | None:
        entry = await maybeDeferred(where.service.get, key, window)
        return None if entry is None else bytes(entry.value)

    async def put(
        self,
        where: Sharer,
        value: bytes = b"v",
        key: bytes = b"k",
        tags: tuple[bytes, ...] = (),
        token: bytes = b"",
        times: Lifetimes = HOUR,
    ) -> Put:
        fill = where.service.begin(key)
        outcome: Put = await maybeDeferred(where.service.put, key, value, times, tags, fill, token)
        return outcome

    def near(self, where: Sharer, key: bytes = b"k") -> bytes | None:
        entry = where.near.get(key, Window.FRESH)
        return None if entry is None else bytes(entry.value)

    async def copied(self, where: Sharer, key: bytes = b"k") -> bytes | None:
        """What is found, once it is in the near cache too; that it was stored may be heard after it was read."""
        while self.near(where, key) is None:
            found = await self.get(where, key)
            await deferLater(cast(Any, reactor), POLL_SECONDS)
        return found

    async def purge(self, where: Sharer, *keys: bytes, **more: Any) -> None:
        self.assertIs(await maybeDeferred(where.service.purge, keys, **more), Purged.EVERYWHERE)

    async def test_what_one_stores_the_other_has(self) -> None:
        await self.put(self.one, tags=(b"t",))
        self.assertEqual((self.near(self.two), await self.copied(self.two)), (None, b"v"))
        self.assertEqual(await self.put(self.two, b"new"), Put.REPLACED)
        await until(lambda: self.near(self.one) is None, "the copy of the old one is gone")
        self.assertEqual(await self.get(self.one), b"new")

    async def test_what_one_purges_the_other_has_no_more(self) -> None:
        purges: list[tuple[tuple[bytes, ...], dict[str, Any]]] = [
            ((b"k",), {}),
            ((), {"tags": [b"t"]}),
            ((), {"prefix": b"k"}),
            ((), {"prefix": b"", "is_soft": True}),
        ]
        for keys, more in purges:
            await self.put(self.one, tags=(b"t",))
            self.assertEqual(await self.copied(self.two), b"v")
            await self.purge(self.one, *keys, **more)
            await until(lambda: self.near(self.two) is None, f"{keys} {more}")
            self.assertIsNone(await self.get(self.two))

    async def test_a_purge_by_the_other_while_it_is_made(self) -> None:
        """Before it was heard here."""
        fill = self.one.service.begin(b"k")
        await self.purge(self.two, tags=[b"t"])
        outcome = await maybeDeferred(self.one.service.put, b"k", b"v", HOUR, (b"t",), fill)
        self.assertEqual((outcome, await self.get(self.one)), (Put.PURGED, None))

    async def test_what_nobody_knows_counts_as_purged(self) -> None:
        """More purges than are looked through, and a place in the log that is not there any more."""
        fill = self.one.service.begin(b"k")
        for _ in range(MOST_SINCE // 100):
            await self.purge(self.two, *[b"x"] * 100)
        self.assertEqual(await maybeDeferred(self.one.service.put, b"k", b"v", HOUR, (), fill), Put.PURGED)
        fill = self.one.service.begin(b"k")
        self.redis.ask("XTRIM", f"{NAMESPACE}purges", "MAXLEN", "0")
        self.assertEqual(await maybeDeferred(self.one.service.put, b"k", b"v", HOUR, (), fill), Put.PURGED)

    async def test_a_lease_is_for_all(self) -> None:
        """Also stored with at another than gave it, and given back there."""
        found = await maybeDeferred(self.one.service.ask, b"k", 30)
        assert found.lease is not None
        self.assertTrue((await maybeDeferred(self.two.service.ask, b"k", 30)).is_taken)
        waiting = self.one.service.wait(b"k", 30, 50)
        self.assertEqual(await self.put(self.two, token=found.lease.token), Put.CREATED)
        self.assertEqual((await waiting).entry.value, b"v")

        found = await maybeDeferred(self.one.service.ask, b"l", 30)
        assert found.lease is not None
        waiting = self.one.service.wait(b"l", 30, 50)
        self.assertTrue(await maybeDeferred(self.two.service.release, found.lease.token))
        self.assertIsNotNone((await waiting).lease)

    async def test_a_purge_at_one_voids_a_lease_of_the_other(self) -> None:
        found = await maybeDeferred(self.one.service.ask, b"k", 30)
        assert found.lease is not None
        waiting = self.one.service.wait(b"k", 30, 50)
        await self.purge(self.two, b"k")
        self.assertIsNotNone((await waiting).lease)
        self.assertEqual(await self.put(self.one, token=found.lease.token), Put.PURGED)

    async def test_killed_and_back_empty(self) -> None:
        """Each goes on by itself; what was purged and stored meanwhile, the other hears of."""
        for key in (b"a", b"b", b"c"):
            await self.put(self.one, b"old", key)
            self.assertEqual(await self.copied(self.two, key), b"old")
        self.redis.kill()
        await until(lambda: not self.one.log.is_up and not self.two.log.is_up, "both have seen it")
        self.assertEqual(await self.get(self.one, b"a"), b"old")
        self.assertIs(self.one.service.purge([b"a"]), Purged.HERE)
        self.assertEqual(await self.put(self.one, b"new", b"b"), Put.REPLACED)
        self.assertIsNone(await self.get(self.one, b"a"))
        found = await maybeDeferred(self.one.service.ask, b"x", 30)
        assert found.lease is not None
        self.assertEqual(await self.put(self.one, b"made", b"x", token=found.lease.token), Put.CREATED)
        self.assertEqual(self.one.log.unsaid, 3)
        self.redis.restart()
        await self.one.up()
        await self.two.up()
        self.assertEqual([await self.get(self.two, key) for key in (b"a", b"b")], [None, None])
        self.assertIsNone(await self.get(self.one, b"a"))
        await self.put(self.one, b"again", b"a")
        self.assertEqual(await self.get(self.two, b"a"), b"again")
        self.assertEqual(self.one.log.unsaid, 0)

    async def test_hanging(self) -> None:
        """One request waits its time, no further one; what it had said when it hung is put right."""
        await self.put(self.one)
        self.one.log.patience_seconds = 0.05
        self.redis.process.send_signal(19)
        try:
            while self.one.log.is_asked:  # it may have answered something before it stopped
                self.assertIsNone(await self.get(self.one, b"x"))
            self.assertEqual(self.one.service.get(b"k", Window.FRESH).value, b"v")
            self.assertIsNone(self.one.service.get(b"y", Window.FRESH))
            self.assertIs(self.one.service.purge([b"k"]), Purged.HERE)
        finally:
            self.redis.process.send_signal(18)
        self.one.log.patience_seconds = PATIENCE_SECONDS
        await until(lambda: self.one.log.is_asked and not self.one.log.unsaid, "it answers again")
        self.assertIsNone(await self.get(self.two))

    async def test_what_was_missed(self) -> None:
        """It is read on; what is no longer there to be read makes everything stale."""
        for key in (b"a", b"b"):
            await self.put(self.one, key=key, times=Lifetimes(3600, 3600))
            await self.copied(self.two, key)
        self.two.log.stopService()
        await self.purge(self.one, b"a")
        self.two.log.is_up = False
        self.two.log.startService()
        await self.two.up()
        self.assertEqual([self.near(self.two, key) for key in (b"a", b"b")], [None, b"v"])

        self.two.log.stopService()
        await self.purge(self.one, b"x")
        self.redis.ask("XTRIM", f"{NAMESPACE}purges", "MAXLEN", "1")
        self.two.log.is_up = False
        self.two.log.startService()
        await self.two.up()
        self.assertIsNone(self.near(self.two, b"b"))
        self.assertIsNotNone(self.two.near.get(b"b", Window.REVALIDATING))
        self.assertEqual(await self.get(self.one, b"b"), b"v")

    async def test_redis_has_gone_back(self) -> None:
        """It was restored from a copy: values in it may have been purged since."""
        await self.put(self.one, times=Lifetimes(3600, 3600))
        self.two.log.stopService()
        self.redis.ask("DEL", f"{NAMESPACE}purges")
        self.redis.ask("XADD", f"{NAMESPACE}purges", "1-1", "is", "begun")
        self.two.log.is_up = False
        self.two.log.startService()
        await self.two.up()
        self.assertIsNone(await self.get(self.two))
        self.assertEqual(await self.get(self.two, window=Window.REVALIDATING), b"v")

    async def test_whatever_redis_evicts_nothing_purged_comes_back(self) -> None:
        for row in ("tag:t", "tag:", "serial", "purges"):
            await self.put(self.one, tags=(b"t",))
            self.redis.ask("DEL", f"{NAMESPACE}{row}")
            found = await self.get(self.two)
            self.assertEqual(found, None if row.startswith("tag") else b"v", row)
            await self.purge(self.one, tags=[b"t"])
            await until(lambda: self.near(self.two) is None, row)
            self.assertIsNone(await self.get(self.two))

    async def test_nothing_is_left_of_what_has_left(self) -> None:
        await self.put(self.one, tags=(b"t", b"u"), times=Lifetimes(0.05))
        await self.purge(self.one, prefix=b"x")
        await self.purge(self.one, tags=[b"u", b"w"], is_soft=True)
        keys = sorted(f"{NAMESPACE}{name}".encode() for name in ("purges", "serial", "stores"))
        await until(lambda: self.redis.ask("DBSIZE") == b":%d\r\n" % len(keys), "only these are there")

    async def test_purges_by_prefix_are_swept(self) -> None:
        """Then they are forgotten, and each has done what it should."""
        for number in range(300):
            await self.put(self.one, key=b"[x]*%d" % number, times=Lifetimes(3600, 3600))
        await self.purge(self.one, prefix=b"[x]*1")
        await self.purge(self.one, prefix=b"[x]*2", is_soft=True)
        fields = ("HLEN", f"{NAMESPACE}tag:")
        await until(lambda: self.redis.ask(*fields) == b":1\r\n", "they are swept")
        self.assertEqual([await self.get(self.two, b"[x]*%d" % number) for number in (19, 20, 30)], [None, None, b"v"])
        self.assertEqual(await self.get(self.two, b"[x]*20", Window.REVALIDATING), b"v")
        self.assertEqual(self.redis.ask("EXISTS", f"{NAMESPACE}value:[x]*19"), b":0\r\n")

    async def test_too_many_purges_to_be_told_apart(self) -> None:
        """Of a tag, softly; of prefixes, if nobody sweeps."""
        times = Lifetimes(3600, 3600)
        await self.put(self.one, times=times, tags=(b"t",))
        for _ in range(70):
            await self.put(self.one, key=b"other", times=times, tags=(b"t",))
            await self.purge(self.one, tags=[b"t"], is_soft=True)
        self.assertIsNone(await self.get(self.two, window=Window.REVALIDATING))

        await self.put(self.one)
        for number in range(70):
            self.redis.ask("HSET", f"{NAMESPACE}tag:", f"hardx{number}", "1 1")
        await self.purge(self.one, prefix=b"y")
        self.assertIsNone(await self.get(self.two))

    async def test_forgotten_scripts(self) -> None:
        await self.put(self.one)
        self.redis.ask("SCRIPT", "FLUSH")
        self.assertIsNone(await self.get(self.two))
        await until(lambda: not self.two.log.is_up, "it has noticed")
        await self.two.up()
        self.assertEqual(await self.get(self.two), b"v")

    async def test_more_unsaid_than_is_kept(self) -> None:
        """Then all is purged."""
        await self.put(self.one)
        await self.copied(self.two)
        self.patch(purge_log, "MOST_UNSAID", 3)
        self.redis.process.send_signal(19)
        said = [self.one.log.publish([Purge(Kind.KEY, b"x%d" % number)]) for number in range(9)]
        self.assertLessEqual(self.one.log.unsaid, 3 + 1)
        self.redis.process.send_signal(18)
        await said[-1]
        self.assertEqual(self.one.log.unsaid, 0)
        await until(lambda: self.near(self.two) is None, "all is purged")
