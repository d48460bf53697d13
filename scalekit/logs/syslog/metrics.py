"""The counts of syslog for Prometheus, read when they are asked for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from scalekit.logs.syslog.intake import REASONS
from scalekit.logs.syslog.listening import Syslog


class SyslogMetrics(Collector):
    """
    Register it with a ``CollectorRegistry``.

    :param counts: `scalekit.logs.counts.Counts.syslog`.
    """

    def __init__(self, syslog: Syslog, counts: dict[str, Counter[str]]) -> None:
        self._syslog = syslog
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        received = CounterMetricFamily(
            "scalekit_logs_syslog_received", "Messages of syslog that came.", labels=["transport"]
        )
        dropped = CounterMetricFamily(
            "scalekit_logs_syslog_dropped",
            "Messages of syslog that are not in the log, or connections that were ended, by reason.",
            labels=["transport", "reason"],
        )
        for transport, counts in self._counts.items():
            received.add_metric([transport], counts["received"])
            for reason in REASONS[transport]:
                dropped.add_metric([transport, reason], counts[reason])
        yield from (received, dropped)
        is_open = GaugeMetricFamily("scalekit_logs_syslog_connections", "Senders connected now.", labels=["transport"])
        refused = CounterMetricFamily(
            "scalekit_logs_syslog_refused", "Connections of senders that were refused.", labels=["transport", "reason"]
        )
        for transport in ("tcp", "tls"):
            admissions = [each.admission for each in self._syslog.streams if each.transport == transport]
            is_open.add_metric([transport], sum(each.open for each in admissions))
            refused.add_metric([transport, "too-many"], sum(each.refused for each in admissions))
            refused.add_metric([transport, "tls-handshake"], sum(each.failed_handshakes for each in admissions))
            refused.add_metric([transport, "proxy-header"], sum(each.bad_greetings for each in admissions))
        yield from (is_open, refused)
