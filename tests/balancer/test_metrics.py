"""Tests of `scalekit.balancer.metrics`."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.balancer.health import HealthRules
from scalekit.balancer.instance import Endpoint, Instance
from scalekit.balancer.metrics import TrafficMetrics, TunnelMetrics
from scalekit.balancer.picking.turns import RoundRobin
from scalekit.balancer.retrying import Refusal
from scalekit.balancer.traffic import Traffic
from scalekit.balancer.tunnels import Tunnels
from scalekit.net.deadlines import Wheel


class TrafficMetricsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.traffic = Traffic(RoundRobin())
        self.registry = CollectorRegistry()
        self.registry.register(TrafficMetrics(lambda: {"shop": self.traffic}))

    def test_the_queue(self) -> None:
        self.traffic.line.join("one", 0.0)
        self.traffic.waits["timeout"] += 4
        value = self.registry.get_sample_value
        self.assertEqual(value("scalekit_queue_length", {"service": "shop"}), 1)
        self.assertEqual(value("scalekit_queued_total", {"service": "shop", "outcome": "timeout"}), 4)

    def test_retries(self) -> None:
        self.traffic.retries, self.traffic.replays = 2, 5
        self.traffic.refusals[Refusal.BUDGET] += 3
        value = self.registry.get_sample_value
        self.assertEqual(value("scalekit_retries_total", {"service": "shop"}), 2)
        self.assertEqual(value("scalekit_replays_total", {"service": "shop"}), 5)
        self.assertEqual(value("scalekit_retries_refused_total", {"service": "shop", "reason": "budget"}), 3)


class TunnelMetricsTests(SynchronousTestCase):
    def test_open_and_drained(self) -> None:
        tunnels = Tunnels(Wheel(Clock()), lambda: 0.5)
        registry = CollectorRegistry()
        registry.register(TunnelMetrics(tunnels))
        nobody: Any = None
        for port in (1, 1, 2):
            instance = Instance("shop", Endpoint("http", "192.0.2.1", port), 0.0, HealthRules())
            tunnels.begin(nobody, nobody, instance)
        tunnels.count("shop", "told")
        value = registry.get_sample_value
        self.assertEqual(value("scalekit_websockets", {"service": "shop"}), 3)
        self.assertEqual(value("scalekit_websockets_drained_total", {"service": "shop", "outcome": "told"}), 1)
