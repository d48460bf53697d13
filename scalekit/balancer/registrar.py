"""
The private port: app servers register and unregister here, and people look at what is there.

``GET or POST /register?port=N[&service=S][&scheme=S][&weight=W][&hosts=H,H][&path=P]`` registers *peer address*:N;
``GET or POST /unregister?port=N[&service=S][&wait=SECONDS]`` drains it.  A GET changes something only for a peer on
this machine, because the tutorial's app servers ask that way; browsers are kept out by `scalekit.web.guard`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.http import parse_qs
from twisted.web.resource import Resource
from twisted.web.server import Request

from scalekit.balancer.addresses import judge, literal
from scalekit.balancer.instance import Instance
from scalekit.balancer.listing import Branch, Listing, ServicesResource, instance_view
from scalekit.balancer.roster import DRAIN_SECONDS, Endpoint, Roster
from scalekit.balancer.routes import DEFAULT_SERVICE, Claim, Routing
from scalekit.config.kinds import is_service_name
from scalekit.errors import ClientFault
from scalekit.web.answers import answer_later, json_answer, method_answer, query_value, text_answer
from scalekit.web.guard import grant_of

WEIGHTS = range(1, 257)  # HAProxy's, without its 0: what should get nothing is drained
HOSTS_LIMIT = 64  # names in one registration; beyond it a wildcard is meant

_REGISTER = frozenset((b"port", b"service", b"scheme", b"weight", b"hosts", b"path"))
_UNREGISTER = _REGISTER | {b"wait"}  # whoever leaves may say all that it has said when it came

_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)
_WEIGHT = re.compile(r"[0-9]{1,3}", re.ASCII)
_SECONDS = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})?", re.ASCII)

Listeners = Callable[[], Iterable[tuple[str, int]]]

_log = Logger()


class Registrar:
    """
    What `Register` and `Unregister` share.

    :param clock: of the roster's time.
    :param listeners: host and port of all listeners of ours, as they are really bound.
    """

    def __init__(self, roster: Roster, clock: IReactorTime, listeners: Listeners) -> None:
        self.roster = roster
        self.clock = clock
        self.listeners = listeners

    def permit(self, request: Request, service: str) -> bool:
        """Check the token's service; returns whether the peer is an operator.  Raises `ClientFault` 403."""
        grant = grant_of(request)
        if grant is not None and not grant.allows("register", service):
            raise ClientFault(403, "token-scope", f"This token is not good for registering in service {service}.")
        return grant is not None and grant.allows("operator", service)


class _Change(Branch):
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
        try:
            return self.change(request)
        except ClientFault as fault:
            if fault.status == 403:
                _log.warn(
                    "refused {uri!r} of {peer}: {reason}: {detail}",
                    uri=request.uri.decode("latin-1")[:200],  # what matters of it; a line of the log has an end
                    peer=peer_of(request),
                    reason=fault.reason,
                    detail=fault.detail,
                )
            raise

    def change(self, request: Request) -> Any:
        """Do it and answer; raises `ClientFault`."""
        raise NotImplementedError


class Register(_Change):
    """``/register``."""

    def change(self, request: Request) -> bytes:
        registrar = self._registrar
        _check_parameters(request, _REGISTER)
        service, port = _service(request), _port(request)
        scheme = query_value(request, b"scheme") or "https"
        if scheme not in ("http", "https", "h2c"):
            raise _bad("scheme", scheme, "http, https or h2c")
        weight = query_value(request, b"weight") or "1"
        if not _WEIGHT.fullmatch(weight) or int(weight) not in WEIGHTS:
            raise _bad("weight", weight, f"a number from {WEIGHTS[0]} to {WEIGHTS[-1]}")
        claim = _claim(request, service)
        is_operator = registrar.permit(request, service)
        peer = peer_of(request)
        verdict = judge(peer, port, peer, _local_of(request), registrar.listeners(), is_operator)
        if not verdict.is_allowed:
            raise ClientFault(403, verdict.reason, f"{verdict.detail}.")
        may_claim = is_operator or is_here(request)
        now = registrar.clock.seconds()
        instance = registrar.roster.register(
            service, Endpoint(scheme, verdict.host, port), now, int(weight), claim if may_claim else None
        )
        answer = {"service": service, **instance_view(instance, now)}
        if claim is not None and not may_claim:
            answer["note"] = "hosts and path were left out: they are taken from this machine or an operator only"
        return json_answer(request, 200, answer)


