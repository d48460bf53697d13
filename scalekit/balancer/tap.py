"""
The balancer's composition root: ``twistd scalekit-balancer``.

`add_balancer` is for every daemon that has the balancer in it (scalekit-balancer, scalekit-all).
"""

from __future__ import annotations

from scalekit.net import loop

loop.install()

import os
import random
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

from prometheus_client.registry import Collector
from twisted.internet import reactor as _reactor
from twisted.internet.threads import deferToThread

from scalekit.balancer.caching import CachedServices, Explaining
from scalekit.balancer.control import Control, add_control, add_members, drained
from scalekit.balancer.dashboard.overview import Overview
from scalekit.balancer.dashboard.rates import Rates
from scalekit.balancer.dashboard.resource import STYLESHEET, Dashboard
from scalekit.balancer.explaining import ExplainResource
from scalekit.balancer.listing import Listing
from scalekit.balancer.metrics import TrafficMetrics, TunnelMetrics
from scalekit.balancer.policies import Policies
from scalekit.balancer.proxy import ReverseProxy
from scalekit.balancer.registrar import RegistrarResource
from scalekit.balancer.resolver import StaticServers
from scalekit.balancer.roster import Roster
from scalekit.balancer.settings import (
    client_timeouts_of,
    h2_limits_of,
)
from scalekit.balancer.shared import SharedRegistry
from scalekit.balancer.sharing import SharingMetrics, new_link
from scalekit.balancer.streams import EventsResource
from scalekit.balancer.swapping import LIVE_KEYS, Parts, Swap
from scalekit.cache.bulk import Purge
from scalekit.cache.front.assembly import HTTPCache, new_http_cache
from scalekit.cache.front.elsewhere import HTTP_PURGES
from scalekit.cache.front.forecast import Forecast
from scalekit.cache.panel import CachePanel, store_stats
from scalekit.cache.purge_log import PurgeLog
from scalekit.config import Config
from scalekit.config.loading import load_password, load_tokens
from scalekit.config.model import Balancer as BalancerTable
from scalekit.config.tokens import Tokens
from scalekit.http.forwarding import Forwarder
from scalekit.interfaces import ILogSink, IPanel
from scalekit.kit.daemons import open_figures, open_logging
from scalekit.logs.panel import LogsPanel
from scalekit.net.addresses import local_names
from scalekit.net.contexts import HTTP, HTTP_1
from scalekit.net.deadlines import Ticking, Wheel
from scalekit.net.factory import HTTPFactory
from scalekit.net.listening import HTTPListening
from scalekit.net.pem import locked, made_secret
from scalekit.net.redis import redis_door
from scalekit.net.tls import ServerTLS
from scalekit.ops.access_log import AccessLog, check_access_log
from scalekit.ops.certificates import add_certificate
from scalekit.ops.daemon import DaemonOptions, DrainingService, explained_faults, fail_start
from scalekit.ops.metrics import BUCKETS, ConnectionMetrics, RequestMetrics, told_both
from scalekit.ops.serving import add_private_listener
from scalekit.web.access import registration_role
from scalekit.web.compress import Compress
from scalekit.web.covered import CoveredHosts
from scalekit.web.login import Login

reactor = cast(Any, _reactor)

#: What an app has to say about itself fits.
REGISTRATION_BYTES = 16 * 1024


class Options(DaemonOptions):
    """``twistd scalekit-balancer --help``."""

    daemon = "scalekit-balancer"
    sections = ("balancer", "registration")
    shared = (*DaemonOptions.shared, "redis")
    environ = os.environ
    optParameters = [
        ["access-log", None, None, "A file, or - for stdout."],
        ["logs", None, None, "URL of the log service that entries are sent to."],
    ]
    flag_keys = {"access-log": "balancer.access_log", "logs": "log_client.url"}


@explained_faults()
def makeService(options: Options) -> DrainingService:
    """The daemon."""
    daemon = DrainingService(options, reactor)
    settings = options.settings
    names = local_names(socket.gethostname())
    certificate = add_certificate(daemon, options, names, reactor, time.time, offered(settings))
    sink = open_logging(settings, "balancer", daemon, reactor)
    # Without a log service nobody need put a line into words.
    add_balancer(daemon, settings, names, certificate, sink if settings.log_client.url else None)
    return daemon


def offered(settings: Config) -> tuple[str, ...]:
    """What the https listeners of a balancer offer by ALPN."""
    return HTTP if settings.balancer.http2.enabled else HTTP_1


class Balancer(NamedTuple):
    """What a daemon with a balancer in it may want to look at: its members and its listeners."""

    roster: Roster
    public: HTTPListening
    private: HTTPListening


