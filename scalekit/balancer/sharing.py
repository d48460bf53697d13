"""Puts together what shares registrations by Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from scalekit.balancer.instance import Notice
from scalekit.balancer.redis_link import RedisLink
from scalekit.balancer.shared import SharedRegistry
from scalekit.config.urls import RedisURL
from scalekit.net.redis import redis_door


def new_link(
    registry: SharedRegistry,
    url: RedisURL,
    password: str,
    run: str,
    reactor: Any,
    random: Callable[[], float],
    tell: Callable[[Notice], None],
) -> RedisLink:
    """
    What carries between a registry and Redis; to be started.

    :param password: empty: none.
    :raises ConfigurationFault: txredisapi is not installed.
    """
    return RedisLink(registry, redis_door(url, password, reactor), run, reactor, random, tell)


class SharingMetrics(Collector):
    """How it goes with Redis."""

    def __init__(self, link: RedisLink, registry: SharedRegistry) -> None:
        self._link = link
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "scalekit_registry_degraded",
            "1 while Redis is away and this balancer goes by what it has known last.",
            value=float(self._link.is_degraded),
        )
        yield GaugeMetricFamily(
            "scalekit_registry_unsaid",
            "Registrations, renewals and departures that Redis has not been told yet.",
            value=float(self._registry.unsaid),
        )
