"""
Members come, fail, drain and leave, and the configuration changes, while requests are under way, in virtual time: what
must hold, whatever happens.

* Who drains gets no new request.
* No POST is sent twice, nothing else more than three times: two app servers, and one replay on a fresh connection.
* Attempts stay within the budget.
* Nobody has more in flight than it takes, or than it had when that became less; nobody waits while there is room.
* Every request gets one outcome, and the books balance at the end.
"""

from __future__ import annotations

import random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from scalekit.balancer.instance import LEAVING, Endpoint, Instance, State
from scalekit.balancer.picking import ALGORITHMS
from scalekit.balancer.policies import Policies
from scalekit.balancer.retrying import EARNED, LEAST
from scalekit.balancer.sticky import Sticky
from scalekit.config.model import Balancer, Service
from scalekit.net.pool import Pool
from tests.balancer.proxied import HELLO, Proxied, get, requests_on
from tests.net.app_server import AppServer, Attempt

AWAY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\naway"
KEY = b"k" * 32
STEPS = ("fine", "away", "begin", "go on", "close", "reset", "refuse")


class Field(Proxied):
    """
    Many clients, and app servers that come and go.

    :ivar app_of: the app server of each instance that was ever asked.
    """

    def __init__(self) -> None:
        self.clients: list[Any] = []
        self.app_of: dict[Instance, AppServer] = {}
        super().__init__(0)
        self.factory.wheel.every_tick(lambda: self.roster.expire(self.clock.seconds()))

    def pool(self, instance: Instance) -> Pool:
        app = self.app_of.setdefault(instance, AppServer(self.clock, self.factory.wheel))
        self.asked.append(app)
        return app.pool

    def wires(self) -> list[Any]:
        apps = [a.wire for app in self.app_of.values() for a in app.attempts if a.wire is not None]
        return [*self.clients, self.wire, *apps]

    def paths_at(self, app: AppServer) -> list[bytes]:
        """Every request that this app server has got, in no order."""
        return [r.head.path for a in app.attempts if a.wire is not None for r in requests_on(a.wire)]


def configured(algorithm: str, most: int, is_sticky: bool) -> Balancer:
    service = Service(name="default", max_in_flight=most, sticky=is_sticky)
    return Balancer(algorithm=algorithm, hash_on="path", service=(service,))


