"""Tests of `scalekit.net.factory`: what all connections share, and how they are drained."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from scalekit.http.h2.limits import Limits
from scalekit.net.deadlines import Timeouts, Wheel
from scalekit.net.factory import HTTPFactory
from scalekit.net.server_waits import FIRST_SECONDS
from tests.net.conversation import Conversation
from tests.net.messages import GET, HELLO_CLOSE, get, ok, say_hello


class Draining(SynchronousTestCase):
    """`HTTPFactory.drain`: every connection ends after what is under way on it."""

    def test_nothing_there(self) -> None:
        it = Conversation()
        it.wire.lose(ConnectionLost)
        self.assertIsNone(self.successResultOf(it.factory.drain()))

    def test_idle_connections_end_soon(self) -> None:
        it = Conversation(say_hello)
        it.says(GET)
        drained = it.factory.drain()
        it.waits(FIRST_SECONDS - 0.25)
        self.assertFalse(it.is_over)
        it.waits(0.75)
        self.assertTrue(it.is_over)
        self.assertIs(it.wire.loss, ConnectionDone)
        self.assertIsNone(self.successResultOf(drained))

    def test_a_request_that_was_on_its_way_on_one_is_answered(self) -> None:
        it = Conversation(say_hello)
        it.says(GET)
        it.hears()
        it.wire.hear(GET)
        drained = it.factory.drain()
        self.assertEqual(it.hears(), HELLO_CLOSE)
        it.leaves()
        self.assertIsNone(self.successResultOf(drained))

    def test_an_answer_that_is_taken_slowly_is_not_in_a_hurry(self) -> None:
        for size in (100_000, 1_000_000):  # with one that is paused, and without
            it = Conversation(lambda seen, size=size: seen.exchange.answer(*ok(b"x" * size)))  # type: ignore[misc]
            it.takes(10)
            it.says(GET)
            drained = it.factory.drain()
            it.waits(5)
            self.assertFalse(it.is_over)
            it.takes(None)
            it.waits(2)
            self.assertTrue(it.hears().endswith(b"\r\n\r\n" + b"x" * size))
            self.assertIs(it.wire.loss, ConnectionDone)
            self.assertIsNone(self.successResultOf(drained))

    def test_busy_ones_after_their_answer(self) -> None:
        it = Conversation()
        it.says(GET)
        drained = it.factory.drain()
        self.assertNoResult(drained)
        it.seen[0].exchange.answer(*ok())
        self.assertEqual(it.hears(), HELLO_CLOSE)
        it.leaves()
        self.assertIsNone(self.successResultOf(drained))

    def test_a_request_whose_head_has_begun_is_answered(self) -> None:
        it = Conversation(say_hello)
        it.says(GET[:10])
        drained = it.factory.drain()
        it.says(GET[10:])
        self.assertEqual(it.hears(), HELLO_CLOSE)
        it.leaves()
        self.assertIsNone(self.successResultOf(drained))

    def test_a_connection_that_comes_later_gets_one_answer(self) -> None:
        it = Conversation(say_hello)
        it.factory.is_draining = True
        it.says(GET)
        self.assertEqual(it.hears(), HELLO_CLOSE)
        it.leaves()
        self.assertTrue(it.is_over)

    def test_who_has_just_connected_is_answered(self) -> None:
        it = Conversation(say_hello)
        drained = it.factory.drain()
        it.waits(FIRST_SECONDS - 0.25)
        it.says(GET)
        self.assertEqual(it.hears(), HELLO_CLOSE)
        it.leaves()
        self.assertIsNone(self.successResultOf(drained))

    def test_but_must_say_something_soon(self) -> None:
        """Whoever comes when all is said as well: out of a handshake."""
        it = Conversation()
        first = it.wire
        drained = it.factory.drain()
        it.connect()
        it.waits(FIRST_SECONDS + 0.5)
        first.settle()
        self.assertTrue(it.is_over)
        self.assertIsNone(self.successResultOf(drained))

    def test_outcomes_are_reported_before_it_is_over(self) -> None:
        it = Conversation()
        it.says(GET)
        outcomes: list[int] = []
        it.factory.drain().addCallback(lambda _: outcomes.append(len(it.outcomes)))
        it.wire.lose(ConnectionLost)
        self.assertEqual(outcomes, [1])

    def test_waiting_for_it_can_be_given_up(self) -> None:
        it = Conversation(say_hello)
        it.says(GET)
        drained = it.factory.drain()
        drained.addErrback(lambda _: None)
        drained.cancel()
        it.waits(FIRST_SECONDS + 0.5)
        self.assertTrue(it.is_over)


class TheFactory(SynchronousTestCase):
    def test_it_stops_its_own_wheel_after_the_last_connection(self) -> None:
        it = Conversation()
        it.factory.stopFactory()
        it.waits(61)
        self.assertTrue(it.is_over)
        self.assertEqual(it.clock.getDelayedCalls(), [])

    def test_a_shared_wheel_is_left_alone(self) -> None:
        it = Conversation()
        wheel = Wheel(it.clock)
        wheel.start()
        factory = HTTPFactory(it, it.clock, it.clock.seconds, b"t", wheel)
        factory.startFactory()
        factory.stopFactory()
        self.assertTrue(wheel._loop.running)

    def test_the_date_moves_on(self) -> None:
        it = Conversation(say_hello)
        it.waits(5)
        it.says(GET)
        self.assertIn(b"Date: Thu, 01 Jan 1970 00:00:05 GMT\r\n", bytes(it.wire.sent))

    def test_request_ids_differ_unless_a_trusted_peer_gave_one(self) -> None:
        it = Conversation(say_hello)
        it.factory._known_request_id = lambda head, client: head.get(b"x-request-id")
        it.says(GET + get(b"/", b"X-Request-ID: given") + GET)
        ids = [line for line in bytes(it.wire.sent).split(b"\r\n") if line.startswith(b"X-Request-ID")]
        self.assertEqual(ids, [b"X-Request-ID: t-1", b"X-Request-ID: given", b"X-Request-ID: t-2"])

    def test_reprs(self) -> None:
        it = Conversation()
        self.assertEqual(repr(it.connection), "<ServerConnection idle>")
        it.says(GET)
        self.assertEqual(repr(it.connection), "<ServerConnection <WireExchange <GET / at a> waiting>>")
        it.factory.is_draining = True
        self.assertEqual(repr(it.factory), "<HTTPFactory 1 connections draining>")


class Reconfiguring(SynchronousTestCase):
    def test_other_limits_count_from_the_next_wait_on(self) -> None:
        it = Conversation(say_hello)
        it.factory.reconfigure(Timeouts(idle=1.0), Limits(streams=7))
        it.says(GET)
        self.assertEqual(it.factory.h2_limits(it.seen[0].exchange.client).streams, 7)
        it.waits(1.5)
        self.assertTrue(it.is_over)

    def test_what_listeners_do_not_offer_is_not_spoken(self) -> None:
        it = Conversation()
        factory = HTTPFactory(it, it.clock, it.clock.seconds, b"t", it.factory.wheel, h2=None)
        factory.reconfigure(Timeouts(), Limits())
        self.assertFalse(factory.speaks_h2)
        it.factory.reconfigure(Timeouts(), None)
        self.assertTrue(it.factory.speaks_h2)
