"""
One app server as the balancer sees it, and the states it goes through.

==========  ===================================  ==================================================================
state       takes new requests                   goes on to
==========  ===================================  ==================================================================
joining     only while the service has none up   up (2 probes passed), down (3 failed), draining
up          yes                                  down (3 probes failed), draining
down        no                                   up (2 probes passed), joining (registered again), draining, gone
draining    no                                   gone (nothing in flight, or the deadline is over)
gone        no                                   (nothing: whoever registers again is a new `Instance`)
==========  ===================================  ==================================================================

``draining`` comes from ``/unregister``, from a probe answered ``410 Gone``, and from a name that no longer resolves to
the address.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from scalekit.balancer.health import Health, HealthRules
from scalekit.balancer.routes import Claim


class State(StrEnum):
    """See the table above."""

    JOINING = "joining"
    UP = "up"
    DOWN = "down"
    DRAINING = "draining"
    GONE = "gone"


class Endpoint(NamedTuple):
    """
    Where an app server listens and how to talk to it.

    :ivar scheme: ``http``, ``https`` or ``h2c`` (HTTP/2 in clear).
    :ivar host: an IP address literal, IPv6 without brackets.
    :ivar server_name: the name its certificate is verified for and sent as SNI; None: the address.
    """

    scheme: str
    host: str
    port: int
    server_name: str | None = None

    @property
    def id(self) -> str:
        """Such as ``127.0.0.1:3000`` or ``[::1]:3000``."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Instance:
    """
    A member of a service.

    :ivar service: the service's name; with ``id`` the key that names an instance.
    :ivar id: ``host:port``, see `Endpoint.id`.
    :ivar in_flight: requests on their way; the proxy adds and subtracts, the roster only reads.
    :ivar reason: why it is in this state, for people.
    :ivar since: when it came into this state, in the roster's time.
    :ivar claim: the hosts and the path it registered for its service; None: none, or it was not allowed to.
    :ivar share: of its full weight, from 0.1 to 1: what it gets while it warms up.
    :ivar credit: what pickers have saved up for it while its share is less than 1.
    """

    __slots__ = (
        "address",
        "claim",
        "credit",
        "drain_deadline",
        "endpoint",
        "health",
        "id",
        "in_flight",
        "is_static",
        "port",
        "reason",
        "scheme",
        "server_name",
        "service",
        "share",
        "since",
        "state",
        "weight",
    )

    def __init__(self, service: str, endpoint: Endpoint, now: float, rules: HealthRules) -> None:
        self.service = service
        self.endpoint = endpoint
        self.id = endpoint.id
        self.scheme = endpoint.scheme
        self.address = endpoint.host
        self.port = endpoint.port
        self.server_name = endpoint.server_name
        self.weight = 1
        self.share = 1.0
        self.credit = 0.0
        self.is_static = False
        self.claim: Claim | None = None
        self.state = State.JOINING
        self.reason = ""
        self.since = now
        self.in_flight = 0
        self.drain_deadline = 0.0
        self.health = Health(rules)

    @property
    def key(self) -> tuple[str, str]:
        """Service and id: unique among the instances that are neither draining nor gone."""
        return self.service, self.id

    def __repr__(self) -> str:
        return f"<{self.service}@{self.id} {self.state} ({self.reason}) in_flight={self.in_flight}>"


class Transition(NamedTuple):
    """An instance came into another state; ``before`` is None for one that was not there."""

    instance: Instance
    before: State | None
    after: State
    reason: str
    at: float

    def __repr__(self) -> str:
        return f"<{self.instance.service}@{self.instance.id} {self.before or 'none'} -> {self.after}: {self.reason}>"
