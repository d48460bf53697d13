"""
Host and path to the name of a service: an immutable table, swapped whole when a claim or the configuration changes.

The more exact host wins (the name itself, then the longest ``*.`` wildcard, then any host), then the longest path
prefix that ends at a segment boundary.  What a configured service claims nobody else gets; among registered services
the first one does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from scalekit.config.urls import is_host_name

DEFAULT_SERVICE = "default"

# Hosts whose routes are remembered. Clients choose what they send as Host, so the memory is bounded, and emptied when
# it is full; a thousand names on one balancer is more than most have, and costs under 200 KiB.
MEMO_LIMIT = 1024

# RFC 1035 section 2.3.4; with room for a port. A longer Host is no name that anybody claimed.
_HOST_LIMIT = 255 + len(":65535")

_LITERAL = re.compile(r"\[[0-9a-f:.]{2,45}\]", re.ASCII)
# What RFC 3986 section 3.3 lets stand in a path without percent-coding, as in the configuration.
_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@/-]*", re.ASCII)


class Claim(NamedTuple):
    """
    Which requests a service wants.

    :ivar hosts: names, ``*.`` wildcards, or addresses, without port; empty: any host.
    :ivar path: the prefix; ``/``: every path.
    """

    service: str
    hosts: tuple[str, ...] = ()
    path: str = "/"

    @classmethod
    def of(cls, service: str, hosts: Iterable[str], path: str) -> Claim:
        """A claim in its normal form; raises ValueError with a sentence about what is wrong with it."""
        return cls(service, tuple(dict.fromkeys(normal_host(host) for host in hosts)), normal_prefix(path))


class Route(NamedTuple):
    """
    One row of the table.

    :ivar host: lower case; ``*.`` and a name for a wildcard; empty: any host.
    :ivar prefix: without the slash at its end, so empty for every path.
    """

    service: str
    host: bytes
    prefix: bytes

    def __repr__(self) -> str:
        return f"<{(self.host or b'*').decode()}{self.prefix.decode() or '/'} -> {self.service}>"


def normal_host(text: str) -> str:
    """A host of a claim in lower case, without a final dot; raises ValueError if it cannot be one."""
    host = text.strip().lower().removesuffix(".")
    if not is_host_name(host.removeprefix("*.")) and not _LITERAL.fullmatch(host):
        raise ValueError(f"{text!r} is not a host name, *.name, or address (without a port)")
    return host


def normal_prefix(text: str) -> str:
    """A path of a claim, without a slash at its end; raises ValueError if no request's path can begin with it."""
    if not _PATH.fullmatch(text) or any(segment in (".", "..") for segment in text.split("/")) or "//" in text:
        raise ValueError(
            f"{text!r} is not a path: it begins with a slash and has no query, escapes, empty or dot segments"
        )
    return text.rstrip("/") or "/"


def bare_host(host: bytes) -> bytes:
    """The Host of a request in lower case, without port and final dot."""
    host = host.lower()
    name = host[: host.find(b"]") + 1] if host.startswith(b"[") else host.partition(b":")[0]
    return name.removesuffix(b".")


class _Level:
    """The routes of one host pattern, by prefix; looked up by the few lengths that prefixes have."""

    __slots__ = ("by_prefix", "lengths")

    def __init__(self) -> None:
        self.by_prefix: dict[bytes, Route] = {}
        self.lengths: tuple[int, ...] = ()

    def add(self, route: Route) -> bool:
        if self.by_prefix.setdefault(route.prefix, route) is not route:
            return False
        self.lengths = tuple(sorted({len(prefix) for prefix in self.by_prefix}, reverse=True))
        return True

    def find(self, path: bytes) -> Route | None:
        for length in self.lengths:
            if length == 0 or len(path) == length or path[length : length + 1] == b"/":
                route = self.by_prefix.get(path[:length])
                if route is not None:
                    return route
        return None


