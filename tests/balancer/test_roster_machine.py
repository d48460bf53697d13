"""The roster as a state machine: whatever comes in whichever order, its rules hold."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from scalekit.balancer.generations import RETIRED_SECONDS
from scalekit.balancer.health import HealthRules
from scalekit.balancer.instance import ELIGIBLE, LEAVING
from scalekit.balancer.per_service import PerService
from scalekit.balancer.roster import (
    Endpoint,
    Instance,
    Notice,
    Registration,
    Roster,
    State,
    Transition,
)
from scalekit.balancer.snapshot import read_snapshot, restore_snapshot, take_snapshot
from scalekit.balancer.turnover import DRAIN_SECONDS
from scalekit.errors import ClientFault

SERVICES = st.sampled_from(["default", "shop"])
ENDPOINTS = st.builds(Endpoint, st.sampled_from(["http", "https"]), st.just("127.0.0.1"), st.integers(3000, 3003))
IDS = st.sampled_from(["a", "b", "c", "127.0.0.1:3000"])
REGISTRATIONS = st.builds(
    Registration,
    IDS,
    ENDPOINTS,
    st.integers(1, 4),
    weight=st.just(1),
    lease_seconds=st.just(15.0),
    claim=st.none(),
    meta=st.just({}),
    secret=st.sampled_from(["", "s"]),
)

# The table at the top of scalekit.balancer.instance.
ALLOWED = {
    None: {State.JOINING},
    State.JOINING: {State.WARMING, State.UP, State.SUSPECT, State.DOWN, State.DRAINED, State.DRAINING},
    State.WARMING: {State.UP, State.SUSPECT, State.DOWN, State.EJECTED, State.DRAINING},
    State.UP: {State.SUSPECT, State.DOWN, State.EJECTED, State.DRAINING},
    State.SUSPECT: {State.UP, State.DOWN, State.EJECTED, State.DRAINING},
    State.DOWN: {State.WARMING, State.UP, State.JOINING, State.DRAINING},
    State.EJECTED: {State.WARMING, State.UP, State.JOINING, State.DOWN, State.DRAINING},
    State.DRAINED: {State.JOINING, State.DRAINING},
    State.DRAINING: {State.GONE},
    State.GONE: set(),
}

# Who takes nothing, and has no part in how its service stands.
NOT_COUNTED = (*LEAVING, State.DRAINED)


class RosterMachine(RuleBasedStateMachine):
    """Registers, renews, lapses, probes, fails, drains and serves at random."""

    @initialize(panic=st.sampled_from(["spray", "fail"]))
    def begin_with(self, panic: str) -> None:
        """With either policy."""
        self.now = 1000.0
        self.panic = panic
        # The highest generation that was asked to go, and when the last one was.
        self.drained: dict[tuple[str, str], tuple[int, float]] = {}
        self.start()

    def start(self) -> None:
        """A balancer starts."""
        self.roster = Roster(lambda: 0.5, panic=self.panic)
        self.roster.observe(self.hear)
        self.roster.observe_notices(self.notice)
        self.states: dict[Instance, State] = {}
        self.drained_at: dict[Instance, float] = {}
        self.panicking: dict[str, bool] = {}
        self.probing: list[Instance] = []

    def hear(self, told: Transition) -> None:
        """Every transition starts where the last one has ended, and is one of the table."""
        instance = told.instance
        assert self.states.get(instance) == told.before, told
        assert told.after in ALLOWED[told.before], told
        assert told.reason
        self.states[instance] = told.after
        if told.after is State.DRAINING:
            self.drained_at[instance] = told.at
        if told.after is State.GONE:
            assert instance.in_flight == 0 or told.at >= instance.drain_deadline, told

    def notice(self, told: Notice) -> None:
        """Panic begins and ends in turn."""
        if told.service:
            is_panicking = told.kind == "panic"
            assert self.panicking.get(told.service, False) is not is_panicking
            self.panicking[told.service] = is_panicking

    @rule(service=SERVICES, endpoint=ENDPOINTS)
    def register(self, service: str, endpoint: Endpoint) -> None:
        """An app server comes, as in the tutorial."""
        instance = self.roster.register(service, endpoint, self.now)
        assert instance.state not in (State.DOWN, *LEAVING) or instance.is_static

    @rule(service=SERVICES, wanted=REGISTRATIONS)
    def enrol(self, service: str, wanted: Registration) -> None:
        """An app server comes with a generation; an old one changes nothing."""
        before = dict(self.states)
        known = self.roster.find(service, wanted.id)
        try:
            instance = self.roster.enrol(service, wanted, self.now)
        except ClientFault as fault:
            assert fault.status in (400, 403, 409)
            assert before == self.states
        else:
            assert instance.generation == wanted.generation >= self.generation(known)
            generation, at = self.drained.get((service, wanted.id), (0, 0.0))
            assert wanted.generation > generation or self.now >= at + RETIRED_SECONDS
            assert instance.lease_until == self.now + 15.0

    def generation(self, instance: Instance | None) -> int:
        return instance.generation if instance is not None else 0

    @rule(service=SERVICES, id=IDS, generation=st.none() | st.integers(1, 4))
    def renew(self, service: str, id: str, generation: int | None) -> None:
        """An app server says that it is still there."""
        before = dict(self.states)
        known = self.roster.find(service, id)
        try:
            instance = self.roster.renew(service, id, generation, self.now)
        except ClientFault as fault:
            assert fault.status == 409
            assert before == self.states
        else:
            assert instance is None or (instance is known and instance.state is not State.SUSPECT)

    @rule(service=SERVICES, id=IDS, generation=st.none() | st.integers(1, 4), is_hurried=st.booleans())
    def leave(self, service: str, id: str, generation: int | None, is_hurried: bool) -> None:
        """An app server goes, or somebody sends it away; never the one that came after it."""
        before = dict(self.states)
        known = self.roster.find(service, id)
        try:
            instance = self.roster.unregister(service, id, self.now, generation=generation, is_hurried=is_hurried)
        except ClientFault as fault:
            assert fault.status in (403, 409)
            assert before == self.states
            assert known is not None
            assert known.is_static or generation is None or generation < known.generation
        else:
            if instance is None:
                assert before == self.states
            else:
                assert instance is known and instance.state in LEAVING
                assert generation in (None, instance.generation)
                assert instance.state is State.GONE or not is_hurried
                if instance.generation:
                    earlier, _ = self.drained.get(instance.key, (0, 0.0))
                    self.drained[instance.key] = max(earlier, instance.generation), self.now

    @rule(service=SERVICES, endpoints=st.lists(ENDPOINTS, max_size=3))
    def configure(self, service: str, endpoints: list[Endpoint]) -> None:
        """A name has other addresses."""
        self.roster.settle_static(service, endpoints, self.now)
        wanted = {endpoint.id for endpoint in endpoints}
        members = [one for one in self.roster.instances(service) if one.state is not State.DRAINING]
        assert {one.authority for one in members if one.is_static} == wanted

    @rule(service=SERVICES, endpoint=ENDPOINTS, is_back=st.booleans())
    def hold(self, service: str, endpoint: Endpoint, is_back: bool) -> None:
        """An operator drains a server of the configuration, or takes it back."""
        known = self.roster.find(service, endpoint.id)
        is_configured = known is not None and known.is_static and known.state not in LEAVING
        act = self.roster.take_back if is_back else self.roster.hold
        found = act(service, endpoint.id, self.now)
        assert (found is not None) is is_configured
        if found is not None:
            present = self.roster.find(service, endpoint.id)
            assert present is not None and (present.state is State.DRAINED) is not is_back

    @rule(
        rules=st.builds(HealthRules, st.sampled_from([2.0, 60.0]), st.just(1.0), st.integers(1, 3), st.integers(1, 3))
    )
    def go_by(self, rules: HealthRules) -> None:
        """Other rules, as by SIGHUP."""
        self.roster.reconfigure(PerService(HealthRules(), {"default": rules}), DRAIN_SECONDS, self.panic, self.now)

    @rule()
    def ask(self) -> None:
        """Probes that are due start; nobody is probed twice at a time unless he registered again in between."""
        due = self.roster.due(self.now)
        assert all(one.state not in LEAVING for one in due)
        self.probing += due

    @rule(data=st.data(), status=st.sampled_from([200, 200, 200, 500, None, None, 410]), is_refused=st.booleans())
    def hear_back(self, data: st.DataObject, status: int | None, is_refused: bool) -> None:
        """A probe is answered, perhaps long after its instance has gone."""
        if self.probing:
            instance = self.probing.pop(data.draw(st.integers(0, len(self.probing) - 1)))
            is_refused = is_refused and status is None
            self.roster.probed(instance, status, f"answered {status}", self.now, is_refused)

    @rule(data=st.data(), times=st.integers(1, 3), status=st.sampled_from([200, 200, 500, None]))
    def go_on(self, data: st.DataObject, times: int, status: int | None) -> None:
        """One instance answers the same for a while, others not yet."""
        members = [one for one, state in self.states.items() if state not in NOT_COUNTED]
        if members:
            instance = data.draw(st.sampled_from(members))
            for _ in range(times):
                if instance.state in LEAVING:  # down for too long
                    return
                self.now = max(self.now, instance.health.due or self.now)
                self.ask()
                self.probing.remove(instance)
                self.roster.probed(instance, status, f"answered {status}", self.now)

    @rule(data=st.data(), times=st.integers(1, 5))
    def strike(self, data: st.DataObject, times: int) -> None:
        """Requests fail, perhaps with somebody who is not asked any more."""
        if self.states:
            instance = data.draw(st.sampled_from(list(self.states)))
            for _ in range(times):
                self.roster.struck(instance, "answered 502", self.now)

    @rule()
    def restart(self) -> None:
        """The balancer is restarted: who was registered is there again, who was well as suspect."""
        before = {
            one.key: (one.generation, one.endpoint, one.lease_seconds, state in ELIGIBLE)
            for one, state in self.states.items()
            if state not in LEAVING and not one.is_static
        }
        data = take_snapshot(self.roster, self.now)
        self.start()
        assert restore_snapshot(self.roster, read_snapshot(data), self.now) == len(before)
        after = {
            one.key: (one.generation, one.endpoint, one.lease_seconds, state is State.SUSPECT)
            for one, state in self.states.items()
        }
        assert before == after

    @rule(service=SERVICES, turn=st.integers(0, 3))
    def begin(self, service: str, turn: int) -> None:
        """A request is sent on."""
        available = self.roster.available(service)
        if available:
            available[turn % len(available)].in_flight += 1

    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        """A request is over."""
        busy = [one for one in self.states if one.in_flight]
        if busy:
            data.draw(st.sampled_from(busy)).in_flight -= 1

    @rule(seconds=st.sampled_from([0.0, 0.25, 2.0, 12.0, 20.0, 700.0]))
    def pass_time(self, seconds: float) -> None:
        """The clock moves, and the roster hears of it."""
        self.now += seconds
        self.roster.expire(self.now)
        for instance, state in self.states.items():
            if state is State.DRAINING:
                assert instance.in_flight
                assert self.now < self.drained_at[instance] + DRAIN_SECONDS
            if state in (State.WARMING, State.EJECTED):
                assert self.now < instance.until
            assert instance.lease_until is None or self.now < instance.lease_until

    @rule(data=st.data())
    def hint(self, data: st.DataObject) -> None:
        """A connect fails, perhaps to somebody who has gone."""
        if self.states:
            self.roster.connect_failed(data.draw(st.sampled_from(list(self.states))), self.now)

    @invariant()
    def only_who_may(self) -> None:
        """Draining and gone never take requests, nor who has not consented; who is well always does."""
        for service in ("default", "shop"):
            available = self.roster.available(service)
            instances = self.roster.instances(service)
            well = {one for one in instances if one.state in ELIGIBLE}
            joining = {one for one in instances if one.state is State.JOINING and one.has_consented}
            assert all(one.state not in NOT_COUNTED for one in available)
            assert all(one.has_consented for one in available)
            if self.roster.is_panicking(service) and self.panic == "spray":
                assert not any(one.is_shut for one in available)
                assert {one for one in well if not one.is_shut} <= set(available)
            else:
                assert set(available) == (well or joining)

    @invariant()
    def never_too_many_are_out(self) -> None:
        """Ejection leaves at least half of a service, and somebody."""
        for service in ("default", "shop"):
            members = [one for one in self.roster.instances(service) if one.state not in NOT_COUNTED]
            out = [one for one in members if one.state is State.EJECTED]
            assert 2 * len(out) <= len(members)
            assert not out or any(one.state in ELIGIBLE for one in members)
            sick = [one for one in members if one.state in (State.DOWN, State.EJECTED)]
            assert self.roster.is_panicking(service) is (2 * len(sick) > len(members))

    @invariant()
    def nobody_is_lost(self) -> None:
        """Whoever is a member is either being probed or has a time for it; a service without instances is forgotten."""
        members = [one for one, state in self.states.items() if state not in LEAVING]
        for instance in members:
            assert instance in self.roster.instances(instance.service)
            is_asked = instance in self.probing or instance.health.due is not None
            assert is_asked is (instance.state is not State.DRAINED)
            assert (0.1 <= instance.share < 1.0) if instance.state is State.WARMING else instance.share == 1.0
            assert (instance.eligible_since is not None) is (instance.state in ELIGIBLE)
        assert all(self.roster.instances(service) for service in self.roster.services())
        assert len({one.key for one in members}) == len(members)
        assert len({(one.service, one.authority) for one in members}) == len(members)

    @invariant()
    def told_the_truth(self) -> None:
        """What observers were told is what is."""
        assert all(instance.state is state for instance, state in self.states.items())
        for service in self.roster.services():
            assert self.roster.is_panicking(service) is self.panicking.get(service, False)


class RosterMachineTests(SynchronousTestCase):
    """Runs it."""

    def test_rules_hold(self) -> None:
        """No order of events breaks a rule."""
        run_state_machine_as_test(
            RosterMachine, settings=settings(max_examples=60, stateful_step_count=50, deadline=None)
        )
