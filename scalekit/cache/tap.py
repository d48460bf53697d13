"""
The cache's composition root: ``twistd scalekit-cache``.

`make_cache_root` is for every daemon that has the cache in it (scalekit-cache, scalekit-all)::

    cache = make_cache_root(options.settings.cache, SteadyClock(reactor, steady_seconds))
    cache.service.setServiceParent(daemon)
    registry.register(cache.collector)
    add_operational_routes(cache.resource, registry)
"""

from __future__ import annotations

import os
import random
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from prometheus_client import CollectorRegistry
from twisted.internet import reactor
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.threadable import isInIOThread
from zope.interface import implementer

from scalekit.cache.metrics import StoreCollector
from scalekit.cache.resource import LARGEST_VALUE_BYTES, CacheResource
from scalekit.cache.service import CacheService
from scalekit.cache.store import Store
from scalekit.config import Config
from scalekit.config.model import Cache
from scalekit.config.tokens import Tokens, check_private_listener, parse_tokens
from scalekit.errors import ConfigurationFault
from scalekit.kit.client import make_client
from scalekit.kit.logs import LogClient
from scalekit.kit.observer import LogService, observer
from scalekit.net.addresses import local_names
from scalekit.net.certificates import CA
from scalekit.net.listening import ListeningService
from scalekit.net.server import HTTPFactory
from scalekit.ops.certificates import ServerCertificate, tls_directory
from scalekit.ops.daemon import DaemonOptions, DrainingService, explained_faults, fail_start
from scalekit.ops.metrics import RequestMetrics, add_operational_routes
from scalekit.web.guard import Guard
from scalekit.web.site import Site

# Requests take milliseconds; this is for a megabyte that is just coming in over a slow line.
DRAIN_SECONDS = 5.0


class CacheRoot(NamedTuple):
    """
    A cache as configured.

    :ivar store: what it holds.
    :ivar resource: its HTTP interface, the root of port 5000.
    :ivar service: its purge.
    :ivar collector: its counters, for a ``CollectorRegistry``.
    """

    store: Store
    resource: CacheResource
    service: CacheService
    collector: StoreCollector


def make_cache_root(settings: Cache, clock: IReactorTime) -> CacheRoot:
    """
    Make a cache.

    :param clock: tells the entries' age; must never go back, or what has expired would be served (`SteadyClock`).
    """
    store = Store(settings.max_bytes)
    resource = CacheResource(store, clock, settings.default_max_age)
    return CacheRoot(store, resource, CacheService(store, settings.expiry_interval, clock), StoreCollector(store))


@implementer(IReactorTime)
class SteadyClock:
    """
    A reactor's timed calls with another clock's seconds.

    The reactor's own are those of the wall clock: set back by an hour, it would let every entry live an hour longer.

    :param seconds: such as `steady_seconds`.
    """

    def __init__(self, reactor: Any, seconds: Callable[[], float]) -> None:
        self._reactor = reactor
        self._seconds = seconds

    def seconds(self) -> float:
        return self._seconds()

    def callLater(self, delay: float, callable: Callable[..., Any], *args: object, **kw: object) -> IDelayedCall:
        call: IDelayedCall = self._reactor.callLater(delay, callable, *args, **kw)
        return call

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        calls: Sequence[IDelayedCall] = self._reactor.getDelayedCalls()
        return calls


def steady_seconds() -> float:
    """Seconds since the machine started, also those in which it slept: a minute's entry is not fresh the next day."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Options(DaemonOptions):
    """What ``twistd scalekit-cache`` takes."""

    daemon = "scalekit-cache"
    sections = ("cache",)
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
    cache = make_cache_root(settings.cache, SteadyClock(reactor, steady_seconds))
    cache.service.setServiceParent(daemon)
    registry, requests = CollectorRegistry(), RequestMetrics()
    registry.register(cache.collector)
    registry.register(requests)
    add_operational_routes(cache.resource, registry, lambda: "draining" if daemon.is_draining else None)
    site = Site(cache.resource, LARGEST_VALUE_BYTES, parse_forms=False)
    names = local_names(socket.gethostname())
    guard = Guard(site, names, _tokens(settings.cache.token_file))
    factory = HTTPFactory(guard, reactor, time.time, secrets.token_hex(4).encode(), outcomes=requests.record)
    tls = None
    if any(url.is_secure for url in settings.cache.listen):
        certificate = ServerCertificate(settings, names, cast(Any, reactor), time.time)
        certificate.setServiceParent(daemon)
        daemon.on_reload(certificate.reload)
        tls = certificate.tls
    listening = ListeningService(settings.cache.listen, factory, reactor, tls, fail_start=fail_start)
    listening.setServiceParent(daemon)
    if settings.log_client.url:
        _log_service(settings).setServiceParent(daemon)

    def drain(is_hurried: bool) -> Any:
        listening.stop_listening()
        return factory.drain()

    def reload(config: Config) -> None:
        # Ports and the store stay as they are until the next start; so what is asked of the ports is asked of these.
        check_private_listener("cache", settings.cache.listen, config.cache.token_file)
        factory.respond = Guard(site, names, _tokens(config.cache.token_file)).respond

    daemon.on_drain(drain)
    daemon.on_reload(reload)
    return daemon


def _log_service(settings: Config) -> LogService:
    """Sends what this daemon logs to the log service."""
    local = tls_directory(settings) / CA
    ca = settings.balancer.upstream_tls.ca
    if not ca and (local.exists() or not settings.tls.certificate):
        ca = str(local)  # there, or made by the log service when it starts
    client = make_client(reactor, ca or None)
    sink = LogClient(settings.log_client.url, "cache", client, cast(Any, reactor), random.random, time.time)
    return LogService(sink, observer(sink, isInIOThread, cast(Any, reactor).callFromThread))


def _tokens(path: str) -> Tokens | None:
    if not path:
        return None
    try:
        return parse_tokens(Path(path).read_text("utf-8"), path)
    except OSError as why:
        raise ConfigurationFault(f"cache.token_file: {path}: {why.strerror}, expected a readable file") from None
    except UnicodeDecodeError:
        raise ConfigurationFault(f"cache.token_file: {path}: found bytes that are not UTF-8, expected text") from None
