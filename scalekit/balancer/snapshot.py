"""
What of the roster survives a restart, as bytes: who is registered, which generations were drained, and what services
had claimed whose instances were gone.

The configuration's servers are not in it, nor what probes and requests have found out: instances that were well come
back as suspect, which take requests and are asked at once, the others join anew.  Times are ages, since no clock of
ours goes on over a restart.
"""

from __future__ import annotations

from math import inf

import msgspec

from scalekit.balancer.instance import ELIGIBLE, LEAVING, Endpoint, Instance, Registration
from scalekit.balancer.roster import Roster
from scalekit.balancer.routes import Claim
from scalekit.errors import ClientFault

VERSION = 1


class Remembered(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """One instance; see `scalekit.balancer.instance.Registration` and `Instance`."""

    service: str
    id: str
    scheme: str
    host: str
    port: int
    server_name: str | None = None
    generation: int = 0
    weight: int = 1
    lease_seconds: float | None = None
    hosts: tuple[str, ...] = ()
    path: str | None = None
    meta: dict[str, str] = {}
    keep_alive: float | None = None
    secret: str = ""
    max_in_flight: int | None = None
    has_consented: bool = True
    was_well: bool = False


class Drained(msgspec.Struct, forbid_unknown_fields=True):
    """A generation that may not come back, and how long ago it was drained."""

    service: str
    id: str
    generation: int
    seconds_ago: float


class Departed(msgspec.Struct, forbid_unknown_fields=True):
    """What a service claimed, and how long ago the last one who did was gone."""

    service: str
    hosts: tuple[str, ...]
    path: str
    seconds_ago: float


class Snapshot(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """All of it; what is empty is left out, so that versions that do not know it read the rest."""

    version: int
    instances: list[Remembered]
    drained: list[Drained] = []
    departed: list[Departed] = []


def take_snapshot(roster: Roster, now: float) -> bytes:
    """The roster as JSON; it holds the secrets of the instances."""
    instances = [
        remembered(one)
        for service in roster.services()
        for one in roster.instances(service)
        if not one.is_static and one.state not in LEAVING
    ]
    drained = [Drained(*key, generation, max(0.0, now - at)) for key, generation, at in roster.retired.items()]
    departed = [Departed(*claim, max(0.0, now - at)) for claim, at in roster.departed.items()]
    return msgspec.json.encode(Snapshot(VERSION, instances, drained, departed))


def read_snapshot(data: bytes) -> Snapshot:
    """Raises ValueError if it is damaged, or of a version that is not ours."""
    snapshot = msgspec.json.decode(data, type=Snapshot)
    if snapshot.version != VERSION:
        raise ValueError(f"version {snapshot.version} found, {VERSION} expected")
    return snapshot


def restore_snapshot(roster: Roster, snapshot: Snapshot, now: float) -> int:
    """Put all of it into a roster that has just been made; returns how many instances there was room for."""
    count = 0
    for drained in snapshot.drained:
        roster.retire(drained.service, drained.id, drained.generation, now - drained.seconds_ago)
    for left in snapshot.departed:
        try:
            roster.recall_departed(Claim.of(left.service, left.hosts, left.path), now - left.seconds_ago)
        except ValueError:
            continue
    for one in snapshot.instances:
        try:
            roster.recall(
                one.service,
                registration_of(one),
                now,
                one.lease_seconds,
                one.has_consented,
                one.was_well and one.has_consented,
            )
        except (ClientFault, ValueError):
            continue
        count += 1
    return count


def registration_of(one: Remembered) -> Registration:
    """What it said of itself; ValueError if its claim is none."""
    return Registration(
        one.id,
        Endpoint(one.scheme, one.host, one.port, one.server_name),
        one.generation,
        one.weight,
        one.lease_seconds or 0.0,
        None if one.path is None else Claim.of(one.service, one.hosts, one.path),
        one.meta,
        one.keep_alive,
        one.secret,
        one.max_in_flight,
    )


def remembered(one: Instance) -> Remembered:
    """What there is to remember of an instance."""
    claim = one.claim
    return Remembered(
        one.service,
        one.id,
        one.scheme,
        one.address,
        one.port,
        one.server_name,
        one.generation,
        one.weight,
        one.lease_seconds,
        claim.hosts if claim else (),
        claim.path if claim else None,
        dict(one.meta),
        one.keep_alive,
        one.secret,
        None if one.max_in_flight == inf else int(one.max_in_flight),
        one.has_consented,
        one.state in ELIGIBLE,
    )
