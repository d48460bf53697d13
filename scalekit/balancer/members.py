"""
``/v1/services/{service}/instances/{id}``: what an app server says of itself, and what an operator says of it.

| request | does |
|---|---|
| ``PUT`` with a `RegistrationBody` | registers (201) or refreshes (200); when to renew, ``routes``, a ``secret`` |
| ``POST …/renew[?generation=G]`` | renews the lease; 404: register again |
| ``POST …/drain[?wait=S][&generation=G]`` | drains; answers when nothing is in flight, or the wait is over |
| ``DELETE ?generation=G[&mode=drain\\|now]`` | drains, or lets go at once; 200 also when unknown |
| ``PATCH`` with an `AmendmentBody` | an operator's: changes the weight, drains, or takes a configured server back |

A generation that another has followed is refused with 409 and changes nothing.  An id that is well at another address
is refused with 403, however high the generation: two machines may have one name.  A move is taken after the lease.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta
from twisted.web.resource import Resource
from twisted.web.server import Request

from scalekit.balancer.addresses import judge, literal
from scalekit.balancer.instance import ELIGIBLE, LEASE_SECONDS, Endpoint, Instance, Registration
from scalekit.balancer.listing import instance_view
from scalekit.balancer.registering import (
    HOSTS_LIMIT,
    WEIGHTS,
    Registrar,
    audited,
    bad,
    check_parameters,
    is_here,
    local_of,
    peer_of,
    wait_of,
)
from scalekit.balancer.routes import Claim
from scalekit.errors import ClientFault
from scalekit.web.answers import Absent, ProblemResource, json_answer, query_value, read_body

BODY_LIMIT = 16 * 1024
# Below it the jitter of a busy machine is a missed lease; above it a dead app is noticed by probes alone for too long.
LEASES = (3.0, 300.0)
LONGEST_KEEP_ALIVE = 86400  # a day: who never closes idle connections says so by leaving it out
MOST_IN_FLIGHT = 100_000  # more than one process has descriptors for
META_LIMIT = 64
LONGEST_META = 256

# A name, or its own address and port: what stands in logs, events and cookies without quoting.
# The socket file of a server of the configuration, which nobody can register, goes on with what a path may hold.
_ID = re.compile(r"[A-Za-z0-9\[](?:[A-Za-z0-9._:\[\]-]{0,126}[A-Za-z0-9])?|unix:///[^\x00-\x1f\x7f]{1,102}", re.ASCII)
_GENERATION = re.compile(r"[0-9]{1,19}", re.ASCII)
_PLACE = re.compile(r" - at `\$\.?([^`]*)`$")
_FIELD = re.compile(r"field `([^`]*)`")

Weight = Annotated[int, Meta(ge=WEIGHTS[0], le=WEIGHTS[-1])]


class RegistrationBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """
    The JSON of a ``PUT``.

    :ivar generation: rises with each start of the app; its start time in microseconds will do.
    :ivar address: an operator's only; None: the peer's own.
    :ivar ttl: the lease in seconds.
    :ivar keep_alive: seconds after which the app closes an idle connection.
    :ivar max_in_flight: how many requests it takes at a time; None: any number.
    :ivar consent: false: an operator vouches for an app that cannot answer challenges.
    """

    generation: Annotated[int, Meta(ge=1, le=2**63 - 1)]
    port: Annotated[int, Meta(ge=1, le=65535)]
    address: str | None = None
    scheme: Literal["http", "https", "h2c"] = "https"
    weight: Weight = 1
    ttl: Annotated[float, Meta(ge=LEASES[0], le=LEASES[1])] = LEASE_SECONDS
    hosts: Annotated[list[str], Meta(max_length=HOSTS_LIMIT)] | None = None
    path: str | None = None
    meta: Annotated[
        dict[Annotated[str, Meta(max_length=LONGEST_META)], Annotated[str, Meta(max_length=LONGEST_META)]],
        Meta(max_length=META_LIMIT),
    ] = {}
    keep_alive: Annotated[float, Meta(ge=0, le=LONGEST_KEEP_ALIVE)] | None = None
    max_in_flight: Annotated[int, Meta(ge=1, le=MOST_IN_FLIGHT)] | None = None
    consent: bool = True


#: What a field of a body is, for whoever has sent another thing.
EXPECTED = {
    "generation": "a whole number from 1",
    "port": "a whole number from 1 to 65535",
    "address": "an IP address",
    "scheme": "http, https or h2c",
    "weight": f"a whole number from {WEIGHTS[0]} to {WEIGHTS[-1]}",
    "ttl": f"seconds from {LEASES[0]:g} to {LEASES[1]:g}",
    "hosts": f"a list of at most {HOSTS_LIMIT} names",
    "path": "a path such as /shop",
    "meta": f"at most {META_LIMIT} texts by name, of at most {LONGEST_META} characters",
    "keep_alive": f"seconds from 0 to {LONGEST_KEEP_ALIVE}",
    "max_in_flight": f"a whole number from 1 to {MOST_IN_FLIGHT}",
    "consent": "true or false",
    "state": "draining or joining",
}


class AmendmentBody(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The JSON of a ``PATCH``: what is left out stays as it is."""

    weight: Weight | None = None
    state: Literal["draining", "joining"] | None = None


