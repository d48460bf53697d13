"""The HTTP cache put together."""

from __future__ import annotations

from prometheus_client import CollectorRegistry
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.front.assembly import new_http_cache
from scalekit.config.model import HTTPCache
from tests.cache.front.fronted import Services


class AssemblyTests(SynchronousTestCase):
    def test_as_configured(self) -> None:
        clock = Clock()
        settings = HTTPCache(max_bytes=80_000)
        cache = new_http_cache(settings, None, Services(), None, None, clock, clock.seconds, b"test")
        self.assertEqual((cache.store.max_bytes, cache.front.policy.stores_cookies), (80_000, False))
        cache.adopt(HTTPCache(cookies=True))
        self.assertTrue(cache.front.policy.stores_cookies)
        cache.purging.purge((), (), b"", False)
        cache.sweeping.startService()
        self.addCleanup(cache.sweeping.stopService)
        cache.purging.purge((), (), b"http://a/", False)
        clock.advance(0)
        self.assertTrue(cache.store.is_swept)
        registry = CollectorRegistry()
        for collector in cache.collectors:
            registry.register(collector)
