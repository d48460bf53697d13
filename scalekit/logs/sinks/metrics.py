"""The sinks' numbers for Prometheus, read when they are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector as MetricsCollector

from scalekit.logs.sinks.forwarder import Forwarder


class SinkMetrics(MetricsCollector):
    """Of these; register it with a ``CollectorRegistry``."""

    def __init__(self, sinks: Sequence[Forwarder]) -> None:
        self._sinks = sinks

    def collect(self) -> Iterator[Metric]:
        if not self._sinks:
            return
        entries = CounterMetricFamily("scalekit_logs_sink_entries", "Entries that left.", labels=["sink", "result"])
        retries = CounterMetricFamily("scalekit_logs_sink_retries", "Batches sent again.", labels=["sink"])
        lag = GaugeMetricFamily("scalekit_logs_sink_lag", "Entries that are still to be sent.", labels=["sink"])
        seconds = GaugeMetricFamily(
            "scalekit_logs_sink_lag_seconds", "Time that the first of them has waited.", labels=["sink"]
        )
        healthy = GaugeMetricFamily("scalekit_logs_sink_healthy", "1 if it takes entries.", labels=["sink"])
        for sink in self._sinks:
            name, delivery = sink.sink, sink.delivery
            for result, count in (
                ("sent", delivery.sent),
                ("rejected", delivery.rejected),
                ("refused", delivery.refused),
                ("missed", sink.missed),
                ("circular", sink.circular),
            ):
                entries.add_metric([name, result], count)
            retries.add_metric([name], delivery.retries)
            lag.add_metric([name], sink.lag)
            seconds.add_metric([name], sink.lag_seconds)
            healthy.add_metric([name], int(not delivery.trouble))
        yield from (entries, retries, lag, seconds, healthy)