class _Path(NamedTuple):
    """
    What requests go through.

    :ivar name: what the balancer's request ids begin with.
    :ivar responder: makes what answers requests, as this configuration says.
    """

    name: bytes
    proxy: ReverseProxy
    policies: Policies
    services: CachedServices
    cache: HTTPCache | None
    responder: Callable[[BalancerTable], Any]
    metrics: RequestMetrics
    factory: HTTPFactory
    public: HTTPListening


def add_balancer(
    daemon: DrainingService,
    settings: Config,
    names: list[str],
    certificate: ServerTLS | None,
    sink: ILogSink | None,
    panels: Sequence[IPanel] = (),
) -> Balancer:
    """
    Add the balancer's services to a daemon.

    :param names: what this machine is called.
    :param sink: takes an entry for every request.
    :param panels: what other features show on the dashboard.
    """
    wheel = Wheel(reactor)
    Ticking(wheel).setServiceParent(daemon)
    control = add_control(
        daemon, settings, wheel, reactor, random.random, time.time, secrets.token_urlsafe, secrets.token_hex(4)
    )
    path = _add_path(daemon, settings, control, wheel, certificate, sink)
    servers = add_members(daemon, settings, control, reactor)
    _add_changes(daemon, settings, control, path, servers)
    # Last, so that everything behind a listener stands when it opens.
    private = _add_private(daemon, settings, control, path, wheel, names, certificate, panels)
    path.public.setServiceParent(daemon)
    return Balancer(control.roster, path.public, private)


def _add_path(
    daemon: DrainingService,
    settings: Config,
    control: Control,
    wheel: Wheel,
    certificate: ServerTLS | None,
    sink: ILogSink | None,
) -> _Path:
    """The proxy and what stands before it, up to the listeners, which are not open yet."""
    config = settings.balancer
    name = secrets.token_hex(4).encode()
    forwarder = Forwarder(name, config.trusted_proxies, partial(random.getrandbits, 192))
    policies = Policies(config, random.random, forwarder.client_address, _sticky_key(settings, config))
    proxy = ReverseProxy(
        control.roster, control.routing, control.upstreams, control.tunnels, forwarder, reactor, policies.traffic
    )
    wheel.every_tick(proxy.tick)
    is_name_decisive = certificate is not None and any(certificate.of(url).is_name_decisive for url in config.listen)
    services = CachedServices(proxy, control.routing, config)
    cache = _add_http_cache(daemon, settings, proxy, services, wheel) if config.http_cache.enabled else None

    def responder(balancer: BalancerTable) -> Any:
        inner: Any = proxy
        if balancer.compression.enabled:
            inner = Compress(inner, reactor, deferToThread, balancer.compression.algorithms)
        if cache is not None:
            cache.front.reconfigure(inner, tuple(inner.codings) if balancer.compression.enabled else ())
            inner = Explaining(cache.front, proxy) if balancer.trusted_proxies else cache.front
        return CoveredHosts(inner) if is_name_decisive else inner

    access_log = AccessLog(config.access_log, reactor, time.time, sink)
    access_log.setServiceParent(daemon)
    daemon.on_reload(
        lambda fresh: access_log.reopen(fresh.balancer.access_log),
        "balancer.access_log",
        check=lambda fresh: check_access_log(fresh.balancer.access_log),
    )
    metrics = RequestMetrics()
    factory = HTTPFactory(
        responder(config),
        reactor,
        time.time,
        name,
        wheel,
        client_timeouts_of(config),
        told_both(access_log.record, metrics.record),
        forwarder.request_id if config.trusted_proxies else None,  # of every request
        h2_limits_of(config),
        forwarder.is_trusted,
        forwarder.via,
    )
    public = HTTPListening(
        config.listen, factory, reactor, certificate, config.limits.max_connections, fail_start=fail_start
    )
    return _Path(name, proxy, policies, services, cache, responder, metrics, factory, public)


def _add_changes(
    daemon: DrainingService, settings: Config, control: Control, path: _Path, servers: StaticServers
) -> None:
    """How all of it is configured anew, and drains."""

    def limit(old: BalancerTable, fresh: BalancerTable) -> None:
        path.factory.reconfigure(client_timeouts_of(fresh), h2_limits_of(fresh))
        path.public.admission.limit = fresh.limits.max_connections
        if path.cache is not None:
            path.services.adopt(fresh)
            path.cache.adopt(fresh.http_cache)
        if fresh.compression != old.compression:
            path.factory.respond = path.responder(fresh).respond

    parts = Parts(
        control.roster,
        control.routing,
        servers,
        path.policies,
        path.proxy,
        control.upstreams,
        limit,
        partial(_sticky_key, settings),
        control.tell,
    )
    swap = Swap(settings.balancer, parts, reactor.seconds)
    daemon.on_reload(
        lambda fresh: swap.take(fresh.balancer), *LIVE_KEYS, check=lambda fresh: swap.check(fresh.balancer)
    )
    # First: the private listener answers /readyz meanwhile, and apps that leave find it.
    drain = partial(drained, reactor, path.factory, path.public, control.tunnels, lambda: swap.settings.drain.deadline)
    daemon.on_drain(drain, is_first=True)


