"""Tests of `scalekit.ops.metrics`; what they show is read back by the Prometheus library's own parser."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from scalekit.ops.metrics import (
    BUCKETS,
    INSTANCES_KEPT,
    ConnectionMetrics,
    MetricsResource,
    RequestMetrics,
    add_operational_routes,
    told_both,
)
from scalekit.web.memory import MemoryExchange, ask
from scalekit.web.site import Site
from tests.ops.exchanges import over


def samples(*collectors: Collector) -> dict[tuple[str, ...], float]:
    """What a scrape finds: ``(name, label values …) -> value``."""
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    exchange = ask(Site(MetricsResource(registry)), b"GET", b"/")
    assert exchange.status == 200, exchange
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(exchange.sent.decode())
        for sample in family.samples
    }


class RequestMetricsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.metrics = RequestMetrics()

    def test_counts_by_service_and_class(self) -> None:
        for status, service in [(200, "shop"), (204, "shop"), (404, "shop"), (503, ""), (0, "blog")]:
            self.metrics.record(over(status=status, service=service, sent=10), 0.01)
        found = samples(self.metrics)
        counts = {key[1:]: value for key, value in found.items() if key[0] == "scalekit_requests_total"}
        self.assertEqual(counts, {("shop", "2xx"): 2, ("shop", "4xx"): 1, ("", "5xx"): 1, ("blog", "none"): 1})
        self.assertEqual(found["scalekit_sent_bytes_total", "shop"], 30)

    def test_tunnels_take_no_time(self) -> None:
        self.metrics.record(over(status=101, service="chat", sent=10), 3600.0)
        found = samples(self.metrics)
        self.assertEqual(found["scalekit_requests_total", "chat", "1xx"], 1)
        self.assertEqual(found["scalekit_sent_bytes_total", "chat"], 10)
        self.assertEqual(found["scalekit_request_seconds_count", "chat"], 0)

    def test_the_histogram_is_cumulative(self) -> None:
        for seconds in (0.0, 0.001, 0.0011, 0.3, 31.0):
            self.metrics.record(over(), seconds)
        found = samples(self.metrics)
        buckets = {key[1]: value for key, value in found.items() if key[0] == "scalekit_request_seconds_bucket"}
        self.assertEqual(list(buckets), [*map(str, BUCKETS), "+Inf"])
        self.assertEqual(
            [buckets[bound] for bound in ("0.001", "0.0025", "0.25", "0.5", "30.0", "+Inf")], [2, 3, 3, 4, 4, 5]
        )
        self.assertEqual(found["scalekit_request_seconds_count", "shop"], 5)
        self.assertAlmostEqual(found["scalekit_request_seconds_sum", "shop"], 31.3021)

    def test_instances_come_and_go(self) -> None:
        """Those that were first are forgotten, and what they have done is not."""
        for number in range(INSTANCES_KEPT + 10):
            self.metrics.record(over(instance=f"app-{number}"), 0.3)
        self.assertLessEqual(len(self.metrics.counts()["shop"]), INSTANCES_KEPT + 1)
        self.assertNotIn("app-9", self.metrics.counts()["shop"])
        self.assertEqual(sum(self.metrics.counts()["shop"]["app-10"]), 1)
        self.assertEqual(samples(self.metrics)["scalekit_request_seconds_count", "shop"], INSTANCES_KEPT + 10)

    def test_nobody_has_no_place_among_them(self) -> None:
        """No instance is forgotten, with what it has done, for the first request that nobody has answered."""
        for number in range(INSTANCES_KEPT):
            self.metrics.record(over(instance=f"app-{number}"), 0.3)
        self.metrics.record(over(status=503, instance=""), 0.3)
        self.assertEqual(samples(self.metrics)["scalekit_request_seconds_count", "shop"], INSTANCES_KEPT + 1)

    def test_odd_names_of_services_are_escaped(self) -> None:
        self.metrics.record(over(service='a"b\\c\nd'), 0.0)
        self.assertIn(("scalekit_sent_bytes_total", 'a"b\\c\nd'), samples(self.metrics))


class ConnectionMetricsTests(SynchronousTestCase):
    def test_open_and_refused(self) -> None:
        listening: Any = SimpleNamespace(
            admission=SimpleNamespace(open=3, refused=2, bad_greetings=1, failed_handshakes=1),
            http=SimpleNamespace(refusals={"bad-host": 4}),
        )
        self.assertEqual(
            samples(ConnectionMetrics("balancer", listening)),
            {
                ("scalekit_connections_open", "balancer"): 3,
                ("scalekit_connections_refused_total", "balancer", "too-many"): 2,
                ("scalekit_connections_refused_total", "balancer", "tls-handshake"): 1,
                ("scalekit_connections_refused_total", "balancer", "proxy-header"): 1,
                ("scalekit_connections_refused_total", "balancer", "bad-host"): 4,
            },
        )


class ToldBothTests(SynchronousTestCase):
    def test_none_one_and_two(self) -> None:
        told: list[tuple[str, Any, float]] = []
        self.assertIsNone(told_both())
        first = lambda exchange, seconds: told.append(("first", exchange, seconds))  # noqa: E731
        second = lambda exchange, seconds: told.append(("second", exchange, seconds))  # noqa: E731
        self.assertIs(told_both(first), first)
        both = told_both(first, second)
        assert both is not None
        both("exchange", 1.0)
        self.assertEqual(told, [("first", "exchange", 1.0), ("second", "exchange", 1.0)])


class OperationalRoutesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.why: str | None = None
        root = Resource()
        add_operational_routes(root, CollectorRegistry(), lambda: self.why)
        self.site = Site(root)

    def ask(self, target: bytes, method: bytes = b"GET") -> MemoryExchange:
        return ask(self.site, method, target)

    def test_alive_and_ready(self) -> None:
        self.assertEqual(
            [self.ask(b"/" + path).sent for path in (b"ping", b"healthz", b"readyz")],
            [b"pong\n", b"alive\n", b"ready\n"],
        )

    def test_not_ready_says_why_and_is_still_alive(self) -> None:
        self.why = "draining"
        ready = self.ask(b"/readyz")
        self.assertEqual((ready.status, ready.sent), (503, b"draining\n"))
        self.assertEqual(self.ask(b"/healthz").status, 200)

    def test_metrics_are_what_prometheus_expects(self) -> None:
        answer = self.ask(b"/metrics")
        (kind,) = answer.values(b"content-type")
        self.assertTrue(kind.startswith(b"text/plain; version="), kind)

    def test_nothing_may_be_posted(self) -> None:
        self.assertEqual(self.ask(b"/healthz", b"POST").status, 405)
