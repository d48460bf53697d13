"""
Who is a member of which service, and in which state: the balancer's memory, without a socket and without a clock.

The states and what leads from one to the other stand in `scalekit.balancer.instance`.  Two kinds of readers:

* the data path reads `Roster.available`, a ready tuple that is replaced whole when something changes;
* everybody else is told of every `Transition`, with its reason, by `Roster.observe`.

Time comes in as ``now``, seconds on one clock of the caller's choice; the shell calls `Roster.expire` and asks for what
is `Roster.due` four times a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from scalekit.balancer.health import HealthRules, Schedule
from scalekit.balancer.instance import Endpoint, Instance, State, Transition
from scalekit.balancer.routes import Claim
from scalekit.errors import ClientFault

__all__ = ["Endpoint", "Instance", "Roster", "State", "Transition"]

# What a registering client can make us keep stays under a few hundred MiB.
INSTANCES_LIMIT = 1000
SERVICES_LIMIT = 1000

DRAIN_SECONDS = 30.0  # the default grace period of Kubernetes and of most process supervisors' SIGKILL

# A registered instance that is down is asked on, since one that crashed comes back by itself on the same port; but not
# for ever. Ten minutes are longer than a reboot or a deployment, and apps register again when they start.
FORGET_SECONDS = 600.0

# Probes started in one go (four times a second): below the 1,024 descriptors that many systems grant a process.
PROBES_AT_ONCE = 200


class _Service:
    """The instances of one service: members by id, and those that are draining."""

    __slots__ = ("leaving", "members")

    def __init__(self) -> None:
        self.members: dict[str, Instance] = {}
        self.leaving: list[Instance] = []


class Roster:
    """
    The members of all services.

    :param random: returns a number from 0 to 1; for the jitter of probes.
    :param drain_seconds: how long what is in flight may take when an instance leaves.
    :ivar rules: for probing.
    """

    def __init__(
        self, random: Callable[[], float], rules: HealthRules | None = None, drain_seconds: float = DRAIN_SECONDS
    ) -> None:
        self.rules = rules or HealthRules()
        self._drain_seconds = drain_seconds
        self._services: dict[str, _Service] = {}
        self._available: dict[str, tuple[Instance, ...]] = {}
        self._schedule: Schedule[Instance] = Schedule(random)
        self._observers: list[Callable[[Transition], None]] = []
        self._claim_observers: list[Callable[[tuple[Claim, ...]], None]] = []
        self._claims: tuple[Claim, ...] = ()
        self._are_claims_stale = False
        self._news: list[Transition] = []
        self._waiting: dict[Instance, list[Callable[[Instance], None]]] = {}

    # What the data path reads.

    def available(self, service: str) -> tuple[Instance, ...]:
        """
        Who takes new requests of a service: all that are up; if none is, all that are joining; else nobody.

        The tuple stays the same object until something changes.
        """
        return self._available.get(service, ())

    # Members come and go.

    def register(
        self, service: str, endpoint: Endpoint, now: float, weight: int = 1, claim: Claim | None = None
    ) -> Instance:
        """
        Add an instance, or refresh it: one that is down is joining again, one that is draining is replaced.

        What the configuration says about the scheme and name of an instance stays as it is.

        :raises ClientFault: a limit is reached.
        """
        known = self._member(service, endpoint.id)
        if known is not None and (known.is_static or known.endpoint == endpoint):
            instance = known
            if known.state is State.DOWN:
                known.health.forget()
                self._change(known, State.JOINING, "registered again", now)
                self._schedule.start(known.health, known, now)
        else:
            self._check_room(service)
            if known is not None:
                self._drain(known, "replaced by one of another scheme or name", now)
            instance = self._join(service, endpoint, now, "registered")
        instance.weight = weight
        if instance.claim != claim:
            instance.claim = claim
            self._are_claims_stale = True
        self._tell()
        return instance

    def unregister(self, service: str, id: str, now: float, reason: str = "unregistered") -> Instance | None:
        """
        Drain an instance; returns it, also when it is draining already, or None if it is unknown.

        :raises ClientFault: it stands in the configuration.
        """
        instance = self._member(service, id)
        if instance is None:
            found = self._services.get(service)
            return next((old for old in found.leaving if old.id == id), None) if found else None
        if instance.is_static:
            raise ClientFault(403, "static-server", f"{id} stands in the configuration of service {service}")
        self._drain(instance, reason, now)
        self._tell()
        return instance

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
                known = self._member(service, endpoint.id)
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

    def probed(self, instance: Instance, status: int | None, detail: str, now: float) -> None:
        """
        Take the result of a probe.

        :param status: of the answer to ``/ping``: 2xx passes, 410 means that it is leaving; None: there was no answer.
        :param detail: one clause for people that says what happened, such as ``connection refused``.
        """
        if instance.state in (State.DRAINING, State.GONE):
            return
        health = instance.health
        if status == 410 and not (instance.is_static and instance.state is State.DOWN):
            self._drain(instance, "answered 410 Gone", now)
        elif status is not None and 200 <= status < 300:
            if health.passed() and instance.state is not State.UP:
                self._change(instance, State.UP, f"{self.rules.rise} probes passed", now)
        elif health.failed() and instance.state is not State.DOWN:
            self._change(instance, State.DOWN, f"{self.rules.fall} probes failed: {detail}", now)
        elif instance.state is State.DOWN and not instance.is_static and now - instance.since >= FORGET_SECONDS:
            self._drain(instance, f"down for {FORGET_SECONDS:.0f} s", now)
        if instance.state not in (State.DRAINING, State.GONE):
            self._schedule.plan(health, instance, health.interval(instance.state is State.DOWN), now)
        self._tell()

    def connect_failed(self, instance: Instance, now: float) -> None:
        """
        The data path could not connect: probe it at once.

        Only the first such hint counts: from the first failed probe on, the next one is half a second away in any case,
        and a flood of requests must not turn three probes into three milliseconds.
        """
        if instance.state is State.UP and instance.health.failures == 0:
            self._schedule.hasten(instance.health, instance, now)

    # Time.

    def expire(self, now: float) -> None:
        """Let go of draining instances that have nothing in flight, or whose deadline is over."""
        for service in list(self._services.values()):
            for instance in list(service.leaving):
                self._let_go(instance, now)
        self._tell()

    def next_deadline(self) -> float | None:
        """When there is something to do next even if nothing happens; None: never."""
        deadlines = [i.drain_deadline for service in self._services.values() for i in service.leaving]
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

    # Inside.

    def _members(self, service: str) -> tuple[Instance, ...]:
        found = self._services.get(service)
        return tuple(found.members.values()) if found else ()

    def _member(self, service: str, id: str) -> Instance | None:
        found = self._services.get(service)
        return found.members.get(id) if found else None

    def _check_room(self, service: str) -> None:
        found = self._services.get(service)
        if found is None and len(self._services) >= SERVICES_LIMIT:
            raise ClientFault(403, "roster-full", f"there are {SERVICES_LIMIT} services already")
        if found is not None and len(found.members) + len(found.leaving) >= INSTANCES_LIMIT:
            raise ClientFault(403, "roster-full", f"service {service} has {INSTANCES_LIMIT} instances already")

    def _join(self, service: str, endpoint: Endpoint, now: float, reason: str) -> Instance:
        instance = Instance(service, endpoint, now, self.rules)
        self._services.setdefault(service, _Service()).members[instance.id] = instance
        self._news.append(Transition(instance, None, State.JOINING, reason, now))
        instance.reason = reason
        self._schedule.start(instance.health, instance, now)
        return instance

    def _drain(self, instance: Instance, reason: str, now: float) -> None:
        found = self._services[instance.service]
        del found.members[instance.id]
        found.leaving.append(instance)
        instance.drain_deadline = now + self._drain_seconds
        self._schedule.stop(instance.health)
        self._change(instance, State.DRAINING, reason, now)
        if instance.is_static:
            # What the configuration names is never forgotten: it is asked on, and is back when it passes again.
            heir = self._join(instance.service, instance.endpoint, now, "configured")
            heir.is_static, heir.weight, heir.claim = True, instance.weight, instance.claim
            self._change(heir, State.DOWN, reason, now)
        self._let_go(instance, now)

    def _let_go(self, instance: Instance, now: float) -> None:
        if instance.in_flight > 0 and now < instance.drain_deadline:
            return
        found = self._services[instance.service]
        found.leaving.remove(instance)
        if not found.members and not found.leaving:
            del self._services[instance.service]
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

    def _tell(self) -> None:
        """Bring what others read up to date, then tell them: the last act of every call that changes something."""
        news, self._news = self._news, []
        for service in {transition.instance.service for transition in news}:
            self._renew(service)
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

    def _renew(self, service: str) -> None:
        members = self._members(service)
        available = tuple(member for member in members if member.state is State.UP) or tuple(
            member for member in members if member.state is State.JOINING
        )
        if available:
            self._available[service] = available
        else:
            self._available.pop(service, None)

    def __repr__(self) -> str:
        return f"<Roster {' '.join(repr(i) for name in self._services for i in self.instances(name))}>"
