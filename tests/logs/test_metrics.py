"""The log's metrics."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.collector import Collector
from scalekit.logs.entry import Entry
from scalekit.logs.memory import MemoryDirectory
from scalekit.logs.metrics import LogMetrics
from scalekit.logs.threads import DirectLane


class LogMetricsTests(SynchronousTestCase):
    """`LogMetrics`."""

    def test_scrape(self) -> None:
        """Before the start, while it runs, after the end."""
        clock = Clock()
        clock.advance(1_700_000_000)
        collector = Collector(MemoryDirectory, clock, (DirectLane(), DirectLane(), DirectLane()))
        registry = CollectorRegistry()
        registry.register(LogMetrics(collector))
        self.assertIn(b"scalekit_logs_healthy 0.0", generate_latest(registry))
        collector.startService()
        self.successResultOf(collector.append([Entry(None, "INFO", "s", "m")] * 2))
        clock.advance(2)
        lines = generate_latest(registry).decode().splitlines()
        for line in (
            'scalekit_logs_entries_total{result="accepted"} 2.0',
            'scalekit_logs_entries_total{result="refused"} 0.0',
            'scalekit_logs_refused_total{reason="memory"} 0.0',
            'scalekit_logs_written_total{file="log.txt"} 2.0',
            'scalekit_logs_restamped_total{said="nothing"} 2.0',
            'scalekit_logs_restamped_total{said="unbelievable"} 0.0',
            'scalekit_logs_flushes_total{result="done"} 1.0',
            'scalekit_logs_redacted_total{rule="jwt"} 0.0',
            'scalekit_logs_expired_total{reason="age"} 0.0',
            'scalekit_logs_indexes_total{result="damaged"} 0.0',
            "scalekit_logs_healthy 1.0",
            "scalekit_logs_journal_groups_total 1.0",
            "scalekit_logs_journal_segments 1.0",
            "scalekit_logs_waiting_bytes 0.0",
        ):
            self.assertIn(line, lines)
        self.successResultOf(collector.stopService())
        self.assertIn(b"scalekit_logs_healthy 0.0", generate_latest(registry))
