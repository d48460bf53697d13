"""
Who is a member of which service, and in which state: the balancer's memory, without a socket and without a clock.

The states and what leads from one to the other stand in `scalekit.balancer.instance`.  Here is only the face of it:
`directory` keeps who is there, `enrolment` takes in what apps say and `configured` what the configuration names,
`turnover` lets them come and go, `judging` decides on their states, `standing` who takes requests, `leases` who has
missed a beat, `departed` what is kept of services that are gone, and `telling` tells of it all.  Two kinds of readers:

* the data path reads `Roster.available`, a ready tuple that is replaced whole when something changes;
* everybody else is told of every `Transition`, with its reason, by `Roster.observe`, and of what concerns a whole
  service by `Roster.observe_notices`.

Time comes in as ``now``, seconds on one clock of the caller's choice; the shell calls `Roster.expire` and asks for what
is `Roster.due` four times a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from zope.interface import implementer

from scalekit.balancer.configured import Configured
from scalekit.balancer.departed import Departed
from scalekit.balancer.directory import Directory
from scalekit.balancer.enrolment import Enrolment
from scalekit.balancer.generations import Retired
from scalekit.balancer.health import HealthRules, Schedule
from scalekit.balancer.instance import Endpoint, Instance, Notice, Registration, State, Transition
from scalekit.balancer.judging import Judge
from scalekit.balancer.leases import Leases, renew_seconds
from scalekit.balancer.per_service import PerService
from scalekit.balancer.registry import IRegistry
from scalekit.balancer.routes import Claim
from scalekit.balancer.standing import Standings
from scalekit.balancer.telling import Telling
from scalekit.balancer.turnover import DRAIN_SECONDS, Turnover

__all__ = ["Endpoint", "Instance", "Notice", "Registration", "Roster", "State", "Transition"]

# Probes started in one go (four times a second): below the 1,024 descriptors that many systems grant a process.
PROBES_AT_ONCE = 200


@implementer(IRegistry)
class Roster:
    """
    The members of all services.

    :param random: returns a number from 0 to 1; for the jitter of probes.
    :param drain_seconds: how long what is in flight may take when an instance leaves.
    :param panic: what happens when fewer than half of a service are well, see `scalekit.balancer.standing`.
    :ivar rules: for probing.
    :ivar retired: generations that may not come back.
    :ivar departed: what services have claimed that nobody serves any more.
    """

    def __init__(
        self,
        random: Callable[[], float],
        rules: PerService[HealthRules] | None = None,
        drain_seconds: float = DRAIN_SECONDS,
        panic: str = "spray",
    ) -> None:
        self.rules = rules or PerService(HealthRules())
        self.retired = Retired()
        self.departed = Departed()
        self._random = random
        self._leases = Leases()
        self._schedule: Schedule[Instance] = Schedule(random)
        self._directory = Directory()
        self._telling = Telling(self.departed)
        self._standings = Standings(panic)
        self._available = self._standings.available
        self._turnover = Turnover(
            self._directory, self._telling, self._schedule, self._leases, self.departed, self.rules, drain_seconds
        )
        self._judge = Judge(self._directory, self._telling, self._schedule, self._turnover)
        self._enrolment = Enrolment(
            self._directory, self._telling, self._turnover, self._judge, self._leases, self.retired
        )
        self._configured = Configured(self._directory, self._turnover)

    @property
    def revision(self) -> int:
        """Rises with whatever a snapshot would hold; not with renewals."""
        return self._telling.revision

    @property
    def drain_seconds(self) -> float:
        """How long what is in flight may take when an instance leaves now."""
        return self._turnover.drain_seconds

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
        instance = self._enrolment.register(service, endpoint, now, weight, claim, keep_alive)
        self._tell()
        return instance

    def enrol(self, service: str, wanted: Registration, now: float) -> Instance:
        """
        Add an instance that has a generation and a lease, or refresh it.

        A higher generation takes the place of the lower one, which drains; so does another id at the same address.

        :raises ClientFault: 400 if the id is another one's address, 409 if this generation is over, 403 if a limit is
            reached or the configuration has it.
        """
        instance = self._enrolment.enrol(service, wanted, now)
        self._tell()
        return instance

    def renew(self, service: str, id: str, generation: int | None, now: float) -> Instance | None:
        """
        Renew the lease of an instance; None if it is not known, and has to register again.

        One that is draining is returned as it is.

        :param generation: None: whichever is there.
        :raises ClientFault: 409 if this generation is over.
        """
        instance = self._enrolment.renew(service, id, generation, now)
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
        instance = self._enrolment.recall(service, registration, now, lease_seconds, has_consented, was_well)
        self._tell()
        return instance

    def retire(self, service: str, id: str, generation: int, now: float) -> None:
        """Refuse this generation, and those before it, for a while: it was drained."""
        self._enrolment.retire(service, id, generation, now)

    def renew_seconds(self, instance: Instance) -> float:
        """After how long it should renew: a third of its lease, so one beat may be lost, and not all at once."""
        return renew_seconds(instance, self._random())

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
        instance = self._enrolment.unregister(service, id, now, reason, generation, is_hurried)
        self._tell()
        return instance

    def reweigh(self, instance: Instance, weight: int) -> None:
        """An operator says how much it gets, until it registers anew."""
        self._telling.revision += 1
        instance.weight = weight

    def settle_static(
        self,
        service: str,
        endpoints: Iterable[Endpoint],
        now: float,
        reason: str = "no longer configured",
        is_anew: bool = False,
    ) -> None:
        """
        Make these the configured servers of a service: new ones join, those that are no longer named drain.

        :param reason: why they drain.
        :param is_anew: whether that is what somebody has just configured: then none of them stays drained.

        :raises ClientFault: a limit is reached; the servers before it are in.
        """
        try:
            self._configured.settle(service, endpoints, now, reason, is_anew)
        finally:
            self._tell()

    def hold(self, service: str, id: str, now: float) -> Instance | None:
        """
        An operator drains a server of the configuration: it stays drained until somebody takes it back.

        :return: who leaves; the server itself, if it is drained and nobody leaves any more; None: there is none.
        """
        instance = self._configured.hold(service, id, now)
        self._tell()
        return instance

    def take_back(self, service: str, id: str, now: float) -> Instance | None:
        """Bring back what `hold` has drained; None: there is no such server of the configuration."""
        instance = self._configured.take_back(service, id, now)
        self._tell()
        return instance

    def recall_departed(self, claim: Claim, at: float) -> None:
        """Keep what a service claimed whose last instance left before a restart."""
        self.departed.add(claim, at)
        self._claims_changed()
        self._tell()

    def forget(self, service: str) -> None:
        """An operator has the routes of a service go now that nobody serves any more."""
        self.departed.forget(service)
        self._claims_changed()
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
        self._judge.probed(instance, status, detail, now, is_refused)
        self._tell()

    def struck(self, instance: Instance, detail: str, now: float) -> None:
        """
        A request met what a gateway answers for: no connection, no answer, a malformed one, 502, 503 or 504.

        Five in a row eject the instance; `Instance.strikes` is set to 0 by whoever sees one go well.
        """
        self._judge.struck(instance, detail, now)
        self._tell()

    def connect_failed(self, instance: Instance, now: float) -> None:
        """
        The data path could not connect: probe it at once.

        Only the first such hint counts: from the first failed probe on, the next one is half a second away in any case,
        and a flood of requests must not turn three probes into three milliseconds.
        """
        self._judge.connect_failed(instance, now)

    # Time.

    def expire(self, now: float) -> None:
        """
        Whatever comes by time alone: draining instances that have nothing in flight, or whose deadline is over, leases
        that were missed, ejections and slow starts that end.
        """
        self._turnover.expire(now)
        self._judge.expire(now)
        lapse = self._leases.lapse(now)
        if lapse.doubt:
            self._telling.notice("leases-doubted", "", lapse.doubt, now)
        elif lapse.is_trusted_again:
            self._telling.notice("leases-trusted", "", "leases no longer lapse at once", now)
        for instance in lapse.suspects:
            self._judge.suspect(instance, "lease missed", now)
        self.retired.expire(now)
        if self.departed.expire(now):
            self._claims_changed()
        self._tell()

    def let_go(self, instance: Instance, now: float) -> None:
        """If this one is draining, and has nothing in flight, it is gone now, and not only at the next `expire`."""
        self._turnover.let_go(instance, now)
        self._tell()

    def next_deadline(self) -> float | None:
        """When there is something to do next even if nothing happens; None: never."""
        deadlines = [*self._turnover.deadlines(), *self._judge.deadlines(), *self._leases.deadlines()]
        others = (self._schedule.next_deadline(), self.departed.next_deadline())
        deadlines += [one for one in others if one is not None]
        return min(deadlines, default=None)

    def wait_drained(self, instance: Instance, callback: Callable[[Instance], None]) -> None:
        """Call back once the instance is gone; at once if it is."""
        self._telling.wait_gone(instance, callback)

    def stop_waiting(self, instance: Instance, callback: Callable[[Instance], None]) -> None:
        """Take back a `wait_drained`; does nothing if it was called back already."""
        self._telling.stop_waiting(instance, callback)

    def reconfigure(self, rules: PerService[HealthRules], drain_seconds: float, panic: str, now: float) -> None:
        """Go on by other rules; what is draining keeps its deadline."""
        self._turnover.drain_seconds = drain_seconds
        if rules != self.rules:
            self.rules = self._turnover.rules = rules
            self._judge.go_by(rules, now)
        if panic != self._standings.panic:
            self._standings.panic = panic
            for service in self.services():
                self._telling.touch(service, now)
        self._tell()

    # Looking and listening.

    def observe(self, observer: Callable[[Transition], None]) -> None:
        """Tell of every transition, after the roster is consistent again; observers must not raise."""
        self._telling.observe(observer)

    def observe_notices(self, observer: Callable[[Notice], None]) -> None:
        """Tell of every notice; observers must not raise."""
        self._telling.observe_notices(observer)

    def observe_claims(self, observer: Callable[[tuple[Claim, ...]], None]) -> None:
        """Tell what the registered instances claim whenever that changes, in the order of their registration."""
        self._telling.observe_claims(observer)

    def services(self) -> tuple[str, ...]:
        """The names of all services that have an instance, in the order of their first registration."""
        return self._directory.services()

    def instances(self, service: str) -> tuple[Instance, ...]:
        """All instances of a service, the draining ones last."""
        return self._directory.instances(service)

    def find(self, service: str, id: str) -> Instance | None:
        """The member of this id; or else the one of the highest generation that is draining."""
        return self._directory.find(service, id)

    def is_panicking(self, service: str) -> bool:
        """Whether fewer than half of its members are well."""
        return self._standings.is_panicking(service)

    def departed_at(self, service: str) -> float | None:
        """Since when nobody has claimed what is kept for this service; None: somebody does, or nothing is kept."""
        if any(one.claim is not None for one in self.instances(service)):
            return None
        return self.departed.left_at(service)

    # Inside.

    def _claims_changed(self) -> None:
        self._telling.revision += 1
        self._telling.touch_claims()

    def _tell(self) -> None:
        """Bring what others read up to date, then tell them: the last act of every call that changes something."""
        if not self._telling.has_news:
            return
        touched = self._telling.take_touched()
        for service, now in touched.items():
            self._judge.pardon(service, now)
        for service, now in touched.items():
            self._standings.settle(service, self._directory.members(service), self._telling, now)
        self._telling.tell(self._directory)

    def __repr__(self) -> str:
        return f"<Roster {' '.join(repr(i) for name in self.services() for i in self.instances(name))}>"
