"""
A daemon's private listener: its resource tree behind the guard, with the operational routes, drained and reloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector
from twisted.web.resource import Resource

from scalekit.config import Config
from scalekit.config.loading import load_tokens
from scalekit.config.tokens import check_private_listener
from scalekit.interfaces import IResponder
from scalekit.net.deadlines import Wheel
from scalekit.net.factory import HTTPFactory
from scalekit.net.listening import HTTPListening
from scalekit.net.tls import ServerTLS
from scalekit.ops.certificates import CertificateMetrics
from scalekit.ops.daemon import DrainingService, fail_start
from scalekit.ops.metrics import (
    ConnectionMetrics,
    Outcomes,
    ReloadMetrics,
    RequestMetrics,
    add_operational_routes,
    told_both,
)
from scalekit.ops.whereabouts import Whereabouts
from scalekit.web.access import RoleOf, data_role
from scalekit.web.guard import Guard
from scalekit.web.login import Login
from scalekit.web.site import Site


def add_private_listener(
    daemon: DrainingService,
    settings: Config,
    section: str,
    root: Resource,
    *,
    names: list[str],
    certificate: ServerTLS | None,
    reactor: Any,
    wall: Callable[[], float],
    request_name: bytes,
    collectors: tuple[Collector, ...] = (),
    role_of: RoleOf = data_role,
    body_limit: int,
    trouble: Callable[[], str | None] = lambda: None,
    wheel: Wheel | None = None,
    counts_requests: bool = True,
    outcomes: Outcomes | None = None,
    login: Login | None = None,
    ahead: Iterable[tuple[bytes, IResponder]] = (),
    front: Callable[[IResponder], IResponder] = lambda site: site,
) -> HTTPListening:
    """
    Add it to the daemon.

    :param section: the configuration's table with ``listen`` and, unless it knows no tokens, ``token_file``.
    :param names: what this machine is called, as it may stand in Host.
    :param request_name: starts the request ids of this listener.
    :param collectors: further numbers for ``/metrics``.
    :param role_of: the role that a request needs off this machine.
    :param body_limit: bytes of a request's body.
    :param counts_requests: whether ``/metrics`` tells of this listener's own requests.
    :param outcomes: is told ``(exchange, seconds)`` at the end of every exchange as well.
    :param login: how people get to its pages off this machine.
    :param ahead: see `Site`.
    :param front: makes what stands between the guard and the site.
    :param trouble: why the daemon should get no work now, for ``/readyz``; None: nothing.
    """
    registry = CollectorRegistry()
    for collector in collectors:
        registry.register(collector)
    told = [] if outcomes is None else [outcomes]
    if counts_requests:
        metrics = RequestMetrics()
        registry.register(metrics)
        told.append(metrics.record)
    if login is not None:
        for path, resource in login.resources.items():
            root.putChild(path, resource)
    add_operational_routes(root, registry, lambda: "draining" if daemon.is_draining else trouble())
    site = front(Site(root, body_limit, parse_forms=False, ahead=ahead))

    def token_file(config: Config) -> str | None:
        path: str | None = getattr(getattr(config, section), "token_file", None)
        return path

    def guarded(config: Config) -> Guard:
        return Guard(site, names, load_tokens(token_file(config) or "", f"{section}.token_file"), role_of, login)

    factory = HTTPFactory(guarded(settings), reactor, wall, request_name, wheel, outcomes=told_both(*told))
    listen = getattr(settings, section).listen
    listening = HTTPListening(listen, factory, reactor, certificate, fail_start=fail_start)
    listening.setServiceParent(daemon)
    Whereabouts(settings.state_directory, section, listening).setServiceParent(daemon)
    registry.register(ConnectionMetrics(section, listening))
    registry.register(ReloadMetrics(daemon.reloads))
    if certificate is not None:
        registry.register(CertificateMetrics(certificate))

    def check(config: Config) -> None:
        # The ports stay as they are until the next start: what may be asked of the new ones is asked of these.
        check_private_listener(section, listen, token_file(config))
        load_tokens(token_file(config) or "", f"{section}.token_file")

    def reload(config: Config) -> None:
        factory.respond = guarded(config).respond

    daemon.on_reload(reload, f"{section}.token_file", check=check)
    daemon.on_drain(lambda is_hurried: listening.drain())
    return listening
