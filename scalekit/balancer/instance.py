"""
One app server as the balancer sees it, and the states it goes through.

==========  ======================================  ==================================================================
state       takes new requests                      goes on to
==========  ======================================  ==================================================================
joining     only while the service has nobody else  warming, up (2 probes passed), suspect (it was well before the
                                                    balancer was restarted), down (3 failed), drained, draining
warming     a share that grows for 10 s             up (10 s are over), suspect, down, ejected, draining
up          yes                                     suspect (lease missed), down (3 probes failed), ejected, draining
suspect     yes                                     up (check passed, or renewed), down (it failed), ejected, draining
down        in panic                                warming, up (2 probes passed), joining (registered again), draining
ejected     in panic                                warming, up, joining (time is over), down, draining
drained     never                                   joining (taken back), draining
draining    never                                   gone (nothing in flight, or the deadline is over)
gone        never                                   (nothing: whoever registers again is a new `Instance`)
==========  ======================================  ==================================================================

``draining`` comes from the registration port, from a probe answered ``410 Gone`` or ``{"state":"draining"}``, and from
a name that no longer resolves to the address.  ``drained`` is what a server of the configuration is that an operator
has drained: it is not forgotten, as it may be taken back.  ``ejected`` comes from what requests meet: five answers in a
row that say, as a gateway does, that nobody answers there.  An instance without a lease (the tutorial's ``/register``,
and the configuration's servers) lives by our probes alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from math import inf
from typing import NamedTuple

from scalekit.balancer.health import Health, HealthRules
from scalekit.balancer.routes import Claim


class State(StrEnum):
    """See the table above."""

    JOINING = "joining"
    WARMING = "warming"
    UP = "up"
    SUSPECT = "suspect"
    DOWN = "down"
    EJECTED = "ejected"
    DRAINED = "drained"
    DRAINING = "draining"
    GONE = "gone"


#: Who takes new requests.
ELIGIBLE = frozenset((State.WARMING, State.UP, State.SUSPECT))
#: Who is known not to be well.
SICK = frozenset((State.DOWN, State.EJECTED))
#: Who never takes a request again.
LEAVING = frozenset((State.DRAINING, State.GONE))

# HAProxy's and Envoy's slow start begin at a tenth as well: an empty cache or a cold JIT is warm after ten seconds.
SLOW_START_SECONDS = 10.0
LEAST_SHARE = 0.1

# HashiCorp's Consul and etcd clients use 10 s to 15 s; three beats of 5 s, so one may be lost.
LEASE_SECONDS = 15.0


def warm_share(seconds: float) -> float:
    """The share of its full weight that an instance gets, ``seconds`` after it has begun to warm up."""
    return min(1.0, LEAST_SHARE + (1.0 - LEAST_SHARE) * max(0.0, seconds) / SLOW_START_SECONDS)


class Endpoint(NamedTuple):
    """
    Where an app server listens and how to talk to it.

    :ivar scheme: ``http``, ``https``, ``h2c`` (HTTP/2 in clear) or ``unix`` (HTTP/1.1 in clear on a socket file).
    :ivar host: an IP address literal, IPv6 without brackets; the socket's file for ``unix``.
    :ivar port: 0 for ``unix``.
    :ivar server_name: the name its certificate is verified for and sent as SNI; None: the address.
    """

    scheme: str
    host: str
    port: int
    server_name: str | None = None

    @property
    def id(self) -> str:
        """Such as ``127.0.0.1:3000``, ``[::1]:3000`` or ``unix:///run/app.sock``."""
        return f"unix://{self.host}" if self.scheme == "unix" else self._place

    @property
    def authority(self) -> str:
        """What it is called in requests that have no name for it; a socket file has none that HTTP could say."""
        return "localhost" if self.scheme == "unix" else self._place

    @property
    def url(self) -> str:
        """For people, such as ``http://127.0.0.1:3000`` or ``unix:///run/app.sock``."""
        return f"{self.scheme}://{self.host if self.scheme == 'unix' else self._place}"

    @property
    def _place(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Registration(NamedTuple):
    """
    What an app says of itself with ``PUT /v1/services/{service}/instances/{id}``.

    :ivar id: its own choice.
    :ivar generation: rises with each start of the app, so that what an old process says does not concern the new one.
    :ivar lease_seconds: it renews within this time, or is suspect.
    :ivar claim: the hosts and the path it wants for its service; None: none, or it may not.
    :ivar meta: what it wants to be shown with.
    :ivar keep_alive: seconds after which it closes an idle connection; None: not known.
    :ivar secret: what it answers challenges with; empty: it is not challenged.
    :ivar max_in_flight: how many requests it takes at a time; None: any number.
    """

    id: str
    endpoint: Endpoint
    generation: int
    weight: int = 1
    lease_seconds: float = LEASE_SECONDS
    claim: Claim | None = None
    meta: Mapping[str, str] = {}
    keep_alive: float | None = None
    secret: str = ""
    max_in_flight: int | None = None


class Instance:
    """
    A member of a service.

    :ivar service: the service's name; with ``id`` the key that names an instance.
    :ivar id: what its registration says, else `Endpoint.id`.
    :ivar authority: see `Endpoint.authority`.
    :ivar in_flight: requests on their way; the proxy adds and subtracts, the roster only reads.
    :ivar reason: why it is in this state, for people.
    :ivar since: when it came into this state, in the roster's time.
    :ivar claim: the hosts and the path it registered for its service; None: none, or it was not allowed to.
    :ivar generation: of its registration; 0 for the tutorial's, and for the configuration's servers.
    :ivar lease_seconds: how long its lease is; None: it has none.
    :ivar lease_until: when its lease ends, in the roster's time; None: it has none, or has missed it.
    :ivar meta: what it wants to be shown with.
    :ivar keep_alive: seconds after which it closes an idle connection; None: not known.
    :ivar secret: what it answers challenges with; empty: it is not challenged.
    :ivar max_in_flight: how many requests it takes at a time.
    :ivar has_consented: whether it may be sent requests; one with a secret must have answered a challenge first.
    :ivar is_shut: whether nobody takes requests there: the last probe was refused, or told that it is leaving.
    :ivar share: of its full weight, from 0.1 to 1: what it gets while it warms up; brought up to date by the roster.
    :ivar credit: what pickers have saved up for it while its share is less than 1.
    :ivar strikes: failures of requests in a row; the proxy sets it to 0 when one has gone well.
    :ivar ejections: how many times in a row it was ejected.
    :ivar until: when warming up or the ejection ends, in the roster's time.
    :ivar eligible_since: since when it takes requests; None: it does not.
    """

    __slots__ = (
        "address",
        "authority",
        "claim",
        "credit",
        "drain_deadline",
        "ejections",
        "eligible_since",
        "endpoint",
        "generation",
        "has_consented",
        "health",
        "id",
        "in_flight",
        "is_shut",
        "is_static",
        "keep_alive",
        "lease_seconds",
        "lease_until",
        "max_in_flight",
        "meta",
        "port",
        "reason",
        "scheme",
        "secret",
        "server_name",
        "service",
        "share",
        "since",
        "state",
        "strikes",
        "until",
        "weight",
    )

    def __init__(self, service: str, endpoint: Endpoint, now: float, rules: HealthRules, id: str = "") -> None:
        self.service = service
        self.endpoint = endpoint
        self.authority = endpoint.authority
        self.id = id or endpoint.id
        self.scheme = endpoint.scheme
        self.address = endpoint.host
        self.port = endpoint.port
        self.server_name = endpoint.server_name
        self.weight = 1
        self.is_static = False
        self.claim: Claim | None = None
        self.generation = 0
        self.lease_seconds: float | None = None
        self.lease_until: float | None = None
        self.meta: Mapping[str, str] = {}
        self.keep_alive: float | None = None
        self.max_in_flight = inf
        self.secret = ""
        self.has_consented = True
        self.is_shut = False
        self.share = 1.0
        self.credit = 0.0
        self.strikes = 0
        self.ejections = 0
        self.until = 0.0
        self.eligible_since: float | None = None
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

    @property
    def has_lapsed(self) -> bool:
        """Whether it has missed its lease, and not renewed it since."""
        return self.lease_seconds is not None and self.lease_until is None

    def enter(self, state: State, reason: str, now: float) -> Transition:
        """Come into another state; what counts within a state begins anew."""
        change = Transition(self, self.state, state, reason, now)
        self.state = state
        self.reason = reason
        self.since = now
        self.strikes = 0
        self.share = warm_share(0.0) if state is State.WARMING else 1.0
        if state not in ELIGIBLE:
            self.eligible_since = None
        elif self.eligible_since is None:
            self.eligible_since = now
        return change

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


class Notice(NamedTuple):
    """
    Something that concerns more than one instance.

    :ivar kind: ``panic``, ``panic-over``, ``leases-doubted``, ``leases-trusted``, ``registry-degraded``,
        ``registry-restored`` or ``configuration``.
    :ivar service: empty: all of them.
    :ivar detail: one sentence for people.
    """

    kind: str
    service: str
    detail: str
    at: float

    def __repr__(self) -> str:
        return f"<{self.service or 'all services'} {self.kind}: {self.detail}>"
