"""Rosters in memory, and what they have told."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.balancer.roster import Endpoint, Instance, Notice, Registration, Roster, Transition

A = Endpoint("http", "127.0.0.1", 3000)
B = Endpoint("http", "127.0.0.1", 3001)


class RosterTestCase(SynchronousTestCase):
    """A roster, and what it has told."""

    def setUp(self) -> None:
        self.roster = Roster(lambda: 0.5)
        self.told: list[Transition] = []
        self.roster.observe(self.told.append)

    def news(self) -> list[str]:
        """What was told since the last time."""
        told = [f"{one.instance.id} {one.before or 'none'}>{one.after}: {one.reason}" for one in self.told]
        self.told.clear()
        return told

    def up(self, endpoint: Endpoint, now: float = 0.0) -> Instance:
        """A registered instance that has passed its probes."""
        instance = self.roster.register("default", endpoint, now)
        for _ in range(2):
            self.roster.probed(instance, 200, "answered 200", now)
        self.told.clear()
        return instance

    def lose(self, instance: Instance, now: float = 0.0, times: int = 3) -> None:
        """Let probes fail."""
        for _ in range(times):
            self.roster.probed(instance, None, "connection refused", now, is_refused=True)


class StateCase(SynchronousTestCase):
    """A roster with a clock, and what it has told."""

    panic = "spray"

    def setUp(self) -> None:
        self.now = 1000.0
        self.roster = Roster(lambda: 0.5, panic=self.panic)
        self.told: list[str] = []
        self.roster.observe(self.hear)
        self.roster.observe_notices(self.notice)

    def hear(self, told: Transition) -> None:
        self.told.append(f"{told.instance.id} {told.before or 'none'}>{told.after}: {told.reason}")

    def notice(self, told: Notice) -> None:
        self.told.append(f"{told.kind} {told.service}")

    def news(self) -> list[str]:
        told, self.told = self.told, []
        return told

    def register(self, number: int) -> Instance:
        return self.roster.register("default", Endpoint("http", "127.0.0.1", 3000 + number), self.now)

    def enrol(self, id: str, generation: int = 1, number: int = 0, secret: str = "") -> Instance:
        endpoint = Endpoint("http", "127.0.0.1", 3000 + number)
        return self.roster.enrol("default", Registration(id, endpoint, generation, secret=secret), self.now)

    def rise(self, *instances: Instance) -> None:
        for instance in instances:
            for _ in range(2):
                self.roster.probed(instance, 200, "answered 200", self.now)

    def fall(self, *instances: Instance, status: int | None = 500) -> None:
        for instance in instances:
            for _ in range(3):
                self.roster.probed(instance, status, f"answered {status}", self.now)

    def strike(self, instance: Instance, times: int = 5) -> None:
        for _ in range(times):
            self.roster.struck(instance, "answered 502", self.now)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.roster.expire(self.now)

    def warm(self, count: int) -> list[Instance]:
        """So many instances that have been up for long."""
        instances = [self.register(number) for number in range(count)]
        self.rise(*instances)
        self.wait(60.0)
        self.told.clear()
        return instances
