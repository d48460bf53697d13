"""The bodies of requests on a client's HTTP/1.1 connection: who waits for whom, and what becomes of the rest."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ClientFault
from scalekit.http.heads import ResponseHead
from scalekit.http.limits import DRAINED_BODY_BYTES
from scalekit.net.transports import READ_BYTES
from tests.net.body_conformance import PauseAndResume
from tests.net.conversation import Conversation, Seen, take_body
from tests.net.messages import CHUNKED_POST, GET, HELLO, HELLO_CLOSE, ok, post, say_hello


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


class PauseAndResumeTests(PauseAndResume, SynchronousTestCase):
    def posts(self, then: Any = None) -> Conversation:
        it = Conversation(then)
        it.says(post(6) + b"abc")
        return it

    def goes_on(self, it: Conversation) -> None:
        it.says(b"def")


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
