"""What the private port shows of services and instances: ``GET /`` as text, ``GET /v1/services`` as JSON."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import Resource
from twisted.web.server import Request

from scalekit.balancer.departed import KEPT_SECONDS
from scalekit.balancer.instance import Instance
from scalekit.balancer.roster import Roster
from scalekit.balancer.routes import Route, Routing
from scalekit.config.kinds import is_service_name
from scalekit.web.answers import Absent, ProblemResource, json_answer


def instance_view(instance: Instance, now: float) -> dict[str, Any]:
    """The JSON form of an instance."""
    return {
        "id": instance.id,
        "url": instance.endpoint.url,
        "scheme": instance.scheme,
        "address": instance.address,
        "port": instance.port,
        "server_name": instance.server_name,
        "weight": instance.weight,
        "static": instance.is_static,
        "state": str(instance.state),
        "reason": instance.reason,
        "state_seconds": round(max(0.0, now - instance.since), 3),
        "in_flight": instance.in_flight,
        "generation": instance.generation,
        "lease_seconds": instance.lease_seconds,
        "lease_left": None if instance.lease_until is None else round(max(0.0, instance.lease_until - now), 3),
        "share": round(instance.share, 3),
        "meta": instance.meta,
        "keep_alive": instance.keep_alive,
        "max_in_flight": None if instance.max_in_flight == inf else instance.max_in_flight,
    }


class Listing:
    """
    Looks at the roster and the routes.

    :param clock: of the roster's time.
    """

    def __init__(self, roster: Roster, routing: Routing, clock: IReactorTime) -> None:
        self._roster = roster
        self._routing = routing
        self._clock = clock

    def names(self) -> list[str]:
        """Every service that has an instance or a route, by name."""
        return sorted({*self._roster.services(), *(route.service for route in self._routing.table.routes)})

    def routes(self, name: str) -> list[str]:
        """The routes of a service; none: no request reaches it."""
        return [shown_route(route) for route in self._routing.table.routes if route.service == name]

    def service_view(self, name: str) -> dict[str, Any]:
        """
        The JSON form of a service.

        ``routes`` is empty if no request reaches it; ``departed`` is none unless all who claimed its routes are gone.
        """
        now = self._clock.seconds()
        return {
            "name": name,
            "routes": self.routes(name),
            "available": len(self._roster.available(name)),
            "panic": self._roster.is_panicking(name),
            "departed": self.departed(name),
            "instances": [instance_view(instance, now) for instance in self._roster.instances(name)],
        }

    def departed(self, name: str) -> dict[str, float] | None:
        """How many ``seconds`` all who claimed its routes have been gone, and for how many more these are kept."""
        at = None if self._routing.is_configured(name) else self._roster.departed_at(name)
        if at is None:
            return None
        seconds = max(0.0, self._clock.seconds() - at)
        return {"seconds": round(seconds, 3), "kept_seconds": round(max(0.0, KEPT_SECONDS - seconds), 3)}

    def text(self) -> str:
        """All of it for a person at a terminal."""
        now, lines = self._clock.seconds(), []
        for view in map(self.service_view, self.names()):
            lines.append(f"{view['name']}  {'  '.join(view['routes']) or 'no route'}")
            lines += [
                f"  {one.endpoint.url}{_own_name(one)}  {one.state} for {max(0.0, now - one.since):.0f} s"
                f" ({one.reason})  {one.in_flight} in flight"
                for one in self._roster.instances(view["name"])
            ]
            left = view["departed"]
            if left is not None:
                kept = f"kept for another {left['kept_seconds']:.0f} s"
                lines.append(f"  nobody has claimed these routes for {left['seconds']:.0f} s; they are {kept}")
            if not view["instances"]:
                lines.append("  no app servers")
        return "\n".join(lines) + "\n"


def _own_name(instance: Instance) -> str:
    """What an instance calls itself, where that is not its address."""
    return "" if instance.id == instance.endpoint.id else f"  {instance.id}"


class ServicesResource(ProblemResource):
    """
    ``/v1/services`` and ``/v1/services/{service}``.

    :param members: makes ``/v1/services/{service}/instances`` for a service, which need not be there yet.
    :param forget: does what ``DELETE`` of a service asks for.
    """

    def __init__(
        self, listing: Listing, members: Callable[[str], Resource], forget: Callable[[Request, str], bytes]
    ) -> None:
        super().__init__()
        self._listing = listing
        self._members = members
        self._forget = forget

    def getChild(self, path: bytes, request: Request) -> Resource:
        name = path.decode("utf-8", "replace")
        if not name:  # a slash at the end
            return self
        if request.postpath and request.postpath[0] == b"instances" and is_service_name(name):
            service = ProblemResource()
            service.putChild(b"instances", self._members(name))
            return service
        if name in self._listing.names():
            return ServiceResource(self._listing, name, self._forget)
        return Absent(f"There is no service {name}.") if is_service_name(name) else Absent()

    def render_GET(self, request: Request) -> bytes:
        views = [self._listing.service_view(name) for name in self._listing.names()]
        return json_answer(request, 200, {"services": views})


class ServiceResource(ProblemResource):
    """``/v1/services/{service}``."""

    def __init__(self, listing: Listing, name: str, forget: Callable[[Request, str], bytes]) -> None:
        super().__init__()
        self._listing = listing
        self._name = name
        self._forget = forget

    def render_GET(self, request: Request) -> bytes:
        return json_answer(request, 200, self._listing.service_view(self._name))

    def render_DELETE(self, request: Request) -> bytes:
        return self._forget(request, self._name)


def shown_route(route: Route) -> str:
    """Such as ``shop.example/cart``, or ``*/`` for everything."""
    return f"{(route.host or b'*').decode()}{route.prefix.decode() or '/'}"