def _add_private(
    daemon: DrainingService,
    settings: Config,
    control: Control,
    path: _Path,
    wheel: Wheel,
    names: list[str],
    certificate: ServerTLS | None,
    panels: Sequence[IPanel],
) -> HTTPListening:
    """The registration port: who comes and goes, what is known of them, and the dashboard."""
    roster, routing, proxy, cache = control.roster, control.routing, path.proxy, path.cache

    def listeners() -> list[tuple[str, int]]:
        return [
            (address.host, address.port)
            for service in (path.public, private)
            for address in service.addresses()
            if hasattr(address, "port")
        ]

    overview = Overview(
        roster,
        Listing(roster, routing, reactor),
        control.events,
        path.metrics.counts,
        Rates(BUCKETS),
        lambda name: len(proxy.traffic[name].waiting) if name in proxy.traffic else 0,
        reactor.seconds,
        [*panels, *_panels(settings, cache)],
    )
    explain = ExplainResource(
        roster,
        routing,
        lambda name: proxy.traffic.get(name) or path.policies.traffic(name),
        reactor,
        None if cache is None else Forecast(cache.front),
    )
    shared: SharedRegistry | None = None
    collectors: list[Collector] = [] if cache is None else [*cache.collectors]
    if settings.redis.url is not None:
        password = load_password(settings.redis.password_file, "redis.password_file")
        shared = SharedRegistry(roster, listeners, settings.redis.url.is_local)
        link = new_link(
            shared, settings.redis.url, password, secrets.token_hex(8), reactor, random.random, control.tell
        )
        link.setServiceParent(daemon)
        collectors.append(SharingMetrics(link, shared))
    private = add_private_listener(
        daemon,
        settings,
        "registration",
        RegistrarResource(
            roster,
            routing,
            reactor,
            listeners,
            secrets.token_urlsafe,
            EventsResource(control.streams),
            explain,
            shared,
            Dashboard(overview),
            None if cache is None else Purge(cache.purging),
            control.tunnels.end,
        ),
        names=names,
        certificate=certificate,
        reactor=reactor,
        wall=time.time,
        request_name=path.name + b"r",
        collectors=(
            path.metrics,
            control.instances,
            ConnectionMetrics("balancer", path.public),
            TrafficMetrics(lambda: proxy.traffic),
            TunnelMetrics(control.tunnels),
            *collectors,
        ),
        role_of=registration_role,
        body_limit=REGISTRATION_BYTES,
        wheel=wheel,
        counts_requests=False,
        login=Login("scalekit balancer", STYLESHEET, os.urandom, reactor.seconds),
    )
    return private


def _sticky_key(settings: Config, balancer: BalancerTable) -> bytes:
    """What cookies are signed with; empty if no service is sticky.  Raises `ConfigurationFault`: it cannot be kept."""
    if not any(service.sticky for service in balancer.service):
        return b""
    directory = Path(settings.state_directory)
    with locked(directory):
        return made_secret(directory / "sticky.key", os.urandom)


def _panels(settings: Config, cache: HTTPCache | None) -> list[IPanel]:
    """What the dashboard shows of the HTTP cache, and of a cache service and a log service elsewhere."""
    panels: list[IPanel] = []
    if cache is not None:
        panels.append(CachePanel("HTTP cache", partial(store_stats, cache.store)))
    table = settings.registration
    if table.cache:
        figures = open_figures(settings, "cache", "hottest", table.cache, table.cache_token_file, reactor)
        panels.append(CachePanel("Cache", figures))
    if table.logs:
        figures = open_figures(settings, "log", "lag_seconds", table.logs, table.logs_token_file, reactor)
        panels.append(LogsPanel("Log", figures))
    return panels


def _add_http_cache(
    daemon: DrainingService, settings: Config, proxy: ReverseProxy, services: CachedServices, wheel: Wheel
) -> HTTPCache:
    """The cache in front of the proxy, which is told later who stands between them."""
    log: PurgeLog | None = None
    if settings.redis.url is not None:
        password = load_password(settings.redis.password_file, "redis.password_file")
        door = redis_door(settings.redis.url, password, reactor)
        log = PurgeLog(door, HTTP_PURGES, secrets.token_hex(8), reactor, random.random)
        log.setServiceParent(daemon)

    def tokens(config: Config) -> Tokens | None:
        return load_tokens(config.registration.token_file, "registration.token_file")

    table, name = settings.balancer.http_cache, proxy.forwarder.via
    cache = new_http_cache(table, proxy, services, log, tokens(settings), reactor, time.time, name)
    cache.sweeping.setServiceParent(daemon)
    wheel.every_tick(cache.front.tick)
    daemon.on_reload(lambda fresh: cache.public_purge.adopt(tokens(fresh)), "registration.token_file")
    return cache
