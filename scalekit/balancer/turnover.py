"""
How an instance comes to be there, and how it goes: draining, until nothing of it is in flight or its time is over.
"""

from __future__ import annotations

from scalekit.balancer.departed import Departed
from scalekit.balancer.directory import Directory
from scalekit.balancer.health import HealthRules, Schedule
from scalekit.balancer.instance import Endpoint, Instance, State
from scalekit.balancer.leases import Leases
from scalekit.balancer.per_service import PerService
from scalekit.balancer.telling import Telling

DRAIN_SECONDS = 30.0  # the default grace period of Kubernetes and of most process supervisors' SIGKILL


class Turnover:
    """
    :param departed: is told what those who are gone have claimed.
    :param drain_seconds: how long what is in flight may take when an instance leaves.
    :ivar rules: for probing; read when somebody joins.
    """

    def __init__(
        self,
        directory: Directory,
        telling: Telling,
        schedule: Schedule[Instance],
        leases: Leases,
        departed: Departed,
        rules: PerService[HealthRules],
        drain_seconds: float,
    ) -> None:
        self._directory = directory
        self._telling = telling
        self._schedule = schedule
        self._leases = leases
        self._departed = departed
        self.rules = rules
        self.drain_seconds = drain_seconds

    def join(self, service: str, endpoint: Endpoint, now: float, reason: str, id: str = "") -> Instance:
        """A new instance, which is probed soon; its place in the directory is free."""
        instance = Instance(service, endpoint, now, self.rules.of(service), id)
        self._directory.add(instance)
        self._telling.joined(instance, reason, now)
        self._schedule.start(instance.health, instance, now)
        return instance

    def drain(
        self,
        instance: Instance,
        reason: str,
        now: float,
        is_hurried: bool = False,
        heir_state: State = State.DOWN,
    ) -> None:
        """
        A member leaves; one of the configuration has an heir at once.

        :param is_hurried: whether it is gone at once, whatever is in flight.
        :param heir_state: down: until probes pass; drained: until an operator takes it back, and it is not probed.
        """
        self._directory.part(instance)
        instance.drain_deadline = now if is_hurried else now + self.drain_seconds
        self._schedule.stop(instance.health)
        self._leases.forget(instance)
        self._telling.change(instance, State.DRAINING, reason, now)
        if instance.is_static:
            # What the configuration names is never forgotten.
            heir = self.join(instance.service, instance.endpoint, now, "configured")
            heir.is_static, heir.weight, heir.claim = True, instance.weight, instance.claim
            heir.is_shut = instance.is_shut
            self._telling.change(heir, heir_state, reason, now)
            if heir_state is State.DRAINED:
                self._schedule.stop(heir.health)
        self._let_go(instance, now)

    def take_back(self, instance: Instance, reason: str, now: float) -> None:
        """One that is drained is probed again."""
        instance.is_shut = False
        self._telling.change(instance, State.JOINING, reason, now)
        self._schedule.start(instance.health, instance, now)

    def hurry(self, instance: Instance, now: float) -> None:
        """One that is draining is gone now, whatever is in flight."""
        instance.drain_deadline = now
        self._let_go(instance, now)

    def let_go(self, instance: Instance, now: float) -> None:
        """One that is draining is gone, if it has nothing in flight."""
        if instance.state is State.DRAINING:
            self._let_go(instance, now)

    def expire(self, now: float) -> None:
        """Let go of those that have nothing in flight, or whose time is over."""
        for instance in self._directory.leaving():
            self._let_go(instance, now)

    def deadlines(self) -> list[float]:
        """When each of those that are draining is gone at the latest."""
        return [one.drain_deadline for one in self._directory.leaving()]

    def _let_go(self, instance: Instance, now: float) -> None:
        if instance.in_flight > 0 and now < instance.drain_deadline:
            return
        self._directory.remove(instance)
        if instance.claim is not None:
            self._departed.add(instance.claim, now)
            self._telling.touch_claims()
        is_late = instance.in_flight > 0
        reason = f"{instance.in_flight} in flight at the deadline" if is_late else "nothing in flight"
        self._telling.change(instance, State.GONE, reason, now)

    def __repr__(self) -> str:
        return f"<Turnover {self._directory!r}>"
