"""Tests of `scalekit.net.h2_exchange`: answers and bodies of requests, each on its stream."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyClass

from scalekit.errors import ClientFault, OurFault
from scalekit.http.h2.limits import CONNECTION_WINDOW, STREAM_WINDOW
from scalekit.http.h2.owner import ErrorCode
from scalekit.interfaces import IExchange
from scalekit.net.h2_exchange import H2Exchange
from tests.http.h2.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    RST_STREAM,
    block,
    frame,
    request,
)
from tests.net.body_conformance import PauseAndResume
from tests.net.conversation import Seen, take_body
from tests.net.h2_conversation import GET, HEAD, OK, POST, H2Conversation, H2Listener, head, say_hello


class Answers(SynchronousTestCase):
    def test_whole(self) -> None:
        it = H2Conversation(say_hello)
        stream = it.asks()
        self.assertEqual(
            it.hears(),
            [
                ("answered", stream, [OK, (b"content-type", b"text/plain"), (b"content-length", b"5")], False),
                ("data", stream, b"hello", True),
                ("closed", stream, 0),
            ],
        )
        self.assertEqual(it.outcomes, [(b"/", 200, "")])
        verifyClass(IExchange, H2Exchange)

    def test_many_of_one_turn_leave_in_one_write(self) -> None:
        it = H2Conversation(say_hello)
        writes: list[int] = []
        write = it.wire.write
        it.wire.write = lambda data: (writes.append(len(data)), write(data))  # type: ignore[method-assign,assignment]
        streams = [it.client.request(GET, True) for _ in range(50)]
        it.talk()
        self.assertEqual(len(writes), 1)
        self.assertEqual([event[1] for event in it.hears() if event[0] == "answered"], streams)

    def test_one_that_is_alone_leaves_at_once(self) -> None:
        """It waits neither for the turn's end nor for what is made of it besides."""
        it = H2Conversation()
        it.asks()
        before = len(it.wire.sent)
        sent: list[int] = []
        self.patch(it.factory, "report", lambda exchange: sent.append(len(it.wire.sent) - before))
        say_hello(it.seen[0])
        self.assertGreater(sent[0], len(b"hello"))
        self.assertIn(("data", 1, b"hello", True), it.hears())

    def test_later_ones_too(self) -> None:
        it = H2Conversation()
        streams = [it.asks() for _ in range(3)]
        writes: list[int] = []
        write = it.wire.write
        it.wire.write = lambda data: (writes.append(len(data)), write(data))  # type: ignore[method-assign,assignment]
        for seen in reversed(it.seen):
            say_hello(seen)
        self.assertEqual(writes, [])
        it.talk()
        self.assertEqual(len(writes), 1)
        self.assertEqual({event[1] for event in it.hears() if event[0] == "answered"}, set(streams))

    def test_in_pieces_with_interim_answers_and_trailers(self) -> None:
        it = H2Conversation()
        stream = it.asks((b"te", b"trailers"))
        exchange = it.seen[0].exchange
        exchange.inform(103, [(b"Link", b"</a>")])
        exchange.begin(head(200, (b"X-Some", b"Value"), (b"Keep-Alive", b"5")))
        exchange.write(b"one")
        exchange.write(b"two")
        exchange.finish([(b"Grpc-Status", b"0")])
        exchange.finish()
        exchange.write(b"late")
        self.assertEqual(
            it.hears(),
            [
                ("informed", stream, [(b":status", b"103"), (b"link", b"</a>")]),
                ("answered", stream, [OK, (b"x-some", b"Value")], False),
                ("data", stream, b"onetwo", False),
                ("trailers", stream, [(b"grpc-status", b"0")]),
                ("closed", stream, 0),
            ],
        )

    def test_without_a_body_where_there_is_none(self) -> None:
        for status, fields, length, expected in (
            (204, GET, None, []),
            (304, GET, 5, [(b"content-length", b"5")]),
            (200, HEAD, None, [(b"content-length", b"5")]),
            (200, HEAD, 7, [(b"content-length", b"7")]),
        ):
            it = H2Conversation(lambda seen, s=status, n=length: seen.exchange.answer(head(s, length=n), b"hello"))
            stream = it.asks(start=fields)
            self.assertEqual(
                it.hears(),
                [
                    ("answered", stream, [(b":status", b"%d" % status), *expected], True),
                    ("closed", stream, 0),
                ],
            )

    def test_streamed_to_head(self) -> None:
        it = H2Conversation()
        stream = it.asks(start=HEAD)
        exchange = it.seen[0].exchange
        exchange.begin(head(length=3))
        exchange.write(b"abc")
        exchange.finish()
        self.assertEqual(
            it.hears(),
            [
                ("answered", stream, [OK, (b"content-length", b"3")], False),
                ("data", stream, b"", True),
                ("closed", stream, 0),
            ],
        )

    def test_wrong_lengths(self) -> None:
        it = H2Conversation(lambda seen: seen.exchange.answer(head(length=4), b"hello"))
        it.asks()
        self.assertEqual(it.hears()[0][2][0], (b":status", b"500"))
        for pieces in ([b"12"], [b"1234"]):
            it = H2Conversation()
            stream = it.asks()
            exchange = it.seen[0].exchange
            exchange.begin(head(length=3))
            for piece in pieces:
                exchange.write(piece)
            exchange.finish()
            events = it.hears()
            self.assertEqual(events[-2:], [("reset", stream, 2), ("closed", stream, 2)])
            self.assertEqual(it.outcomes, [(b"/", 200, "bad-length")])

    def test_fields_that_would_break_out(self) -> None:
        it = H2Conversation(lambda seen: seen.exchange.answer(head(200, (b"a", b"b\r\nc: d"))))
        it.asks()
        self.assertEqual(it.hears()[0][2][0], (b":status", b"500"))
        it = H2Conversation()
        stream = it.asks()
        it.seen[0].exchange.begin(head())
        it.seen[0].exchange.finish([(b"a", b"b\n")])
        self.assertEqual(it.hears()[-1], ("closed", stream, 2))

    def test_an_answer_without_a_begin(self) -> None:
        it = H2Conversation(lambda seen: seen.exchange.finish())
        it.asks()
        self.assertEqual(it.hears()[0][2][0], (b":status", b"500"))

    def test_faults(self) -> None:
        def fail(seen: Seen) -> None:
            raise ClientFault(404, "not-here", "Nothing is here.")

        it = H2Conversation(fail)
        stream = it.asks((b"accept", b"text/plain"))
        events = it.hears()
        self.assertEqual(events[0][2][0], (b":status", b"404"))
        self.assertIn(b"not-here", events[1][2])
        self.assertEqual(events[-1], ("closed", stream, 0))
        self.assertEqual(it.outcomes, [(b"/", 404, "not-here")])

    def test_a_responder_that_raises_anything_else(self) -> None:
        def fail(seen: Seen) -> None:
            raise ZeroDivisionError

        it = H2Conversation(fail)
        it.asks()
        self.assertEqual(it.hears()[0][2][0], (b":status", b"500"))
        self.assertEqual(it.seen[0].events, ["aborted ZeroDivisionError"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        it.asks()
        self.assertEqual(len(it.seen), 2)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_an_abort_resets_the_stream_and_no_other(self) -> None:
        it = H2Conversation()
        first, second = it.asks(), it.asks()
        it.seen[0].exchange.begin(head())
        it.seen[0].exchange.write(b"some")
        it.talk()
        it.seen[0].exchange.abort(OurFault(502, "answer-cut", "Cut."))
        say_hello(it.seen[1])
        events = it.hears()
        self.assertIn(("reset", first, ErrorCode.INTERNAL_ERROR), events)
        self.assertIn(("data", second, b"hello", True), events)
        self.assertEqual(it.outcomes, [(b"/", 200, "answer-cut"), (b"/", 200, "")])
        self.assertEqual(it.seen[0].events, [])

    def test_a_head_that_comes_again_is_not_parsed_again(self) -> None:
        it = H2Conversation(say_hello)
        for _ in range(2):
            it.asks()
        it.asks((b"a", b"b"))
        heads = [seen.exchange.head for seen in it.seen]
        self.assertIs(heads[0], heads[1])
        self.assertIsNot(heads[1], heads[2])


class Bodies(SynchronousTestCase):
    def test_pieces_and_trailers(self) -> None:
        it = H2Conversation(take_body)
        stream = it.asks(start=POST, body=b"one", ends=False)
        it.client.send_data(stream, b"two")
        it.client.end(stream, [(b"x-sum", b"1")])
        it.talk()
        seen = it.seen[0]
        self.assertEqual((seen.body, seen.events[-1], seen.trailers), (b"onetwo", "end", [(b"x-sum", b"1")]))

    def test_no_body_ends_at_once(self) -> None:
        it = H2Conversation(take_body)
        it.asks()
        self.assertEqual(it.seen[0].events, ["end"])

    def test_what_nobody_asked_for_waits_at_the_client(self) -> None:
        it = H2Conversation()
        stream = it.asks(start=POST, body=b"x" * (STREAM_WINDOW + 10))
        self.assertEqual(it.client.queued(stream), 10)
        take_body(it.seen[0])
        it.talk()
        self.assertEqual(it.client.queued(stream), 0)
        self.assertEqual(len(it.seen[0].body), STREAM_WINDOW + 10)
        self.assertEqual(it.seen[0].events[-1], "end")

    def test_a_pause_is_felt_by_the_client_and_by_no_other_stream(self) -> None:
        it = H2Conversation(take_body)
        stream = it.asks(start=POST, body=b"a", ends=False)
        it.seen[0].exchange.pause()
        it.client.send_data(stream, b"x" * (2 * STREAM_WINDOW), True)
        it.talk()
        self.assertEqual(it.seen[0].body, b"a")
        self.assertEqual(it.client.queued(stream), STREAM_WINDOW + 1)
        it.asks(start=POST, body=b"y" * STREAM_WINDOW)
        self.assertEqual(it.seen[1].events[-1], "end")
        it.seen[0].exchange.resume()
        it.talk()
        self.assertEqual(len(it.seen[0].body), 2 * STREAM_WINDOW + 1)
        self.assertEqual(it.seen[0].events[-1], "end")

    def test_all_uploads_of_a_connection_together_hold_no_more_than_its_window(self) -> None:
        """However many there are, and whether nobody has asked for them or all are paused."""
        for is_paused in (False, True):
            it = H2Conversation()
            size, count = STREAM_WINDOW, 2 * CONNECTION_WINDOW // STREAM_WINDOW
            streams = [it.asks(start=POST, ends=False) for _ in range(count)]
            if is_paused:
                for seen in it.seen:
                    take_body(seen)
                    seen.exchange.pause()
            for stream in streams:
                it.client.send_data(stream, b"x" * size, True)
            it.talk()
            self.assertEqual(count * size - sum(map(it.client.queued, streams)), CONNECTION_WINDOW)
            for seen in it.seen:
                if is_paused:
                    seen.exchange.resume()
                else:
                    take_body(seen)
            it.talk()
            self.assertEqual([len(seen.body) for seen in it.seen], [size] * count)

    def test_a_receiver_that_pauses_inside_a_piece(self) -> None:
        it = H2Conversation()
        stream = it.asks(start=POST, body=b"x" * 100_000)
        seen = it.seen[0]

        class Pausing:
            pieces: list[bytes] = []

            def data(self, piece: bytes) -> None:
                self.pieces.append(piece)
                seen.exchange.pause()

            def end(self, trailers: Any) -> None:
                self.pieces.append(b"end")

        seen.exchange.receive(Pausing())
        self.assertEqual(len(Pausing.pieces), 1)
        while Pausing.pieces[-1] != b"end":
            seen.exchange.resume()
            it.talk()
        self.assertEqual(sum(map(len, Pausing.pieces)), 100_003)
        self.assertTrue(stream)

    def test_every_byte_is_acknowledged_also_of_those_that_nobody_wants(self) -> None:
        """Else the connection's window would close little by little, and all its streams stop."""
        it = H2Conversation(say_hello)
        for _ in range(30):
            it.asks(start=POST, body=b"x" * (STREAM_WINDOW - 1))
            it.hears()
        it.told.take()
        it = H2Conversation()
        for _ in range(30):
            stream = it.asks(start=POST, body=b"x" * (STREAM_WINDOW - 1), ends=False)
            it.client.reset(stream, ErrorCode.CANCEL)
            it.talk()
        it._then = take_body
        it.asks(start=POST, body=b"x" * STREAM_WINDOW)
        self.assertEqual(it.seen[-1].events[-1], "end")

    def test_an_early_answer_ends_the_request(self) -> None:
        """RFC 9113 section 8.1: once the answer is out the client is told to stop, and that nothing is wrong."""
        it = H2Conversation(say_hello)
        stream = it.asks(start=POST, body=b"x" * 1000, ends=False)
        self.assertEqual(
            it.hears()[-3:],
            [("data", stream, b"hello", True), ("reset", stream, 0), ("closed", stream, 0)],
        )
        self.assertEqual(it.outcomes, [(b"/", 200, "")])

    def test_expectations(self) -> None:
        it = H2Conversation()
        stream = it.asks((b"expect", b"100-continue"), start=POST, ends=False)
        self.assertEqual(it.hears(), [])
        take_body(it.seen[0])
        self.assertEqual(it.hears(), [("informed", stream, [(b":status", b"100")])])
        it.asks((b"expect", b"tea"), start=POST, ends=False)
        self.assertEqual(it.hears()[0][2][0], (b":status", b"417"))

    def test_a_receiver_that_raises(self) -> None:
        def take(seen: Seen) -> None:
            seen.exchange.receive(object())

        it = H2Conversation(take)
        it.asks(start=POST, body=b"x")
        self.assertEqual(it.hears()[0][2][0], (b":status", b"500"))
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)

    def test_a_length_that_does_not_hold(self) -> None:
        it = H2Listener(take_body)
        it.greets()
        it.says(request(1, (b"content-length", b"5"), end=False) + frame(DATA, 0, 1, b"123456"))
        self.assertIn((RST_STREAM, 0, 1, b"\0\0\0\1"), it.frames())
        self.assertEqual(it.seen[0].events[-1], "aborted stream-error")
        self.assertNotIn("end", it.seen[0].events)
        self.assertEqual(it.outcomes, [(b"/", 0, "stream-error")])
        it.says(request(3))
        self.assertEqual(len(it.seen), 2)

    def test_trailers_that_break_a_rule(self) -> None:
        it = H2Listener(take_body)
        it.greets()
        it.says(request(1, end=False) + frame(HEADERS, END_HEADERS | END_STREAM, 1, block((b"connection", b"x"))))
        self.assertIn((RST_STREAM, 0, 1, b"\0\0\0\1"), it.frames())
        self.assertEqual(it.seen[0].events, ["aborted stream-error"])


class PauseAndResumeTests(PauseAndResume, SynchronousTestCase):
    def posts(self, then: Any = None) -> H2Conversation:
        it = H2Conversation(then)
        it.asks((b"content-length", b"6"), start=POST, body=b"abc", ends=False)
        return it

    def goes_on(self, it: H2Conversation) -> None:
        it.client.send_data(1, b"def", True)
        it.talk()
