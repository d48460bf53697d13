"""
What probes, requests, renewals and time make of an instance that is not leaving: up, warming, suspect, down, ejected.

The table of states is in `scalekit.balancer.instance`; whom a service's standing lets take requests, and how many may
be ejected, in `scalekit.balancer.standing`.
"""

from __future__ import annotations

from scalekit.balancer.directory import Directory
from scalekit.balancer.health import JITTER, LEAVING_STATUS, HealthRules, Schedule
from scalekit.balancer.instance import ELIGIBLE, LEAVING, SLOW_START_SECONDS, Instance, State, warm_share
from scalekit.balancer.per_service import PerService
from scalekit.balancer.standing import (
    FORGIVE_SECONDS,
    STRIKES,
    are_too_many_ejected,
    ejection_seconds,
    may_eject,
)
from scalekit.balancer.telling import Telling
from scalekit.balancer.turnover import Turnover

# A registered instance that is down is asked on, since one that crashed comes back by itself on the same port; but not
# for ever. Ten minutes are longer than a reboot or a deployment, and apps register again when they start.
FORGET_SECONDS = 600.0
# One with a lease is told to register again when it renews, so nothing is lost by forgetting it sooner; and where each
# start of an app has another id and address, most of those that are down never come back.
FORGET_LAPSED_SECONDS = 60.0

#: Those whose state ends by time alone.
_TIMED = (State.WARMING, State.EJECTED)


