"""
Another configuration while requests go on: what is different, and bringing it into force.

All of it happens in one turn of the reactor, between two requests: each sees the old or the new, whole.  Requests that
are under way keep the instance, the line to wait in and the limits that they have; services of which nothing is said
otherwise keep all that is known of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from scalekit.balancer.instance import Notice
from scalekit.balancer.policies import Policies
from scalekit.balancer.proxy import ReverseProxy
from scalekit.balancer.resolver import StaticServers
from scalekit.balancer.roster import Roster
from scalekit.balancer.routes import Routing
from scalekit.balancer.settings import claims_of, health_rules_of, servers_of, upstream_timeouts_of
from scalekit.balancer.upstreams import Upstreams
from scalekit.config.changes import changed_keys, is_within
from scalekit.config.model import Balancer

#: Keys that come into force while requests go on, see `scalekit.balancer.swapping`.
LIVE_KEYS = (
    "balancer.algorithm",
    "balancer.hash_on",
    "balancer.service",
    "balancer.compression",
    "balancer.http_cache.every_service",
    "balancer.http_cache.cookies",
    "balancer.health",
    "balancer.drain",
    "balancer.timeouts",
    "balancer.limits",
    "balancer.http2.streams",
    "balancer.http2.reset_burst",
    "balancer.http2.reset_rate",
)


class Parts(NamedTuple):
    """
    What is told of another configuration.

    :ivar limit: takes the old and the new to what stands before the proxy: listeners, compression.
    :ivar sticky_key: gives what cookies are signed with, empty if no service is sticky; raises `ConfigurationFault` if
        it cannot be kept.
    :ivar tell: tells people, in the log and by events.
    """

    roster: Roster
    routing: Routing
    servers: StaticServers
    policies: Policies
    proxy: ReverseProxy
    upstreams: Upstreams
    limit: Callable[[Balancer, Balancer], None]
    sticky_key: Callable[[Balancer], bytes]
    tell: Callable[[Notice], None]


class Swap:
    """
    :param settings: those in force.
    :param seconds: of the roster's clock.
    """

    def __init__(self, settings: Balancer, parts: Parts, seconds: Callable[[], float]) -> None:
        self._settings = settings
        self._parts = parts
        self._seconds = seconds

    @property
    def settings(self) -> Balancer:
        """Those in force."""
        return self._settings

    def check(self, settings: Balancer) -> None:
        """Raise `ConfigurationFault` if `take` would; nothing is changed."""
        self._parts.sticky_key(settings)

    def take(self, settings: Balancer) -> None:
        """Bring these into force, and tell what is different, if anything is."""
        parts, now = self._parts, self._seconds()
        sticky_key = parts.sticky_key(settings)
        old, self._settings = self._settings, settings
        parts.policies.adopt(settings, sticky_key, parts.proxy.traffic)
        parts.upstreams.reconfigure(upstream_timeouts_of(settings))
        parts.roster.reconfigure(health_rules_of(settings), settings.drain.deadline, settings.health.panic, now)
        parts.servers.reconfigure(servers_of(settings))
        parts.routing.reconfigure(claims_of(settings))
        parts.limit(old, settings)
        changes = plan_changes(old, settings)
        if changes:
            parts.tell(Notice("configuration", "", str(changes), now))

    def __repr__(self) -> str:
        return f"<Swap {self._parts.policies!r}>"


class Changes(NamedTuple):
    """
    What one configuration of the balancer says otherwise than another.

    :ivar added: services; ``removed`` as well; ``changed`` with their keys that are different.
    :ivar keys: of ``[balancer]``, all but its services.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: dict[str, tuple[str, ...]]
    keys: tuple[str, ...]

    def __bool__(self) -> bool:
        return any(self)

    def __str__(self) -> str:
        """One sentence for people."""
        changed = [f"{name} ({', '.join(keys)})" for name, keys in self.changed.items()]
        parts = [
            f"{what}: {', '.join(names)}"
            for what, names in (
                ("services added", self.added),
                ("services removed", self.removed),
                ("services changed", changed),
                ("keys changed", self.keys),
            )
            if names
        ]
        return "; ".join(parts)


def plan_changes(old: Balancer, new: Balancer) -> Changes:
    """What is different, of what can be while requests go on."""
    before = {service.name: service for service in old.service}
    after = {service.name: service for service in new.service}
    changed = {name: tuple(changed_keys(before[name], service)) for name, service in after.items() if name in before}
    return Changes(
        tuple(name for name in after if name not in before),
        tuple(name for name in before if name not in after),
        {name: keys for name, keys in changed.items() if keys},
        tuple(
            key
            for key in changed_keys(old, new, "balancer.")
            if key != "balancer.service" and is_within(key, LIVE_KEYS)
        ),
    )
