"""
The cache's composition root: ``twistd scalekit-cache``.

`make_cache_root` is for every daemon that has the cache in it (scalekit-cache, scalekit-all)::

    cache = make_cache_root(options.settings.cache, OtherSeconds(reactor, steady_seconds))
    cache.service.setServiceParent(daemon)
    registry.register(cache.collector)
    add_operational_routes(cache.resource, registry)
"""

from __future__ import annotations

from scalekit.net import loop

loop.install()

import os
import random
import secrets
import socket
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

from prometheus_client.registry import Collector
from twisted.internet import reactor as _reactor
from twisted.internet.interfaces import IReactorTime

from scalekit.cache.eviction import Eviction, LeastRecentlyUsed, Sieve
from scalekit.cache.keeping import SnapshotKeeper
from scalekit.cache.metrics import PurgeLogCollector, SharedCollector, SnapshotMetrics, StoreCollector
from scalekit.cache.panel import CachePanel, store_stats
from scalekit.cache.purge_log import PurgeLog
from scalekit.cache.resource import LARGEST_VALUE_BYTES, CacheResource
from scalekit.cache.s3fifo import S3FIFO
from scalekit.cache.service import CacheService
from scalekit.cache.shared import SharedKeyValue
from scalekit.cache.store import Store
from scalekit.cache.values import PATH
from scalekit.config import Config
from scalekit.config.loading import load_password
from scalekit.config.model import Cache
from scalekit.kit.daemons import open_logging
from scalekit.net.addresses import local_names
from scalekit.net.clocks import OtherSeconds
from scalekit.net.listening import HTTPListening
from scalekit.net.redis import redis_door
from scalekit.net.tls import ServerTLS
from scalekit.ops.certificates import add_certificate
from scalekit.ops.daemon import DaemonOptions, DrainingService, explained_faults
from scalekit.ops.serving import add_private_listener

reactor = cast(Any, _reactor)

# Requests take milliseconds; this is for a megabyte that is just coming in over a slow line.
DRAIN_SECONDS = 5.0
#: What the keys in Redis begin with; another format would be another number.
NAMESPACE = "scalekit:1:cache:"


class AddedCache(NamedTuple):
    """
    :ivar panel: for the dashboard of a balancer in the same process.
    """

    listening: HTTPListening
    panel: CachePanel


class CacheRoot(NamedTuple):
    """
    A cache as configured.

    :ivar store: what it holds.
    :ivar resource: its HTTP interface, the root of port 5000.
    :ivar service: its sweeping.
    :ivar collector: its counters, for a ``CollectorRegistry``.
    """

    store: Store
    resource: CacheResource
    service: CacheService
    collector: StoreCollector


def make_cache_root(settings: Cache, clock: IReactorTime, log: PurgeLog | None = None) -> CacheRoot:
    """
    Make a cache.

    :param clock: tells the entries' age; must never go back, or what has expired would be served (`steady_seconds`).
    :param log: what several caches share their values by; None: this one has its own.
    """
    store = Store(settings.max_bytes, _eviction(settings))
    service = CacheService(store, settings.expiry_interval, clock)
    resource = CacheResource(
        store,
        clock,
        settings.default_max_age,
        new_token=lambda: secrets.token_hex(16).encode(),  # 128 bits, as RFC 6750's advice for bearer tokens
        hurry=service.hurry,
        log=log,
    )
    return CacheRoot(store, resource, service, StoreCollector(store))


def _eviction(settings: Cache) -> Eviction:
    if settings.eviction == "lru":
        return LeastRecentlyUsed()
    return Sieve() if settings.eviction == "sieve" else S3FIFO(settings.max_bytes)


#: Seconds since the machine started, also those in which it slept: a minute's entry is not fresh the next day.
steady_seconds = partial(time.clock_gettime, time.CLOCK_BOOTTIME)


def _boot() -> str:
    """Names the run of the machine, for which `steady_seconds` hold; empty: nobody tells."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


class Options(DaemonOptions):
    """What ``twistd scalekit-cache`` takes."""

    daemon = "scalekit-cache"
    sections = ("cache",)
    shared = (*DaemonOptions.shared, "redis")
    environ = os.environ
    optParameters = [
        ["max-bytes", None, None, "Size of the store, such as 256MiB."],
        ["default-max-age", None, None, "How long to keep what is stored without max-age; without it, refused."],
        ["token-file", None, None, "Who may use it off this machine: lines of role[:service] token."],
    ]
    flag_keys = {
        "max-bytes": "cache.max_bytes",
        "default-max-age": "cache.default_max_age",
        "token-file": "cache.token_file",
    }


@explained_faults()
def makeService(options: Options) -> DrainingService:
    """The daemon: the cache behind its guard on our own listeners."""
    settings = options.settings
    daemon = DrainingService(options, reactor, DRAIN_SECONDS)
    names = local_names(socket.gethostname())
    add_cache(daemon, settings, names, add_certificate(daemon, options, names, reactor, time.time))
    open_logging(settings, "cache", daemon, reactor)
    return daemon


def add_cache(daemon: DrainingService, settings: Config, names: list[str], certificate: ServerTLS | None) -> AddedCache:
    """
    Add the cache to a daemon.

    :param names: what this machine is called.
    """
    log = _purge_log(settings)
    cache = make_cache_root(settings.cache, OtherSeconds(reactor, steady_seconds), log)
    cache.service.setServiceParent(daemon)
    keeper = SnapshotKeeper(
        cache.store,
        Path(settings.state_directory) / "cache.snapshot",
        OtherSeconds(reactor, steady_seconds),
        _boot(),
        time.time,
        os.urandom,
        # Where values are shared, others may have purged by the next start what this one has had near.
        settings.cache.snapshot and log is None,
    )
    keeper.setServiceParent(daemon)
    collectors: list[Collector] = [cache.collector, SnapshotMetrics(keeper)]
    if log is not None:
        log.setServiceParent(daemon)
        shared = cast(SharedKeyValue, cache.resource.service)
        collectors += [PurgeLogCollector(log), SharedCollector(shared)]
    listening = add_private_listener(
        daemon,
        settings,
        "cache",
        cache.resource,
        names=names,
        certificate=certificate,
        reactor=reactor,
        wall=time.time,
        request_name=secrets.token_hex(4).encode(),
        collectors=tuple(collectors),
        body_limit=LARGEST_VALUE_BYTES,
        ahead=((PATH, cache.resource.values),),
    )
    return AddedCache(listening, CachePanel("Cache", partial(store_stats, cache.store)))


def _purge_log(settings: Config) -> PurgeLog | None:
    """What caches share their values by; None: this one has its own."""
    if settings.redis.url is None or not settings.cache.shared:
        return None
    password = load_password(settings.redis.password_file, "redis.password_file")

    door = redis_door(settings.redis.url, password, reactor)
    return PurgeLog(door, NAMESPACE, secrets.token_hex(8), reactor, random.random)
