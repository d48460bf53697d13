"""The roster as a state machine: whatever comes in whichever order, its rules hold."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from twisted.trial.unittest import SynchronousTestCase

from scalekit.balancer.roster import DRAIN_SECONDS, Endpoint, Instance, Roster, State, Transition
from scalekit.errors import ClientFault

SERVICES = st.sampled_from(["default", "shop"])
ENDPOINTS = st.builds(Endpoint, st.sampled_from(["http", "https"]), st.just("127.0.0.1"), st.integers(3000, 3003))

# The table at the top of scalekit.balancer.instance.
ALLOWED = {
    None: {State.JOINING},
    State.JOINING: {State.UP, State.DOWN, State.DRAINING},
    State.UP: {State.DOWN, State.DRAINING},
    State.DOWN: {State.UP, State.JOINING, State.DRAINING},
    State.DRAINING: {State.GONE},
    State.GONE: set(),
}


class RosterMachine(RuleBasedStateMachine):
    """Registers, probes, drains and serves at random."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self.roster = Roster(lambda: 0.5)
        self.roster.observe(self.hear)
        self.states: dict[Instance, State] = {}
        self.drained_at: dict[Instance, float] = {}
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
            assert instance.in_flight == 0 or told.at >= self.drained_at[instance] + DRAIN_SECONDS, told

    @rule(service=SERVICES, endpoint=ENDPOINTS)
    def register(self, service: str, endpoint: Endpoint) -> None:
        """An app server comes."""
        instance = self.roster.register(service, endpoint, self.now)
        assert instance.state in (State.JOINING, State.UP) or instance.is_static

    @rule(service=SERVICES, endpoint=ENDPOINTS)
    def unregister(self, service: str, endpoint: Endpoint) -> None:
        """An app server goes."""
        try:
            instance = self.roster.unregister(service, endpoint.id, self.now)
        except ClientFault:
            assert any(one.is_static and one.id == endpoint.id for one in self.roster.instances(service))
        else:
            assert instance is None or instance.state in (State.DRAINING, State.GONE)

    @rule(service=SERVICES, endpoints=st.lists(ENDPOINTS, max_size=3))
    def configure(self, service: str, endpoints: list[Endpoint]) -> None:
        """A name has other addresses."""
        self.roster.settle_static(service, endpoints, self.now)
        wanted = {endpoint.id for endpoint in endpoints}
        members = [one for one in self.roster.instances(service) if one.state is not State.DRAINING]
        assert {one.id for one in members if one.is_static} == wanted

    @rule()
    def ask(self) -> None:
        """Probes that are due start; nobody is probed twice at a time unless he registered again in between."""
        due = self.roster.due(self.now)
        assert all(one.state not in (State.DRAINING, State.GONE) for one in due)
        self.probing += due

    @rule(data=st.data(), status=st.sampled_from([200, 200, 200, 500, None, None, 410]))
    def hear_back(self, data: st.DataObject, status: int | None) -> None:
        """A probe is answered, perhaps long after its instance has gone."""
        if self.probing:
            instance = self.probing.pop(data.draw(st.integers(0, len(self.probing) - 1)))
            self.roster.probed(instance, status, f"answered {status}", self.now)

    @rule(data=st.data(), times=st.integers(1, 3), status=st.sampled_from([200, 500, None]))
    def go_on(self, data: st.DataObject, times: int, status: int | None) -> None:
        """One instance answers the same for a while, others not yet."""
        members = [one for one, state in self.states.items() if state not in (State.DRAINING, State.GONE)]
        if members:
            instance = data.draw(st.sampled_from(members))
            for _ in range(times):
                self.now = max(self.now, instance.health.due or self.now)
                self.ask()
                self.probing.remove(instance)
                self.roster.probed(instance, status, f"answered {status}", self.now)

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

    @rule(seconds=st.sampled_from([0.0, 0.25, 2.0, 20.0, 700.0]))
    def pass_time(self, seconds: float) -> None:
        """The clock moves, and the roster hears of it."""
        self.now += seconds
        self.roster.expire(self.now)
        for instance, state in self.states.items():
            if state is State.DRAINING:
                assert instance.in_flight and self.now < self.drained_at[instance] + DRAIN_SECONDS

    @rule(data=st.data())
    def hint(self, data: st.DataObject) -> None:
        """A connect fails, perhaps to somebody who has gone."""
        if self.states:
            self.roster.connect_failed(data.draw(st.sampled_from(list(self.states))), self.now)

    @invariant()
    def only_who_is_well(self) -> None:
        """Who is up is available; else who is joining; nobody else, ever."""
        for service in ("default", "shop"):
            instances = self.roster.instances(service)
            up = tuple(one for one in instances if one.state is State.UP)
            joining = tuple(one for one in instances if one.state is State.JOINING)
            assert self.roster.available(service) == (up or joining)

    @invariant()
    def nobody_is_lost(self) -> None:
        """Whoever is a member is either being probed or has a time for it; a service without instances is forgotten."""
        members = [one for one, state in self.states.items() if state not in (State.DRAINING, State.GONE)]
        for instance in members:
            assert instance in self.roster.instances(instance.service)
            assert instance in self.probing or instance.health.due is not None
        assert all(self.roster.instances(service) for service in self.roster.services())
        assert len({one.key for one in members}) == len(members)

    @invariant()
    def told_the_truth(self) -> None:
        """What observers were told is what is."""
        assert all(instance.state is state for instance, state in self.states.items())


class RosterMachineTests(SynchronousTestCase):
    """Runs it."""

    def test_rules_hold(self) -> None:
        """No order of events breaks a rule."""
        run_state_machine_as_test(
            RosterMachine, settings=settings(max_examples=60, stateful_step_count=40, deadline=None)
        )