class RouteTable:
    """
    Answers `route`; never changes what it answers.

    :ivar routes: every row that counts, in the order of its claim.
    :ivar refused: the rows that an earlier claim has taken.
    """

    __slots__ = ("_levels", "_memo", "_only", "refused", "routes")

    def __init__(self, routes: Iterable[Route] = ()) -> None:
        self._levels: dict[bytes, _Level] = {}
        taken: list[Route] = []
        refused: list[Route] = []
        for route in routes:
            is_new = self._levels.setdefault(route.host, _Level()).add(route)
            (taken if is_new else refused).append(route)
        self.routes = tuple(taken)
        self.refused = tuple(refused)
        # The common case of one service for everything needs no look at the host.
        self._only = taken[0] if len(taken) == 1 and taken[0][1:] == (b"", b"") else None
        self._memo: dict[bytes, tuple[Route | None, tuple[_Level, ...]]] = {}

    def route(self, host: bytes, normal_path: bytes) -> Route | None:
        """
        The route of a request, None without one.

        :param host: as it came, port and all.
        :param normal_path: see `scalekit.http.heads.RequestHead.normal_path`.
        """
        if self._only is not None:
            return self._only
        known = self._memo.get(host)
        if known is None:
            known = self._remember(host)
        route, levels = known
        if route is not None:
            return route
        for level in levels:
            found = level.find(normal_path)
            if found is not None:
                return found
        return None

    def _remember(self, host: bytes) -> tuple[Route | None, tuple[_Level, ...]]:
        is_name = len(host) <= _HOST_LIMIT
        levels = tuple(self._levels_of(bare_host(host) if is_name else b""))
        # One prefix that fits every path at the front: no need to look at the path.
        route = levels[0].by_prefix.get(b"") if levels and levels[0].lengths == (0,) else None
        if is_name:
            if len(self._memo) >= MEMO_LIMIT:
                self._memo.clear()
            self._memo[host] = (route, levels)
        return route, levels

    def _levels_of(self, name: bytes) -> Iterable[_Level]:
        """The levels that match a host, the most exact first."""
        patterns = [name] if name else []
        rest = name
        while b"." in rest:
            rest = rest.partition(b".")[2]
            patterns.append(b"*." + rest)
        patterns.append(b"")
        return (self._levels[pattern] for pattern in patterns if pattern in self._levels)

    def __repr__(self) -> str:
        return f"<RouteTable {' '.join(map(repr, self.routes))}>"


def plan_routes(configured: Iterable[Claim], claimed: Iterable[Claim]) -> RouteTable:
    """
    The table for the configured services and for what registered instances claim, in the order of their registration.

    A service that is configured gets what its configuration says and nothing else; ``default``, unless configured, gets
    every path on any host.
    """
    configured = tuple(configured)
    names = {claim.service for claim in configured}
    claims = [*configured, *(claim for claim in dict.fromkeys(claimed) if claim.service not in names)]
    if DEFAULT_SERVICE not in names:
        # Ahead of the registered ones, so that none of them can take everything away from it.
        claimed_ones = [claim for claim in claims[len(configured) :] if claim.service != DEFAULT_SERVICE]
        claims = [*configured, Claim(DEFAULT_SERVICE), *claimed_ones]
    return RouteTable(
        Route(claim.service, host.encode("ascii"), claim.path.rstrip("/").encode("ascii"))
        for claim in claims
        for host in claim.hosts or ("",)
    )


class Routing:
    """
    The table in force.

    :ivar table: replaced whole; read it once a request.
    """

    def __init__(self, configured: Iterable[Claim] = ()) -> None:
        self._configured = tuple(configured)
        self._claimed: tuple[Claim, ...] = ()
        self.table = plan_routes(self._configured, ())

    def reconfigure(self, configured: Iterable[Claim]) -> None:
        """Take what the configuration says now."""
        self._configured = tuple(configured)
        self.table = plan_routes(self._configured, self._claimed)

    def is_configured(self, service: str) -> bool:
        """Whether the configuration says what it gets, and not its instances."""
        return any(claim.service == service for claim in self._configured)

    def settle(self, claimed: Iterable[Claim]) -> None:
        """Take what registered instances claim now; an observer for `scalekit.balancer.roster.Roster`."""
        self._claimed = tuple(claimed)
        self.table = plan_routes(self._configured, self._claimed)

    def __repr__(self) -> str:
        return f"<Routing {self.table!r}>"
