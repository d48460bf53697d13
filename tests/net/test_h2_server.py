"""Tests of `scalekit.net.h2_server` and `scalekit.net.h2_exchange`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyClass

from scalekit.errors import ClientFault, OurFault
from scalekit.http.h2.limits import STREAM_WINDOW, UPSTREAM_STREAM_WINDOW, Limits
from scalekit.http.h2.session import ErrorCode
from scalekit.http.heads import ResponseHead
from scalekit.interfaces import IExchange
from scalekit.net.deadlines import Timeouts
from scalekit.net.h2_exchange import STREAM_QUEUE, H2Exchange
from scalekit.net.h2_server import CONNECTION_QUEUE, H2Connection
from tests.http.h2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    block,
    frame,
    request,
    split,
)
from tests.net.conversation import Conversation, MemoryTransport, Seen
from tests.net.h2_conversation import GET, POST, H2Conversation, H2Listener

HEAD = [(b":method", b"HEAD"), *GET[1:]]
OK = (b":status", b"200")


def say_hello(seen: Seen) -> None:
    seen.exchange.answer(ResponseHead(200, [(b"Content-Type", b"text/plain")]), b"hello")


def take_body(seen: Seen) -> None:
    seen.exchange.receive(seen)


def head(status: int = 200, *fields: tuple[bytes, bytes], length: int | None = None) -> ResponseHead:
    return ResponseHead(status, list(fields), length)


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


class Refusals(SynchronousTestCase):
    """Heads that libnghttp2 lets pass, and we do not: a stream each, and the connection lives on."""

    def test_malformed(self) -> None:
        for fields in (
            [*GET, (b"host", b"b")],
            [*GET, (b"host", b"a"), (b"host", b"a")],
            [*GET[:3], (b":authority", b"a,b")],
            [*GET[:3], (b":authority", b"a:99999")],
            [*GET[:3], (b":authority", b"")],
            [GET[0], (b":scheme", b"ftp"), *GET[2:]],
            [*GET[:2], (b":path", b"/a#b"), GET[3]],
            [*GET[:2], (b":path", b"/\xff"), GET[3]],
            [*GET[:2], (b":path", b"*"), GET[3]],
            [*GET, (b"a", b"b\x01")],
            [(b":method", b"M" * 100), *GET[1:]],
        ):
            it = H2Listener()
            it.greets()
            it.says(request(1, start=fields))
            self.assertIn((RST_STREAM, 0, 1, b"\0\0\0\1"), it.frames(), fields)
            self.assertEqual(it.seen, [])
            it.says(request(3))
            self.assertEqual(len(it.seen), 1)

    def test_answered(self) -> None:
        for status, fields in (
            (405, [(b":method", b"CONNECT"), (b":authority", b"a:80")]),
            (414, [*GET[:2], (b":path", b"/" + b"x" * 17_000), GET[3]]),
            (431, [*GET, *[(b"x-%d" % n, b"y") for n in range(129)]]),
            (431, [*GET, *[(b"x-%d" % n, b"y" * 1000) for n in range(33)]]),
        ):
            it = H2Conversation(say_hello)
            it.client.request(fields, True)
            events = it.hears()
            self.assertEqual(events[0][2][0], (b":status", b"%d" % status))
            self.assertEqual(it.seen, [])
            it.asks()
            self.assertEqual(len(it.seen), 1)

    def test_cookies_are_one_field(self) -> None:
        it = H2Conversation()
        it.asks((b"cookie", b"a=b"), (b"x", b"y"), (b"cookie", b"c=d"))
        self.assertEqual(it.seen[0].exchange.head.fields, [(b"cookie", b"a=b; c=d"), (b"x", b"y")])

    def test_the_host_may_be_said_twice_if_it_is_the_same(self) -> None:
        it = H2Conversation()
        it.asks((b"host", b"A"))
        it.asks((b"host", b"b"), start=GET[:3])
        self.assertEqual([seen.exchange.head.host for seen in it.seen], [b"a", b"b"])


class BackPressure(SynchronousTestCase):
    def test_a_stream_whose_client_does_not_take_it(self) -> None:
        """Its source is paused, and no other; it goes on when the client has taken what there is."""
        it = H2Conversation()
        stream = it.asks()
        it.asks()
        slow, quick = it.seen
        for seen in it.seen:
            seen.exchange.begin(head())
        slow.exchange.write(b"x" * UPSTREAM_STREAM_WINDOW)
        it.talk()
        self.assertEqual(slow.events, ["pause", "resume"])
        slow.exchange.write(b"y" * STREAM_QUEUE)
        quick.exchange.write(b"z" * STREAM_QUEUE)
        it.talk()
        slow.exchange.write(b"y")
        it.talk()
        self.assertEqual((slow.events, quick.events), (["pause", "resume", "pause"], []))
        it.client.acknowledge(stream, UPSTREAM_STREAM_WINDOW)
        it.talk()
        self.assertEqual(slow.events[3:], ["resume"])
        slow.exchange.finish()
        self.assertEqual(
            sum(len(event[2]) for event in it.hears() if event[0] == "data" and event[1] == stream),
            UPSTREAM_STREAM_WINDOW + STREAM_QUEUE + 1,
        )

    def test_a_client_that_reads_nothing(self) -> None:
        it = H2Conversation()
        it.asks()
        it.wire.room = 0
        seen = it.seen[0]
        seen.exchange.begin(head())
        written = 0
        while seen.events[-1:] != ["pause"]:
            seen.exchange.write(b"x" * 16_000)
            it.settle()
            written += 16_000
        self.assertLess(written, 300_000)
        it.wire.room = None
        for event in it.hears():
            if event[0] == "data":
                it.client.acknowledge(event[1], len(event[2]))
        it.talk()
        self.assertEqual(seen.events, ["pause", "resume"])

    def test_all_of_them_together(self) -> None:
        """With much waiting for one client, each source is paused at its first piece."""
        it = H2Conversation()
        it.wire.room = 0
        for _ in range(100):
            it.client.request(GET, True)
        it.says(it.client.output(1 << 20))
        pieces = 0
        for seen in it.seen:
            seen.exchange.begin(head())
        for _ in range(10):
            for seen in it.seen:
                if not seen.events:
                    seen.exchange.write(b"x" * 16_000)
                    pieces += 1
            it.settle()
        self.assertEqual({tuple(seen.events) for seen in it.seen}, {("pause",)})
        self.assertLess(pieces * 16_000, CONNECTION_QUEUE + 100 * 16_000 + 200_000)


class Resets(SynchronousTestCase):
    def test_a_reset_stops_the_work(self) -> None:
        it = H2Conversation()
        stream = it.asks()
        it.client.reset(stream, ErrorCode.CANCEL)
        it.talk()
        self.assertEqual(it.seen[0].events, ["aborted client-gone"])
        self.assertEqual(it.outcomes, [(b"/", 0, "client-gone")])
        say_hello(it.seen[0])
        self.assertEqual(it.hears(), [("closed", stream, 8)])
        self.assertEqual(len(it.outcomes), 1)

    def test_inside_the_answer(self) -> None:
        it = H2Conversation()
        stream = it.asks()
        it.seen[0].exchange.begin(head())
        it.talk()
        it.client.reset(stream, ErrorCode.CANCEL)
        it.talk()
        self.assertEqual(it.seen[0].events, ["aborted client-gone"])
        self.assertEqual(it.outcomes, [(b"/", 200, "client-gone")])

    def test_the_connections_end(self) -> None:
        it = H2Conversation()
        it.asks()
        it.asks()
        it.wire.lose()
        self.assertEqual([seen.events for seen in it.seen], [["aborted client-gone"]] * 2)
        self.assertEqual(it.factory.connections, set())


class Floods(SynchronousTestCase):
    """Each ends the connection with ENHANCE_YOUR_CALM, after no more work than its budget."""

    def flood(self, data: bytes, then: Any = None, limits: Limits | None = None, trusted: bool = False) -> H2Listener:
        it = H2Listener(then, limits=limits, is_trusted=trusted)
        it.greets()
        for start in range(0, len(data), 1000):
            it.says(data[start : start + 1000])
        return it

    def calmed(self, it: H2Listener) -> None:
        codes = [payload[4:8] for kind, _, _, payload in it.frames() if kind == GOAWAY]
        self.assertEqual(codes, [b"\0\0\0\x0b"])
        self.assertTrue(it.is_over)
        it.waits(2.5)
        self.assertIsNotNone(it.wire.loss)
        self.assertEqual(it.factory.connections, set())
        for seen in it.seen:
            self.assertIn(seen.events[-1], ("aborted client-gone", "aborted stream-error", "aborted bad-trailer"))

    def test_rapid_resets(self) -> None:
        """CVE-2023-44487."""
        it = self.flood(b"".join(request(n) + frame(RST_STREAM, 0, n, b"\0\0\0\x08") for n in range(1, 2001, 2)))
        self.calmed(it)
        self.assertLessEqual(len(it.seen), 130)  # those of its last read had begun
        self.assertEqual(it.factory.refusals, {"resets": 1})

    def test_requests_that_are_taken_back_in_the_same_read_are_not_even_begun(self) -> None:
        it = H2Listener()
        it.greets()
        resets = [frame(RST_STREAM, 0, n, b"\0\0\0\x08") for n in range(1, 200, 2)]
        it.says(b"".join([*(request(n) for n in range(1, 200, 2)), *resets, request(201)]))
        self.assertEqual([seen.exchange.stream for seen in it.seen], [201])
        self.assertFalse(it.is_over)
        it.says(request(203) + frame(RST_STREAM, 0, 203, b"\0\0\0\x08"))
        self.calmed(it)

    def test_made_you_reset(self) -> None:
        """CVE-2025-8671: the client provokes us into resetting."""
        for end, wrong in (
            (False, lambda n: frame(HEADERS, END_HEADERS | END_STREAM, n, block((b":x", b"y")))),
            (False, lambda n: frame(HEADERS, END_HEADERS | END_STREAM, n, block((b"connection", b"y")))),
            (False, lambda n: frame(WINDOW_UPDATE, 0, n, b"\x7f\xff\xff\xff")),
            (True, lambda n: frame(WINDOW_UPDATE, 0, n, b"\x7f\xff\xff\xff")),
        ):
            it = self.flood(b"".join(request(n, end=end) + wrong(n) for n in range(1, 2001, 2)))
            self.calmed(it)
            self.assertLessEqual(len(it.seen), 130)
        it = self.flood(
            b"".join(
                request(n, (b"content-length", b"1"), end=False) + frame(DATA, END_STREAM, n) for n in range(1, 2001, 2)
            )
        )
        self.calmed(it)
        self.assertLessEqual(len(it.seen), 130)

    def test_made_you_reset_by_trailers_that_we_refuse(self) -> None:
        """libnghttp2 lets more of them pass than we do."""
        trailers = block(*((b"x-%d" % n, b"y") for n in range(129)))
        it = H2Listener(take_body)
        it.greets()
        for n in range(1, 2001, 2):
            it.says(request(n, end=False))
            it.says(frame(HEADERS, END_HEADERS | END_STREAM, n, trailers))
        self.calmed(it)
        self.assertLessEqual(len(it.seen), 102)

    def test_made_you_reset_by_connection_errors(self) -> None:
        """What libnghttp2 takes for an error of the connection ends it at the first."""
        for wrong in (frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\0"), frame(DATA, END_STREAM, 1), frame(PRIORITY, 0, 1)):
            it = self.flood(request(1) + wrong)
            self.assertTrue(it.is_over)
            self.assertEqual(it.seen[0].events, ["aborted client-gone"])

    def test_heads_that_are_refused(self) -> None:
        it = self.flood(b"".join(request(n, (b"connection", b"x")) for n in range(1, 2001, 2)))
        self.calmed(it)
        self.assertEqual(it.seen, [])

    def test_resets_after_the_answer_had_begun_are_anybodys(self) -> None:
        def begin(seen: Seen) -> None:
            seen.exchange.begin(head())

        it = H2Listener(begin)
        it.greets()
        for n in range(1, 2001, 2):
            it.says(request(n))
            it.says(frame(RST_STREAM, 0, n, b"\0\0\0\x08"))
        self.assertFalse(it.is_over)
        self.assertEqual(len(it.seen), 1000)

    def test_proxies_of_ours_may_reset_ten_times_as_many(self) -> None:
        resets = b"".join(request(n) + frame(RST_STREAM, 0, n, b"\0\0\0\x08") for n in range(1, 1001, 2))
        self.assertFalse(self.flood(resets, trusted=True).is_over)
        self.assertTrue(self.flood(resets).is_over)

    def test_the_budget_comes_back_with_time(self) -> None:
        it = H2Listener()
        it.greets()
        for n in range(1, 801, 2):
            it.says(request(n) + frame(RST_STREAM, 0, n, b"\0\0\0\x08"))
            it.waits(0.25)
        self.assertFalse(it.is_over)

    def test_pings_and_settings(self) -> None:
        for one in (frame(PING, 0, 0, b"x" * 8), frame(SETTINGS)):
            self.calmed(self.flood(one * 1000))

    def test_empty_data(self) -> None:
        it = self.flood(request(1, end=False) + frame(DATA, 0, 1) * 1000)
        self.calmed(it)

    def test_window_updates(self) -> None:
        self.calmed(self.flood(frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * 5000))

    def test_who_reads_much_opens_windows_often(self) -> None:
        def answer(seen: Seen) -> None:
            seen.exchange.answer(head(), b"x" * 60_000)

        it = H2Conversation(answer)
        for _ in range(100):
            stream = it.asks()
            it.says(frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * 30)
            for event in it.told.take():
                if event[0] == "data":
                    it.client.acknowledge(stream, len(event[2]))
        self.assertFalse(it.is_over)

    def test_so_do_many_small_calls(self) -> None:
        """As gRPC's clients have it, which open windows with each of them."""
        updates = frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * 5
        it = self.flood(b"".join(request(n) + updates for n in range(1, 2001, 2)), say_hello)
        self.assertFalse(it.is_over)
        self.assertEqual(len(it.seen), 1000)

    def test_data_that_comes_with_the_last_straw(self) -> None:
        """The code is that of the flood, whatever else was in the same read."""
        it = H2Listener(take_body)
        it.greets()
        body = request(1, end=False) + frame(DATA, 0, 1, b"x")
        it.says(body + frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * 3000 + frame(DATA, 0, 1, b"x") * 2)
        self.calmed(it)

    def test_a_long_answer_and_a_long_quiet(self) -> None:
        """What has a budget of its own is not useless as well: downloads and pings would come to an end."""
        it = self.flood(request(1), limits=Limits(useless_bytes=2000))
        for _ in range(1000):
            it.says(frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * 10 + frame(PING, 0, 0, b"x" * 8))
            it.waits(0.25)
        self.assertFalse(it.is_over)

    def test_who_reads_nothing_is_not_waited_for(self) -> None:
        for one in (frame(PING, 0, 0, b"x" * 8), frame(PRIORITY, 0, 0, b"x" * 5), frame(99, 0, 0, b"x" * 500)):
            it = H2Listener(lambda seen: seen.exchange.answer(head(), b"x" * 300_000))
            it.greets()
            it.says(frame(SETTINGS, 0, 0, b"\0\4\x10\0\0\0") + frame(WINDOW_UPDATE, 0, 0, b"\x10\0\0\0"))
            it.wire.room = 0
            it.says(request(1) + request(3))
            for _ in range(600):
                it.says(one)
            it.waits(2.5)
            self.assertIsNotNone(it.wire.loss)
            self.assertEqual(it.factory.connections, set())

    def test_frames_that_are_not_even_read(self) -> None:
        for one in (frame(99, 0, 0, b"x" * 1000), frame(PRIORITY, 0, 1, b"\0\0\0\3\0")):
            self.calmed(self.flood(one * (300_000 // len(one))))

    def test_continuations(self) -> None:
        it = self.flood(frame(HEADERS, 0, 1, b"") + frame(CONTINUATION, 0, 1, b"") * 100)
        self.calmed(it)

    def test_zero_windows(self) -> None:
        """A client that opens no window holds what it has asked for, and not for ever."""
        it = H2Listener(lambda seen: seen.exchange.answer(head(), b"x" * 60_000), Timeouts(answer_progress=60))
        it.says(PREFACE + frame(SETTINGS, 0, 0, b"\0\4\0\0\0\0"))
        it.sent()
        it.says(b"".join(request(n) for n in range(1, 401, 2)))
        self.assertEqual(len(it.seen), 100)
        it.waits(59)
        self.assertEqual(len(it.seen), 100)
        it.waits(12)
        resets = [(stream, payload[3]) for kind, _, stream, payload in it.frames() if kind == RST_STREAM]
        self.assertEqual([stream for stream, code in resets if code == 8], list(range(1, 201, 2)))


class Deadlines(SynchronousTestCase):
    def test_a_first_request_is_waited_for(self) -> None:
        it = H2Listener()
        it.says(PREFACE)
        it.waits(9)
        self.assertFalse(it.is_over)
        it.waits(2)
        self.assertTrue(it.is_over)

    def test_no_frame_puts_it_off(self) -> None:
        it = H2Listener()
        it.greets()
        for _ in range(6):
            it.says(frame(PING, 0, 0, b"x" * 8))
            it.waits(2)
        self.assertTrue(it.is_over)

    def test_idle_connections_end(self) -> None:
        it = H2Conversation(say_hello)
        it.asks()
        it.waits(59)
        self.assertFalse(it.is_over)
        it.waits(2)
        self.assertIn(("going away", 1, 0), it.hears())
        self.assertTrue(it.is_over)

    def test_who_waits_for_an_answer_is_not_idle(self) -> None:
        it = H2Conversation()
        stream = it.asks()
        it.waits(300)
        say_hello(it.seen[0])
        self.assertIn(("closed", stream, 0), it.hears())

    def test_a_body_that_comes_too_slowly(self) -> None:
        it = H2Conversation(take_body)
        stream = it.asks(start=POST, body=b"x", ends=False)
        it.waits(16)
        events = it.hears()
        self.assertEqual(events[0][2][0], (b":status", b"408"))
        self.assertEqual(events[-1], ("closed", stream, 0))
        self.assertEqual(it.seen[0].events[-1], "aborted body-timeout")

    def test_one_that_comes_fast_enough_or_is_held(self) -> None:
        it = H2Conversation(take_body)
        fast, held = (it.asks(start=POST, body=b"x", ends=False) for _ in range(2))
        it.seen[1].exchange.pause()
        for _ in range(60):
            it.client.send_data(fast, b"x" * 600)
            it.talk()
            it.waits(1)
        self.assertEqual(it.hears(), [])
        self.assertTrue(held)

    def test_too_slowly_with_the_answer_begun(self) -> None:
        it = H2Conversation(take_body)
        stream = it.asks(start=POST, body=b"x", ends=False)
        it.seen[0].exchange.begin(head())
        it.waits(16)
        self.assertEqual(it.hears()[-1], ("closed", stream, 8))
        self.assertEqual(it.seen[0].events[-1], "aborted body-timeout")

    def test_messages_of_grpc_come_when_there_is_something_to_say(self) -> None:
        it = H2Conversation(take_body)
        grpc = (b"content-type", b"application/grpc+proto")
        silent, talking, answered = (it.asks(grpc, start=POST, body=b"x", ends=False) for _ in range(3))
        it.seen[2].exchange.begin(head())
        it.hears()
        for _ in range(4):
            it.waits(50)
            it.client.send_data(talking, b"x")
            it.talk()
        closed = [event[1] for event in it.hears() if event[0] == "closed"]
        self.assertEqual(closed, [silent])
        self.assertEqual(it.seen[0].events[-1], "aborted body-timeout")
        it.seen[2].exchange.finish()
        self.assertIn(("closed", answered, 0), it.hears())

    def test_a_client_that_takes_nothing_is_cut(self) -> None:
        it = H2Conversation()
        it.asks()
        it.wire.room = 0
        it.seen[0].exchange.begin(head())
        it.seen[0].exchange.write(b"x" * 100_000)
        it.settle()
        it.waits(72)
        self.assertIsNotNone(it.wire.loss)
        self.assertEqual(it.seen[0].events[-1], "aborted client-gone")


class SlowClients(SynchronousTestCase):
    """Who takes its answer slowly is served as long as it takes any of it."""

    def download(self, it: H2Conversation, room: int, seconds: int) -> Seen:
        """A client that asks for what has no end, and takes so much of it a second."""
        it.wire.room = 0
        stream = it.asks()
        seen: Seen = it.seen[-1]
        seen.exchange.begin(head())
        for _ in range(seconds):
            while seen.events.count("pause") == seen.events.count("resume") and seen.exchange.connection is not None:
                seen.exchange.write(b"x" * 16_384)
            it.takes(room)
            down = it.sent()
            if down:
                it.client.receive(down)
            for event in it.told.take():
                if event[0] == "data":
                    it.client.acknowledge(stream, len(event[2]))
            it.says(it.client.output(1 << 20))
            it.waits(1)
        return seen

    def test_its_connection_is_slow(self) -> None:
        for room in (20_000, 300_000, 2_000_000):
            it = H2Conversation()
            seen = self.download(it, room, 200)
            self.assertNotIn("aborted client-gone", seen.events, room)
            self.assertIsNone(it.wire.loss)

    def test_its_window_is(self) -> None:
        it = H2Conversation()
        stream = it.asks()
        seen = it.seen[0]
        seen.exchange.begin(head())
        due = 0
        for _ in range(100):
            while seen.events.count("pause") == seen.events.count("resume"):
                seen.exchange.write(b"x" * 16_384)
            for event in it.hears():
                if event[0] == "data":
                    due += len(event[2])
            for _ in range(3):
                it.waits(1)
            step = min(due, 70_000)
            due -= step
            it.client.acknowledge(stream, step)
            it.talk()
        self.assertEqual([event for event in seen.events if event not in ("pause", "resume")], [])

    def test_many_streams_share_a_slow_connection(self) -> None:
        """None of them is blamed for waiting for its turn."""
        it = H2Conversation()
        it.wire.room = 0
        for _ in range(20):
            it.asks()
        for seen in it.seen:
            seen.exchange.begin(head())
            seen.exchange.write(b"x" * 100_000)
        for _ in range(150):
            it.takes(5_000)
            it.waits(1)
        self.assertEqual({event for seen in it.seen for event in seen.events} - {"pause", "resume"}, set())


class Draining(SynchronousTestCase):
    def test_what_is_under_way_and_what_was_on_its_way(self) -> None:
        it = H2Conversation()
        first = it.asks()
        over: list[object] = []
        it.factory.drain().addCallback(over.append)
        it.talk()
        self.assertEqual(it.asks(), 0, "the client has heard of it")
        it.waits(2)
        self.assertFalse(it.is_over)
        say_hello(it.seen[0])
        self.assertIn(("closed", first, 0), it.hears())
        self.assertTrue(it.is_over)
        it.waits(3)
        self.assertEqual(over, [None])

    def test_a_request_that_crosses_the_notice_is_answered(self) -> None:
        it = H2Conversation(say_hello)
        it.asks()
        stream = it.client.request(GET, True)
        crossing = it.client.output(1000)
        it.factory.drain()
        it.says(crossing)
        self.assertIn(("closed", stream, 0), it.hears())
        it.waits(2)
        self.assertTrue(it.is_over)

    def test_an_idle_one(self) -> None:
        it = H2Conversation(say_hello)
        it.asks()
        it.factory.drain()
        it.waits(4)
        self.assertIsNotNone(it.wire.loss)

    def test_one_that_comes_later(self) -> None:
        it = H2Listener()
        it.factory.is_draining = True
        it.wire = MemoryTransport(it.clock)
        it.wire.connect(H2Connection(it.factory))
        it.says(PREFACE + frame(SETTINGS))
        self.assertIn(GOAWAY, [kind for kind, _, _, _ in split(bytes(it.wire.sent))])


class PriorKnowledge(SynchronousTestCase):
    """RFC 9113 section 3.3."""

    def test_in_any_pieces(self) -> None:
        data = PREFACE + frame(SETTINGS) + request(1)
        for pieces in ([data], [data[:5], data[5:]], [data[:18], data[18:20], data[20:]]):
            it = Conversation(say_hello)
            it.says(*pieces)
            sent = bytes(it.wire.sent)
            self.assertIn(b"hello", sent)
            self.assertEqual([type(one) for one in it.factory.connections], [H2Connection])
            it.wire.lose()
            self.assertEqual(it.factory.connections, set())

    def test_not_after_a_request(self) -> None:
        it = Conversation(say_hello)
        it.says(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        it.hears()
        it.says(PREFACE)
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 "))
        self.assertTrue(it.wire.has_shut)


class Tunnels(SynchronousTestCase):
    """Extended CONNECT, RFC 8441."""

    CONNECT = ((b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:])

    def test_bytes_both_ways(self) -> None:
        it = H2Conversation()
        stream = it.asks((b"sec-websocket-version", b"13"), start=self.CONNECT, ends=False)
        seen = it.seen[0]
        self.assertEqual((seen.exchange.head.method, seen.exchange.head.upgrade), (b"GET", b"websocket"))
        seen.exchange.switch(head(101, (b"Sec-WebSocket-Accept", b"x"), (b"Sec-WebSocket-Protocol", b"chat")), seen)
        self.assertEqual(it.hears(), [("answered", stream, [OK, (b"sec-websocket-protocol", b"chat")], False)])
        it.client.send_data(stream, b"ping")
        it.talk()
        seen.exchange.write(b"pong")
        self.assertEqual(it.hears(), [("data", stream, b"pong", False)])
        self.assertEqual(seen.events, [b"ping"])
        seen.exchange.finish()
        self.assertEqual(it.hears(), [("data", stream, b"", True)])
        self.assertEqual(it.outcomes, [])
        it.client.end(stream)
        self.assertEqual(it.hears(), [("closed", stream, 0)])
        self.assertEqual(seen.events, [b"ping", "end"])
        self.assertEqual(it.outcomes, [(b"/", 101, "")])

    def test_the_client_ends_first(self) -> None:
        it = H2Conversation()
        stream = it.asks(start=self.CONNECT, ends=False)
        seen = it.seen[0]
        seen.exchange.switch(head(101), seen)
        it.client.end(stream)
        it.talk()
        seen.exchange.write(b"last")
        seen.exchange.finish()
        self.assertIn(("data", stream, b"last", True), it.hears())
        self.assertEqual(it.outcomes, [(b"/", 101, "")])

    def test_it_may_be_refused(self) -> None:
        it = H2Conversation(lambda seen: seen.exchange.answer(head(403), b"no"))
        it.asks(start=self.CONNECT, ends=False)
        events = it.hears()
        self.assertEqual((events[0][2][0], events[1][2]), ((b":status", b"403"), b"no"))

    def test_a_page_instead_would_be_taken_for_a_tunnel(self) -> None:
        for then in (say_hello, lambda seen: seen.exchange.begin(head())):
            it = H2Conversation(then)
            it.asks(start=self.CONNECT, ends=False)
            self.assertEqual(it.hears()[0][2][0], (b":status", b"501"))

    def test_a_quiet_one_is_no_slow_body(self) -> None:
        it = H2Conversation()
        stream = it.asks(start=self.CONNECT, ends=False)
        it.seen[0].exchange.switch(head(101), it.seen[0])
        it.waits(100)
        it.seen[0].exchange.write(b"x")
        self.assertIn(("data", stream, b"x", False), it.hears())

    def test_one_that_is_quiet_for_too_long_is_cut(self) -> None:
        it = H2Conversation(timeouts=Timeouts(tunnel_idle=60))
        stream = it.asks(start=self.CONNECT, ends=False)
        seen = it.seen[0]
        seen.exchange.switch(head(101), seen)
        for _ in range(3):
            it.waits(50)
            seen.exchange.write(b"x")
            it.waits(50)
            it.client.send_data(stream, b"y")
            it.talk()
        it.waits(70)
        self.assertEqual(it.hears()[-1], ("closed", stream, ErrorCode.CANCEL))
        self.assertEqual(seen.events[-1], "aborted tunnel-idle")

    def test_nobody_switches_unasked(self) -> None:
        it = H2Conversation(lambda seen: seen.exchange.switch(head(101), seen))
        it.asks()
        self.assertEqual(it.hears()[0][2][0], (b":status", b"500"))