class TrafficMachine(RuleBasedStateMachine):
    @initialize(
        algorithm=st.sampled_from(sorted(ALGORITHMS)),
        most=st.integers(1, 3),
        is_sticky=st.booleans(),
        seed=st.integers(0, 99),
    )
    def begin(self, algorithm: str, most: int, is_sticky: bool, seed: int) -> None:
        self.most = most
        self.had: dict[Instance, int] = {}
        self.it = Field()
        self.sticky = Sticky(KEY, "default")
        first = configured(algorithm, most, is_sticky)
        self.policies = Policies(first, random.Random(seed).random, lambda head, client: client.address, KEY)
        self.traffic = self.it.proxy.traffic["default"] = self.policies.traffic("default")
        self.methods: list[bytes] = []
        self.drained: dict[Instance, set[bytes]] = {}
        self.it.roster.observe(self.changed)
        for port in (1, 2, 3):
            self.come(port)

    def changed(self, change: Any) -> None:
        if change.after is State.DRAINING:
            # A connection for what it has got may still be under way.
            sent_there = [seen for seen in self.it.seen if seen.record.instance == change.instance.id]
            self.drained[change.instance] = {bytes(seen.head.path) for seen in sent_there}
            app = self.it.app_of.get(change.instance)
            if app is not None:
                self.drained[change.instance].update(self.it.paths_at(app))

    def members(self) -> list[Instance]:
        return [one for one in self.it.roster.instances("default") if one.state not in LEAVING]

    @property
    def now(self) -> float:
        return self.it.clock.seconds()

    @rule(port=st.integers(1, 5))
    def come(self, port: int) -> None:
        """An instance registers, and is well."""
        one = self.it.roster.register("default", Endpoint("http", "192.0.2.1", port), self.now, weight=port)
        for _ in range(2):
            self.it.roster.probed(one, 200, "", self.now)

    @rule(algorithm=st.sampled_from(sorted(ALGORITHMS)), most=st.integers(1, 3), is_sticky=st.booleans())
    def swap(self, algorithm: str, most: int, is_sticky: bool) -> None:
        """Another configuration."""
        self.most = most
        self.had = {one: one.in_flight for one in self.it.roster.instances("default")}
        self.policies.adopt(configured(algorithm, most, is_sticky), KEY, self.it.proxy.traffic)

    @rule(port=st.integers(1, 5))
    def leave(self, port: int) -> None:
        self.it.roster.unregister("default", f"192.0.2.1:{port}", self.now)

    @precondition(lambda self: self.members())
    @rule(number=st.integers(0, 9), is_well=st.booleans())
    def probe(self, number: int, is_well: bool) -> None:
        members = self.members()
        one = members[number % len(members)]
        for _ in range(3):
            if one.state not in LEAVING:
                self.it.roster.probed(one, 200 if is_well else None, "no answer", self.now)

    @rule(
        methods=st.lists(st.sampled_from((b"GET", b"PUT", b"POST")), min_size=1, max_size=4),
        whom=st.none() | st.integers(1, 5),
    )
    def ask(self, methods: list[bytes], whom: int | None) -> None:
        """Clients ask, each on a connection of its own, perhaps with a cookie."""
        known = [one for one in self.members() if one.port == whom]
        cookie = [b"Cookie: scalekit-default=" + self.sticky.token(one) for one in known]
        for method in methods:
            self.it.connect()
            self.it.clients.append(self.it.wire)
            self.it.says(get(b"/%d" % len(self.methods), *cookie, method=method))
            self.methods.append(method)

    @precondition(lambda self: self.it.clients)
    @rule(number=st.integers(0, 99))
    def give_up(self, number: int) -> None:
        self.it.clients[number % len(self.it.clients)].lose()
        self.it.settle()

    @rule(steps=st.lists(st.tuples(st.integers(0, 9), st.sampled_from(STEPS)), min_size=1, max_size=8))
    def act(self, steps: list[tuple[int, str]]) -> None:
        """App servers do something with requests, or with connections that are being opened."""
        for number, step in steps:
            waiting = [
                (app, attempt)
                for app in self.it.app_of.values()
                for attempt in app.attempts
                if (attempt._deadline.active() if attempt.wire is None else attempt.wire.protocol._receiver is not None)
            ]
            if waiting:
                self.do(*waiting[number % len(waiting)], step)
                self.it.settle()

    def do(self, app: AppServer, attempt: Attempt, step: str) -> None:
        wire = attempt.wire
        pieces = {"fine": HELLO, "away": AWAY, "begin": HELLO[:-2], "go on": HELLO[-2:]}
        if wire is None:
            attempt.fail() if step == "refuse" else attempt.succeed()
        elif step in pieces:
            app.says(pieces[step], wire=wire)
        elif step in ("close", "reset"):
            app.closes(ConnectionDone if step == "close" else ConnectionLost, wire=wire)

    @rule(seconds=st.sampled_from((0.25, 0.5, 3.0, 12.0)))
    def wait(self, seconds: float) -> None:
        self.it.waits(seconds)

    @invariant()
    def who_drains_gets_nothing_new(self) -> None:
        for instance, before in getattr(self, "drained", {}).items():
            app = self.it.app_of.get(instance)
            assert app is None or set(self.it.paths_at(app)) <= before, (instance, self.it.paths_at(app), before)

    @invariant()
    def nothing_is_sent_too_often(self) -> None:
        if not hasattr(self, "it"):
            return
        paths = [path for app in self.it.app_of.values() for path in self.it.paths_at(app)]
        for number, method in enumerate(self.methods):
            times = paths.count(b"/%d" % number)
            assert times <= (1 if method == b"POST" else 3), (number, method, times)
        attempts = sum(seen.record.attempts for seen in self.it.seen)
        assert attempts <= len(self.methods) * (1 + EARNED) + LEAST + 1e-6

    @invariant()
    def nobody_has_too_much(self) -> None:
        if not hasattr(self, "it"):
            return
        for one in self.it.roster.instances("default"):
            assert 0 <= one.in_flight <= max(self.most, self.had.get(one, 0)), one

    @invariant()
    def nobody_waits_for_those_that_are_gone(self) -> None:
        if hasattr(self, "it"):
            self.it.settle()
            under_way = len(self.it.seen) - len(self.it.outcomes)
            assert len(self.traffic.waiting) + sum(one.in_flight for one in self.it.app_of) <= under_way

    @invariant()
    def nobody_waits_while_there_is_room(self) -> None:
        if hasattr(self, "it") and self.traffic.waiting:
            # Who has just come, or is back, is seen at the next tick; who is back in that tick, at the one after it.
            before = self.it.roster.available("default")
            self.it.waits(0.25)
            available = [one for one in self.it.roster.available("default") if one in before]
            assert not self.traffic.waiting or all(one.in_flight >= self.most for one in available), available

    def teardown(self) -> None:
        if not hasattr(self, "it"):
            return
        self.it.waits(130)
        assert len(self.it.outcomes) == len(self.it.seen), (self.it.outcomes, self.it.seen)
        assert not self.traffic.waiting
        assert all(one.in_flight == 0 for one in self.it.app_of), list(self.it.app_of)


class TrafficMachineTests(SynchronousTestCase):
    def test_whatever_happens(self) -> None:
        run_state_machine_as_test(
            TrafficMachine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None)
        )
