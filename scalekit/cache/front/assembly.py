"""The HTTP cache put together, for a daemon that has a balancer in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from prometheus_client.registry import Collector

from scalekit.cache.front.elsewhere import SharedStore
from scalekit.cache.front.front import CacheFront
from scalekit.cache.front.metrics import FrontCollector
from scalekit.cache.front.purging import PublicPurge, Purging
from scalekit.cache.front.sought import Services
from scalekit.cache.metrics import PurgeLogCollector, StoreCollector
from scalekit.cache.purge_log import PurgeLog
from scalekit.cache.rules.storing import Policy
from scalekit.cache.service import CacheService
from scalekit.cache.store import Store
from scalekit.config.model import HTTPCache as Settings
from scalekit.config.tokens import Tokens

#: As of the key/value service, the tutorial's: what has expired is never served, but takes its room until then.
SWEEP_SECONDS = 5.0


class HTTPCache(NamedTuple):
    """
    :ivar front: the responder.
    :ivar purging: for ``/v1/purge`` of the registration port; ``public_purge``: ``PURGE``, for those with a token.
    :ivar sweeping: a service, for the daemon.
    :ivar collectors: its numbers.
    """

    store: Store
    front: CacheFront
    purging: Purging
    public_purge: PublicPurge
    sweeping: CacheService
    collectors: tuple[Collector, ...]

    def adopt(self, settings: Settings) -> None:
        """Take what the configuration says now, as far as it can be taken while requests go on."""
        self.front.policy = policy_of(settings)


def new_http_cache(
    settings: Settings,
    responder: Any,
    services: Services,
    log: PurgeLog | None,
    tokens: Tokens | None,
    clock: Any,
    wall: Callable[[], float],
    proxy: bytes,
) -> HTTPCache:
    """
    Make one; its parameters are those of `CacheFront`.

    :param log: what it shares its purges by with the HTTP caches of other balancers; None: it has its own.
    :param tokens: of the registration port.
    """
    store = Store(settings.max_bytes) if log is None else SharedStore(settings.max_bytes, log, clock)
    sweeping = CacheService(store, SWEEP_SECONDS, clock)
    purging = Purging(store, clock, sweeping.hurry)
    if isinstance(store, SharedStore):
        store.hurry = sweeping.hurry
        purging = Purging(store, clock, sweeping.hurry, store.confirm)
    public_purge = PublicPurge(purging, tokens, proxy)
    front = CacheFront(
        responder,
        store,
        services,
        clock,
        wall,
        proxy=proxy,
        policy=policy_of(settings),
        purge=public_purge,
        hurry=sweeping.hurry,
    )
    collectors: list[Collector] = [FrontCollector(front.counts), StoreCollector(store, "scalekit_http_cache")]
    if log is not None:
        collectors.append(PurgeLogCollector(log, "scalekit_http_cache"))
    return HTTPCache(store, front, purging, public_purge, sweeping, tuple(collectors))


def policy_of(settings: Settings) -> Policy:
    """What the standards leave to whoever runs a cache, as the configuration says it."""
    return Policy(stores_cookies=settings.cookies)
