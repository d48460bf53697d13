"""The log's counters for Prometheus, read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector as MetricsCollector

from scalekit.logs.collector import Collector
from scalekit.logs.counts import REFUSALS
from scalekit.logs.redaction import RULES
from scalekit.logs.retention import REASONS


class LogMetrics(MetricsCollector):
    """Reads a collector's `Counts`; register it with a ``CollectorRegistry``."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def collect(self) -> Iterator[Metric]:
        counts = self._collector.counts
        entries = CounterMetricFamily("scalekit_logs_entries", "Entries sent to the log.", labels=["result"])
        for result in ("accepted", "rejected", "dropped", "repeated", "over_budget"):
            entries.add_metric([result], getattr(counts, result))
        entries.add_metric(["refused"], counts.refused.total())
        yield entries
        refused = CounterMetricFamily("scalekit_logs_refused", "Entries answered with 503.", labels=["reason"])
        for reason in REFUSALS:
            refused.add_metric([reason], counts.refused[reason])
        yield refused
        written = CounterMetricFamily("scalekit_logs_written", "Lines written.", labels=["file"])
        written.add_metric(["log.txt"], counts.written)
        written.add_metric(["log.txt.late"], counts.written_late)
        yield written
        yield CounterMetricFamily("scalekit_logs_late", "Entries that came after their place was written.", counts.late)
        received = CounterMetricFamily(
            "scalekit_logs_restamped", "Entries sorted by when they were received.", labels=["said"]
        )
        received.add_metric(["nothing"], counts.untimed)
        received.add_metric(["unbelievable"], counts.restamped)
        yield received
        redacted = CounterMetricFamily("scalekit_logs_redacted", "Secrets taken out of entries.", labels=["rule"])
        for rule in RULES:
            redacted.add_metric([rule], counts.redacted[rule])
        yield redacted
        expired = CounterMetricFamily(
            "scalekit_logs_expired", "Entries removed with the oldest volumes.", labels=["reason"]
        )
        for reason in REASONS:
            expired.add_metric([reason], counts.expired[reason])
        yield expired
        yield CounterMetricFamily("scalekit_logs_sealed", "Volumes sealed.", counts.sealed)
        indexes = CounterMetricFamily("scalekit_logs_indexes", "Indexes of sealed volumes.", labels=["result"])
        indexes.add_metric(["made"], counts.indexed)
        indexes.add_metric(["failed"], counts.index_failures)
        indexes.add_metric(["damaged"], counts.index_damaged)
        yield indexes
        yield CounterMetricFamily(
            "scalekit_logs_quarantined", "Stretches of the journal that could not be read.", counts.quarantined
        )
        flushes = CounterMetricFamily("scalekit_logs_flushes", "Flushes of the log file.", labels=["result"])
        flushes.add_metric(["done"], counts.flushes)
        flushes.add_metric(["failed"], counts.flush_failures)
        yield flushes
        yield GaugeMetricFamily("scalekit_logs_healthy", "1 if the log is well.", int(self._collector.trouble is None))
        if not self._collector.running:
            return
        journal = self._collector.journal
        yield CounterMetricFamily("scalekit_logs_journal_groups", "Groups synced to disk.", journal.groups)
        yield CounterMetricFamily("scalekit_logs_journal_bytes", "Bytes synced to disk.", journal.synced_bytes)
        yield CounterMetricFamily("scalekit_logs_journal_failures", "Journal files given up.", journal.failures)
        yield CounterMetricFamily(
            "scalekit_logs_journal_seconds", "Time that groups took to be on disk.", journal.synced_seconds
        )
        yield GaugeMetricFamily("scalekit_logs_journal_segments", "Journal files on disk.", len(journal.segments))
        yield GaugeMetricFamily(
            "scalekit_logs_waiting_bytes",
            "Memory of entries not yet written, estimated.",
            self._collector.waiting_bytes,
        )
