"""What the configuration says to each part of the balancer, in that part's own words; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scalekit.balancer.health import HealthRules
from scalekit.balancer.per_service import PerService
from scalekit.balancer.routes import Claim
from scalekit.config.model import Balancer
from scalekit.config.urls import ServerURL
from scalekit.http.h2.limits import Limits
from scalekit.net.deadlines import Timeouts
from scalekit.net.pooled import UpstreamTimeouts


def claims_of(settings: Balancer) -> tuple[Claim, ...]:
    """What the configured services want."""
    return tuple(Claim.of(service.name, service.hosts, service.path) for service in settings.service)


def servers_of(settings: Balancer) -> dict[str, Sequence[ServerURL]]:
    """The servers of each service that has any."""
    return {service.name: service.servers for service in settings.service if service.servers}


def health_rules_of(settings: Balancer) -> PerService[HealthRules]:
    """For the roster."""
    health = settings.health
    usual = HealthRules(
        health.interval, health.timeout, health.rise, health.fall, health.path, health.status, health.body.encode()
    )
    own = {
        service.name: usual._replace(
            path=service.health.path or usual.path,
            status=service.health.status or usual.status,
            text=service.health.body.encode() or usual.text,
        )
        for service in settings.service
    }
    return PerService(usual, {name: rules for name, rules in own.items() if rules != usual})


def upstream_timeouts_of(settings: Balancer) -> PerService[UpstreamTimeouts]:
    """Of connections to app servers."""
    timeouts = settings.timeouts
    usual = UpstreamTimeouts(timeouts.connect, timeouts.first_byte, timeouts.read, tunnel_idle=timeouts.tunnel_idle)
    own = {
        service.name: replace(
            usual,
            connect=service.timeouts.connect or usual.connect,
            first_byte=service.timeouts.first_byte or usual.first_byte,
            read=service.timeouts.read or usual.read,
        )
        for service in settings.service
    }
    return PerService(usual, {name: times for name, times in own.items() if times != usual})


def client_timeouts_of(settings: Balancer) -> Timeouts:
    """Of connections from clients."""
    timeouts = settings.timeouts
    return Timeouts(
        timeouts.request_head,
        timeouts.body_rate,
        timeouts.body_rate_after,
        timeouts.answer_progress,
        timeouts.idle,
        timeouts.tunnel_idle,
    )


def h2_limits_of(settings: Balancer) -> Limits | None:
    """Of HTTP/2 connections from clients; None: there are none."""
    h2 = settings.http2
    return Limits(h2.streams, (h2.reset_burst, h2.reset_rate)) if h2.enabled else None
