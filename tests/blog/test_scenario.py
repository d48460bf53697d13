"""Two blogs, the data service and the cache over real sockets."""

from __future__ import annotations

import re
from typing import Any, cast
from urllib.parse import urlencode

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase
from twisted.web.server import Site

from scalekit.blog.app import Blog
from scalekit.blog.data import Database, DataResource
from scalekit.blog.fragments import Fragments
from scalekit.blog.posts import Posts
from scalekit.blog.seed import seed
from scalekit.blog.tap import kept_in
from scalekit.cache.resource import CacheResource
from scalekit.cache.store import Store
from scalekit.kit import cache_requests
from scalekit.kit.cache import AsyncCache
from scalekit.kit.client import Answer, Client, make_client
from tests.blog.fakes import NOW, FakeSink

PATIENCE_SECONDS = 20.0
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class TwoBlogsTests(TestCase):
    def setUp(self) -> None:
        self.patch(cache_requests, "PURGE_SECONDS", PATIENCE_SECONDS)
        self.clock: Any = cast(Any, reactor)
        self.client = self.make_client()
        database = Database(self.clock, self.mktemp(), lambda store: seed(store, NOW))
        database.startService()
        self.addCleanup(database.stopService)
        self.data_url = self.serve(DataResource(database, lambda: NOW))
        self.cache_url = self.serve(CacheResource(Store(1024 * 1024), self.clock))
        self.blogs = [self.blog("first"), self.blog("second")]

    def make_client(self) -> Client:
        client = make_client(self.clock, None)
        self.addCleanup(client._treq._agent._pool.closeCachedConnections)
        return client

    def serve(self, resource: Any) -> str:
        port = self.clock.listenTCP(0, Site(resource), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return f"http://127.0.0.1:{port.getHost().port}"

    def blog(self, name: str) -> str:
        client = self.make_client()
        posts = Posts(self.data_url, client)
        # All of it is in this one process: on a busy machine 50 ms may be over before anybody was asked.
        cache = AsyncCache(self.cache_url, client, self.clock, read_seconds=PATIENCE_SECONDS)
        fragments = Fragments(kept_in(cache), lambda tags: cache.purge(tags=tags), self.clock)
        self.addCleanup(fragments.stop)
        return self.serve(Blog(posts, fragments, FakeSink(), self.clock, lambda: name))

    def ask(self, url: str, values: dict[str, str] | None = None) -> Deferred[Answer]:
        body = None if values is None else urlencode(values).encode()
        return self.client.fetch(
            "GET" if body is None else "POST", url, seconds=PATIENCE_SECONDS, headers=FORM, body=body
        )

    async def settled(self, url: str) -> None:
        """Ask until the piece comes from the cache: it is stored behind the reader's back."""
        for _ in range(100):
            if b'<b id="source">from the cache' in (await self.ask(url)).body:
                return
        raise AssertionError(f"{url} is never cached")

    async def test_what_one_makes_the_other_shows_and_an_update_is_seen_at_once_by_both(self) -> None:
        first, second = self.blogs
        for path in ("/", "/posts/2"):
            await self.settled(first + path)
            await self.settled(second + path)
        for number in range(20):
            writer, reader = (first, second) if number % 2 else (second, first)
            written = await self.ask(f"{writer}/posts/2", {"title": f"T{number}.", "author": "A", "body": "B"})
            self.assertEqual((written.status, written.get("location")), (303, "/posts/2"))
            for url in (reader, writer):
                for path in ("/", "/posts/2"):
                    self.assertIn(f"T{number}.".encode(), (await self.ask(url + path)).body)

    async def test_after_a_storm_of_readers_and_writers_nothing_stale_is_left(self) -> None:
        async def read(url: str) -> None:
            for _ in range(15):
                await self.ask(f"{url}/posts/2")
                await self.ask(f"{url}/")

        async def write(url: str, name: str) -> None:
            for number in range(15):
                await self.ask(f"{url}/posts/2", {"title": f"{name}{number}", "author": "A", "body": "B"})

        readers = [read(url) for url in self.blogs * 3]
        work = [*readers, write(self.blogs[0], "a"), write(self.blogs[1], "b")]
        await gatherResults([Deferred.fromCoroutine(one) for one in work])
        (truth,) = re.findall(rb'"title":"([^"]*)"', (await self.ask(f"{self.data_url}/posts/2")).body)
        for url in self.blogs:
            for path in ("/", "/posts/2"):
                await self.settled(url + path)
                self.assertIn(truth, (await self.ask(url + path)).body)