class Unregister(_Change):
    """``/unregister``."""

    def change(self, request: Request) -> Any:
        registrar = self._registrar
        _check_parameters(request, _UNREGISTER)
        service, port = _service(request), _port(request)
        wait = _wait(request)
        registrar.permit(request, service)
        id = Endpoint("", peer_of(request), port).id
        instance = registrar.roster.unregister(service, id, registrar.clock.seconds())
        if instance is None:
            return json_answer(request, 200, {"service": service, "id": id, "state": "gone", "in_flight": 0})
        if wait == 0:
            return self._told(request, instance)
        return answer_later(request, self._waited(request, instance, wait))

    def _waited(self, request: Request, instance: Instance, seconds: float) -> Deferred[bytes]:
        roster = self._registrar.roster

        def forget(_: object) -> None:
            roster.stop_waiting(instance, answer)
            if timer.active():
                timer.cancel()

        def answer(instance: Instance) -> None:
            forget(None)
            over.callback(instance)

        over: Deferred[Instance] = Deferred(forget)  # cancelled when the client goes away
        timer = self._registrar.clock.callLater(seconds, answer, instance)
        roster.wait_drained(instance, answer)
        return over.addCallback(lambda instance: self._told(request, instance))

    def _told(self, request: Request, instance: Instance) -> bytes:
        view = instance_view(instance, self._registrar.clock.seconds())
        return json_answer(request, 200, {"service": instance.service, **view})


class RegistrarResource(Branch):
    """
    The root of the private port.

    Operational routes (``/ping``, ``/metrics`` and so on) are added by whoever puts the daemon together.
    """

    def __init__(self, roster: Roster, routing: Routing, clock: IReactorTime, listeners: Listeners) -> None:
        super().__init__()
        self._listing = Listing(roster, routing, clock)
        registrar = Registrar(roster, clock, listeners)
        self.putChild(b"register", Register(registrar))
        self.putChild(b"unregister", Unregister(registrar))
        first_version = Branch()
        first_version.putChild(b"services", ServicesResource(self._listing))
        self.putChild(b"v1", first_version)

    def getChild(self, path: bytes, request: Request) -> Resource:
        return self if path == b"" else super().getChild(path, request)

    def render_GET(self, request: Request) -> bytes:
        return text_answer(request, 200, self._listing.text())


def peer_of(request: Request) -> str:
    """The address that asks, v4-mapped ones as IPv4; 127.0.0.1 for a unix socket, which only this machine can reach."""
    host = getattr(request.getClientAddress(), "host", "127.0.0.1")
    address = literal(host)
    return host if address is None else str(address)


def is_here(request: Request) -> bool:
    """Whether the peer is on this machine's loopback, or on a unix socket."""
    address = literal(peer_of(request))
    return address is not None and address.is_loopback


def _local_of(request: Request) -> str:
    return getattr(request.getHost(), "host", "127.0.0.1")


def _check_parameters(request: Request, known: frozenset[bytes]) -> None:
    """What is misspelt, or given twice, would be left out silently."""
    for name, values in parse_qs(request.uri.partition(b"?")[2], keep_blank_values=1).items():
        if name not in known:
            expected = ", ".join(sorted(one.decode() for one in known))
            raise ClientFault(
                400, "unknown-parameter", f"{name.decode('latin-1')[:80]!r} found, one of {expected} expected."
            )
        if len(values) > 1:
            raise ClientFault(400, f"bad-{name.decode()}", f"{name.decode()}: found {len(values)} times.")


def _service(request: Request) -> str:
    service = query_value(request, b"service") or DEFAULT_SERVICE
    if not is_service_name(service):
        raise _bad("service", service, "letters, digits, and . _ - inside, at most 64")
    return service


def _port(request: Request) -> int:
    port = query_value(request, b"port") or ""
    if not _PORT.fullmatch(port) or not 1 <= int(port) <= 65535:
        raise _bad("port", port, "a number from 1 to 65535")
    return int(port)


def _wait(request: Request) -> float:
    """Seconds, no more than draining itself takes."""
    wait = query_value(request, b"wait") or "0"
    if not _SECONDS.fullmatch(wait):
        raise _bad("wait", wait, f"seconds from 0 to {DRAIN_SECONDS:g}")
    return min(float(wait), DRAIN_SECONDS)


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


def _bad(name: str, found: str, expected: str) -> ClientFault:
    return ClientFault(400, f"bad-{name}", f"{name}: {found[:80]!r} found, {expected} expected.")
