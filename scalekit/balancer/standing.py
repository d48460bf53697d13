"""
Who of a service's members takes its requests, and who may be taken out: the rules, and what they come to now.

``spray`` in panic means: better to ask somebody who may be well after all than to bury the few who are.  It spares only
those where nobody would take the request, since a refused connection is no opinion.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from scalekit.balancer.instance import ELIGIBLE, SICK, Instance, State
from scalekit.balancer.telling import Telling

#: What `panic` may say: ask everybody who is not leaving, or only those that are well.
PANIC = ("spray", "fail")

# Envoy's consecutive_gateway_failure and base_ejection_time are 5 and 30 s; ours begin shorter, since three probes in
# 1.5 s say the rest, and end at the same five minutes.
STRIKES = 5
EJECTION_SECONDS = 10.0
LONGEST_EJECTION_SECONDS = 300.0
#: Well for so long, and the next ejection is a short one again.
FORGIVE_SECONDS = 300.0


class Standing(NamedTuple):
    """
    :ivar available: who takes new requests.
    :ivar is_panicking: whether fewer than half of the members are well.
    """

    available: tuple[Instance, ...]
    is_panicking: bool


def plan_standing(members: Sequence[Instance], panic: str) -> Standing:
    """
    Who takes requests: all that are eligible; if nobody is, all that are joining; in panic see `PANIC`.

    Those that are joining count neither as well nor as sick: before their first probes nobody can know.  Those that an
    operator has drained do not count at all.
    """
    members = _counted(members)
    sick = sum(1 for one in members if one.state in SICK)
    is_panicking = 2 * sick > len(members)
    if is_panicking and panic == "spray":
        return Standing(tuple(one for one in members if one.has_consented and not one.is_shut), True)
    well = tuple(one for one in members if one.state in ELIGIBLE)
    if not well:
        well = tuple(one for one in members if one.state is State.JOINING and one.has_consented)
    return Standing(well, is_panicking)


def may_eject(members: Sequence[Instance]) -> bool:
    """Whether one more that is eligible may be ejected: never the last one, never more than half."""
    members = _counted(members)
    ejected = sum(1 for one in members if one.state is State.EJECTED)
    eligible = sum(1 for one in members if one.state in ELIGIBLE)
    return eligible > 1 and 2 * (ejected + 1) <= len(members)


def are_too_many_ejected(members: Sequence[Instance]) -> bool:
    """Whether one that is ejected has to come back early, since others have left or died meanwhile."""
    members = _counted(members)
    ejected = sum(1 for one in members if one.state is State.EJECTED)
    return ejected > 0 and (2 * ejected > len(members) or not any(one.state in ELIGIBLE for one in members))


def _counted(members: Sequence[Instance]) -> list[Instance]:
    return [one for one in members if one.state is not State.DRAINED]


def ejection_seconds(before: int) -> float:
    """How long an ejection takes, after so many before it."""
    return min(LONGEST_EJECTION_SECONDS, EJECTION_SECONDS * 2.0 ** min(before, 10))


class Standings:
    """
    What `plan_standing` comes to for each service.

    :param panic: one of `PANIC`.
    :ivar available: who takes new requests; a tuple stays the same object until something changes.
    """

    def __init__(self, panic: str) -> None:
        self.panic = panic
        self.available: dict[str, tuple[Instance, ...]] = {}
        self._panicking: set[str] = set()

    def is_panicking(self, service: str) -> bool:
        """Whether fewer than half of its members are well."""
        return service in self._panicking

    def settle(self, service: str, members: Sequence[Instance], telling: Telling, now: float) -> None:
        """Bring what is known of a service up to date; panic, and its end, are noticed."""
        standing = plan_standing(members, self.panic)
        if standing.available != self.available.get(service, ()):
            if standing.available:
                self.available[service] = standing.available
            else:
                self.available.pop(service, None)
        if standing.is_panicking and service not in self._panicking:
            self._panicking.add(service)
            asked = "all that can be reached are asked" if self.panic == "spray" else "only the others are asked"
            telling.notice("panic", service, f"more than half of the instances are down or ejected: {asked}", now)
        elif service in self._panicking and not standing.is_panicking:
            self._panicking.discard(service)
            detail = "at least half of the instances are well again" if members else "no instances are left"
            telling.notice("panic-over", service, detail, now)

    def __repr__(self) -> str:
        return f"<Standings of {len(self.available)} services, {len(self._panicking)} in panic>"