class Judge:
    """Brings instances into the states that they deserve."""

    def __init__(
        self, directory: Directory, telling: Telling, schedule: Schedule[Instance], turnover: Turnover
    ) -> None:
        self._directory = directory
        self._telling = telling
        self._schedule = schedule
        self._turnover = turnover
        self._timed: dict[Instance, None] = {}  # those that are warming or ejected, and some that were

    # What probes find.

    def probed(self, instance: Instance, status: int | None, detail: str, now: float, is_refused: bool) -> None:
        """See `scalekit.balancer.roster.Roster.probed`."""
        if instance.state in LEAVING:
            return
        is_shut = is_refused or status == LEAVING_STATUS
        if is_shut is not instance.is_shut:
            instance.is_shut = is_shut
            self._telling.touch(instance.service, now)
        if status == LEAVING_STATUS and not (instance.is_static and instance.state is State.DOWN):
            self._turnover.drain(instance, "says that it is leaving", now)
        elif status is not None and instance.health.rules.is_well(status):
            self._passed(instance, now)
        else:
            self._failed(instance, detail, now)
        if instance.state not in LEAVING:
            health = instance.health
            self._schedule.plan(health, instance, health.interval(instance.state is State.DOWN), now)

    def _passed(self, instance: Instance, now: float) -> None:
        has_risen = instance.health.passed()
        if not instance.has_consented:
            # A probe of one with a secret passes only if the challenge was answered.
            instance.has_consented = True
            self._telling.revision += 1
            self._telling.touch(instance.service, now)
        if instance.state is State.SUSPECT:
            self._telling.change(instance, State.UP, "the check passed", now)
        elif has_risen and instance.state in (State.JOINING, State.DOWN):
            self._rise(instance, f"{instance.health.rules.rise} probes passed", now)

    def _failed(self, instance: Instance, detail: str, now: float) -> None:
        has_fallen = instance.health.failed()
        if instance.state is State.SUSPECT:
            self._telling.change(instance, State.DOWN, f"{instance.reason}, and the check failed: {detail}", now)
        elif instance.state is not State.DOWN:
            if has_fallen:
                reason = f"{instance.health.rules.fall} probes failed: {detail}"
                self._telling.change(instance, State.DOWN, reason, now)
        elif not instance.is_static:
            seconds = FORGET_LAPSED_SECONDS if instance.has_lapsed else FORGET_SECONDS
            if now - instance.since >= seconds:
                self._turnover.drain(instance, f"down for {seconds:.0f} s", now)

    def go_by(self, rules: PerService[HealthRules], now: float) -> None:
        """Judge by other rules from now on; whoever would be probed too late by them is probed sooner."""
        for service in self._directory.services():
            for instance in self._directory.members(service):
                health = instance.health
                health.rules = rules.of(service)
                interval = health.interval(instance.state is State.DOWN)
                if health.due is not None and health.due > now + interval * (1 + JITTER):
                    self._schedule.plan(health, instance, interval, now)

    # What requests meet.

    def struck(self, instance: Instance, detail: str, now: float) -> None:
        """See `scalekit.balancer.roster.Roster.struck`."""
        if instance.state not in ELIGIBLE:
            return
        instance.strikes += 1
        if instance.strikes < STRIKES:
            return
        instance.strikes = 0
        if not may_eject(self._directory.members(instance.service)):
            return
        if now - instance.until >= FORGIVE_SECONDS:
            instance.ejections = 0
        seconds = ejection_seconds(instance.ejections)
        instance.ejections += 1
        instance.until = now + seconds
        self._timed[instance] = None
        reason = f"{STRIKES} requests failed in a row: {detail}; out for {seconds:.0f} s"
        self._telling.change(instance, State.EJECTED, reason, now)

    def connect_failed(self, instance: Instance, now: float) -> None:
        """See `scalekit.balancer.roster.Roster.connect_failed`."""
        if instance.state in ELIGIBLE and instance.health.failures == 0:
            self._schedule.hasten(instance.health, instance, now)

    # What the app itself says, or no longer says.

    def registered_again(self, instance: Instance, now: float) -> None:
        """The app says that it is there: it is worth asking anew."""
        if instance.state is State.DOWN:
            instance.health.forget()
            self._telling.change(instance, State.JOINING, "registered again", now)
            self._schedule.start(instance.health, instance, now)
        elif instance.state is State.SUSPECT:
            self._telling.change(instance, State.UP, "registered again", now)

    def renewed(self, instance: Instance, now: float) -> None:
        """Its lease was renewed."""
        if instance.state is State.SUSPECT:
            self._telling.change(instance, State.UP, "lease renewed", now)
        elif instance.state is State.DOWN:
            self._schedule.hasten(instance.health, instance, now)

    def suspect(self, instance: Instance, reason: str, now: float) -> None:
        """It may be gone: it is asked at once."""
        self._telling.change(instance, State.SUSPECT, reason, now)
        self._schedule.hasten(instance.health, instance, now)

    # What time brings.

    def expire(self, now: float) -> None:
        """End the slow starts and ejections that are over, and bring the shares of those that warm up to date."""
        for instance in list(self._timed):
            if instance.state not in _TIMED:
                del self._timed[instance]
                continue
            if instance.state is State.WARMING:
                instance.share = warm_share(now - instance.since)
            if now < instance.until:
                continue
            del self._timed[instance]
            if instance.state is State.WARMING:
                self._telling.change(instance, State.UP, "slow start is over", now)
            else:
                self._return(instance, "ejection is over", now)

    def deadlines(self) -> list[float]:
        """When each slow start and ejection ends."""
        return [one.until for one in self._timed if one.state in _TIMED]

    def pardon(self, service: str, now: float) -> None:
        """Others have left or died, and those that were ejected are needed: the first of them comes back early."""
        members = self._directory.members(service)
        while are_too_many_ejected(members):
            first = min((one for one in members if one.state is State.EJECTED), key=lambda one: one.until)
            self._return(first, "too few others are left", now)

    def _rise(self, instance: Instance, reason: str, now: float) -> None:
        """It is well; slowly, if there are others that can carry the load meanwhile."""
        warm = now - SLOW_START_SECONDS
        others = self._directory.members(instance.service)
        if any(one.eligible_since is not None and one.eligible_since <= warm for one in others):
            instance.until = now + SLOW_START_SECONDS
            self._timed[instance] = None
            self._telling.change(instance, State.WARMING, reason, now)
        else:
            self._telling.change(instance, State.UP, reason, now)

    def _return(self, instance: Instance, reason: str, now: float) -> None:
        """Out of the ejection."""
        health = instance.health
        if health.failures == 0 and health.passes >= health.rules.rise:
            self._rise(instance, reason, now)
        else:
            self._telling.change(instance, State.JOINING, reason, now)

    def __repr__(self) -> str:
        return f"<Judge {len(self._timed)} warming or ejected>"
