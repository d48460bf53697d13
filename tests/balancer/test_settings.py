"""Tests of `scalekit.balancer.settings`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.balancer.health import HealthRules
from scalekit.balancer.per_service import PerService
from scalekit.balancer.settings import (
    client_timeouts_of,
    h2_limits_of,
    health_rules_of,
    servers_of,
    upstream_timeouts_of,
)
from scalekit.config.model import HTTP2, Balancer, Health, Service, ServiceHealth, ServiceTimeouts
from scalekit.config.model import Timeouts as TimeoutsTable
from scalekit.config.urls import parse_server_url
from scalekit.http.h2.limits import Limits
from scalekit.net.deadlines import Timeouts
from scalekit.net.pooled import UpstreamTimeouts


class SettingsTests(SynchronousTestCase):
    def test_the_defaults_are_those_of_the_parts(self) -> None:
        settings = Balancer()
        self.assertEqual(health_rules_of(settings), PerService(HealthRules()))
        self.assertEqual(upstream_timeouts_of(settings), PerService(UpstreamTimeouts()))
        self.assertEqual(client_timeouts_of(settings), Timeouts())
        self.assertEqual(h2_limits_of(settings), Limits())

    def test_what_is_said(self) -> None:
        server = parse_server_url("http://127.0.0.1:1")
        settings = Balancer(
            health=Health(interval=1.0, timeout=2.0, rise=3, fall=4, path="/up", status=204, body="yes"),
            timeouts=TimeoutsTable(connect=1.0, first_byte=2.0, read=3.0, tunnel_idle=4.0, idle=5.0, body_rate=6),
            http2=HTTP2(enabled=False),
            service=(
                Service(name="a", servers=(server,), health=ServiceHealth(path="/well", status=200, body="all good")),
                Service(name="b", timeouts=ServiceTimeouts(connect=7.0, first_byte=8.0, read=9.0)),
            ),
        )
        self.assertEqual(health_rules_of(settings).of("b"), HealthRules(1.0, 2.0, 3, 4, "/up", 204, b"yes"))
        self.assertEqual(health_rules_of(settings).own, {"a": HealthRules(1.0, 2.0, 3, 4, "/well", 200, b"all good")})
        self.assertEqual(health_rules_of(settings).of("not configured"), health_rules_of(settings).usual)
        upstream, client = upstream_timeouts_of(settings).usual, client_timeouts_of(settings)
        self.assertEqual((upstream.connect, upstream.first_byte, upstream.read, upstream.tunnel_idle), (1, 2, 3, 4))
        self.assertEqual((client.idle, client.body_rate, client.tunnel_idle), (5.0, 6, 4.0))
        self.assertEqual(upstream_timeouts_of(settings).own, {"b": UpstreamTimeouts(7.0, 8.0, 9.0, tunnel_idle=4.0)})
        self.assertIsNone(h2_limits_of(settings))
        self.assertEqual(servers_of(settings), {"a": (server,)})
