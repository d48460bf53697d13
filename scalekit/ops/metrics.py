"""
Numbers of a daemon: plain integers on the data path, read by the Prometheus library only when somebody asks.

`add_operational_routes` gives a private listener ``/ping``, ``/healthz``, ``/readyz`` and ``/metrics``.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from twisted.web.resource import Resource

from scalekit.net.listening import HTTPListening
from scalekit.web.answers import text_answer

#: Upper bounds in seconds: from what a cache hit takes to what a person gives up on.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_BOUNDS = [*map(str, BUCKETS), "+Inf"]

#: Of one service: as many as can be registered in it. Ids come and go with each deployment.
INSTANCES_KEPT = 1000

#: Is told of an exchange that is over, and how many seconds it took.
Outcomes = Callable[[Any, float], None]


class _Service:
    """The numbers of one service."""

    __slots__ = ("classes", "instances", "seconds", "sent")

    def __init__(self) -> None:
        self.classes = [0] * 6  # by the status' first digit; 0: the client left before
        self.instances: dict[str, list[int]] = {}  # buckets, by who has answered; empty: nobody, or one forgotten
        self.seconds = 0.0
        self.sent = 0

    def begin(self, instance: str) -> list[int]:
        """The buckets of an instance that has not answered before."""
        instances = self.instances
        if instance and len(instances) >= INSTANCES_KEPT:
            # Counters of a service never fall, whoever is forgotten.
            oldest = next(id for id in instances if id)
            nobody = instances.get("", [0] * (len(BUCKETS) + 1))
            instances[""] = [one + other for one, other in zip(nobody, instances.pop(oldest), strict=True)]
        buckets = instances[instance] = [0] * (len(BUCKETS) + 1)
        return buckets


class ReloadMetrics(Collector):
    """
    How often a daemon has read its configuration again.

    :param reloads: see `scalekit.ops.draining.DrainingService`.
    """

    def __init__(self, reloads: Mapping[str, int]) -> None:
        self._reloads = reloads

    def collect(self) -> Iterator[Metric]:
        reloads = CounterMetricFamily(
            "scalekit_reloads", "How often the configuration was read again, by what came of it.", labels=["outcome"]
        )
        for outcome in ("done", "partly", "refused"):
            reloads.add_metric([outcome], self._reloads.get(outcome, 0))
        yield reloads


class RequestMetrics(Collector):
    """What came of exchanges, by service."""

    def __init__(self) -> None:
        self._services: dict[str, _Service] = {}

    def record(self, exchange: Any, seconds: float) -> None:
        """An exchange is over; it took ``seconds``."""
        record = exchange.record
        service = self._services.get(record.service)
        if service is None:
            service = self._services[record.service] = _Service()
        service.classes[record.status // 100] += 1
        service.sent += record.sent
        if record.status != 101:  # For how long a WebSocket is open says nothing of how quickly it was answered.
            buckets = service.instances.get(record.instance) or service.begin(record.instance)
            buckets[bisect_left(BUCKETS, seconds) if seconds > BUCKETS[0] else 0] += 1
            service.seconds += seconds

    def counts(self) -> dict[str, dict[str, list[int]]]:
        """Requests by `BUCKETS`, of each instance of each service."""
        return {name: service.instances for name, service in self._services.items()}

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "scalekit_requests", "Requests, by service and status class.", labels=["service", "status"]
        )
        sent = CounterMetricFamily("scalekit_sent_bytes", "Body bytes sent to clients.", labels=["service"])
        seconds = HistogramMetricFamily(
            "scalekit_request_seconds", "From a request's head to its answer's last byte.", labels=["service"]
        )
        for name, service in self._services.items():
            for digit, count in enumerate(service.classes):
                if count:
                    requests.add_metric([name, f"{digit}xx" if digit else "none"], count)
            sent.add_metric([name], service.sent)
            total, cumulative = 0, []
            buckets = (
                map(sum, zip(*service.instances.values(), strict=True)) if service.instances else [0] * len(_BOUNDS)
            )
            for bound, count in zip(_BOUNDS, buckets, strict=True):
                total += count
                cumulative.append((bound, total))
            seconds.add_metric([name], cumulative, service.seconds)
        yield from (requests, sent, seconds)


class ConnectionMetrics(Collector):
    """The connections of a listener, and those that never got as far as a request."""

    def __init__(self, listener: str, listening: HTTPListening) -> None:
        self._listener = listener
        self._listening = listening

    def collect(self) -> Iterator[Metric]:
        admission, labels = self._listening.admission, ["listener"]
        is_open = GaugeMetricFamily("scalekit_connections_open", "Clients' connections open now.", labels=labels)
        is_open.add_metric([self._listener], admission.open)
        lost = CounterMetricFamily(
            "scalekit_connections_refused",
            "Connections, and requests on streams of HTTP/2, that were refused before anybody saw them, by reason.",
            labels=["listener", "reason"],
        )
        lost.add_metric([self._listener, "too-many"], admission.refused)
        lost.add_metric([self._listener, "tls-handshake"], admission.failed_handshakes)
        lost.add_metric([self._listener, "proxy-header"], admission.bad_greetings)
        for reason, count in self._listening.http.refusals.items():
            lost.add_metric([self._listener, reason], count)
        yield from (is_open, lost)


def told_both(*told: Outcomes) -> Outcomes | None:
    """One callable that tells all of these, none or two at the most, of the end of an exchange."""
    if len(told) < 2:
        return told[0] if told else None
    first, second = told

    def tell(exchange: Any, seconds: float) -> None:
        first(exchange, seconds)
        second(exchange, seconds)

    return tell


class _Text(Resource):
    """Answers GET with what a callable says: a status and a text."""

    isLeaf = True

    def __init__(self, say: Callable[[], tuple[int, str]]) -> None:
        super().__init__()
        self._say = say

    def render_GET(self, request: Any) -> bytes:
        return text_answer(request, *self._say())


class MetricsResource(Resource):
    """``/metrics`` in the Prometheus text format."""

    isLeaf = True

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__()
        self._registry = registry

    def render_GET(self, request: Any) -> bytes:
        request.setHeader(b"content-type", CONTENT_TYPE_LATEST.encode("ascii"))
        return bytes(generate_latest(self._registry))


def add_operational_routes(
    root: Resource, registry: CollectorRegistry, is_ready: Callable[[], str | None] = lambda: None
) -> None:
    """
    Put the routes that every daemon has on its private root.

    :param is_ready: why the daemon should get no work now; None: it is ready.
    """

    def ready() -> tuple[int, str]:
        why = is_ready()
        return (200, "ready\n") if why is None else (503, f"{why}\n")

    root.putChild(b"ping", _Text(lambda: (200, "pong\n")))
    root.putChild(b"healthz", _Text(lambda: (200, "alive\n")))
    root.putChild(b"readyz", _Text(ready))
    root.putChild(b"metrics", MetricsResource(registry))
