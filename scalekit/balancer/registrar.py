"""
The private port: app servers register and unregister here, and people look at what is there.

``GET or POST /register?port=N[&service=S][&scheme=S][&weight=W][&hosts=H,H][&path=P][&keep_alive=SECONDS]`` registers
*peer address*:N;
``GET or POST /unregister?port=N[&service=S][&wait=SECONDS]`` drains it.  A GET changes something only for a peer on
this machine, because the tutorial's app servers ask that way; browsers are kept out by `scalekit.web.guard`.
Who registers so answers no challenge, so from another machine it takes an operator's token.

``DELETE /v1/services/{service}`` lets go of routes that nobody claims any more, see `scalekit.balancer.departed`; what
else is under ``/v1/services`` is in `scalekit.balancer.listing` and `scalekit.balancer.members`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource
from twisted.web.server import Request

from scalekit.balancer.addresses import judge
from scalekit.balancer.dashboard.resource import Dashboard
from scalekit.balancer.instance import Instance
from scalekit.balancer.listing import Listing, ServicesResource, instance_view
from scalekit.balancer.members import MembersResource
from scalekit.balancer.registering import (
    HOSTS_LIMIT,
    WEIGHTS,
    Listeners,
    Registrar,
    audited,
    bad,
    check_parameters,
    is_here,
    local_of,
    peer_of,
    seconds_of,
    wait_of,
)
from scalekit.balancer.registry import IRegistry
from scalekit.balancer.roster import Endpoint, Roster
from scalekit.balancer.routes import DEFAULT_SERVICE, Claim, Routing
from scalekit.config.kinds import is_service_name
from scalekit.errors import ClientFault
from scalekit.web.answers import ProblemResource, json_answer, method_answer, query_value, text_answer

_REGISTER = frozenset((b"port", b"service", b"scheme", b"weight", b"hosts", b"path", b"keep_alive"))
_UNREGISTER = _REGISTER | {b"wait"}  # whoever leaves may say all that it has said when it came

_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_WEIGHT = re.compile(r"[0-9]{1,3}", re.ASCII)


class _Change(ProblemResource):
    """GET for peers on this machine, POST for all; never HEAD, which must change nothing."""

    allowedMethods = (b"GET", b"POST")

    def __init__(self, registrar: Registrar) -> None:
        super().__init__()
        self._registrar = registrar

    def render_GET(self, request: Request) -> Any:
        if not is_here(request):
            return method_answer(request, [b"POST"])
        return self._audited(request)

    def render_POST(self, request: Request) -> Any:
        return self._audited(request)

    def render_HEAD(self, request: Request) -> Any:
        return method_answer(request, [b"GET", b"POST"] if is_here(request) else [b"POST"])

    def _audited(self, request: Request) -> Any:
        return audited(request, self.change)

    def change(self, request: Request) -> Any:
        """Do it and answer; raises `ClientFault`."""
        raise NotImplementedError


class Register(_Change):
    """``/register``."""

    def change(self, request: Request) -> bytes:
        registrar = self._registrar
        check_parameters(request, _REGISTER)
        service, port = _service(request), _port(request)
        scheme = query_value(request, b"scheme") or "https"
        if scheme not in ("http", "https", "h2c"):
            raise bad("scheme", scheme, "http, https or h2c")
        weight = query_value(request, b"weight") or "1"
        if not _WEIGHT.fullmatch(weight) or int(weight) not in WEIGHTS:
            raise bad("weight", weight, f"a number from {WEIGHTS[0]} to {WEIGHTS[-1]}")
        claim = _claim(request, service)
        keep_alive = seconds_of(request, "keep_alive")
        is_operator = registrar.permit(request, service)
        peer = peer_of(request)
        verdict = judge(peer, port, peer, local_of(request), registrar.listeners(), is_operator)
        if not verdict.is_allowed:
            raise ClientFault(403, verdict.reason, f"{verdict.detail}.")
        if not is_operator and not is_here(request):
            # Nobody who registers so can be challenged: a token that leaks could send a stranger's port our requests.
            raise ClientFault(
                403,
                "consent",
                "From another machine this takes an operator's token, as the app is not asked whether it consents;"
                " PUT /v1/services/SERVICE/instances/ID, which the kit and `scalekit run` send, takes yours.",
            )
        now = registrar.clock.seconds()
        instance = registrar.registry.register(
            service, Endpoint(scheme, verdict.host, port), now, int(weight), claim, keep_alive
        )
        return json_answer(request, 200, {"service": service, **instance_view(instance, now)})


class Unregister(_Change):
    """``/unregister``."""

    def change(self, request: Request) -> Any:
        registrar = self._registrar
        check_parameters(request, _UNREGISTER)
        service, port = _service(request), _port(request)
        wait = wait_of(request, registrar.roster.drain_seconds)
        registrar.permit(request, service)
        id = Endpoint("", peer_of(request), port).id
        instance = registrar.registry.unregister(service, id, registrar.clock.seconds())
        if instance is None:
            return json_answer(request, 200, {"service": service, "id": id, "state": "gone", "in_flight": 0})
        return registrar.told_later(request, instance, wait)


class RegistrarResource(ProblemResource):
    """
    The root of the private port.

    Operational routes (``/ping``, ``/metrics`` and so on) are added by whoever puts the daemon together.
    """

    def __init__(
        self,
        roster: Roster,
        routing: Routing,
        clock: IReactorTime,
        listeners: Listeners,
        new_secret: Callable[[], str],
        events: Resource,
        explain: Resource | None = None,
        registry: IRegistry | None = None,
        dashboard: Dashboard | None = None,
        purge: Resource | None = None,
        awaited: Callable[[Instance, float], object] = lambda instance, seconds: None,
    ) -> None:
        """
        :param new_secret: what nobody can guess, for each app that is to consent to being sent requests.
        :param events: ``/v1/events``.
        :param explain: ``/v1/explain``, where there is a data path to explain.
        :param purge: ``/v1/purge``, where there is an HTTP cache.
        :param dashboard: what browsers are shown; None: the same as everybody.
        :param registry: is told all changes; None: the roster itself.
        :param awaited: is told whenever somebody waits for an instance to be drained, and for how many seconds.
        """
        super().__init__()
        self._listing = Listing(roster, routing, clock)
        registrar = Registrar(roster, clock, listeners, registry, awaited)

        def members(service: str) -> Resource:
            return MembersResource(registrar, service, new_secret, self._listing.routes)

        def forget(request: Request, service: str) -> bytes:
            return audited(request, lambda request: self._forget(request, registrar, service))

        self.putChild(b"register", Register(registrar))
        self.putChild(b"unregister", Unregister(registrar))
        first_version = ProblemResource()
        first_version.putChild(b"services", ServicesResource(self._listing, members, forget))
        first_version.putChild(b"events", events)
        if explain is not None:
            first_version.putChild(b"explain", explain)
        if purge is not None:
            first_version.putChild(b"purge", purge)
        if dashboard is not None:
            first_version.putChild(b"overview", dashboard.overview)
            for path, asset in dashboard.assets.items():
                self.putChild(path, asset)
        self._dashboard = dashboard
        self.putChild(b"v1", first_version)

    def getChild(self, path: bytes, request: Request) -> Resource:
        return self if path == b"" else super().getChild(path, request)

    def _forget(self, request: Request, registrar: Registrar, service: str) -> bytes:
        check_parameters(request, frozenset())
        if not registrar.may_manage(request, service):
            raise ClientFault(403, "operator", "To let go of a service's routes is an operator's.")
        if self._listing.departed(service) is None:
            raise ClientFault(
                409, "not-departed", f"{service} has no routes that are only kept: drain who claims them first."
            )
        routes = self._listing.routes(service)
        registrar.roster.forget(service)
        return json_answer(request, 200, {"name": service, "forgotten": routes})

    def render_GET(self, request: Request) -> bytes:
        request.setHeader(b"vary", b"Accept")
        if self._dashboard is not None and self._dashboard.is_wanted(request):
            return self._dashboard.render(request)
        return text_answer(request, 200, self._listing.text())


def _service(request: Request) -> str:
    service = query_value(request, b"service") or DEFAULT_SERVICE
    if not is_service_name(service):
        raise bad("service", service, "letters, digits, and . _ - inside, at most 64")
    return service


def _port(request: Request) -> int:
    port = query_value(request, b"port") or ""
    if not _PORT.fullmatch(port) or not 1 <= int(port) <= 65535:
        raise bad("port", port, "a number from 1 to 65535")
    return int(port)


def _claim(request: Request, service: str) -> Claim | None:
    hosts, path = query_value(request, b"hosts"), query_value(request, b"path")
    if hosts is None and path is None:
        return None
    names = hosts.split(",") if hosts else []
    if len(names) > HOSTS_LIMIT:
        raise ClientFault(400, "bad-hosts", f"hosts: {len(names)} names found, at most {HOSTS_LIMIT} expected.")
    try:
        return Claim.of(service, names, path or "/")
    except ValueError as error:
        raise ClientFault(400, "bad-route", f"hosts, path: {error}.") from None
