"""
Who may register and unregister, what is said about who may not, and how somebody waits for an instance to be drained.

Shared by the tutorial's routes (`scalekit.balancer.registrar`) and by ``/v1`` (`scalekit.balancer.members`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.web.http import parse_qs
from twisted.web.server import Request

from scalekit.balancer.addresses import literal
from scalekit.balancer.instance import Instance, State
from scalekit.balancer.listing import instance_view
from scalekit.balancer.registry import IRegistry
from scalekit.balancer.roster import Roster
from scalekit.errors import ClientFault
from scalekit.web.answers import answer_later, json_answer, query_value
from scalekit.web.guard import grant_of

WEIGHTS = range(1, 257)  # HAProxy's, without its 0: what should get nothing is drained
HOSTS_LIMIT = 64  # names in one registration; beyond it a wildcard is meant

#: How often it is looked whether one that somebody waits for has nothing in flight any more: a deploy waits for each of
#: its app servers in turn.  The requests themselves do not look, for none of them is to pay for it.
LOOK_SECONDS = 0.02

_SECONDS = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})?", re.ASCII)

Listeners = Callable[[], Iterable[tuple[str, int]]]
Answer = TypeVar("Answer")

_log = Logger()


class Registrar:
    """
    What all that changes the roster is made with.

    :param clock: of the roster's time.
    :param listeners: host and port of all listeners of ours, as they are really bound.
    :param registry: is told all changes; None: the roster itself.
    :param awaited: is told whenever somebody waits for an instance to be drained, and for how many seconds.
    """

    def __init__(
        self,
        roster: Roster,
        clock: IReactorTime,
        listeners: Listeners,
        registry: IRegistry | None = None,
        awaited: Callable[[Instance, float], object] = lambda instance, seconds: None,
    ) -> None:
        self.roster = roster
        self.registry: IRegistry = roster if registry is None else registry
        self.clock = clock
        self.listeners = listeners
        self._awaited = awaited

    def permit(self, request: Request, service: str) -> bool:
        """Check the token's service; returns whether the peer is an operator.  Raises `ClientFault` 403."""
        grant = grant_of(request)
        if grant is not None and not grant.allows("register", service):
            raise ClientFault(403, "token-scope", f"This token is not good for registering in service {service}.")
        return grant is not None and grant.allows("operator", service)

    def may_manage(self, request: Request, service: str) -> bool:
        """Whether the peer may act on what others have registered: an operator, or this machine without a token."""
        is_operator = self.permit(request, service)
        return is_operator or (grant_of(request) is None and is_here(request))

    def drained_by_operator(self, instance: Instance, now: float) -> Instance | None:
        """Who leaves, when an operator has this one drained."""
        if instance.is_static:
            return self.roster.hold(instance.service, instance.id, now)
        return self.registry.unregister(instance.service, instance.id, now, "drained by an operator")

    def told_later(self, request: Request, instance: Instance, wait_seconds: float) -> Any:
        """Answer with the instance once it is gone, or when the wait is over."""
        if wait_seconds == 0 or instance.state is State.DRAINED:  # nobody leaves any more
            return self._told(request, instance)
        self._awaited(instance, wait_seconds)
        return answer_later(request, self._waited(request, instance, wait_seconds))

    def _waited(self, request: Request, instance: Instance, seconds: float) -> Deferred[bytes]:
        def forget(_: object) -> None:
            self.roster.stop_waiting(instance, answer)
            if timer.active():
                timer.cancel()
            if looking.running:
                looking.stop()

        def look() -> None:
            if not instance.in_flight:
                self.roster.let_go(instance, self.clock.seconds())

        def answer(instance: Instance) -> None:
            forget(None)
            over.callback(instance)

        over: Deferred[Instance] = Deferred(forget)  # cancelled when the client goes away
        timer = self.clock.callLater(seconds, answer, instance)
        looking = LoopingCall(look)
        looking.clock = self.clock
        looking.start(LOOK_SECONDS, now=False).addErrback(
            lambda failure: _log.failure("waiting for {instance}", failure, instance=instance)
        )
        self.roster.wait_drained(instance, answer)
        return over.addCallback(lambda instance: self._told(request, instance))

    def _told(self, request: Request, instance: Instance) -> bytes:
        view = instance_view(instance, self.clock.seconds())
        return json_answer(request, 200, {"service": instance.service, **view})


def audited(request: Request, act: Callable[[Request], Answer]) -> Answer:
    """Do it; if it is refused, that is one line in the log."""
    try:
        return act(request)
    except ClientFault as fault:
        if fault.status in (403, 409):
            _log.warn(
                "refused {method} {uri!r} of {peer}: {reason}: {detail}",
                method=request.method.decode("latin-1")[:20],
                uri=request.uri.decode("latin-1")[:200],  # what matters of it; a line of the log has an end
                peer=_name_of(request),
                reason=fault.reason,
                detail=fault.detail,
            )
        raise


def peer_of(request: Request) -> str:
    """The address that asks, v4-mapped ones as IPv4; 127.0.0.1 for a unix socket, which only this machine can reach."""
    host = getattr(request.getClientAddress(), "host", "127.0.0.1")
    address = literal(host)
    return host if address is None else str(address)


def local_of(request: Request) -> str:
    """The address that the peer has connected to."""
    return getattr(request.getHost(), "host", "127.0.0.1")


def is_here(request: Request) -> bool:
    """Whether the peer is on this machine's loopback, or on a unix socket."""
    address = literal(peer_of(request))
    return address is not None and address.is_loopback


def check_parameters(request: Request, known: frozenset[bytes]) -> None:
    """What is misspelt, or given twice, would be left out silently."""
    for name, values in parse_qs(request.uri.partition(b"?")[2], keep_blank_values=1).items():
        if name not in known:
            expected = ", ".join(sorted(one.decode() for one in known)) or "none"
            raise ClientFault(
                400, "unknown-parameter", f"{name.decode('latin-1')[:80]!r} found, one of {expected} expected."
            )
        if len(values) > 1:
            raise ClientFault(400, f"bad-{name.decode()}", f"{name.decode()}: found {len(values)} times.")


def wait_of(request: Request, most: float) -> float:
    """
    ``wait`` of the query, in seconds.

    :param most: `Roster.drain_seconds`: beyond it there is nothing to wait for.
    """
    return min(seconds_of(request, "wait", f"seconds from 0 to {most:g}") or 0.0, most)


def seconds_of(request: Request, name: str, expected: str = "seconds") -> float | None:
    """A parameter of the query that is a number of seconds; None if it is left out."""
    value = query_value(request, name.encode())
    if not value:
        return None
    if not _SECONDS.fullmatch(value):
        raise bad(name, value, expected)
    return float(value)


def bad(name: str, found: str, expected: str) -> ClientFault:
    """The 400 for a value that cannot be taken; it names the parameter."""
    return ClientFault(400, f"bad-{name}", f"{name}: {found[:80]!r} found, {expected} expected.")


def _name_of(request: Request) -> str:
    """Address and, where it has shown one, certificate of the peer."""
    certificate = getattr(getattr(getattr(request, "exchange", None), "client", None), "certificate", None)
    return f"{peer_of(request)} ({certificate.subject[:200]})" if certificate is not None else peer_of(request)
