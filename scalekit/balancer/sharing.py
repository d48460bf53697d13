"""Puts together what shares registrations by Redis; txredisapi is imported only where it is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint

from scalekit.balancer.instance import Notice
from scalekit.balancer.redis_link import ANSWER_SECONDS, RedisLink
from scalekit.balancer.shared import SharedRegistry
from scalekit.config.urls import RedisURL
from scalekit.errors import ConfigurationFault


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
    try:
        # Here, since it imports the global reactor, which belongs to the composition roots.
        from txredisapi import RedisProtocol  # type: ignore[import-untyped]
    except ImportError:
        raise ConfigurationFault(
            f'redis.url: found {url}, expected the package txredisapi: pip install "scalekit[redis]"'
        ) from None
    endpoint: IStreamClientEndpoint
    if url.path:
        endpoint = UNIXClientEndpoint(reactor, url.path, timeout=ANSWER_SECONDS)
    else:
        endpoint = HostnameEndpoint(reactor, url.host, url.port, timeout=ANSWER_SECONDS)
    first: list[tuple[str, ...]] = [("AUTH", password)] if password else []
    if url.database is not None:
        first.append(("SELECT", str(url.database)))

    def new_protocol() -> Any:
        return RedisProtocol(charset=None, convertNumbers=False, replyTimeout=ANSWER_SECONDS)

    return RedisLink(registry, endpoint, new_protocol, first, run, reactor, random, tell)


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
