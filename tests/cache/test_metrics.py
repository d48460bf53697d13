from prometheus_client import CollectorRegistry, generate_latest
from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.metrics import StoreCollector
from scalekit.cache.store import Store


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
        store.invalidate(b"a", 0.0)
        lines = generate_latest(registry).decode().splitlines()
        for line in (
            'scalekit_cache_lookups_total{result="hit"} 1.0',
            'scalekit_cache_lookups_total{result="miss"} 1.0',
            'scalekit_cache_puts_total{result="stored"} 2.0',
            'scalekit_cache_puts_total{result="refused"} 1.0',
            'scalekit_cache_removed_total{reason="invalidated"} 1.0',
            'scalekit_cache_removed_total{reason="evicted"} 0.0',
            "scalekit_cache_entries 1.0",
            "scalekit_cache_bytes 602.0",
            "scalekit_cache_max_bytes 100000.0",
        ):
            self.assertIn(line, lines)
