"""Tests of `scalekit.kit.memory_balancer` and `memory_members`, and that the real balancer does the same."""

from __future__ import annotations

import threading
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from scalekit.balancer.registrar import RegistrarResource
from scalekit.balancer.roster import Roster
from scalekit.balancer.routes import Routing
from scalekit.http.heads import Client
from scalekit.kit.client import Answer
from scalekit.kit.membership import Membership, NotRegistered
from scalekit.kit.registration import Ask, Left
from scalekit.kit.testing import AsyncMemoryBalancer, MemoryBalancer
from scalekit.kit.thread_membership import ThreadMembership
from scalekit.web.memory import MemoryExchange, ask
from scalekit.web.site import Site
from tests.kit.balancer_conformance import ID, Conformance, we

HERE = Client("127.0.0.1", 40000, True, 2001, local_address="127.0.0.1")
PATIENCE_SECONDS = 30.0


class RealBalancerTests(Conformance, SynchronousTestCase):
    """The registration port's resource, in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.roster = Roster(lambda: 0.5)
        routing = Routing()
        self.roster.observe_claims(routing.settle)
        self.site = Site(
            RegistrarResource(self.roster, routing, self.clock, list, lambda: "secret", Resource()),
            parse_forms=False,
        )

    def begin(self, ask_: Ask) -> MemoryExchange:
        target = ask_.url.removeprefix("https://lb:2001").encode()
        fields = [(b"Accept", b"application/json")]
        return ask(self.site, ask_.method.encode(), target, fields, ask_.body or b"", HERE)

    def answered(self, asked: Any) -> tuple[int, bytes] | None:
        return (asked.status, asked.sent) if asked.is_finished else None

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.roster.expire(self.clock.seconds())

    def set_in_flight(self, id: str, count: int) -> None:
        instance = self.roster.find("default", id)
        assert instance is not None
        instance.in_flight = count

    def drain(self, id: str) -> None:
        self.begin(Ask("PATCH", f"https://lb:2001/v1/services/default/instances/{id}", b'{"state": "draining"}'))

    def rise(self, id: str) -> None:
        instance = self.roster.find("default", id)
        assert instance is not None
        for _ in range(2):
            self.roster.probed(instance, 200, "answered 200", self.clock.seconds())


class AsyncMemoryBalancerTests(Conformance, SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.balancer = AsyncMemoryBalancer(self.clock)

    def begin(self, ask: Ask) -> Deferred[Answer]:
        return self.balancer.fetch(ask.method, ask.url, seconds=60.0, body=ask.body)

    def answered(self, asked: Any) -> tuple[int, bytes] | None:
        if not asked.called:
            self.assertNoResult(asked)
            return None
        answer = self.successResultOf(asked)
        return answer.status, answer.body

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def set_in_flight(self, id: str, count: int) -> None:
        self.balancer.set_in_flight("default", id, count)

    def drain(self, id: str) -> None:
        self.balancer.drain("default", id)


class MembershipTests(SynchronousTestCase):
    """The real membership, with a balancer in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.balancer = AsyncMemoryBalancer(self.clock)
        self.member = Membership(
            we(), client=self.balancer, clock=self.clock, random=lambda: 0.5, headers=lambda: {"Authorization": "x"}
        )
        self.events: list[str] = []
        self.member.on_registered = lambda: self.events.append("registered")
        self.member.on_lost = lambda cause: self.events.append("lost")
        self.member.on_refused = self.events.append

    def states(self) -> list[tuple[str, int, str]]:
        return [(one.id, one.generation, one.state) for one in self.balancer.instances()]

    def test_a_life(self) -> None:
        self.successResultOf(self.member.register())
        self.assertEqual(self.states(), [(ID, 7, "up")])
        self.assertEqual(self.balancer.asked[0][1], {"Authorization": "x"})
        self.clock.pump([5.0] * 10)
        self.assertEqual(self.states(), [(ID, 7, "up")])
        self.balancer.set_in_flight("default", ID, 1)
        left = self.member.drain(30.0)
        self.assertEqual(self.states(), [(ID, 7, "draining")])
        self.assertNoResult(left)
        self.balancer.set_in_flight("default", ID, 0)
        self.clock.advance(0.0)
        self.assertTrue(self.successResultOf(left))
        self.assertEqual((self.states(), self.clock.getDelayedCalls()), ([], []))

    def test_what_a_test_does_to_it(self) -> None:
        self.member.start()
        self.balancer.lapse("default", ID)
        self.assertEqual(self.states(), [(ID, 7, "suspect")])
        self.clock.advance(5.0)
        self.assertEqual(self.states(), [(ID, 7, "up")])
        self.balancer.forget()
        self.assertEqual(self.states(), [])
        self.clock.advance(5.0)
        self.clock.advance(0.0)
        self.assertEqual(self.states(), [(ID, 7, "up")])
        self.balancer.is_away = True
        self.clock.advance(5.0)
        self.balancer.is_away = False
        self.clock.advance(0.5)
        self.balancer.drain("default", ID)
        self.clock.advance(5.0)
        self.assertEqual(self.states(), [])
        self.assertEqual(self.events[:4], ["registered", "lost", "registered", "lost"])
        self.assertIn("409, drained", self.events[4])

    def test_refused(self) -> None:
        self.balancer.refuse(403, "consent", "You may not.")
        failure = self.failureResultOf(self.member.register(), NotRegistered)
        self.assertIn("403, consent: You may not.", str(failure.value))
        self.balancer.accept()
        self.successResultOf(self.member.register())

    def test_a_wait_that_is_cancelled(self) -> None:
        self.successResultOf(self.member.register())
        self.balancer.set_in_flight("default", ID, 1)
        asked = self.balancer.fetch("POST", we().drain(30).url, seconds=40.0)
        asked.addErrback(lambda failure: None)
        asked.cancel()
        self.balancer.set_in_flight("default", ID, 0)
        self.assertEqual((self.states(), self.balancer.find("default", ID)), ([], None))

    def test_nobody_there(self) -> None:
        self.assertRaises(KeyError, self.balancer.lapse, "default", "a")
        self.assertRaises(KeyError, self.balancer.set_in_flight, "default", "a", 1)
        self.assertRaises(KeyError, self.balancer.drain, "default", "a")
        self.assertEqual(repr(self.balancer), "<AsyncMemoryBalancer <Members >>")


class ThreadTests(SynchronousTestCase):
    def test_a_life(self) -> None:
        """Of `ThreadMembership`: a thread waits until another says that nothing is in flight."""
        balancer = MemoryBalancer()
        member = ThreadMembership(
            we(),
            ask=balancer.ask,
            is_answering=lambda: True,
            headers=dict,
            now=lambda: 0.0,
            random=lambda: 0.5,
            sleep=lambda seconds: None,
        )
        balancer.is_away = True
        self.assertRaises(OSError, balancer.ask, we().register(), {}, 1.0)
        balancer.is_away = False
        member.step()
        self.assertEqual([one.state for one in balancer.instances()], ["up"])
        balancer.set_in_flight("default", ID, 1)
        left = threading.Event()
        member.leave(PATIENCE_SECONDS, left.set)
        threading.Thread(target=member.live, daemon=True).start()
        balancer.set_in_flight("default", ID, 0)
        self.assertTrue(left.wait(PATIENCE_SECONDS))
        self.assertEqual(balancer.instances(), [])
        self.assertIs(Left.of(*balancer.ask(we().drain(0), {}, 1.0)), Left.DONE)
