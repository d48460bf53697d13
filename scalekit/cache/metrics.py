"""The store's counters for Prometheus, read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from scalekit.cache.keeping import SnapshotKeeper
from scalekit.cache.purge_log import PurgeLog
from scalekit.cache.shared import SharedKeyValue
from scalekit.cache.store import Store


class StoreCollector(Collector):
    """
    Reads a store's `Stats`; register it with a ``CollectorRegistry``.

    :param name: what the names of its numbers begin with.
    """

    def __init__(self, store: Store, name: str = "scalekit_cache") -> None:
        self._store = store
        self._name = name

    def collect(self) -> Iterator[Metric]:
        stats = self._store.stats()
        lookups = CounterMetricFamily(f"{self._name}_lookups", "Keys asked for.", labels=["result"])
        lookups.add_metric(["hit"], stats.hits - stats.stale)
        lookups.add_metric(["stale"], stats.stale)
        lookups.add_metric(["miss"], stats.misses)
        yield lookups
        puts = CounterMetricFamily(f"{self._name}_puts", "Values to be stored.", labels=["result"])
        puts.add_metric(["stored"], stats.stored)
        puts.add_metric(["refused"], stats.refused)
        puts.add_metric(["voided"], stats.voided)
        yield puts
        removed = CounterMetricFamily(f"{self._name}_removed", "Entries that left, and why.", labels=["reason"])
        for reason in ("replaced", "expired", "evicted", "invalidated"):
            removed.add_metric([reason], getattr(stats, reason))
        yield removed
        yield GaugeMetricFamily(f"{self._name}_entries", "Entries held.", stats.entries)
        yield GaugeMetricFamily(f"{self._name}_bytes", "Bytes that the entries take, overhead included.", stats.bytes)
        yield GaugeMetricFamily(f"{self._name}_max_bytes", "Bytes that they may take.", stats.max_bytes)
        yield GaugeMetricFamily(f"{self._name}_reserved_bytes", "Bytes kept free for fills.", stats.reserved_bytes)
        yield GaugeMetricFamily(f"{self._name}_tags", "Tags that entries bear.", stats.tags)
        yield CounterMetricFamily(f"{self._name}_purges", "Purges of keys, tags and prefixes.", stats.purges)


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


class PurgeLogCollector(Collector):
    """
    How it goes with the Redis that a cache shares its purges by.

    :param name: what the names of its numbers begin with.
    """

    def __init__(self, log: PurgeLog, name: str = "scalekit_cache") -> None:
        self._log = log
        self._name = name

    def collect(self) -> Iterator[Metric]:
        away = float(not self._log.is_up)
        yield GaugeMetricFamily(f"{self._name}_degraded", "1 while Redis is away and this cache goes by itself.", away)
        told = "Purges that Redis has not been told yet."
        yield GaugeMetricFamily(f"{self._name}_unsaid_purges", told, self._log.unsaid)


class SharedCollector(Collector):
    """What comes of asking Redis for values."""

    def __init__(self, service: SharedKeyValue) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        lookups = CounterMetricFamily(
            "scalekit_cache_shared_lookups", "Keys that Redis was asked for.", labels=["result"]
        )
        for result, count in self._service.lookups.items():
            lookups.add_metric([result], count)
        yield lookups
