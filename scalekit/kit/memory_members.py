"""
Who has registered with a balancer that is none, and what it answers them.  Pure.

It speaks the part of ``/v1/services`` that app servers need, with the generations, leases, drains and refusals of the
real one.  Nobody is probed: who registers is up, and whose lease is over is suspect until it renews.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from scalekit.errors import ClientFault
from scalekit.http.problems import problem_body

# As the real ones.
LEASE_SECONDS = 15.0
DRAIN_SECONDS = 30.0
RETIRED_SECONDS = 600.0

_TARGET = re.compile(r"/v1/services/([^/]+)/instances/([^/]+)(?:/(renew|drain))?")
_SECONDS = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})?", re.ASCII)
_BODY_TYPE = b"application/json"
#: The address of all of them: tests are of this machine.
_ADDRESS = "127.0.0.1"


class Member:
    """
    An app server.

    :ivar state: ``up``; ``suspect``, when its lease is over; ``draining``; ``gone``.
    :ivar said: what it has registered with, as in the JSON of the ``PUT``.
    :ivar in_flight: how many requests it has, as the test says.
    """

    def __init__(self, service: str, id: str, said: dict[str, Any]) -> None:
        self.service = service
        self.id = id
        self.generation: int = said["generation"]
        self.port: int = said["port"]
        self.scheme: str = said.get("scheme", "https")
        self.said = said
        self.state = "up"
        self.in_flight = 0
        self.until = 0.0  # of its lease, or of the drain

    @property
    def view(self) -> dict[str, Any]:
        """The JSON form."""
        return {
            "service": self.service,
            "id": self.id,
            "scheme": self.scheme,
            "address": _ADDRESS,
            "port": self.port,
            "state": self.state,
            "in_flight": self.in_flight,
            "generation": self.generation,
        }

    @property
    def routes(self) -> list[str]:
        """Which requests get there; ``default`` takes all, another service what it has claimed."""
        hosts, path = self.said.get("hosts") or (), self.said.get("path")
        if not hosts and path is None and self.service != "default":
            return []
        return [f"{host}{path or '/'}" for host in hosts or ("*",)]

    def __repr__(self) -> str:
        return f"<Member {self.service} {self.id} port {self.port} generation {self.generation}: {self.state}>"


class Told(NamedTuple):
    """
    An answer.

    :ivar member: whom it tells of.
    :ivar wait_seconds: for which it is to wait until that one is gone; then `Members.told` makes the answer.
    """

    status: int
    body: bytes
    member: Member | None = None
    wait_seconds: float = 0.0


class Members:
    """The members of all services.  Times are those of one clock, in seconds; `expire` comes before a look."""

    def __init__(self) -> None:
        self._members: dict[tuple[str, str], Member] = {}
        self._leaving: list[Member] = []
        self._retired: dict[tuple[str, str], tuple[int, float]] = {}

    def instances(self, service: str) -> list[Member]:
        """Those that are not gone, in the order of their registration, who leaves last."""
        return [one for one in (*self._members.values(), *self._leaving) if one.service == service]

    def find(self, service: str, id: str) -> Member | None:
        """The member of this id, or else the one of the highest generation that is leaving."""
        leaving = [one for one in self._leaving if (one.service, one.id) == (service, id)]
        return self._members.get((service, id)) or max(leaving, key=lambda one: one.generation, default=None)

    def clear(self) -> None:
        """Know nobody any more."""
        for member in (*self._members.values(), *self._leaving):
            member.state = "gone"
        self._members, self._leaving, self._retired = {}, [], {}

    def answer(self, method: str, url: str, body: bytes | None, now: float) -> Told:
        """What is answered to a request; of one that cannot be answered, the problem."""
        parts = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        match = _TARGET.fullmatch(parts.path)
        self.expire(now)
        try:
            if match is None:
                raise ClientFault(404, "not-found", "There is nothing here.")
            service, id = unquote(match[1]), unquote(match[2])
            if match[3] is None and method == "PUT":
                return self._register(service, id, body or b"", now)
            if match[3] is None and method == "GET":
                return self.told(self._known(service, id))
            generation = _generation(query.get("generation"))
            if match[3] is None and method == "DELETE":
                return self._unregister(service, id, generation, query.get("mode") == "now", now)
            if match[3] == "renew" and method == "POST":
                return self._renew(service, id, generation, now)
            if match[3] == "drain" and method == "POST":
                wait = min(_seconds(query.get("wait", "0")), DRAIN_SECONDS)
                member = self.leave(service, id, generation, now)
                if member is None:
                    raise _unknown(service, id)
                return self.told(member)._replace(wait_seconds=0.0 if member.state == "gone" else wait)
            raise ClientFault(405, "method", "This resource does not take that.")
        except ClientFault as fault:
            return refused(fault)

    def told(self, member: Member, status: int = 200, **more: Any) -> Told:
        """What is told of a member."""
        return Told(status, json.dumps({**member.view, **more}).encode(), member)

    def leave(
        self, service: str, id: str, generation: int | None, now: float, is_hurried: bool = False
    ) -> Member | None:
        """Drain a member; None: it is not known.  Raises `ClientFault` 409 for a generation that is over."""
        member = self.find(service, id)
        if member is None or (generation is not None and generation > member.generation):
            return None
        if generation is not None and generation < member.generation:
            raise _stale(id, generation, member.generation)
        before, _ = self._retired.get((service, id), (0, 0.0))
        self._retired[service, id] = max(before, member.generation), now
        self._drain(member, now)
        if is_hurried:
            member.until = now
        self.expire(now)
        return member

    def expire(self, now: float) -> None:
        """Whatever comes by time alone."""
        for member in self._members.values():
            if now >= member.until:
                member.state = "suspect"
        for member in list(self._leaving):
            if not member.in_flight or now >= member.until:
                member.state = "gone"
                self._leaving.remove(member)
        self._retired = {key: (last, at) for key, (last, at) in self._retired.items() if now - at < RETIRED_SECONDS}

    def _register(self, service: str, id: str, body: bytes, now: float) -> Told:
        said = _read(body)
        known = self._members.get((service, id))
        self._check(service, id, said["generation"], is_asking=False)
        wanted = Member(service, id, said)
        member = known
        place = (wanted.generation, wanted.scheme, wanted.port)
        if known is None or (known.generation, known.scheme, known.port) != place:
            for one in [*self._members.values()]:
                if one is known or (one.service == service and one.port == wanted.port):
                    self._drain(one, now)
            member = self._members[service, id] = wanted
        assert member is not None
        member.said, member.state, member.until = said, "up", now + LEASE_SECONDS
        self.expire(now)
        more = {"renew_seconds": LEASE_SECONDS / 3, "routes": member.routes}
        return self.told(member, 200 if member is known else 201, **more)

    def _renew(self, service: str, id: str, generation: int | None, now: float) -> Told:
        if generation is not None:
            self._check(service, id, generation, is_asking=True)
        member = self._known(service, id)
        if generation is not None and generation > member.generation:
            raise _unknown(service, id)
        if member.state != "draining":
            member.state, member.until = "up", now + LEASE_SECONDS
        return self.told(member, renew_seconds=LEASE_SECONDS / 3)

    def _unregister(self, service: str, id: str, generation: int | None, is_hurried: bool, now: float) -> Told:
        if generation is None:
            raise ClientFault(400, "bad-generation", "generation: '' found, the generation that leaves expected.")
        member = self.leave(service, id, generation, now, is_hurried)
        if member is None:
            gone = {"service": service, "id": id, "state": "gone", "in_flight": 0}
            return Told(200, json.dumps(gone).encode())
        return self.told(member)

    def _drain(self, member: Member, now: float) -> None:
        if self._members.get((member.service, member.id)) is member:
            del self._members[member.service, member.id]
            self._leaving.append(member)
            member.state, member.until = "draining", now + DRAIN_SECONDS

    def _check(self, service: str, id: str, generation: int, is_asking: bool) -> None:
        """Refuse a generation that is over; one that is draining may hear that."""
        known = self.find(service, id)
        if known is not None and generation < known.generation:
            raise _stale(id, generation, known.generation)
        if known is not None and is_asking and generation == known.generation:
            return
        last, _ = self._retired.get((service, id), (0, 0.0))
        if generation <= last:
            raise ClientFault(409, "drained", f"Generation {last} of {id} was drained; only a higher one may come.")

    def _known(self, service: str, id: str) -> Member:
        member = self.find(service, id)
        if member is None:
            raise _unknown(service, id)
        return member

    def __repr__(self) -> str:
        return f"<Members {' '.join(map(repr, (*self._members.values(), *self._leaving)))}>"


def refused(fault: ClientFault) -> Told:
    """The problem that tells of it."""
    return Told(fault.status, problem_body(_BODY_TYPE, fault.status, fault.reason, fault.detail)[1])


def _read(body: bytes) -> dict[str, Any]:
    """What a registration says; raises `ClientFault` 400."""
    try:
        said = json.loads(body)
    except ValueError:
        raise ClientFault(400, "bad-json", "The body is no JSON.") from None
    if not isinstance(said, dict):
        raise ClientFault(400, "bad-body", "The body is no JSON object.")
    for name, most in (("generation", 2**63 - 1), ("port", 65535)):
        if type(said.get(name)) is not int or not 1 <= said[name] <= most:
            raise ClientFault(400, f"bad-{name}", f"{name}: {said.get(name, '')!r} found, a number from 1 expected.")
    return said


def _generation(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ClientFault(400, "bad-generation", f"generation: {text!r} found, a whole number from 1 expected.")
    return int(text)


def _seconds(text: str) -> float:
    if not _SECONDS.fullmatch(text):
        raise ClientFault(400, "bad-wait", f"wait: {text!r} found, seconds from 0 expected.")
    return float(text)


def _unknown(service: str, id: str) -> ClientFault:
    return ClientFault(404, "unknown-instance", f"There is no {id} in service {service}.")


def _stale(id: str, generation: int, present: int) -> ClientFault:
    return ClientFault(409, "stale-generation", f"Generation {generation} of {id} is over: {present} is there.")
