"""How a client's HTTP/1.1 connection ends when time is up, or when the client is gone."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ClientFault, UpstreamFault
from scalekit.http.heads import ResponseHead
from scalekit.net.deadlines import Timeouts
from tests.net.conversation import Conversation, take_body
from tests.net.messages import GET, HELLO, HELLO_CLOSE, get, ok, post, say_hello


class Deadlines(SynchronousTestCase):
    """A hard deadline, not one that a byte puts off."""

    def test_a_head_has_ten_seconds_however_it_trickles(self) -> None:
        it = Conversation(say_hello)
        for byte in GET[:9]:
            it.says(bytes([byte]))
            it.waits(1)
        self.assertFalse(it.is_over)
        it.says(GET[9:10])
        it.waits(2)
        heard = it.hears()
        self.assertTrue(heard.startswith(b"HTTP/1.1 408 "), heard)
        self.assertEqual(it.factory.refusals, {"head-timeout": 1})
        it.waits(3)
        self.assertTrue(it.is_over)
        self.assertEqual(it.outcomes, [])

    def test_each_head_has_its_own(self) -> None:
        it = Conversation(say_hello)
        for _ in range(3):
            it.says(GET[:5])
            it.waits(8)
            it.says(GET[5:])
        self.assertEqual(it.hears(), HELLO * 3)

    def test_a_body_may_be_slow_for_ten_seconds_and_not_longer(self) -> None:
        it = Conversation(take_body)
        it.says(post(100_000))
        it.waits(9)
        self.assertEqual(it.hears(), b"")
        it.waits(2)
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 408 "))
        self.assertEqual(it.seen[0].events, ["aborted body-timeout"])
        self.assertEqual(it.outcomes, [(b"/p", 408, "body-timeout")])

    def test_a_body_at_its_rate_goes_on(self) -> None:
        it = Conversation(take_body)
        it.says(post(100_000))
        for _ in range(60):
            it.says(b"x" * 520)
            it.waits(1)
        self.assertEqual(it.hears(), b"")
        for _ in range(60):
            it.says(b"x" * 100)
            it.waits(1)
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 408 "))

    def test_a_held_body_is_not_the_clients_fault(self) -> None:
        it = Conversation(take_body)
        it.says(post(10))
        it.seen[0].exchange.pause()
        it.waits(100)
        it.seen[0].exchange.resume()
        it.waits(5)
        it.says(b"0123456789")
        self.assertEqual(it.seen[0].events, [b"0123456789", "end"])

    def test_an_answer_must_make_progress(self) -> None:
        it = Conversation()
        it.takes(0)
        it.says(GET)
        it.seen[0].exchange.begin(ResponseHead(200, []))
        it.seen[0].exchange.write(b"x" * 300_000)
        self.assertEqual(it.seen[0].events, ["pause"])
        it.waits(50)
        it.takes(100)
        it.waits(50)
        self.assertFalse(it.is_over, "it has taken something")
        it.waits(80)
        self.assertTrue(it.was_cut)
        self.assertEqual(it.seen[0].events, ["pause", "aborted answer-stalled"])
        self.assertEqual(it.outcomes, [(b"/", 200, "answer-stalled")])

    def test_no_activity_of_ours_moves_the_deadline_of_progress(self) -> None:
        it = Conversation(take_body)
        it.takes(0)
        it.says(post(1_000_000))
        exchange = it.seen[0].exchange
        exchange.begin(ResponseHead(200, []))
        exchange.write(b"x" * 300_000)
        for _ in range(13):
            exchange.write(b"more")
            exchange.pause()
            it.says(b"y" * 5000)
            exchange.resume()
            it.waits(5)
        self.assertTrue(it.was_cut)

    def test_a_finished_answer_must_be_taken_too(self) -> None:
        for size in (1_000, 1_000_000):
            it = Conversation(lambda seen, size=size: seen.exchange.answer(*ok(b"x" * size)))  # type: ignore[misc]
            it.takes(10)
            it.says(GET)
            it.waits(130)
            self.assertTrue(it.was_cut, size)

    def test_a_finished_answer_may_be_taken_slowly(self) -> None:
        for size in (100_000, 1_000_000):
            it = Conversation(lambda seen, size=size: seen.exchange.answer(*ok(b"x" * size)))  # type: ignore[misc]
            it.takes(10)
            it.says(GET)
            for _ in range(8):
                it.waits(40)
                it.takes(10_000)
            self.assertFalse(it.is_over)
            it.takes(None)
            self.assertTrue(it.hears().endswith(b"x" * size))
            it.says(GET)
            self.assertEqual(len(it.seen), 2)

    def test_a_closing_connection_must_be_taken_too(self) -> None:
        it = Conversation(lambda seen: seen.exchange.answer(*ok(b"x" * 300_000)))
        it.takes(10)
        it.says(get(b"/", b"Connection: close"))
        it.waits(130)
        self.assertTrue(it.was_cut)

    def test_who_lingers_is_cut(self) -> None:
        it = Conversation()
        it.says(b"NONSENSE\r\n\r\n")
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 400 "))
        self.assertTrue(it.wire.has_shut)
        it.says(b"x" * 100_000)
        it.waits(1)
        self.assertFalse(it.is_over)
        it.waits(2)
        self.assertTrue(it.is_over)

    def test_all_of_them_can_be_set(self) -> None:
        it = Conversation(take_body, Timeouts(1.0, 500, 2.0, 3.0, 4.0))
        it.waits(3.5)
        it.says(b"G")
        it.waits(1.75)
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 408 "))
        it.connect()
        it.says(post(10))
        it.waits(2.75)
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 408 "))


class Last(SynchronousTestCase):
    """After the last answer: closed over what is unread, or still comes, a connection is reset."""

    def test_who_has_asked_for_the_end_is_closed_at_once(self) -> None:
        it = Conversation(say_hello)
        it.says(get(b"/", b"Connection: close"))
        self.assertIs(it.wire.loss, ConnectionDone)

    def test_but_not_over_what_it_has_said_since(self) -> None:
        def say_more(seen: Any) -> None:
            it.wire.hear(GET)
            say_hello(seen)

        it = Conversation(say_more)
        it.says(get(b"/", b"Connection: close"))
        self.assertTrue(it.wire.has_shut)
        self.assertIsNone(it.wire.loss)
        it.leaves()
        self.assertIs(it.wire.loss, ConnectionDone)
        self.assertEqual(it.hears(), HELLO_CLOSE)

    def test_who_has_not_asked_may_have_something_on_its_way(self) -> None:
        it = Conversation()
        it.says(GET)
        it.factory.drain()
        say_hello(it.seen[0])
        it.settle()
        self.assertTrue(it.wire.has_shut)
        it.says(GET)
        it.waits(1)
        self.assertIsNone(it.wire.loss)
        it.waits(2)
        self.assertIs(it.wire.loss, ConnectionDone, "it may look at its answer later")
        self.assertEqual(it.hears(), HELLO_CLOSE)


class Losses(SynchronousTestCase):
    """The client is gone, in every state."""

    def lose(self, it: Conversation) -> None:
        it.wire.lose(ConnectionLost)
        self.assertEqual(it.factory.connections, set())
        self.assertEqual(repr(it.factory.wheel), "<Wheel 0 waiting>", "nothing holds what is gone")

    def test_idle(self) -> None:
        it = Conversation(say_hello)
        it.says(GET)
        self.lose(it)
        self.assertEqual(len(it.outcomes), 1)

    def test_inside_a_head(self) -> None:
        it = Conversation()
        it.says(GET[:5])
        self.lose(it)
        self.assertEqual(it.outcomes, [])

    def test_waiting_for_the_answer(self) -> None:
        it = Conversation()
        it.says(GET)
        self.lose(it)
        self.assertEqual(it.seen[0].events, ["aborted client-gone"])
        self.assertEqual(it.outcomes, [(b"/", 0, "client-gone")])
        exchange = it.seen[0].exchange
        exchange.begin(ResponseHead(200, []))
        exchange.write(b"x")
        exchange.finish()
        exchange.answer(*ok())
        exchange.receive(it.seen[0])
        exchange.discard()
        exchange.pause()
        exchange.resume()
        exchange.inform(103, [])
        exchange.fail(ClientFault(400, "x", "x"))
        exchange.abort(ClientFault(400, "x", "x"))
        self.assertEqual(it.seen[0].events, ["aborted client-gone"])
        self.assertEqual(len(it.outcomes), 1)

    def test_inside_an_unclaimed_flowing_and_held_body(self) -> None:
        for prepare in (lambda seen: None, take_body, lambda seen: (take_body(seen), seen.exchange.pause())):
            it = Conversation(prepare)
            it.says(post(10) + b"abc")
            self.lose(it)
            self.assertEqual(it.seen[0].events[-1], "aborted client-gone")
            self.assertEqual(it.outcomes, [(b"/p", 0, "client-gone")])
            it.seen[0].exchange.resume()

    def test_inside_the_answer_running_or_stalled(self) -> None:
        for size in (10, 500_000):
            it = Conversation()
            it.takes(0)
            it.says(GET)
            it.seen[0].exchange.begin(ResponseHead(200, []))
            it.seen[0].exchange.write(b"x" * size)
            self.lose(it)
            self.assertEqual(it.seen[0].events[-1], "aborted client-gone")
            self.assertEqual(it.outcomes, [(b"/", 200, "client-gone")])

    def test_draining_a_body(self) -> None:
        it = Conversation(say_hello)
        it.says(post(10) + b"abc")
        self.lose(it)
        self.assertEqual(it.seen[0].events, [])
        self.assertEqual(it.outcomes, [(b"/p", 200, "")])

    def test_lingering(self) -> None:
        it = Conversation()
        it.says(b"NONSENSE\r\n\r\n")
        self.lose(it)
        self.assertEqual(it.outcomes, [])

    def test_with_requests_waiting(self) -> None:
        it = Conversation()
        it.says(GET + GET)
        self.lose(it)
        self.assertEqual(len(it.seen), 1)
        self.assertEqual(len(it.outcomes), 1)

    def test_an_abort_by_the_responder_cuts_and_does_not_come_back(self) -> None:
        it = Conversation()
        it.says(GET + GET)
        it.seen[0].exchange.begin(ResponseHead(200, []))
        it.seen[0].exchange.abort(UpstreamFault(502, "answer-cut", "It was cut."))
        it.wire.settle()
        self.assertTrue(it.was_cut)
        self.assertEqual(it.seen[0].events, [])
        self.assertEqual(it.outcomes, [(b"/", 200, "answer-cut")])
