"""Tests of `scalekit.kit.membership`."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import provider

from scalekit.errors import ConfigurationFault
from scalekit.kit.membership import Membership, NotRegistered
from scalekit.kit.registration import Registration
from tests.kit.fakes import FakeClient

INSTANCE = "https://lb:2001/v1/services/default/instances/web1-3001"
REGISTER = f"PUT {INSTANCE}"
RENEW = f"POST {INSTANCE}/renew?generation=7"
LEAVE = f"POST {INSTANCE}/drain?generation=7&wait=30"
DRAINING = b'{"state": "draining", "in_flight": 1}'
WE = Registration("https://lb:2001/", 3001, 7, "web1-3001")


class MembershipTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.client = FakeClient(self.clock)
        self.chance = 0.5
        self.member = Membership(WE, client=self.client, clock=self.clock, random=lambda: self.chance)
        self.warnings: list[str] = []

        @provider(ILogObserver)
        def observe(event: dict[str, Any]) -> None:
            if event.get("log_level") is LogLevel.warn:
                self.warnings.append(str(event.get("log_format")))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def test_registers_and_stays_registered(self) -> None:
        self.member.start()
        self.assertFalse(self.member.is_registered)
        self.client.answer()
        self.assertTrue(self.member.is_registered)
        self.clock.advance(4.99)
        self.assertEqual(self.client.requests, [REGISTER])
        self.clock.advance(0.01)
        self.assertEqual(self.client.requests, [REGISTER, RENEW])

    def test_a_balancer_that_does_not_know_us_any_more_is_told_again_at_once(self) -> None:
        self.member.start()
        self.client.answer()
        self.clock.advance(5.0)
        self.client.answer(404)
        self.clock.advance(0.0)
        self.assertEqual(self.client.requests, [REGISTER, RENEW, REGISTER])
        self.assertTrue(self.member.is_registered)
        self.client.answer(503)
        self.assertFalse(self.member.is_registered)

    def test_one_that_was_away_for_a_while_may_still_know_us(self) -> None:
        self.member.start()
        self.client.answer()
        self.clock.advance(5.0)
        self.client.cut()
        self.clock.advance(0.25)
        self.assertEqual(self.client.requests, [REGISTER, RENEW, RENEW])

    def test_one_that_was_taken_out_stays_out(self) -> None:
        """Drained by an operator, for one; the balancer forgets that after ten minutes, and we do not."""
        self.member.start()
        self.client.answer()
        self.clock.advance(5.0)
        self.client.answer(409, b"drained")
        self.clock.advance(1000.0)
        self.assertEqual(self.client.requests, [REGISTER, RENEW])
        self.assertFalse(self.member.is_registered)
        self.assertEqual(len(self.warnings), 1)
        left = self.member.drain()
        self.client.answer(404)
        self.assertTrue(self.successResultOf(left))

    def test_one_that_was_taken_out_while_the_balancer_was_forgetful(self) -> None:
        self.member.start()
        self.client.answer()
        self.clock.advance(5.0)
        self.client.answer(404)
        self.clock.advance(0.0)
        self.client.answer(409, b"drained")
        self.clock.advance(1000.0)
        self.assertEqual(self.client.requests, [REGISTER, RENEW, REGISTER])

    def test_one_that_never_was_in_tries_on(self) -> None:
        """A clock that was set back gives a generation that is refused for ten minutes."""
        self.member.start()
        self.client.answer(409, b"drained")
        self.clock.advance(0.25)
        self.client.answer(201)
        self.assertEqual(self.client.requests, [REGISTER, REGISTER])
        self.assertTrue(self.member.is_registered)

    def test_the_secret_for_challenges(self) -> None:
        secrets: list[str] = []
        self.member.on_secret = secrets.append
        self.member.start()
        self.client.answer(201, b'{"secret": "abc"}')
        self.clock.advance(5.0)
        self.client.answer(200, b"{}")
        self.assertEqual((self.member.secret, secrets), ("abc", ["abc"]))

    def test_a_service_without_a_route_is_told_once(self) -> None:
        self.member.start()
        for _ in range(2):
            self.client.answer(201, b'{"routes": []}')
            self.clock.advance(5.0)
            self.client.answer(404)
            self.clock.advance(0.0)
        self.assertEqual(self.warnings, ["The balancer has registered us, but {doubt}."])

    def test_who_is_not_there_any_more_has_left(self) -> None:
        self.member.start()
        self.client.answer()
        drained = self.member.drain()
        self.client.answer(404)
        self.assertTrue(self.successResultOf(drained))

    def test_the_beat_has_a_jitter_of_a_fifth(self) -> None:
        self.chance = 0.0
        self.member.start()
        self.client.answer()
        self.clock.advance(4.0)
        self.assertEqual(len(self.client.requests), 2)
        self.chance = 1.0
        self.client.answer()
        self.clock.advance(5.9)
        self.assertEqual(len(self.client.requests), 2)
        self.clock.advance(0.2)
        self.assertEqual(len(self.client.requests), 3)

    def test_a_balancer_that_is_away_is_tried_with_growing_spans_and_told_once_a_minute(self) -> None:
        self.chance = 1.0
        self.member.start()
        for span in (0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0, 10.0):
            self.client.cut()
            self.clock.advance(span - 0.01)
            self.assertEqual(len(self.client.waiting), 0)
            self.clock.advance(0.01)
            self.assertEqual(len(self.client.waiting), 1)
        self.assertEqual(len(self.warnings), 1)
        for _ in range(3):
            self.client.cut()
            self.clock.advance(10.0)
        self.assertEqual(len(self.warnings), 2)
        self.client.answer()
        self.assertTrue(self.member.is_registered)

    def test_a_refusal_is_tried_again_too(self) -> None:
        self.member.start()
        self.client.answer(403, b"refused address")
        self.assertFalse(self.member.is_registered)
        self.clock.advance(10.0)
        self.assertEqual(self.client.requests, [REGISTER] * 2)

    def test_no_answer_is_not_waited_for(self) -> None:
        self.member.start()
        self.clock.advance(2.0)
        self.clock.advance(0.5)
        self.assertEqual(len(self.client.requests), 2)

    def test_drain_waits_for_the_balancer_and_ends_the_beat(self) -> None:
        self.member.start()
        self.client.answer()
        drained = self.member.drain()
        self.assertEqual(self.client.requests[-1], LEAVE)
        self.clock.advance(29.0)
        self.assertNoResult(drained)
        self.client.answer(200)
        self.assertTrue(self.successResultOf(drained))
        self.assertFalse(self.member.is_registered)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_balancer_that_waits_for_less_is_asked_again(self) -> None:
        self.member.start()
        self.client.answer()
        drained = self.member.drain(90.0)
        for waited in ("90", "59.5", "29"):
            self.assertEqual(self.client.requests[-1], LEAVE.replace("wait=30", f"wait={waited}"))
            self.clock.advance(30.0)
            self.assertNoResult(drained)
            self.client.answer(200, DRAINING)
            self.clock.advance(0.5)
        self.assertFalse(self.successResultOf(drained))
        self.assertEqual((len(self.client.requests), self.clock.getDelayedCalls()), (4, []))

    def test_one_that_does_not_wait_is_not_asked_all_the_time(self) -> None:
        drained = self.member.drain(2.0)
        self.client.answer(200, DRAINING)
        self.clock.advance(0.4)
        self.assertEqual(len(self.client.requests), 1)
        self.clock.advance(0.1)
        self.client.answer(200)
        self.assertTrue(self.successResultOf(drained))

    def test_one_that_has_let_us_go_meanwhile_has_not_confirmed_that_nothing_is_in_flight(self) -> None:
        drained = self.member.drain(30.0)
        self.clock.advance(1.0)
        self.client.answer(200, DRAINING)
        self.clock.advance(0.5)
        self.client.answer(404)
        self.assertFalse(self.successResultOf(drained))
        self.assertEqual((self.member.seconds_left, self.warnings), (28.5, []))

    def test_what_is_in_flight_at_the_balancers_deadline_is_not_done(self) -> None:
        drained = self.member.drain(90.0)
        self.client.answer(200, b'{"state": "gone", "in_flight": 1}')
        self.assertFalse(self.successResultOf(drained))

    def test_drain_lets_a_registration_finish_first(self) -> None:
        self.member.start()
        drained = self.member.drain()
        self.assertEqual(self.client.requests, [REGISTER])
        self.client.answer()
        self.assertEqual(self.client.requests, [REGISTER, LEAVE])
        self.client.answer()
        self.assertTrue(self.successResultOf(drained))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_drain_without_a_balancer_goes_on_without_its_word(self) -> None:
        self.member.start()
        self.client.cut()
        drained = self.member.drain()
        self.client.cut()
        self.assertFalse(self.successResultOf(drained))

    def test_a_balancer_that_hangs_is_left_after_the_wait(self) -> None:
        self.member.start()
        self.client.answer()
        drained = self.member.drain(3.0)
        self.clock.advance(8.0)
        self.assertFalse(self.successResultOf(drained))

    def test_the_token_is_shown_each_time_as_it_is_then(self) -> None:
        tokens = iter(["one", "two"])
        member = Membership(
            WE,
            client=self.client,
            clock=self.clock,
            random=lambda: 0.5,
            headers=lambda: {"Authorization": next(tokens)},
        )
        member.start()
        self.client.answer()
        member.drain()
        self.assertEqual(self.client.headers, [{"Authorization": "one"}, {"Authorization": "two"}])
        self.client.answer()

    def test_without_its_token_it_tries_on_and_leaves_without_a_word(self) -> None:
        def headers() -> dict[str, str]:
            raise ConfigurationFault("token file: gone")

        member = Membership(WE, client=self.client, clock=self.clock, random=lambda: 0.5, headers=headers)
        member.start()
        self.clock.advance(20.0)
        self.assertEqual(len(self.warnings), 1)
        drained = member.drain()
        self.clock.advance(0.0)
        self.assertFalse(self.successResultOf(drained))
        self.assertEqual((self.client.requests, self.clock.getDelayedCalls()), ([], []))

    def test_register_fires_once_it_is_in_however_long_that_takes(self) -> None:
        first = self.member.register()
        second = self.member.register()
        self.client.cut()
        self.clock.advance(0.5)
        self.client.answer(503)
        self.assertNoResult(first)
        self.clock.advance(1.0)
        self.client.answer(201)
        self.successResultOf(first)
        self.successResultOf(second)
        self.successResultOf(self.member.register())
        self.assertEqual(self.client.requests, [REGISTER] * 3)
        self.clock.advance(5.0)
        self.assertEqual(self.client.requests[3:], [RENEW])

    def test_register_fails_where_the_balancer_has_something_against_us(self) -> None:
        registered = self.member.register()
        self.client.answer(403, b"refused address")
        fault = self.failureResultOf(registered, NotRegistered).value
        self.assertEqual(fault.detail, "answered 403: refused address")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        registered = self.member.register()
        self.client.answer(201)
        self.successResultOf(registered)

    def test_who_asks_anew_when_told_waits_as_anybody(self) -> None:
        again: list[Deferred[None]] = []
        self.member.register().addErrback(lambda _: again.append(self.member.register()))
        self.client.answer(403)
        self.assertEqual(self.client.requests, [REGISTER])
        self.clock.advance(0.25)
        self.client.answer(201)
        self.successResultOf(again[0])

    def test_nobody_waits_longer_than_wanted(self) -> None:
        registered = self.member.register().addTimeout(1.0, self.clock)
        self.clock.advance(1.0)
        self.failureResultOf(registered, TimeoutError)
        self.client.answer(201)
        self.assertTrue(self.member.is_registered)

    def test_who_has_left_cannot_register(self) -> None:
        waiting = self.member.register()
        drained = self.member.drain()
        self.failureResultOf(waiting, NotRegistered)
        self.client.answer(201)
        self.client.answer(200)
        self.assertTrue(self.successResultOf(drained))
        self.failureResultOf(self.member.register(), NotRegistered)

    def listen(self) -> list[tuple[object, ...]]:
        """All events, as they come."""
        events: list[tuple[object, ...]] = []
        for name in ("registered", "lost", "refused", "drained"):
            setattr(self.member, f"on_{name}", lambda *said, name=name: events.append((name, *said)))
        return events

    def test_events(self) -> None:
        events = self.listen()
        self.member.start()
        self.client.answer(201)
        self.clock.advance(5.0)
        self.client.answer(404)  # it has been restarted, and takes us at once
        self.clock.advance(0.0)
        self.client.answer(201)
        self.assertEqual(events, [("registered",)])
        for _ in range(2):
            self.clock.advance(5.0)
            self.client.cut()
        self.clock.advance(5.0)
        self.client.answer(200)
        self.assertEqual(events[1:], [("lost", "connection refused"), ("registered",)])
        self.successResultOf(self.member.register())
        self.member.drain()
        self.client.answer(200)
        self.assertEqual(events[3:], [("drained", True)])

    def test_events_of_who_is_not_wanted(self) -> None:
        events = self.listen()
        self.member.start()
        for _ in range(2):
            self.client.answer(403, b"foreign")
            self.clock.advance(10.0)
        self.client.answer(201)
        self.clock.advance(5.0)
        self.client.answer(409, b"drained")
        self.assertEqual(events[0], ("refused", "answered 403: foreign"))
        over = "answered 409: drained"
        self.assertEqual(events[1:], [("registered",), ("lost", over), ("refused", over)])
        self.assertEqual(self.failureResultOf(self.member.register(), NotRegistered).value.detail, over)

    def test_a_listener_that_fails_harms_nobody(self) -> None:
        self.member.on_registered = lambda: 1 / 0
        registered = self.member.register()
        self.client.answer(201)
        self.successResultOf(registered)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.clock.advance(5.0)
        self.assertEqual(self.client.requests, [REGISTER, RENEW])

    def test_repr(self) -> None:
        self.assertEqual(repr(self.member), "<Membership of web1-3001 at https://lb:2001/: not registered>")
