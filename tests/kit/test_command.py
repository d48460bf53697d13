"""Tests of `scalekit.kit.command`: the states, in virtual time."""

from __future__ import annotations

import signal
from collections.abc import Callable

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit.command import HURRIED_STOP_SECONDS, STOP_SECONDS, WrappedCommand
from scalekit.kit.membership import Membership
from scalekit.kit.registration import Registration
from tests.kit.fakes import FakeClient

TERM, KILL, INT, HUP = signal.SIGTERM, signal.SIGKILL, signal.SIGINT, signal.SIGHUP


class FakeProcess:
    """Notes the signals that it gets."""

    def __init__(self, ended: Callable[[int], None]) -> None:
        self.ended = ended
        self.signals: list[int] = []
        self.group_signals: list[int] = []

    def signal(self, number: int) -> None:
        self.signals.append(number)

    def signal_group(self, number: int) -> None:
        self.group_signals.append(number)


class World:
    """A command with all around it."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.client = FakeClient(self.clock)
        self.tries: list[Deferred[bool]] = []
        self.processes: list[FakeProcess] = []
        self.status: list[int] = []
        registration = Registration("http://lb:2001", 3000, 7, "web1-3000")
        membership = Membership(registration, client=self.client, clock=self.clock, random=lambda: 0.5)
        self.command = WrappedCommand(self.spawn, self.try_port, membership, self.clock, 60.0, 30.0)

    def spawn(self, ended: Callable[[int], None]) -> FakeProcess:
        self.processes.append(FakeProcess(ended))
        return self.processes[0]

    def try_port(self) -> Deferred[bool]:
        self.tries.append(Deferred())
        return self.tries[-1]

    def start(self) -> None:
        self.command.start().addCallback(self.status.append)
        self.process = self.processes[0]

    def serve(self) -> None:
        self.start()
        self.tries.pop().callback(True)
        self.client.answer()

    @property
    def asked(self) -> list[str]:
        """What the balancer was asked, in short: ``register``, ``renew``, ``drain&wait=30``."""
        long = "http://lb:2001/v1/services/default/instances/web1-3000"
        short = [request.replace(f"PUT {long}", "register") for request in self.client.requests]
        return [request.removeprefix(f"POST {long}/").replace("?generation=7", "") for request in short]


class CommandTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()

    def assert_over(self, status: int) -> None:
        self.assertEqual(self.world.status, [status])
        self.assertEqual(self.world.clock.getDelayedCalls(), [])

    def test_registers_when_the_port_answers_and_not_before(self) -> None:
        world = self.world
        world.start()
        for _ in range(10):
            world.tries.pop().callback(False)
            self.assertEqual((world.tries, world.asked), ([], []))
            world.clock.advance(0.05)
        world.tries.pop().callback(True)
        self.assertEqual((world.command.state, world.asked), ("serving", ["register"]))

    def test_drains_then_ends_the_command_whose_status_is_ours(self) -> None:
        world = self.world
        world.serve()
        world.command.end()
        self.assertEqual((world.asked[-1], world.process.signals), ("drain&wait=30", []))
        world.clock.advance(29.0)
        self.assertEqual(world.process.signals, [])
        world.client.answer()
        self.assertEqual(world.process.signals, [TERM])
        world.process.ended(3)
        self.assert_over(3)
        self.assertEqual(world.asked, ["register", "drain&wait=30"])

    def test_a_drain_that_the_balancer_does_not_confirm_has_an_end(self) -> None:
        world = self.world
        world.serve()
        world.command.end()
        world.clock.advance(36.0)
        self.assertEqual(world.process.signals, [TERM])
        world.process.ended(0)
        self.assert_over(0)

    def test_ctrl_c_waits_as_long_as_a_person(self) -> None:
        self.world.serve()
        self.world.command.end(INT)
        self.assertEqual(self.world.asked[-1], "drain&wait=2")

    def test_twice_is_now(self) -> None:
        world = self.world
        world.serve()
        world.command.end()
        world.command.end()
        self.assertEqual((world.process.signals, world.process.group_signals), ([TERM], []))
        world.clock.advance(HURRIED_STOP_SECONDS)
        self.assertEqual(world.process.group_signals, [KILL])
        world.process.ended(-KILL)
        world.client.answer()
        self.assert_over(-KILL)
        self.assertEqual(world.process.signals, [TERM])

    def test_a_command_that_does_not_end_is_killed(self) -> None:
        for is_urged in (False, True):
            world = self.world = World()
            world.serve()
            world.command.end()
            world.client.answer()
            if is_urged:
                world.command.end()
            world.clock.advance(HURRIED_STOP_SECONDS if is_urged else STOP_SECONDS)
            self.assertEqual(world.process.group_signals, [KILL])
            world.process.ended(-KILL)
            self.assert_over(-KILL)

    def test_a_command_that_dies_is_unregistered_at_once(self) -> None:
        world = self.world
        world.serve()
        world.process.ended(-KILL)
        self.assertEqual((world.asked[-1], world.status), ("drain&wait=0", []))
        self.assertEqual(world.process.group_signals, [TERM], "its children keep the port")
        world.client.answer()
        self.assert_over(-KILL)

    def test_a_command_that_dies_while_it_drains(self) -> None:
        world = self.world
        world.serve()
        world.command.end()
        world.process.ended(7)
        self.assertEqual(world.status, [7])
        world.client.answer()
        self.assert_over(7)

    def test_a_command_that_cannot_start_is_never_registered(self) -> None:
        world = self.world
        world.start()
        world.tries.pop().callback(False)
        world.process.ended(127)
        self.assert_over(127)
        self.assertEqual(world.asked, [])

    def test_an_answer_that_comes_after_the_end_counts_no_more(self) -> None:
        world = self.world
        world.start()
        world.process.ended(1)
        world.tries.pop().callback(True)
        self.assert_over(1)
        self.assertEqual(world.asked, [])

    def test_a_signal_while_it_starts_ends_it(self) -> None:
        world = self.world
        world.start()
        world.tries.pop().callback(False)
        world.command.end()
        self.assertEqual((world.process.signals, world.command.state), ([TERM], "ending"))
        world.process.ended(-TERM)
        self.assert_over(-TERM)
        self.assertEqual(world.asked, [])

    def test_a_port_that_never_answers_ends_it_with_status_1(self) -> None:
        world = self.world
        world.start()
        world.clock.advance(60.0)
        self.assertEqual(world.process.signals, [TERM])
        world.process.ended(-TERM)
        self.assert_over(1)

    def test_other_signals_are_passed_on(self) -> None:
        world = self.world
        world.command.pass_on(HUP)
        world.serve()
        world.command.pass_on(HUP)
        self.assertEqual(world.process.signals, [HUP])

    def test_without_a_balancer_it_serves_all_the_same(self) -> None:
        world = self.world
        world.start()
        world.tries.pop().callback(True)
        world.client.cut()
        self.assertEqual(world.command.state, "serving")
        world.command.end()
        world.client.cut()
        self.assertEqual(world.process.signals, [TERM])

    def test_repr(self) -> None:
        self.world.serve()
        self.assertEqual(
            repr(self.world.command),
            "<WrappedCommand serving <Membership of web1-3000 at http://lb:2001: registered>>",
        )


class Life(RuleBasedStateMachine):
    """Whatever comes in whatever order: the command gets SIGTERM only when it was left, and the end is told once."""

    @initialize()
    def begin(self) -> None:
        self.world = World()
        self.signals = 0
        self.world.start()

    @rule(is_answering=st.booleans())
    def try_port(self, is_answering: bool) -> None:
        if self.world.tries:
            self.world.tries.pop().callback(is_answering)

    @rule(status=st.sampled_from([200, 200, 503]))
    def answer(self, status: int) -> None:
        if self.world.client.waiting:
            self.world.client.answer(status)

    @rule()
    def cut(self) -> None:
        if self.world.client.waiting:
            self.world.client.cut()

    @rule(seconds=st.sampled_from([0.05, 1.0, 5.0, 40.0]))
    def pass_time(self, seconds: float) -> None:
        self.world.clock.advance(seconds)

    @precondition(lambda self: self.signals < 3)
    @rule(number=st.sampled_from([TERM, INT]))
    def signal(self, number: int) -> None:
        self.signals += 1
        self.world.command.end(number)

    @precondition(lambda self: self.world.command.state != "gone")
    @rule(status=st.sampled_from([0, 1, -TERM]))
    def ended(self, status: int) -> None:
        self.world.process.ended(status)

    def teardown(self) -> None:
        world = self.world
        if world.command.state != "gone":
            world.process.ended(0)
        while world.client.waiting:
            world.client.answer()
        assert len(world.status) == 1
        assert world.clock.getDelayedCalls() == [], world.clock.getDelayedCalls()
        assert world.process.signals.count(TERM) <= 1
        left = [asked for asked in world.asked if asked.startswith("drain")]
        assert len(left) == ("register" in world.asked), world.asked
        assert not left or world.asked[-1] == left[0]


class LifeTests(SynchronousTestCase):
    def test_any_order(self) -> None:
        run_state_machine_as_test(Life, settings=settings(max_examples=200, deadline=None))
