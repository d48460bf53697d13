"""Tests of `scalekit.kit.memory_cache`, and that the real cache does the same."""

from __future__ import annotations

import threading
import time
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from scalekit import kit
from scalekit.kit.lookup import Look, Looked
from scalekit.kit.testing import AsyncMemoryCache, MemoryCache, running
from scalekit.kit.thread_cache import Cache
from tests.kit.cache_conformance import Conformance

#: A read of the real one must succeed on a machine that does much else.
READ_SECONDS = 30.0


class MemoryCacheTests(Conformance, TestCase):
    def setUp(self) -> None:
        self.cache = MemoryCache()

    async def do(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return getattr(self.cache, name)(*args, **kwargs)


class AsyncMemoryCacheTests(Conformance, TestCase):
    def setUp(self) -> None:
        self.cache = AsyncMemoryCache(Clock())

    async def do(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return await getattr(self.cache, name)(*args, **kwargs)


class RealCacheTests(TestCase):
    async def test_the_same(self) -> None:
        """All of it with one service, as it takes a second to start."""
        here = self.enterContext(running())
        cache = Cache(here.cache, here.ca, time.monotonic, read_seconds=READ_SECONDS)
        self.addCleanup(cache.close)
        suite = MemoryCacheTests()
        suite.cache = cache  # type: ignore[assignment]
        for name in dir(Conformance):
            if name.startswith("test_"):
                await getattr(suite, name)()


class TimeTests(SynchronousTestCase):
    def test_what_expires(self) -> None:
        clock = Clock()
        cache = MemoryCache(clock.seconds)
        cache.put("a", b"1", 10, while_revalidating=5, if_error=7)
        for seconds, fresh, covering in ((9, b"1", b"1"), (5, b"1", b"1"), (2, None, b"1"), (1, None, None)):
            clock.advance(seconds)
            self.assertEqual(cache.get("a"), fresh)
            looked = cache.look(Look("a", takes_stale=True))
            self.assertEqual(looked and looked.value, covering)

    def test_a_lease_that_is_over(self) -> None:
        clock = Clock()
        cache = MemoryCache(clock.seconds)
        given = cache.look(Look("a", 10))
        assert given is not None
        clock.advance(10)
        self.assertFalse(cache.put("a", b"1", 60, lease=given.lease))
        again = cache.look(Look("a", 10))
        self.assertTrue(again and again.lease)

    def test_who_waits_for_the_other(self) -> None:
        clock = Clock()
        cache = AsyncMemoryCache(clock)
        looked = self.successResultOf(cache.look(Look("a", 10)))
        token = looked.lease if looked is not None else ""
        waiting = [cache.look(Look("a", 10, 1)) for _ in range(2)]
        cache.put("b", b"2", 60)
        self.assertNoResult(waiting[0])
        cache.put("a", b"1", 60, lease=token)
        self.assertEqual([self.successResultOf(one) for one in waiting], [Looked(b"1")] * 2)
        self.assertEqual(clock.getDelayedCalls(), [])
        cache.delete("a")
        cache.look(Look("a", 10))
        late = cache.look(Look("a", 10, 1))
        clock.advance(1)
        self.assertEqual(self.successResultOf(late), Looked(None))

    def test_cached_functions(self) -> None:
        """Two threads at once: one makes it, the other waits."""
        cache, made, began, go_on = MemoryCache(), [], threading.Event(), threading.Event()

        @kit.cached(cache, max_age=60, tags=["posts"])
        def newest(count: int) -> list[int]:
            made.append(count)
            began.set()
            go_on.wait(READ_SECONDS)
            return list(range(count))

        found: list[list[int]] = []
        threads = [threading.Thread(target=lambda: found.append(newest(3))) for _ in range(2)]
        threads[0].start()
        began.wait(READ_SECONDS)
        threads[1].start()
        go_on.set()
        for thread in threads:
            thread.join()
        self.assertEqual((made, found), ([3], [[0, 1, 2]] * 2))
        cache.purge(tags=["posts"])
        newest(3)
        self.assertEqual(made, [3, 3])

    def test_repr(self) -> None:
        self.assertEqual(
            [repr(MemoryCache()), repr(AsyncMemoryCache(Clock()))], ["<MemoryCache>", "<AsyncMemoryCache>"]
        )
