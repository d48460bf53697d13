"""
Who is a member of which service, and in which state: the balancer's memory, without a socket and without a clock.

The states and what leads from one to the other stand in `scalekit.balancer.instance`.  Two kinds of readers:

* the data path reads `Roster.available`, a ready tuple that is replaced whole when something changes;
* everybody else is told of every `Transition`, with its reason, by `Roster.observe`, and of what concerns a whole
  service by `Roster.observe_notices`.

Time comes in as ``now``, seconds on one clock of the caller's choice; the shell calls `Roster.expire` and asks for what
is `Roster.due` four times a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf

from zope.interface import implementer

from scalekit.balancer.generations import Retired
from scalekit.balancer.health import LEAVING_STATUS, HealthRules, Schedule
from scalekit.balancer.instance import (
    ELIGIBLE,
    LEASE_SECONDS,
    LEAVING,
    SLOW_START_SECONDS,
    Endpoint,
    Instance,
    Notice,
    Registration,
    State,
    Transition,
    warm_share,
)
from scalekit.balancer.leases import Leases
from scalekit.balancer.registry import IRegistry
from scalekit.balancer.routes import Claim
from scalekit.balancer.standing import (
    FORGIVE_SECONDS,
    STRIKES,
    are_too_many_ejected,
    ejection_seconds,
    may_eject,
    plan_standing,
)
from scalekit.errors import ClientFault

__all__ = ["Endpoint", "Instance", "Notice", "Registration", "Roster", "State", "Transition"]

# What a registering client can make us keep stays under a few hundred MiB.
INSTANCES_LIMIT = 1000
SERVICES_LIMIT = 1000

DRAIN_SECONDS = 30.0  # the default grace period of Kubernetes and of most process supervisors' SIGKILL

# A registered instance that is down is asked on, since one that crashed comes back by itself on the same port; but not
# for ever. Ten minutes are longer than a reboot or a deployment, and apps register again when they start.
FORGET_SECONDS = 600.0
# One with a lease is told to register again when it renews, so nothing is lost by forgetting it sooner; and where each
# start of an app has another id and address, most of those that are down never come back.
FORGET_LAPSED_SECONDS = 60.0

BEAT = 1 / 3  # of a lease
BEAT_JITTER = 0.2  # of a beat either way

# Probes started in one go (four times a second): below the 1,024 descriptors that many systems grant a process.
PROBES_AT_ONCE = 200


class _Service:
    """The instances of one service: members by id, and those that are draining."""

    __slots__ = ("is_panicking", "leaving", "members")

    def __init__(self) -> None:
        self.members: dict[str, Instance] = {}
        self.leaving: list[Instance] = []
        self.is_panicking = False


@implementer(IRegistry)
class Roster:
    """
    The members of all services.

    :param random: returns a number from 0 to 1; for the jitter of probes.
    :param drain_seconds: how long what is in flight may take when an instance leaves.
    :param panic: what happens when fewer than half of a service are well, see `scalekit.balancer.standing`.
    :ivar rules: for probing.
    :ivar retired: generations that may not come back.
    :ivar revision: rises with whatever a snapshot would hold; not with renewals.
    """

    def __init__(
        self,
        random: Callable[[], float],
        rules: HealthRules | None = None,
        drain_seconds: float = DRAIN_SECONDS,
        panic: str = "spray",
    ) -> None:
        self.rules = rules or HealthRules()
        self._drain_seconds = drain_seconds
        self._panic = panic
        self._leases = Leases()
        self._timed: dict[Instance, None] = {}  # those that are warming, or ejected
        self.retired = Retired()
        self._stale: dict[str, float] = {}  # services whose standing may be another one though nobody's state is; when
        self.revision = 0
        self._random = random
        self._services: dict[str, _Service] = {}
        self._available: dict[str, tuple[Instance, ...]] = {}
        self._schedule: Schedule[Instance] = Schedule(random)
        self._observers: list[Callable[[Transition], None]] = []
        self._claim_observers: list[Callable[[tuple[Claim, ...]], None]] = []
        self._claims: tuple[Claim, ...] = ()
        self._are_claims_stale = False
        self._news: list[Transition] = []
        self._notices: list[Notice] = []
        self._notice_observers: list[Callable[[Notice], None]] = []
        self._waiting: dict[Instance, list[Callable[[Instance], None]]] = {}

    # What the data path reads.

    def available(self, service: str) -> tuple[Instance, ...]:
        """
        Who takes new requests of a service, see `scalekit.balancer.standing.plan_standing`.

        The tuple stays the same object until something changes.
        """
        return self._available.get(service, ())

    # Members come and go.

    def register(
        self,
        service: str,
        endpoint: Endpoint,
        now: float,
        weight: int = 1,
        claim: Claim | None = None,
        keep_alive: float | None = None,
    ) -> Instance:
        """
        Add an instance, or refresh it: one that is down is joining again, one that is draining is replaced.

        What the configuration says about the scheme and name of an instance stays as it is.

        :raises ClientFault: a limit is reached.
        """
        known = self._at(service, endpoint)
        if known is not None and (known.is_static or known.endpoint == endpoint):
            instance = known
            self._revive(known, now)
        else:
            self._check_room(service)
            if known is not None:
                self._drain(known, "replaced by one of another scheme or name", now)
            instance = self._join(service, endpoint, now, "registered")
        if keep_alive is not None and keep_alive != instance.keep_alive:
            instance.keep_alive = keep_alive
            self.revision += 1
        self._settle_claim(instance, weight, claim)
        self._tell()
        return instance

    def enrol(self, service: str, wanted: Registration, now: float) -> Instance:
        """
        Add an instance that has a generation and a lease, or refresh it.

        A higher generation takes the place of the lower one, which drains; so does another id at the same address.

        :raises ClientFault: 400 if the id is another one's address, 409 if this generation is over, 403 if a limit is
            reached or the configuration has it.
        """
        id, endpoint = wanted.id, wanted.endpoint
        if ":" in id and id != endpoint.id:
            raise ClientFault(400, "bad-id", f"id: {id} found, a name or its own address {endpoint.id} expected.")
        known, neighbour = self._member(service, id), self._at(service, endpoint)
        if (known is not None and known.is_static) or (neighbour is not None and neighbour.is_static):
            raise ClientFault(403, "static-server", f"{endpoint.id} stands in the configuration of service {service}.")
        self._check_generation(service, id, wanted.generation)
        is_same = known is not None and known.generation == wanted.generation and known.endpoint == endpoint
        if known is not None and is_same:
            instance = known
            self._revive(known, now)
        else:
            if known is None and neighbour is None:
                self._check_room(service)
            if known is not None:
                self._drain(known, f"replaced by generation {wanted.generation}", now)
            if neighbour is not None and neighbour is not known:
                self._drain(neighbour, f"replaced by {id} at the same address", now)
            instance = self._join(service, endpoint, now, "registered", id)
            instance.generation = wanted.generation
            instance.secret = wanted.secret
            instance.has_consented = not wanted.secret
        most = inf if wanted.max_in_flight is None else wanted.max_in_flight
        said = (wanted.lease_seconds, wanted.meta, wanted.keep_alive, most)
        if (instance.lease_seconds, instance.meta, instance.keep_alive, instance.max_in_flight) != said:
            self.revision += 1
            instance.lease_seconds, instance.meta, instance.keep_alive, instance.max_in_flight = said
        self._leases.renew(instance, now)
        self._settle_claim(instance, wanted.weight, wanted.claim)
        self._tell()
        return instance

    def renew(self, service: str, id: str, generation: int | None, now: float) -> Instance | None:
        """
        Renew the lease of an instance; None if it is not known, and has to register again.

        One that is draining is returned as it is.

        :param generation: None: whichever is there.
        :raises ClientFault: 409 if this generation is over.
        """
        if generation is not None:
            self._check_generation(service, id, generation, is_asking=True)
        instance = self.find(service, id)
        if instance is None or (generation is not None and generation > instance.generation):
            return None
        if instance.state not in LEAVING:
            self._leases.renew(instance, now)
            if instance.state is State.SUSPECT:
                self._change(instance, State.UP, "lease renewed", now)
            elif instance.state is State.DOWN:
                self._schedule.hasten(instance.health, instance, now)
            self._tell()
        return instance

    def recall(
        self,
        service: str,
        registration: Registration,
        now: float,
        lease_seconds: float | None,
        has_consented: bool,
        was_well: bool,
    ) -> Instance:
        """
        Add an instance that was here before a restart; one that was well is suspect.

        :param lease_seconds: None: it has none.
        :raises ClientFault: a limit is reached, or somebody else is there already.
        """
        id, endpoint = registration.id, registration.endpoint
        if self._member(service, id) is not None or self._at(service, endpoint) is not None:
            raise ClientFault(409, "there-already", f"{id} or {endpoint.id} is in service {service} already.")
        self._check_room(service)
        instance = self._join(service, endpoint, now, "from the snapshot", id)
        instance.generation = registration.generation
        instance.secret = registration.secret
        instance.has_consented = has_consented
        instance.lease_seconds = lease_seconds
        instance.meta = registration.meta
        instance.keep_alive = registration.keep_alive
        instance.max_in_flight = inf if registration.max_in_flight is None else registration.max_in_flight
        self._leases.renew(instance, now)
        self._settle_claim(instance, registration.weight, registration.claim)
        if was_well:
            self._change(instance, State.SUSPECT, "from the snapshot", now)
            self._schedule.hasten(instance.health, instance, now)
        self._tell()
        return instance

    def retire(self, service: str, id: str, generation: int, now: float) -> None:
        """Refuse this generation, and those before it, for a while: it was drained."""
        self.revision += 1
        self.retired.add((service, id), generation, now)

    def renew_seconds(self, instance: Instance) -> float:
        """After how long it should renew: a third of its lease, so one beat may be lost, and not all at once."""
        seconds = (instance.lease_seconds or LEASE_SECONDS) * BEAT
        return seconds * (1.0 + BEAT_JITTER * (2.0 * self._random() - 1.0))

    def unregister(
        self,
        service: str,
        id: str,
        now: float,
        reason: str = "unregistered",
        generation: int | None = None,
        is_hurried: bool = False,
    ) -> Instance | None:
        """
        Drain an instance; returns it, also when it is draining already, or None if it is unknown.

        :param generation: only this one; None: whichever is there.
        :param is_hurried: whether it is gone at once, whatever is in flight.
        :raises ClientFault: it stands in the configuration; 409 if this generation is over and another is there.
        """
        instance = self.find(service, id)
        if instance is None:
            return None
        if instance.is_static:
            raise ClientFault(403, "static-server", f"{id} stands in the configuration of service {service}")
        if generation is not None and generation != instance.generation:
            if generation > instance.generation:
                return None
            raise _stale(id, generation, instance.generation)
        if instance.generation:
            self.retire(service, id, instance.generation, now)
        if instance.state not in LEAVING:
            self._drain(instance, reason, now, is_hurried)
        elif is_hurried:
            instance.drain_deadline = now
            self._let_go(instance, now)
        self._tell()
        return instance

    def reweigh(self, instance: Instance, weight: int) -> None:
        """An operator says how much it gets, until it registers anew."""
        self.revision += 1
        instance.weight = weight

    def settle_static(self, service: str, endpoints: Iterable[Endpoint], now: float) -> None:
        """
        Make these the configured servers of a service: new ones join, those that are no longer named drain.

        :raises ClientFault: a limit is reached; the servers before it are in.
        """
        wanted = {endpoint.id: endpoint for endpoint in endpoints}
        for member in self._members(service):
            if wanted.get(member.id, member.endpoint) != member.endpoint or (
                member.is_static and member.id not in wanted
            ):
                member.is_static = False
                self._drain(member, "the configuration, or the name service, says otherwise now", now)
        try:
            for endpoint in wanted.values():
                known = self._at(service, endpoint)
                if known is not None and known.id != endpoint.id:
                    self._drain(known, "the configuration names its address", now)
                    known = None
                if known is None:
                    self._check_room(service)
                    known = self._join(service, endpoint, now, "configured")
                known.is_static = True
        finally:
            self._tell()

    # Health.

    def due(self, now: float) -> list[Instance]:
        """The instances to probe now; each of them is due again only after its `probed`."""
        return self._schedule.due(now, PROBES_AT_ONCE)

    def probed(self, instance: Instance, status: int | None, detail: str, now: float, is_refused: bool = False) -> None:
        """
        Take the result of a probe.

        :param status: of the answer to ``/ping``: 2xx passes, 410 means that it is leaving; None: there was no answer.
        :param detail: one clause for people that says what happened, such as ``connection refused``.
        :param is_refused: whether nobody listens there.
        """
        if instance.state in LEAVING:
            return
        is_shut = is_refused or status == LEAVING_STATUS
        if is_shut is not instance.is_shut:
            instance.is_shut = is_shut
            self._stale[instance.service] = now
        if status == LEAVING_STATUS and not (instance.is_static and instance.state is State.DOWN):
            self._drain(instance, "says that it is leaving", now)
        elif status is not None and 200 <= status < 300:
            self._passed(instance, now)
        else:
            self._failed(instance, detail, now)
        if instance.state not in LEAVING:
            health = instance.health
            self._schedule.plan(health, instance, health.interval(instance.state is State.DOWN), now)
        self._tell()

    def struck(self, instance: Instance, detail: str, now: float) -> None:
        """
        A request met what a gateway answers for: no connection, no answer, a malformed one, 502, 503 or 504.

        Five in a row eject the instance; `Instance.strikes` is set to 0 by whoever sees one go well.
        """
        if instance.state not in ELIGIBLE:
            return
        instance.strikes += 1
        if instance.strikes < STRIKES:
            return
        instance.strikes = 0
        if not may_eject(self._members(instance.service)):
            return
        if now - instance.until >= FORGIVE_SECONDS:
            instance.ejections = 0
        seconds = ejection_seconds(instance.ejections)
        instance.ejections += 1
        instance.until = now + seconds
        self._change(
            instance, State.EJECTED, f"{STRIKES} requests failed in a row: {detail}; out for {seconds:.0f} s", now
        )
        self._tell()

    def connect_failed(self, instance: Instance, now: float) -> None:
        """
        The data path could not connect: probe it at once.

        Only the first such hint counts: from the first failed probe on, the next one is half a second away in any case,
        and a flood of requests must not turn three probes into three milliseconds.
        """
        if instance.state in ELIGIBLE and instance.health.failures == 0:
            self._schedule.hasten(instance.health, instance, now)

    # Time.

    def expire(self, now: float) -> None:
        """
        Whatever comes by time alone: draining instances that have nothing in flight, or whose deadline is over, leases
        that were missed, ejections and slow starts that end.
        """
        for service in list(self._services.values()):
            for instance in list(service.leaving):
                self._let_go(instance, now)
        for instance in list(self._timed):
            if instance.state is State.WARMING:
                instance.share = warm_share(now - instance.since)
            if now < instance.until:
                continue
            if instance.state is State.WARMING:
                self._change(instance, State.UP, "slow start is over", now)
            else:
                self._return(instance, "ejection is over", now)
        self._lapse(now)
        self.retired.expire(now)
        self._tell()

    def next_deadline(self) -> float | None:
        """When there is something to do next even if nothing happens; None: never."""
        deadlines = [i.drain_deadline for service in self._services.values() for i in service.leaving]
        deadlines += [instance.until for instance in self._timed]
        deadlines += self._leases.deadlines()
        due = self._schedule.next_deadline()
        if due is not None:
            deadlines.append(due)
        return min(deadlines, default=None)

    def wait_drained(self, instance: Instance, callback: Callable[[Instance], None]) -> None:
        """Call back once the instance is gone; at once if it is."""
        if instance.state is State.GONE:
            callback(instance)
        else:
            self._waiting.setdefault(instance, []).append(callback)

    def stop_waiting(self, instance: Instance, callback: Callable[[Instance], None]) -> None:
        """Take back a `wait_drained`; does nothing if it was called back already."""
        callbacks = self._waiting.get(instance, [])
        if callback in callbacks:
            callbacks.remove(callback)

    # Looking and listening.

    def observe(self, observer: Callable[[Transition], None]) -> None:
        """Tell of every transition, after the roster is consistent again; observers must not raise."""
        self._observers.append(observer)

    def observe_notices(self, observer: Callable[[Notice], None]) -> None:
        """Tell of every notice; observers must not raise."""
        self._notice_observers.append(observer)

    def observe_claims(self, observer: Callable[[tuple[Claim, ...]], None]) -> None:
        """Tell what the registered instances claim whenever that changes, in the order of their registration."""
        self._claim_observers.append(observer)

    def services(self) -> tuple[str, ...]:
        """The names of all services that have an instance, in the order of their first registration."""
        return tuple(self._services)

    def instances(self, service: str) -> tuple[Instance, ...]:
        """All instances of a service, the draining ones last."""
        found = self._services.get(service)
        return (*found.members.values(), *found.leaving) if found else ()

    def find(self, service: str, id: str) -> Instance | None:
        """The member of this id; or else the one of the highest generation that is draining."""
        found = self._services.get(service)
        if found is None:
            return None
        member = found.members.get(id)
        if member is not None:
            return member
        leaving = [old for old in found.leaving if old.id == id]
        return max(leaving, key=lambda old: old.generation, default=None)

    def is_panicking(self, service: str) -> bool:
        """Whether fewer than half of its members are well."""
        found = self._services.get(service)
        return found is not None and found.is_panicking

    # Inside.

    def _members(self, service: str) -> tuple[Instance, ...]:
        found = self._services.get(service)
        return tuple(found.members.values()) if found else ()

    def _member(self, service: str, id: str) -> Instance | None:
        found = self._services.get(service)
        return found.members.get(id) if found else None

    def _at(self, service: str, endpoint: Endpoint) -> Instance | None:
        """The member at this address, whatever its id."""
        known = self._member(service, endpoint.id)
        return known or next((one for one in self._members(service) if one.authority == endpoint.id), None)

    def _check_generation(self, service: str, id: str, generation: int, is_asking: bool = False) -> None:
        """
        Refuse a generation that another has followed, or that was drained.

        :param is_asking: whether somebody only wants to know, who may hear that it is draining.
        """
        known = self.find(service, id)
        if known is not None:
            if generation < known.generation:
                raise _stale(id, generation, known.generation)
            if is_asking and generation == known.generation:
                return
        retired = self.retired.last((service, id))
        if generation <= retired:
            raise ClientFault(409, "drained", f"Generation {retired} of {id} was drained; only a higher one may come.")

    def _settle_claim(self, instance: Instance, weight: int, claim: Claim | None) -> None:
        if instance.weight != weight:
            instance.weight = weight
            self.revision += 1
        if instance.claim != claim:
            instance.claim = claim
            self._are_claims_stale = True
            self.revision += 1

    def _revive(self, instance: Instance, now: float) -> None:
        """The app itself says that it is there."""
        if instance.state is State.DOWN:
            instance.health.forget()
            self._change(instance, State.JOINING, "registered again", now)
            self._schedule.start(instance.health, instance, now)
        elif instance.state is State.SUSPECT:
            self._change(instance, State.UP, "registered again", now)

    def _passed(self, instance: Instance, now: float) -> None:
        has_risen = instance.health.passed()
        if not instance.has_consented:
            # A probe of one with a secret passes only if the challenge was answered.
            instance.has_consented = True
            self.revision += 1
            self._stale[instance.service] = now
        if instance.state is State.SUSPECT:
            self._change(instance, State.UP, "the check passed", now)
        elif has_risen and instance.state in (State.JOINING, State.DOWN):
            self._rise(instance, f"{self.rules.rise} probes passed", now)

    def _failed(self, instance: Instance, detail: str, now: float) -> None:
        has_fallen = instance.health.failed()
        if instance.state is State.SUSPECT:
            self._change(instance, State.DOWN, f"{instance.reason}, and the check failed: {detail}", now)
        elif instance.state is not State.DOWN:
            if has_fallen:
                self._change(instance, State.DOWN, f"{self.rules.fall} probes failed: {detail}", now)
        elif not instance.is_static:
            seconds = FORGET_LAPSED_SECONDS if instance.has_lapsed else FORGET_SECONDS
            if now - instance.since >= seconds:
                self._drain(instance, f"down for {seconds:.0f} s", now)

    def _rise(self, instance: Instance, reason: str, now: float) -> None:
        """It is well; slowly, if there are others that can carry the load meanwhile."""
        warm = now - SLOW_START_SECONDS
        if any(
            one.eligible_since is not None and one.eligible_since <= warm for one in self._members(instance.service)
        ):
            instance.until = now + SLOW_START_SECONDS
            self._change(instance, State.WARMING, reason, now)
        else:
            self._change(instance, State.UP, reason, now)

    def _return(self, instance: Instance, reason: str, now: float) -> None:
        """Out of the ejection."""
        if instance.health.failures == 0 and instance.health.passes >= self.rules.rise:
            self._rise(instance, reason, now)
        else:
            self._change(instance, State.JOINING, reason, now)

    def _lapse(self, now: float) -> None:
        was_doubted = self._leases.is_doubted
        missed = self._leases.lapse(now)
        is_doubted = self._leases.is_doubted
        if is_doubted and not was_doubted:
            count, total = self._leases.counts()
            detail = f"{count} of {total} leases lapsed at once while probes pass: the instances are kept as they are"
            self._notices.append(Notice("leases-doubted", "", detail, now))
        elif was_doubted and not is_doubted:
            self._notices.append(Notice("leases-trusted", "", "leases no longer lapse at once", now))
        for instance in missed:
            if instance.state in (State.WARMING, State.UP) and not (is_doubted and instance.health.failures == 0):
                self._change(instance, State.SUSPECT, "lease missed", now)
                self._schedule.hasten(instance.health, instance, now)

    def _check_room(self, service: str) -> None:
        found = self._services.get(service)
        if found is None and len(self._services) >= SERVICES_LIMIT:
            raise ClientFault(403, "roster-full", f"there are {SERVICES_LIMIT} services already")
        if found is not None and len(found.members) + len(found.leaving) >= INSTANCES_LIMIT:
            raise ClientFault(403, "roster-full", f"service {service} has {INSTANCES_LIMIT} instances already")

    def _join(self, service: str, endpoint: Endpoint, now: float, reason: str, id: str = "") -> Instance:
        instance = Instance(service, endpoint, now, self.rules, id)
        self._services.setdefault(service, _Service()).members[instance.id] = instance
        self._news.append(Transition(instance, None, State.JOINING, reason, now))
        instance.reason = reason
        self._schedule.start(instance.health, instance, now)
        return instance

    def _drain(self, instance: Instance, reason: str, now: float, is_hurried: bool = False) -> None:
        found = self._services[instance.service]
        del found.members[instance.id]
        found.leaving.append(instance)
        instance.drain_deadline = now if is_hurried else now + self._drain_seconds
        self._schedule.stop(instance.health)
        self._leases.forget(instance)
        self._change(instance, State.DRAINING, reason, now)
        if instance.is_static:
            # What the configuration names is never forgotten: it is asked on, and is back when it passes again.
            heir = self._join(instance.service, instance.endpoint, now, "configured")
            heir.is_static, heir.weight, heir.claim = True, instance.weight, instance.claim
            heir.is_shut = instance.is_shut
            self._change(heir, State.DOWN, reason, now)
        self._let_go(instance, now)

    def _let_go(self, instance: Instance, now: float) -> None:
        if instance.in_flight > 0 and now < instance.drain_deadline:
            return
        found = self._services[instance.service]
        found.leaving.remove(instance)
        if not found.members and not found.leaving:
            del self._services[instance.service]
            if found.is_panicking:
                self._notices.append(Notice("panic-over", instance.service, "no instances are left", now))
        self._are_claims_stale = self._are_claims_stale or instance.claim is not None
        is_late = instance.in_flight > 0
        self._change(
            instance,
            State.GONE,
            f"{instance.in_flight} in flight at the deadline" if is_late else "nothing in flight",
            now,
        )

    def _change(self, instance: Instance, state: State, reason: str, now: float) -> None:
        self._news.append(Transition(instance, instance.state, state, reason, now))
        instance.state = state
        instance.reason = reason
        instance.since = now
        instance.strikes = 0
        instance.share = warm_share(0.0) if state is State.WARMING else 1.0
        if state not in ELIGIBLE:
            instance.eligible_since = None
        elif instance.eligible_since is None:
            instance.eligible_since = now
        if state in (State.WARMING, State.EJECTED):
            self._timed[instance] = None
        else:
            self._timed.pop(instance, None)

    def _tell(self) -> None:
        """Bring what others read up to date, then tell them: the last act of every call that changes something."""
        if not self._news and not self._notices and not self._stale and not self._are_claims_stale:
            return
        touched, self._stale = self._stale | {one.instance.service: one.at for one in self._news}, {}
        for service, now in touched.items():
            self._pardon(service, now)
        for service, now in touched.items():
            self._settle_standing(service, now)
        news, self._news = self._news, []
        self.revision += len(news)
        notices, self._notices = self._notices, []
        if self._are_claims_stale:
            self._are_claims_stale = False
            self._claims = tuple(
                dict.fromkeys(i.claim for name in self._services for i in self.instances(name) if i.claim is not None)
            )
            for claim_observer in self._claim_observers:
                claim_observer(self._claims)
        for transition in news:
            for observer in self._observers:
                observer(transition)
            if transition.after is State.GONE:
                for callback in self._waiting.pop(transition.instance, ()):
                    callback(transition.instance)
        for notice in notices:
            for notice_observer in self._notice_observers:
                notice_observer(notice)

    def _pardon(self, service: str, now: float) -> None:
        """Others have left or died, and those that were ejected are needed: the first of them comes back early."""
        members = self._members(service)
        while are_too_many_ejected(members):
            first = min((one for one in members if one.state is State.EJECTED), key=lambda one: one.until)
            self._return(first, "too few others are left", now)

    def _settle_standing(self, service: str, now: float) -> None:
        standing = plan_standing(self._members(service), self._panic)
        if standing.available != self._available.get(service, ()):
            if standing.available:
                self._available[service] = standing.available
            else:
                self._available.pop(service, None)
        found = self._services.get(service)
        if found is not None and found.is_panicking is not standing.is_panicking:
            found.is_panicking = standing.is_panicking
            kind, detail = "panic-over", "at least half of the instances are well again"
            if standing.is_panicking:
                kind = "panic"
                asked = "all that can be reached are asked" if self._panic == "spray" else "only the others are asked"
                detail = f"more than half of the instances are down or ejected: {asked}"
            self._notices.append(Notice(kind, service, detail, now))

    def __repr__(self) -> str:
        return f"<Roster {' '.join(repr(i) for name in self._services for i in self.instances(name))}>"


def _stale(id: str, generation: int, present: int) -> ClientFault:
    return ClientFault(409, "stale-generation", f"Generation {generation} of {id} is over: {present} is there.")
