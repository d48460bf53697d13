from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.keyvalue import KeyValue
from scalekit.cache.metrics import PurgeLogCollector, SharedCollector, StoreCollector
from scalekit.cache.purge_log import PurgeLog
from scalekit.cache.purges import Kind
from scalekit.cache.redis_records import Purge
from scalekit.cache.shared import SharedKeyValue
from scalekit.cache.store import Store, Window


class StoreCollectorTests(SynchronousTestCase):
    def test_scrape(self) -> None:
        store = Store(100_000)
        registry = CollectorRegistry()
        registry.register(StoreCollector(store))
        store.put(b"a", b"1", 5, 0.0)
        store.put(b"b", b"1", 5, 0.0)
        store.put(b"c", b"x" * 50_000, 5, 0.0)
        store.get(b"a", 0.0)
        store.get(b"z", 0.0)
        store.put(b"d", b"1", 1, -1.0, while_revalidating=5)
        store.get(b"d", 0.0, Window.REVALIDATING)
        store.purge_key(b"d", 0.0)
        store.reserve(store.begin(b"e"), 1000)
        store.purge_key(b"a", 0.0)
        lines = generate_latest(registry).decode().splitlines()
        for line in (
            'scalekit_cache_lookups_total{result="hit"} 1.0',
            'scalekit_cache_lookups_total{result="stale"} 1.0',
            'scalekit_cache_lookups_total{result="miss"} 1.0',
            'scalekit_cache_puts_total{result="stored"} 3.0',
            'scalekit_cache_puts_total{result="refused"} 1.0',
            'scalekit_cache_puts_total{result="voided"} 0.0',
            'scalekit_cache_removed_total{reason="invalidated"} 2.0',
            'scalekit_cache_removed_total{reason="evicted"} 0.0',
            "scalekit_cache_entries 1.0",
            "scalekit_cache_bytes 602.0",
            "scalekit_cache_max_bytes 100000.0",
            "scalekit_cache_tags 0.0",
            "scalekit_cache_reserved_bytes 1726.0",
            "scalekit_cache_purges_total 2.0",
        ):
            self.assertIn(line, lines)


class SharedCollectorTests(SynchronousTestCase):
    def test_scrape(self) -> None:
        """Of one that has not reached Redis yet."""
        clock = Clock()
        nobody: Any = None
        log = PurgeLog(nobody, "scalekit:1:cache:", "run", clock, lambda: 0.5)
        service = SharedKeyValue(KeyValue(Store(100_000), clock, lambda: b"token"), log, lambda: b"token")
        log.publish([Purge(Kind.KEY, b"a"), Purge(Kind.TAG, b"t")])
        registry = CollectorRegistry()
        registry.register(PurgeLogCollector(log))
        registry.register(SharedCollector(service))
        lines = generate_latest(registry).decode().splitlines()
        for line in (
            "scalekit_cache_degraded 1.0",
            "scalekit_cache_unsaid_purges 2.0",
            'scalekit_cache_shared_lookups_total{result="hit"} 0.0',
            'scalekit_cache_shared_lookups_total{result="away"} 0.0',
        ):
            self.assertIn(line, lines)