Body = TypeVar("Body")


def parse_body(body: bytes, kind: type[Body]) -> Body:
    """Read a body; raises `ClientFault` 400 that names the field."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise _named(str(error), kind, body) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ClientFault(400, "bad-json", f"The body is no JSON: {str(error)[:200]}.") from None


def _named(text: str, kind: Any, body: bytes) -> ClientFault:
    place = _PLACE.search(text) or _FIELD.search(text)
    field = re.split(r"[.\[]", place[1])[0] if place else ""
    if field in kind.__struct_fields__:
        try:
            given = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):  # the fault was found before its end
            return ClientFault(400, "bad-json", "The body is no JSON.")
        return bad(field, bytes(given.get(field, b"")).decode("utf-8", "replace"), EXPECTED[field])
    if place:
        known = ", ".join(kind.__struct_fields__)
        return ClientFault(400, "bad-body", f"{field[:80]!r} found, one of {known} expected.")
    return ClientFault(400, "bad-body", "The body is no JSON object.")


class MembersResource(ProblemResource):
    """``/v1/services/{service}/instances``."""

    def __init__(
        self, registrar: Registrar, service: str, new_secret: Callable[[], str], routes: Callable[[str], list[str]]
    ) -> None:
        super().__init__()
        self._registrar = registrar
        self._service = service
        self._new_secret = new_secret
        self._routes = routes

    def getChild(self, path: bytes, request: Request) -> Resource:
        id = path.decode("utf-8", "replace")
        if not _ID.fullmatch(id):
            return Absent()
        return MemberResource(self._registrar, self._service, id, self._new_secret, self._routes)

    def render_GET(self, request: Request) -> bytes:
        now = self._registrar.clock.seconds()
        instances = self._registrar.roster.instances(self._service)
        return json_answer(request, 200, {"instances": [instance_view(one, now) for one in instances]})


class _About(ProblemResource):
    """Of one instance."""

    def __init__(self, registrar: Registrar, service: str, id: str) -> None:
        super().__init__()
        self._registrar = registrar
        self._service = service
        self._id = id

    def _find(self) -> Instance | None:
        return self._registrar.roster.find(self._service, self._id)

    def _own(self, request: Request) -> None:
        """Refuse whoever asks about an instance at another address, unless it may."""
        if self._registrar.may_manage(request, self._service):
            return
        instance = self._find()
        if instance is not None and instance.address != peer_of(request):
            raise ClientFault(403, "foreign", f"{self._id} is at {instance.address}, not at the address that asks.")

    def _not_elsewhere(self, request: Request, address: str) -> None:
        """Refuse to let one at this address take the place of one that is well at another, unless the peer may."""
        instance = self._find()
        if instance is None or instance.address == address or instance.state not in ELIGIBLE or instance.has_lapsed:
            return
        if not self._registrar.may_manage(request, self._service):
            raise ClientFault(403, "foreign", f"{self._id} is at {instance.address}, and well.")

    def _told(self, request: Request, instance: Instance | None, status: int = 200, **more: Any) -> bytes:
        if instance is None:
            raise ClientFault(404, "unknown-instance", f"There is no {self._id} in service {self._service}.")
        view = instance_view(instance, self._registrar.clock.seconds())
        return json_answer(request, status, {"service": self._service, **view, **more})


class MemberResource(_About):
    """The instance itself."""

    def __init__(
        self,
        registrar: Registrar,
        service: str,
        id: str,
        new_secret: Callable[[], str],
        routes: Callable[[str], list[str]],
    ) -> None:
        super().__init__(registrar, service, id)
        self._new_secret = new_secret
        self._routes = routes
        self.putChild(b"renew", Renew(registrar, service, id))
        self.putChild(b"drain", Drain(registrar, service, id))

    def render_GET(self, request: Request) -> bytes:
        return self._told(request, self._find())

    def render_PUT(self, request: Request) -> bytes:
        return audited(request, self._register)

    def render_DELETE(self, request: Request) -> bytes:
        return audited(request, self._unregister)

    def render_PATCH(self, request: Request) -> bytes:
        return audited(request, self._amend)

    def _register(self, request: Request) -> bytes:
        registrar = self._registrar
        check_parameters(request, frozenset())
        said = parse_body(read_body(request, BODY_LIMIT), RegistrationBody)
        claim = None
        if said.hosts or said.path is not None:
            try:
                claim = Claim.of(self._service, said.hosts or (), said.path or "/")
            except ValueError as error:
                raise ClientFault(400, "bad-route", f"hosts, path: {error}.") from None
        is_operator = registrar.permit(request, self._service)
        peer = peer_of(request)
        verdict = judge(said.address or peer, said.port, peer, local_of(request), registrar.listeners(), is_operator)
        if not verdict.is_allowed:
            raise ClientFault(403, verdict.reason, f"address: {verdict.detail}.")
        if not said.consent and not is_operator:
            raise ClientFault(403, "consent", "consent: only an operator vouches for an app that cannot consent.")
        self._not_elsewhere(request, verdict.host)
        address = literal(verdict.host)
        is_challenged = said.consent and address is not None and not address.is_loopback
        may_claim = is_operator or is_here(request)
        before = self._find()
        instance = registrar.registry.enrol(
            self._service,
            Registration(
                self._id,
                Endpoint(said.scheme, verdict.host, said.port),
                said.generation,
                said.weight,
                said.ttl,
                claim if may_claim else None,
                said.meta,
                said.keep_alive,
                self._new_secret() if is_challenged else "",
                said.max_in_flight,
            ),
            registrar.clock.seconds(),
        )
        more: dict[str, Any] = {
            "renew_seconds": round(registrar.roster.renew_seconds(instance), 3),
            "routes": self._routes(self._service),
        }
        if instance.secret:
            more["secret"] = instance.secret
        if claim is not None and not may_claim:
            more["note"] = "hosts and path were left out: they are taken from this machine or an operator only"
        request.setHeader(b"cache-control", b"no-store")
        return self._told(request, instance, 200 if instance is before else 201, **more)

    def _unregister(self, request: Request) -> bytes:
        check_parameters(request, frozenset((b"generation", b"mode")))
        mode = query_value(request, b"mode") or "drain"
        if mode not in ("drain", "now"):
            raise bad("mode", mode, "drain or now")
        generation = _generation(request)
        if generation is None:
            raise bad("generation", "", "the generation that leaves")
        self._own(request)
        instance = self._registrar.registry.unregister(
            self._service,
            self._id,
            self._registrar.clock.seconds(),
            generation=generation,
            is_hurried=mode == "now",
        )
        if instance is None:
            gone = {"service": self._service, "id": self._id, "state": "gone", "in_flight": 0}
            return json_answer(request, 200, gone)
        return self._told(request, instance)

    def _amend(self, request: Request) -> bytes:
        check_parameters(request, frozenset())
        said = parse_body(read_body(request, BODY_LIMIT), AmendmentBody)
        registrar = self._registrar
        if not registrar.may_manage(request, self._service):
            raise ClientFault(403, "operator", "Weight and state are an operator's to change.")
        instance = self._find()
        if instance is not None:
            if said.weight is not None:
                registrar.registry.reweigh(instance, said.weight)
            now = registrar.clock.seconds()
            if said.state == "draining":
                instance = registrar.drained_by_operator(instance, now)
            elif said.state == "joining":
                instance = registrar.roster.take_back(self._service, self._id, now)
                if instance is None:
                    raise ClientFault(409, "not-configured", f"state: {self._id} has to register again by itself.")
        return self._told(request, instance)


class Renew(_About):
    """``…/renew``."""

    def render_POST(self, request: Request) -> bytes:
        return audited(request, self._renew)

    def _renew(self, request: Request) -> bytes:
        check_parameters(request, frozenset((b"generation",)))
        generation = _generation(request)
        self._own(request)
        registrar = self._registrar
        instance = registrar.registry.renew(self._service, self._id, generation, registrar.clock.seconds())
        if instance is None:
            raise ClientFault(
                404, "unknown-instance", f"There is no {self._id} in service {self._service}: register again."
            )
        return self._told(request, instance, renew_seconds=round(registrar.roster.renew_seconds(instance), 3))


class Drain(_About):
    """``…/drain``."""

    def render_POST(self, request: Request) -> Any:
        return audited(request, self._drain)

    def _drain(self, request: Request) -> Any:
        check_parameters(request, frozenset((b"generation", b"wait")))
        registrar = self._registrar
        wait, generation = wait_of(request, registrar.roster.drain_seconds), _generation(request)
        self._own(request)
        now = registrar.clock.seconds()
        instance = self._find()
        if instance is not None and instance.is_static and registrar.may_manage(request, self._service):
            instance = registrar.drained_by_operator(instance, now)
        else:
            instance = registrar.registry.unregister(self._service, self._id, now, "drained", generation)
        if instance is None:
            return self._told(request, None)
        return registrar.told_later(request, instance, wait)


def _generation(request: Request) -> int | None:
    text = query_value(request, b"generation")
    if text is None:
        return None
    if not _GENERATION.fullmatch(text) or int(text) < 1:
        raise bad("generation", text, "a whole number from 1")
    return int(text)
