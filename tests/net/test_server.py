"""A client's HTTP/1.1 connection, as conversations in memory; at the end, what hangs on sockets over sockets."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ClientFault, UpstreamFault
from scalekit.http.heads import ResponseHead
from scalekit.http.limits import DRAINED_BODY_BYTES
from scalekit.net.deadlines import Timeouts, Wheel
from scalekit.net.factory import HTTPFactory
from scalekit.net.ports import Admission, Port
from scalekit.net.transports import QUEUE_BYTES, READ_BYTES
from tests.net.conversation import Conversation, Seen
from tests.net.wire import WireTestCase, in_thread

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HELLO = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
HELLO_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"


def get(path: bytes, *lines: bytes, version: bytes = b"1.1") -> bytes:
    return b"GET %b HTTP/%b\r\nHost: a\r\n" % (path, version) + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def post(length: int, *lines: bytes) -> bytes:
    extra = b"".join(line + b"\r\n" for line in lines)
    return b"POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%b\r\n" % (length, extra)


CHUNKED_POST = b"POST /p HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


def ok(body: bytes = b"hello") -> tuple[ResponseHead, bytes]:
    return ResponseHead(200, [], len(body)), body


def say_hello(seen: Seen) -> None:
    seen.exchange.answer(*ok())


def take_body(seen: Seen) -> None:
    seen.exchange.receive(seen)


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


class Continue(SynchronousTestCase):
    """RFC 9110 section 10.1.1."""

    CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

    def test_it_is_sent_when_the_body_is_wanted(self) -> None:
        it = Conversation()
        it.says(post(3, b"Expect: 100-continue"))
        self.assertEqual(it.hears(), b"")
        take_body(it.seen[0])
        self.assertEqual(it.hears(), self.CONTINUE)
        it.says(b"abc")
        self.assertEqual(it.seen[0].events, [b"abc", "end"])
        it.seen[0].exchange.answer(*ok())
        self.assertEqual(it.hears(), HELLO)
        it.says(GET)
        self.assertEqual(len(it.seen), 2)

    def test_a_final_answer_instead_closes(self) -> None:
        it = Conversation(say_hello)
        it.says(post(3, b"Expect: 100-continue"))
        self.assertEqual(it.hears(), HELLO_CLOSE)
        it.leaves()
        self.assertTrue(it.is_over)
        self.assertEqual(len(it.seen), 1)

    def test_it_is_not_sent_once_the_body_has_begun(self) -> None:
        it = Conversation(take_body)
        it.says(post(3, b"Expect: 100-continue") + b"a", b"bc")
        self.assertEqual(it.seen[0].body, b"abc")
        self.assertEqual(it.hears(), b"")

    def test_it_is_not_sent_once_the_answer_has_begun(self) -> None:
        it = Conversation()
        it.says(post(3, b"Expect: 100-continue"))
        it.seen[0].exchange.begin(ResponseHead(200, [], 5))
        take_body(it.seen[0])
        it.seen[0].exchange.write(b"hello")
        it.seen[0].exchange.finish()
        self.assertEqual(it.hears(), HELLO_CLOSE)

    def test_http_1_0_gets_none(self) -> None:
        it = Conversation(take_body)
        it.says(b"POST / HTTP/1.0\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        self.assertEqual(it.hears(), b"")


class Bodies(SynchronousTestCase):
    def test_a_body_that_nobody_asked_for_waits_at_the_client(self) -> None:
        it = Conversation()
        it.says(post(10 * READ_BYTES))
        for _ in range(10):
            it.says(b"x" * READ_BYTES)
        self.assertLessEqual(it.connection._reader.held_bytes, 2 * READ_BYTES)
        self.assertFalse(it.wire.is_reading)
        take_body(it.seen[0])
        it.wire.settle()
        self.assertEqual(it.seen[0].body, b"x" * 10 * READ_BYTES)
        self.assertEqual(it.seen[0].events[-1], "end")

    def test_a_pause_holds_it_and_a_resume_lets_it_go_on(self) -> None:
        it = Conversation(take_body)
        it.says(post(6) + b"ab")
        it.seen[0].exchange.pause()
        it.says(b"cd")
        self.assertFalse(it.wire.is_reading)
        self.assertEqual(it.seen[0].events, [b"ab"])
        it.seen[0].exchange.resume()
        it.wire.settle()
        it.says(b"ef")
        self.assertEqual(it.seen[0].events, [b"ab", b"cd", b"ef", "end"])

    def test_a_receiver_that_pauses_at_the_last_piece_hears_the_end_later(self) -> None:
        class Pausing(Seen):
            def data(self, piece: bytes) -> None:
                super().data(piece)
                self.exchange.pause()

        it = Conversation()
        it.says(post(4) + b"abcd" + GET)
        receiver = Pausing(it.seen[0].exchange)
        it.seen[0].exchange.receive(receiver)
        self.assertEqual(receiver.events, [b"abcd"])
        it.seen[0].exchange.resume()
        self.assertEqual(receiver.events, [b"abcd", "end"])
        it.seen[0].exchange.answer(*ok())
        self.assertEqual(len(it.seen), 2)

    def test_no_body_ends_at_once(self) -> None:
        it = Conversation(take_body)
        it.says(GET)
        self.assertEqual(it.seen[0].events, ["end"])

    def test_trailers_reach_the_receiver(self) -> None:
        it = Conversation(take_body)
        it.says(CHUNKED_POST + b"3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n")
        self.assertEqual(it.seen[0].trailers, [(b"X-Sum", b"1")])

    def test_a_discarded_body_goes_nowhere(self) -> None:
        it = Conversation(lambda seen: seen.exchange.discard())
        it.says(post(3) + b"abc")
        it.seen[0].exchange.answer(*ok())
        it.says(GET)
        self.assertEqual(len(it.seen), 2)

    def test_a_broken_body_is_answered_and_ends_the_connection(self) -> None:
        it = Conversation(take_body)
        it.says(CHUNKED_POST + b"3\r\nabcX")
        self.assertEqual(it.seen[0].events[-1], "aborted bad-chunk")
        heard = it.hears()
        self.assertTrue(heard.startswith(b"HTTP/1.1 400 "))
        self.assertIn(b"Connection: close", heard)
        it.says(GET)
        self.assertEqual(len(it.seen), 1)
        it.leaves()
        self.assertTrue(it.is_over)
        self.assertFalse(it.was_cut)

    def test_a_broken_body_under_an_answer_cuts_it(self) -> None:
        it = Conversation(take_body)
        it.says(CHUNKED_POST + b"3\r\nabc\r\n")
        it.seen[0].exchange.begin(ResponseHead(200, []))
        it.says(b"X\r\n")
        self.assertTrue(it.was_cut)
        self.assertEqual(it.outcomes, [(b"/p", 200, "bad-chunk")])

    def test_a_receiver_that_raises_gets_its_client_a_500_and_is_told(self) -> None:
        class Raising(Seen):
            def data(self, piece: bytes) -> None:
                raise ZeroDivisionError

        it = Conversation()
        it.says(post(6))
        it.seen[0].exchange.receive(Raising(it.seen[0].exchange))
        it.says(b"abc")
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 500 "))
        self.assertEqual(it.seen[0].events, ["aborted ZeroDivisionError"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        it.says(b"def" + GET)
        self.assertEqual(len(it.seen), 2, "the framing is intact")

    def test_so_does_one_that_raises_at_the_end(self) -> None:
        class Raising(Seen):
            def end(self, trailers: Any) -> None:
                raise ZeroDivisionError

        it = Conversation()
        it.says(post(3))
        it.seen[0].exchange.receive(Raising(it.seen[0].exchange))
        it.says(b"abc")
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 500 "))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(len(it.outcomes), 1)


class EarlyAnswers(SynchronousTestCase):
    """The rest is drained up to 64 KiB, else close after the answer."""

    def test_a_short_rest_is_drained(self) -> None:
        it = Conversation(say_hello)
        it.says(post(DRAINED_BODY_BYTES))
        self.assertEqual(it.hears(), HELLO)
        it.says(b"x" * DRAINED_BODY_BYTES + GET)
        self.assertEqual(it.hears(), HELLO)

    def test_a_long_rest_closes(self) -> None:
        it = Conversation(say_hello)
        it.says(post(DRAINED_BODY_BYTES + 1))
        self.assertEqual(it.hears(), HELLO_CLOSE)
        it.says(b"x" * 1_000_000)
        self.assertFalse(it.is_over)
        it.waits(3)
        self.assertTrue(it.was_cut, "lingered for long enough")
        self.assertEqual(len(it.outcomes), 1)

    def test_a_long_chunked_rest_closes_when_it_turns_out_so(self) -> None:
        it = Conversation(say_hello)
        it.says(CHUNKED_POST)
        self.assertEqual(it.hears(), HELLO)
        it.says(b"1ffff\r\n" + b"x" * 0x1FFFF)
        it.leaves()
        self.assertTrue(it.is_over)
        self.assertEqual(len(it.outcomes), 1)

    def test_a_slow_rest_is_not_waited_for(self) -> None:
        it = Conversation(say_hello)
        it.says(post(1000))
        it.waits(14)
        self.assertTrue(it.is_over)

    def test_an_answer_from_inside_the_body(self) -> None:
        class Refusing(Seen):
            def data(self, piece: bytes) -> None:
                self.exchange.fail(ClientFault(413, "body-too-large", "Too much."))

        for rest in (b"", b"def", b"def" + GET):
            it = Conversation(None)
            it.says(post(6))
            it.seen[0].exchange.receive(Refusing(it.seen[0].exchange))
            it.says(b"abc" + rest)
            self.assertTrue(it.hears().startswith(b"HTTP/1.1 413 "))
            it.says((b"def" + GET)[len(rest) :])
            self.assertEqual(len(it.seen), 2, rest)

    def test_a_refused_client_reads_its_large_answer_in_its_own_time(self) -> None:
        body = b"x" * 300_000
        it = Conversation(lambda seen: seen.exchange.answer(*ok(body)))
        it.takes(1000)
        it.says(post(10_000_000) + b"y" * 100_000)
        it.waits(30)
        it.takes(100_000)
        it.waits(30)
        self.assertFalse(it.is_over)
        it.takes(None)
        self.assertTrue(it.hears().endswith(body))
        it.waits(3)
        self.assertTrue(it.is_over)


class TinyReads(SynchronousTestCase):
    """Each costs far more than its bytes: after some of them what has been sent in the meantime comes in one."""

    def listen(self, it: Conversation) -> list[int]:
        reads: list[int] = []
        protocol = it.wire.protocol
        received = protocol.dataReceived
        protocol.dataReceived = lambda data: (reads.append(len(data)), received(data))
        return reads

    def trickle(self, it: Conversation, data: bytes) -> None:
        for byte in data:
            it.says(bytes([byte]))

    def test_a_head_byte_by_byte_is_read_in_a_few_reads(self) -> None:
        it = Conversation(say_hello)
        head = GET.replace(b"\r\n\r\n", b"\r\nX-Long: " + b"x" * 1000 + b"\r\n\r\n")
        reads = self.listen(it)
        self.trickle(it, head)
        self.assertEqual(len(reads), 16)
        self.assertEqual(it.hears(), b"")
        it.waits(0.25)
        self.assertEqual(reads[16:], [len(head) - 16])
        self.assertEqual(it.hears(), HELLO)

    def test_so_are_chunks(self) -> None:
        it = Conversation(take_body)
        reads = self.listen(it)
        it.says(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.trickle(it, b"1\r\nx\r\n" * 100 + b"0\r\n\r\n")
        self.assertEqual(len(reads), 17)
        it.waits(0.25)
        self.assertEqual(it.seen[0].body, b"x" * 100)
        self.assertEqual(it.seen[0].trailers, [])

    def test_so_is_what_follows_a_refusal(self) -> None:
        it = Conversation(say_hello)
        reads = self.listen(it)
        self.trickle(it, b"\0" * 1000)
        self.assertEqual(len(reads), 16)
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 400 "))
        it.waits(3)
        self.assertTrue(it.is_over)

    def test_an_upload_whose_chunks_have_their_lines_in_records_of_their_own_is_not(self) -> None:
        """As Python's http.client sends them over TLS, where each write is read by itself."""
        it = Conversation(take_body)
        it.says(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(200):
            it.says(b"400\r\n", b"x" * 1024, b"\r\n")
        self.assertEqual(len(it.seen[0].body), 200 * 1024)
        self.assertTrue(it.wire.is_reading)

    def test_who_types_is_not_held_up(self) -> None:
        it = Conversation(take_body)
        it.says(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(40):
            it.says(b"1\r\nx\r\n")
            self.assertEqual(len(it.seen[0].events), number + 1)
            it.waits(0.25 if number % 10 == 9 else 0)

    def test_a_pause_of_the_receiver_outlasts_it(self) -> None:
        it = Conversation(take_body)
        it.says(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n")
        self.trickle(it, b"x" * 16)
        it.seen[0].exchange.pause()
        it.says(b"y" * 84)
        it.waits(1)
        self.assertEqual(it.seen[0].body, b"x" * 16)
        it.seen[0].exchange.resume()
        it.settle()
        self.assertEqual(it.seen[0].body, b"x" * 16 + b"y" * 84)

    def test_a_client_that_leaves_meanwhile_is_forgotten(self) -> None:
        it = Conversation(take_body)
        it.says(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n")
        self.trickle(it, b"x" * 20)
        it.wire.lose()
        it.waits(1)
        self.assertEqual(it.seen[0].events[-1], "aborted client-gone")


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


class Answers(SynchronousTestCase):
    """`WireExchange`'s side is in test_exchange; here is what it does to the connection."""

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


class Draining(SynchronousTestCase):
    """`HTTPFactory.drain`: every connection ends after what is under way on it."""

    def test_nothing_there(self) -> None:
        it = Conversation()
        it.wire.lose(ConnectionLost)
        self.assertIsNone(self.successResultOf(it.factory.drain()))

    def test_idle_connections_end_at_once(self) -> None:
        it = Conversation(say_hello)
        it.says(GET)
        drained = it.factory.drain()
        it.wire.settle()
        self.assertTrue(it.is_over)
        self.assertIsNone(self.successResultOf(drained))

    def test_busy_ones_after_their_answer(self) -> None:
        it = Conversation()
        it.says(GET)
        drained = it.factory.drain()
        self.assertNoResult(drained)
        it.seen[0].exchange.answer(*ok())
        self.assertEqual(it.hears(), HELLO_CLOSE)
        self.assertIsNone(self.successResultOf(drained))

    def test_a_request_whose_head_has_begun_is_answered(self) -> None:
        it = Conversation(say_hello)
        it.says(GET[:10])
        drained = it.factory.drain()
        it.says(GET[10:])
        self.assertEqual(it.hears(), HELLO_CLOSE)
        self.assertIsNone(self.successResultOf(drained))

    def test_a_connection_that_comes_later_gets_one_answer(self) -> None:
        it = Conversation(say_hello)
        it.factory.is_draining = True
        it.says(GET)
        self.assertEqual(it.hears(), HELLO_CLOSE)
        self.assertTrue(it.is_over)

    def test_outcomes_are_reported_before_it_is_over(self) -> None:
        it = Conversation()
        it.says(GET)
        outcomes: list[int] = []
        it.factory.drain().addCallback(lambda _: outcomes.append(len(it.outcomes)))
        it.wire.lose(ConnectionLost)
        self.assertEqual(outcomes, [1])

    def test_waiting_for_it_can_be_given_up(self) -> None:
        it = Conversation()
        drained = it.factory.drain()
        drained.addErrback(lambda _: None)
        drained.cancel()
        it.wire.settle()
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


class OverSockets(WireTestCase):
    """Closing, half-closing and stalling are the transport's matter as much as ours."""

    body = b"x" * 200_000
    answers = 0

    def setUp(self) -> None:
        super().setUp()
        self.http = HTTPFactory(self, reactor, reactor.seconds, b"t")
        open_ones = Admission(10)
        self.port = Port(0, self.http, "127.0.0.1", reactor, open_ones, self.server_tls() if self.secure else None)
        self.port.startListening()
        self.addCleanup(self.until, lambda: open_ones.open == 0)
        self.addCleanup(self.http.drain)
        self.addCleanup(self.port.stopListening)

    def respond(self, exchange: Any) -> None:
        self.answers += 1
        exchange.answer(*ok(self.body))

    def heard(self, sock: Any) -> bytes:
        heard = bytearray()
        while data := sock.recv(65_536):
            heard += data
        return bytes(heard)

    async def test_a_client_that_reads_nothing_until_it_has_sent_everything(self) -> None:
        sock = await in_thread(self.dial)
        await in_thread(sock.sendall, GET * 100)
        await self.until(lambda: self.answers > 1)
        (connection,) = self.http.connections
        await self.until(lambda: connection._is_stuck)
        self.assertLess(self.answers, 100)
        self.assertLess(connection.transport.queued_bytes, QUEUE_BYTES + 300_000)
        if not self.secure:
            sock.shutdown(1)
            heard = await in_thread(self.heard, sock)
            self.assertEqual(heard.count(b"HTTP/1.1 200"), 100)
            self.assertTrue(heard.endswith(self.body))
        sock.close()

    async def test_the_answer_to_an_upload_that_is_not_wanted_arrives(self) -> None:
        sock = await in_thread(self.dial)
        await in_thread(sock.sendall, post(100_000_000) + b"y" * 300_000)
        heard = await in_thread(self.heard, sock)
        self.assertTrue(heard.endswith(b"\r\n\r\n" + self.body))
        sock.close()

    async def test_nor_is_what_comes_after_a_close_in_its_way(self) -> None:
        sock = await in_thread(self.dial)
        await in_thread(sock.sendall, get(b"/", b"Connection: close") + GET * 50)
        heard = await in_thread(self.heard, sock)
        self.assertEqual(heard.count(b"HTTP/1.1 200"), 1)
        self.assertTrue(heard.endswith(self.body))
        sock.close()


class OverTLS(OverSockets):
    secure = True
