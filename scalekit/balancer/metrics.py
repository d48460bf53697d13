"""Numbers of the balancer's data path, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from scalekit.balancer.traffic import Traffic
from scalekit.balancer.tunnels import Tunnels


class TrafficMetrics(Collector):
    """
    :param traffic: gives what is kept of each service, by its name.
    """

    def __init__(self, traffic: Callable[[], Mapping[str, Traffic]]) -> None:
        self._traffic = traffic

    def collect(self) -> Iterator[Metric]:
        retries = CounterMetricFamily(
            "scalekit_retries", "Requests that were sent to a second app server.", labels=["service"]
        )
        replays = CounterMetricFamily(
            "scalekit_replays",
            "Requests that were sent again as their app server had just closed the connection that it had kept.",
            labels=["service"],
        )
        refusals = CounterMetricFamily(
            "scalekit_retries_refused",
            "Requests that failed and were not sent again, by reason.",
            labels=["service", "reason"],
        )
        waiting = GaugeMetricFamily(
            "scalekit_queue_length", "Requests that wait for an app server with room for them.", labels=["service"]
        )
        waits = CounterMetricFamily(
            "scalekit_queued",
            "Requests that found no app server with room, by what came of it.",
            labels=["service", "outcome"],
        )
        for name, traffic in self._traffic().items():
            retries.add_metric([name], traffic.retries)
            replays.add_metric([name], traffic.replays)
            for reason, count in traffic.refusals.items():
                refusals.add_metric([name, str(reason)], count)
            waiting.add_metric([name], len(traffic.line.waiting))
            for outcome, count in traffic.waits.items():
                waits.add_metric([name, outcome], count)
        yield from (retries, replays, refusals, waiting, waits)


class TunnelMetrics(Collector):
    """Of the WebSockets."""

    def __init__(self, tunnels: Tunnels) -> None:
        self._tunnels = tunnels

    def collect(self) -> Iterator[Metric]:
        opened = GaugeMetricFamily("scalekit_websockets", "WebSockets that are open.", labels=["service"])
        drained = CounterMetricFamily(
            "scalekit_websockets_drained",
            "WebSockets whose app server, or the balancer, went away: told so, or cut as they did not end in time.",
            labels=["service", "outcome"],
        )
        for service, count in self._tunnels.open().items():
            opened.add_metric([service], count)
        for (service, outcome), count in self._tunnels.drained.items():
            drained.add_metric([service, outcome], count)
        yield from (opened, drained)
