"""
Why a request would go where it goes: the routes, the candidates, and what speaks against each.

Nothing is sent, nobody's turn is taken, and no clock is read.

A request is given as it would come, and read by the same parser: what would be refused is said to be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import inf
from typing import Any, NamedTuple

from scalekit.balancer.instance import LEAVING, Instance, State
from scalekit.balancer.listing import shown_route
from scalekit.balancer.picking import IPicker
from scalekit.balancer.picking.affinity import Hash, score
from scalekit.balancer.picking.chance import Random
from scalekit.balancer.picking.load import LeastRequests, TwoChoices
from scalekit.balancer.picking.picker import portion
from scalekit.balancer.picking.turns import RoundRobin, WeightedRoundRobin
from scalekit.balancer.retrying import IDEMPOTENT
from scalekit.balancer.roster import Roster
from scalekit.balancer.routes import Route, RouteTable, bare_host
from scalekit.balancer.traffic import Traffic
from scalekit.errors import ClientFault
from scalekit.http.heads import Client, RequestHead
from scalekit.http.requests import parse_request_head
from scalekit.http.targets import readings, split_absolute
from scalekit.interfaces import ICacheForecast

#: Routes that are told of besides the one that matched: those that fit best. A table may have 64,000.
NEAR_LIMIT = 20


_NAMES: dict[type, str] = {
    RoundRobin: "round-robin",
    WeightedRoundRobin: "weighted-round-robin",
    LeastRequests: "least-requests",
    TwoChoices: "two-choices",
    Random: "random",
    Hash: "hash",
}


def algorithm_of(picker: IPicker) -> str:
    """What the configuration calls it."""
    return _NAMES.get(type(picker), "")


class Asked(NamedTuple):
    """What pickers look at of an exchange."""

    head: RequestHead
    client: Client


class _Near(NamedTuple):
    """A route that is not taken; the lower the rank, the nearer it came."""

    rank: int
    route: Route
    why: str


def asked_head(method: str, url: str, headers: Iterable[str]) -> RequestHead:
    """
    The head of a request, as an HTTP/1.1 client would send it.

    :param url: ``http://host/path``, or a path.
    :param headers: each ``Name: value``; a Host among them counts before the URL's.
    :raises ClientFault: what it would be refused with.
    """
    lines = [line.partition(":") for line in headers]
    for text in (method, url, *("".join(line) for line in lines)):
        if not text.isprintable():
            raise ClientFault(400, "bad-request", "The request has characters that are not printable.")
    authority, target = b"", url.encode()
    if not url.startswith("/") and url != "*":
        authority, target = split_absolute(target.partition(b"#")[0], method.encode())
    if any(name.strip().lower() == "host" for name, _, _ in lines):
        authority = b""
    given = [f"{name.strip()}{mark} {value.strip()}".encode() for name, mark, value in lines]
    if authority:
        given.insert(0, b"Host: " + authority)
    raw = b"\r\n".join([method.encode() + b" " + target + b" HTTP/1.1", *given])
    return parse_request_head(raw + b"\r\n\r\n", len(raw))


def explain(
    asked: Asked,
    table: RouteTable,
    roster: Roster,
    traffic: Callable[[str], Traffic],
    now: float,
    cache: ICacheForecast | None = None,
) -> dict[str, Any]:
    """
    All that decides about a request, as JSON.

    :param traffic: gives what the data path keeps of a service, by its name.
    :param cache: what is in front of the app servers; None: nothing is.
    :return: ``status`` and ``detail`` of our own answer, both None if an app server answers; ``service``, ``route`` and
        ``near`` of the routing; ``candidates``, the best first, each with ``takes`` and ``why_not``; ``empty_seconds``
        of a service that had instances until then; ``cache``, see `ICacheForecast`, None where there is no route.
    """
    head = asked.head
    route = table.route(head.host, head.normal_path)
    said: dict[str, Any] = {
        "method": head.method.decode("latin-1"),
        "host": head.host.decode("latin-1"),
        "path": head.path.decode("latin-1"),
        "normal_path": head.normal_path.decode("latin-1"),
        "status": None,
        "detail": None,
        "service": None if route is None else route.service,
        "route": None if route is None else shown_route(route),
        "near": [
            {"route": shown_route(near.route), "service": near.route.service, "why": near.why}
            for near in near_routes(table, route, head.host, head.normal_path)
        ],
        "candidates": [],
        "cache": None,
    }
    if any(table.route(head.host, reading) != route for reading in readings(head.path)):
        return said | {"status": 400, "detail": "The path means different routes to different readers."}
    if route is None:
        return said | {"status": 503, "detail": "No service is configured for this host and path."}
    said |= _of_service(asked, route.service, roster, traffic(route.service), now)
    if cache is None:
        return said | {"cache": {"decision": "off", "detail": "there is none", "fresh_seconds": None}}
    found = said["cache"] = cache.forecast(head, asked.client)
    if found["decision"] == "unavailable":
        said |= {"status": 504, "detail": "Nothing that the HTTP cache has would do, and nobody is to be asked."}
    elif found["decision"] in ("hit", "stale") and said["detail"]:
        said |= {"status": None, "detail": f"{said['detail'].rstrip('.')}; but the HTTP cache has an answer."}
    return said


def _of_service(asked: Asked, service: str, roster: Roster, kept: Traffic, now: float) -> dict[str, Any]:
    available = roster.available(service)
    back = kept.sticky.instance_of(asked, available) if kept.sticky is not None else None
    scores, means, best = scored(asked, kept, available)
    candidates: list[dict[str, Any]] = []
    for instance in roster.instances(service):
        is_available = instance in scores
        why_not = None if is_available else why_not_available(instance, bool(available))
        if why_not is None and not kept.has_room(instance):
            why_not = f"full: {instance.in_flight} of {min(instance.max_in_flight, kept.most):g} are in flight"
        candidates.append(
            {
                "id": instance.id,
                "scheme": instance.scheme,
                "state": str(instance.state),
                "reason": instance.reason,
                "state_seconds": round(max(0.0, now - instance.since), 3),
                "in_flight": instance.in_flight,
                "limit": _limit(instance, kept),
                "weight": instance.weight,
                "share": round(instance.share, 3),
                "score": round(scores[instance], 4) if is_available else None,
                "is_sticky": instance is back,
                "takes": why_not is None,
                "why_not": why_not,
            }
        )
    sign = 1.0 if best == "least" else -1.0
    candidates.sort(key=lambda one: (not one["takes"], not one["is_sticky"], sign * (one["score"] or 0.0)))
    said: dict[str, Any] = {
        "candidates": candidates,
        "algorithm": algorithm_of(kept.picker),
        "score_means": means,
        "is_panicking": roster.is_panicking(service),
        "waiting": len(kept.waiting),
        "may_be_repeated": asked.head.method in IDEMPOTENT,
    }
    if not available:
        left_at = roster.departed_at(service)
        said |= {"status": 503, "detail": "No app servers found"}
        if left_at is not None and not candidates:
            said["empty_seconds"] = round(max(0.0, now - left_at), 3)
    elif not any(one["takes"] for one in candidates):
        said |= {"detail": "It would wait in line: all app servers are full."}
    return said


def scored(asked: Asked, kept: Traffic, available: Sequence[Instance]) -> tuple[dict[Instance, float], str, str]:
    """The score of each that is available, what it means in words, and whether ``most`` or ``least`` is best."""
    picker = kept.picker
    if isinstance(picker, Hash):
        key = picker.key_of(asked)
        if key is not None:
            return {one: score(key, one) for one in available}, "rendezvous hash; the highest gets it", "most"
    if isinstance(picker, LeastRequests | TwoChoices):
        means = "in flight for its weight; the lowest gets it"
        if isinstance(picker, TwoChoices):
            means = "in flight for its weight; the lower of two drawn by lot gets it"
        return {one: one.in_flight / portion(one) for one in available}, means, "least"
    counts_weight = not isinstance(picker, RoundRobin | Hash)
    portions = {one: portion(one) if counts_weight else one.share for one in available}
    total = sum(portions.values())
    means = "the part of the requests that it gets"
    return {one: each / total for one, each in portions.items()}, means, "most"


def why_not_available(instance: Instance, has_others: bool) -> str:
    """Why an instance that is not among the available ones is not."""
    state = instance.state
    if state in LEAVING:
        return f"{state}: takes nothing new ({instance.reason})"
    if not instance.has_consented:
        return "has not answered a challenge yet: it has to consent first"
    if instance.is_shut:
        return f"{state}: nobody listens there ({instance.reason})"
    if state is State.JOINING and has_others:
        return f"joining: waits for its probes while there are others ({instance.reason})"
    return f"{state}: {instance.reason}"


def near_routes(table: RouteTable, taken: Route | None, host: bytes, path: bytes) -> list[_Near]:
    """The routes that came nearest without being taken, the nearest first."""
    name = bare_host(host)
    found = []
    for route in table.routes:
        if route is taken:
            continue
        near = _nearness(route, taken, name, path)
        if near is not None:
            found.append(near)
    for route in table.refused:
        near = _nearness(route, None, name, path)
        if near is not None and near.rank == 0:
            found.append(_Near(0, route, "another service has claimed this host and path first"))
    return sorted(found, key=lambda near: (near.rank, -len(near.route.prefix)))[:NEAR_LIMIT]


def _nearness(route: Route, taken: Route | None, name: bytes, path: bytes) -> _Near | None:
    has_host, has_path = _fits_host(route.host, name), _fits_path(route.prefix, path)
    if has_host and has_path:
        if taken is not None and taken.host != route.host:
            return _Near(0, route, "the host of the one taken is more exact")
        return _Near(0, route, "the path of the one taken is longer")
    if has_host:
        return _Near(1, route, f"the path does not begin with {route.prefix.decode()}, ending at a slash or its end")
    if has_path:
        return _Near(2 if route.prefix else 3, route, f"it is for the host {route.host.decode()}")
    return None


def _fits_host(pattern: bytes, name: bytes) -> bool:
    if pattern.startswith(b"*."):
        return name.endswith(pattern[1:]) and len(name) > len(pattern) - 1
    return pattern in (b"", name)


def _fits_path(prefix: bytes, path: bytes) -> bool:
    return not prefix or path == prefix or path.startswith(prefix + b"/")


def _limit(instance: Instance, kept: Traffic) -> float | None:
    limit = min(instance.max_in_flight, kept.most)
    return None if limit == inf else limit
