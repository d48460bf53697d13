"""A client's HTTP/1.1 connection, as conversations in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import UpstreamFault
from scalekit.http.heads import ResponseHead
from scalekit.net.transports import QUEUE_BYTES, READ_BYTES
from tests.net.conversation import Conversation, Seen, take_body
from tests.net.messages import GET, HELLO, HELLO_CLOSE, get, ok, post, say_hello


class KeepAlive(SynchronousTestCase):
    """RFC 9112 section 9.3."""

    def test_http_1_1_is_kept(self) -> None:
        it = Conversation(say_hello)
        it.says(GET)
        self.assertEqual(it.hears(), HELLO)
        it.says(GET)
        self.assertEqual(it.hears(), HELLO)
        self.assertFalse(it.is_over)

    def test_close_closes(self) -> None:
        it = Conversation(say_hello)
        it.says(get(b"/", b"Connection: close"))
        self.assertEqual(it.hears(), HELLO_CLOSE)
        self.assertTrue(it.is_over)
        self.assertFalse(it.was_cut)

    def test_http_1_0_closes(self) -> None:
        it = Conversation(say_hello)
        it.says(get(b"/", version=b"1.0"))
        self.assertEqual(it.hears(), HELLO_CLOSE)
        self.assertTrue(it.is_over)

    def test_http_1_0_with_keep_alive_is_kept_and_told_so(self) -> None:
        it = Conversation(say_hello)
        for _ in range(2):
            it.says(get(b"/", b"Connection: keep-alive", version=b"1.0"))
            self.assertEqual(it.hears(), b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\nhello")
        self.assertFalse(it.is_over)

    def test_idle_connections_end(self) -> None:
        it = Conversation(say_hello)
        it.says(GET)
        it.waits(59)
        self.assertFalse(it.is_over)
        it.waits(2)
        self.assertTrue(it.is_over)
        self.assertFalse(it.was_cut)

    def test_a_connection_that_never_says_anything_ends(self) -> None:
        it = Conversation()
        it.waits(61)
        self.assertTrue(it.is_over)
        self.assertEqual(it.factory.connections, set())

    def test_a_request_that_waits_for_its_answer_is_not_idle(self) -> None:
        it = Conversation()
        it.says(GET)
        it.waits(300)
        self.assertFalse(it.is_over)
        it.seen[0].exchange.answer(*ok())
        self.assertEqual(it.hears(), HELLO)
        it.waits(61)
        self.assertTrue(it.is_over)


class Pipelining(SynchronousTestCase):
    """RFC 9112 section 9.3.2."""

    def test_answers_come_in_order(self) -> None:
        it = Conversation()
        it.says(get(b"/1") + get(b"/2") + get(b"/3"))
        for number in range(3):
            self.assertEqual(len(it.seen), number + 1, "one at a time")
            it.seen[number].exchange.answer(*ok(b"%d" % number))
        self.assertEqual([body[-1:] for body in it.hears().split(b"HTTP/1.1 200")[1:]], [b"0", b"1", b"2"])
        self.assertEqual([target for target, _, _ in it.outcomes], [b"/1", b"/2", b"/3"])

    def test_many_at_once_do_not_go_deeper_and_deeper(self) -> None:
        it = Conversation(say_hello)
        it.says(GET * 2000)
        self.assertEqual(it.hears(), HELLO * 2000)

    def test_what_waits_is_bounded(self) -> None:
        it = Conversation()
        it.says(GET)
        for _ in range(10):
            it.says(b"G" * READ_BYTES)
        self.assertFalse(it.wire.is_reading)
        self.assertLessEqual(it.connection._reader.held_bytes, 2 * READ_BYTES)

    def test_a_client_that_takes_no_answers_gets_no_more_made(self) -> None:
        it = Conversation(lambda seen: seen.exchange.answer(*ok(b"x" * 100_000)))
        it.takes(0)
        it.says(GET * 50)
        self.assertLess(it.wire.queued_bytes, QUEUE_BYTES + 200_000)
        self.assertFalse(it.wire.is_reading)
        it.takes(None)
        self.assertEqual(len(it.outcomes), 50)
        self.assertEqual(it.hears().count(b"HTTP/1.1 200"), 50)
        it.says(GET)
        self.assertEqual(len(it.outcomes), 51)

    def test_the_rest_of_a_head_comes_after_the_answer_before_it(self) -> None:
        it = Conversation()
        it.says(GET + GET[:10])
        it.seen[0].exchange.answer(*ok())
        it.says(GET[10:])
        it.seen[1].exchange.answer(*ok())
        self.assertEqual(it.hears(), HELLO * 2)

    def test_after_a_request_that_closes_nothing_is_answered(self) -> None:
        it = Conversation(say_hello)
        it.says(get(b"/1", b"Connection: close") + get(b"/2"))
        self.assertEqual(it.hears(), HELLO_CLOSE)
        self.assertEqual(len(it.seen), 1)
        self.assertFalse(it.is_over, "the bytes that nobody reads would make the close a reset")
        it.leaves()
        self.assertTrue(it.is_over)
        self.assertFalse(it.was_cut)

    def test_a_body_and_then_a_request(self) -> None:
        it = Conversation(take_body)
        it.says(post(3) + b"abc" + GET)
        self.assertEqual(it.seen[0].events, [b"abc", "end"])
        self.assertEqual(len(it.seen), 1)
        it.seen[0].exchange.answer(*ok())
        it.seen[1].exchange.answer(*ok())
        self.assertEqual(it.hears(), HELLO * 2)


class HalfClose(SynchronousTestCase):
    def test_the_answer_is_still_sent(self) -> None:
        it = Conversation()
        it.says(GET)
        it.leaves()
        self.assertEqual(it.seen[0].events, [])
        it.seen[0].exchange.answer(*ok())
        self.assertEqual(it.hears(), HELLO_CLOSE)
        self.assertTrue(it.is_over)
        self.assertFalse(it.was_cut)

    def test_so_are_those_to_pipelined_requests(self) -> None:
        it = Conversation()
        it.says(get(b"/1") + get(b"/2"))
        it.leaves()
        it.seen[0].exchange.answer(*ok())
        it.wire.settle()
        it.seen[1].exchange.answer(*ok())
        self.assertEqual(it.hears().count(b"hello"), 2)
        self.assertTrue(it.is_over)

    def test_between_requests_it_is_the_end(self) -> None:
        it = Conversation(say_hello)
        it.says(GET)
        it.leaves()
        self.assertTrue(it.is_over)
        self.assertFalse(it.was_cut)

    def test_a_large_answer_that_is_still_on_its_way_arrives(self) -> None:
        body = b"x" * 500_000
        it = Conversation(lambda seen: seen.exchange.answer(*ok(body)))
        it.takes(1000)
        it.says(GET)
        it.leaves()
        it.takes(None)
        self.assertTrue(it.hears().endswith(b"\r\n\r\n" + body))
        self.assertTrue(it.is_over)
        self.assertFalse(it.was_cut)

    def test_an_incomplete_body_is_answered_with_400(self) -> None:
        it = Conversation(take_body)
        it.says(post(10) + b"abc")
        it.leaves()
        self.assertEqual(it.seen[0].events, [b"abc", "aborted body-cut"])
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 400 "))
        self.assertTrue(it.is_over)
        self.assertFalse(it.was_cut)
        self.assertEqual(it.outcomes, [(b"/p", 400, "body-cut")])

    def test_an_incomplete_body_is_found_when_it_is_asked_for(self) -> None:
        it = Conversation()
        it.says(post(10))
        it.leaves()
        self.assertEqual(it.seen[0].events, [])
        take_body(it.seen[0])
        self.assertEqual(it.seen[0].events, ["aborted body-cut"])
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 400 "))

    def test_it_does_not_take_away_an_early_answer(self) -> None:
        it = Conversation(say_hello)
        it.takes(20)
        it.says(post(10) + b"abc")
        it.leaves()
        it.takes(None)
        self.assertEqual(it.hears(), HELLO)
        self.assertFalse(it.was_cut)
        self.assertTrue(it.is_over)

    def test_inside_a_head(self) -> None:
        it = Conversation()
        it.says(GET[:10])
        it.leaves()
        self.assertTrue(it.is_over)
        self.assertEqual(it.outcomes, [])


class Answers(SynchronousTestCase):
    """`WireExchange`'s side is in test_exchange; here is what it does to the connection."""

    def test_a_refused_head_gets_no_body(self) -> None:
        for start in (b"HEAD /a b HTTP/1.1\r\n\r\n", b"\r\nHEAD / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"):
            it = Conversation(say_hello)
            it.says(start)
            head, _, body = it.hears().partition(b"\r\n\r\n")
            self.assertTrue(head.startswith(b"HTTP/1.1 400 "), head)
            self.assertNotIn(b"Content-Length: 0", head)
            self.assertEqual(body, b"")
            it = Conversation(say_hello)
            it.says(start.replace(b"HEAD", b"GET"))
            self.assertNotEqual(it.hears().partition(b"\r\n\r\n")[2], b"")

    def test_back_pressure_reaches_the_observer(self) -> None:
        it = Conversation()
        it.takes(0)
        it.says(GET)
        exchange = it.seen[0].exchange
        exchange.begin(ResponseHead(200, [], 200_000))
        exchange.write(b"x" * 100_000)
        self.assertEqual(it.seen[0].events, [])
        exchange.write(b"x" * 100_000)
        self.assertEqual(it.seen[0].events, ["pause"])
        it.takes(None)
        self.assertEqual(it.seen[0].events, ["pause", "resume"])
        exchange.finish()
        it.says(GET)
        self.assertEqual(len(it.seen), 2)

    def test_a_responder_that_raises_a_fault_answers_with_it(self) -> None:
        def refuse(seen: Seen) -> None:
            raise UpstreamFault(503, "no-app-servers", "No app servers found")

        it = Conversation(refuse)
        it.says(GET + GET)
        self.assertEqual(it.hears().count(b"HTTP/1.1 503 Service Unavailable"), 2)
        self.assertEqual(it.outcomes, [(b"/", 503, "no-app-servers")] * 2)

    def test_a_responder_that_raises_anything_else_is_logged_and_answered_with_500(self) -> None:
        def fail(seen: Seen) -> None:
            raise ZeroDivisionError

        it = Conversation(fail)
        it.says(GET)
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 500 "))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(it.seen[0].events, ["aborted ZeroDivisionError"], "what it has begun it can stop")
        self.assertEqual(it.outcomes, [(b"/", 500, "internal-error")])

    def test_one_that_raises_after_its_answer_is_logged(self) -> None:
        def fail(seen: Seen) -> None:
            say_hello(seen)
            raise ZeroDivisionError

        it = Conversation(fail)
        it.says(GET)
        self.assertEqual(it.hears(), HELLO)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(len(it.outcomes), 1)

    def test_one_that_raises_inside_its_answer_cuts_it(self) -> None:
        def fail(seen: Seen) -> None:
            seen.exchange.begin(ResponseHead(200, [], 5))
            raise ZeroDivisionError

        it = Conversation(fail)
        it.says(GET)
        self.assertTrue(it.was_cut)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(len(it.outcomes), 1)

    def test_observers_that_raise_do_not_keep_the_connection(self) -> None:
        class Raising(Seen):
            def aborted(self, fault: Any) -> None:
                raise ZeroDivisionError

        it = Conversation()
        it.says(GET)
        it.seen[0].exchange.observe(Raising(it.seen[0].exchange))
        it.wire.lose(ConnectionLost)
        self.assertEqual(it.factory.connections, set())
        self.assertEqual(len(it.outcomes), 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
