"""The store's counters for Prometheus, read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from scalekit.cache.keeping import SnapshotKeeper
from scalekit.cache.store import Store


class StoreCollector(Collector):
    """Reads a store's `Stats`; register it with a ``CollectorRegistry``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def collect(self) -> Iterator[Metric]:
        stats = self._store.stats()
        lookups = CounterMetricFamily("scalekit_cache_lookups", "Keys asked for.", labels=["result"])
        lookups.add_metric(["hit"], stats.hits - stats.stale)
        lookups.add_metric(["stale"], stats.stale)
        lookups.add_metric(["miss"], stats.misses)
        yield lookups
        puts = CounterMetricFamily("scalekit_cache_puts", "Values to be stored.", labels=["result"])
        puts.add_metric(["stored"], stats.stored)
        puts.add_metric(["refused"], stats.refused)
        puts.add_metric(["voided"], stats.voided)
        yield puts
        removed = CounterMetricFamily("scalekit_cache_removed", "Entries that left, and why.", labels=["reason"])
        for reason in ("replaced", "expired", "evicted", "invalidated"):
            removed.add_metric([reason], getattr(stats, reason))
        yield removed
        yield GaugeMetricFamily("scalekit_cache_entries", "Entries held.", stats.entries)
        yield GaugeMetricFamily("scalekit_cache_bytes", "Bytes that the entries take, overhead included.", stats.bytes)
        yield GaugeMetricFamily("scalekit_cache_max_bytes", "Bytes that they may take.", stats.max_bytes)
        yield GaugeMetricFamily("scalekit_cache_reserved_bytes", "Bytes kept free for fills.", stats.reserved_bytes)
        yield GaugeMetricFamily("scalekit_cache_tags", "Tags that entries bear.", stats.tags)
        yield CounterMetricFamily("scalekit_cache_purges", "Purges of keys, tags and prefixes.", stats.purges)


class SnapshotMetrics(Collector):
    """What a daemon found in the snapshot that it began with."""

    def __init__(self, keeper: SnapshotKeeper) -> None:
        self._keeper = keeper

    def collect(self) -> Iterator[Metric]:
        restored = GaugeMetricFamily(
            "scalekit_cache_snapshot_records", "Records in the snapshot that it began with.", labels=["result"]
        )
        restored.add_metric(["restored"], self._keeper.restored)
        restored.add_metric(["damaged"], self._keeper.damaged)
        yield restored
