"""Requests over one HTTP/2 connection to an app server, all in memory."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.http.h2.limits import UPSTREAM_STREAM_WINDOW
from scalekit.http.h2.session import ErrorCode
from scalekit.net.deadlines import Wheel
from scalekit.net.h2_stream import STREAM_QUEUE
from scalekit.net.h2_upstream import MOST_RESETS, PATIENCE_SECONDS, SILENCE_SECONDS
from scalekit.net.upstream import UNUSED, UpstreamTimeouts
from tests.http.h2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    block,
    frame,
    split,
)
from tests.net.app_server import Receiver
from tests.net.h2_app_server import GET, OK, POST, Asked, H2AppServer, Peer

MIB = 1024 * 1024


class Case(SynchronousTestCase):
    timeouts = UpstreamTimeouts()
    streams = 100

    def setUp(self) -> None:
        self.clock = Clock()
        self.wheel = Wheel(self.clock)
        self.wheel.start()
        self.app = H2AppServer(self.clock, self.wheel, self.timeouts, self.streams)

    def connect(self) -> Peer:
        """A connection that stands and has carried one request."""
        asked = Asked(self.app)
        peer = self.app.meets()
        peer.answers(1)
        self.assertEqual(asked.events, [("answered", 200, b"")])
        peer.take()
        return peer

    def waits(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.25)):
            self.clock.advance(0.25)
            for peer in self.app.peers:
                peer.talk()

    def check(self, asked: Asked, *events: Any) -> None:
        self.assertEqual(asked.events, list(events))
        asked.events.clear()

    def body_of(self, asked: Asked) -> bytes:
        return b"".join(event for event in asked.events if isinstance(event, bytes))


class Exchanges(Case):
    def test_a_request_as_a_field_list(self) -> None:
        Asked(self.app, b"GET /x?y HTTP/1.1\r\nHost: a.example\r\nX-Own: 1\r\nTE: trailers\r\nConnection: TE\r\n\r\n")
        peer = self.app.meets(take=False)
        self.assertEqual(
            peer.hears(),
            [
                (
                    "requested",
                    1,
                    [
                        (b":method", b"GET"),
                        (b":scheme", b"http"),
                        (b":authority", b"a.example"),
                        (b":path", b"/x?y"),
                        (b"x-own", b"1"),
                        (b"te", b"trailers"),
                    ],
                    True,
                )
            ],
        )

    def test_an_answer_in_one_piece_and_the_stream_is_gone(self) -> None:
        asked = Asked(self.app)
        peer = self.app.meets()
        self.assertEqual(repr(self.app.shared.shared), "[<H2Upstream 1 of 100 streams>]")
        peer.answers(1, b"hello", [(b"content-length", b"5")])
        self.check(asked, ("answered", 200, b"hello"))
        self.assertEqual(repr(self.app.shared.shared), "[<H2Upstream 0 of 100 streams>]")

    def test_an_answer_that_streams(self) -> None:
        asked = Asked(self.app)
        peer = self.app.meets()
        peer.begins(1)
        self.check(asked, ("began", 200))
        peer.sends(1, b"one")
        peer.sends(1, b"two", True)
        self.check(asked, b"one", b"two", "ended")

    def test_head_and_first_piece_together(self) -> None:
        asked = Asked(self.app)
        peer = self.app.meets()
        peer.begins(1, b"one")
        self.check(asked, ("began", 200), b"one")
        peer.sends(1, b"", True)
        self.check(asked, "ended")

    def test_many_at_once_in_any_order(self) -> None:
        asked = [Asked(self.app) for _ in range(20)]
        peer = self.app.meets()
        for number in reversed(range(20)):
            peer.answers(1 + 2 * number, b"%d" % number)
        for number, one in enumerate(asked):
            self.check(one, ("answered", 200, b"%d" % number))
        self.assertEqual(len(self.app.attempts), 1)

    def test_requests_of_one_turn_leave_in_one_write(self) -> None:
        peer = self.connect()
        sizes: list[int] = []
        write = peer.wire.write
        peer.wire.write = lambda data: (sizes.append(len(data)), write(data))[1]  # type: ignore[method-assign]
        for _ in range(5):
            Asked(self.app)
        self.assertEqual(len(sizes), 0)
        peer.talk()
        self.assertEqual(len([event for event in peer.take() if event[0] == "requested"]), 5)
        self.assertEqual(len(sizes), 1)

    def test_bodies_and_trailers_both_ways(self) -> None:
        asked = Asked(self.app, POST, streams=True)
        peer = self.app.meets()
        peer.take()
        asked.stream.write(b"one")
        asked.stream.write(b"two")
        peer.talk()
        self.assertEqual(peer.bodies[1], b"onetwo")
        asked.stream.finish([(b"X-Sum", b"6")])
        self.assertEqual(peer.hears()[-1], ("trailers", 1, [(b"x-sum", b"6")]))
        peer.begins(1, b"hi")
        peer.session.end(1, [(b"grpc-status", b"0")])
        peer.talk()
        self.check(asked, ("began", 200), b"hi", "ended")
        self.assertEqual(asked.trailers, [(b"grpc-status", b"0")])

    def test_everything_of_an_answer_with_trailers_at_once(self) -> None:
        asked = Asked(self.app)
        peer = self.app.meets()
        peer.session.respond(1, OK, False)
        peer.session.send_data(1, b"hi")
        peer.session.end(1, [(b"grpc-status", b"0")])
        peer.talk()
        self.check(asked, ("began", 200), b"hi", "ended")
        self.assertEqual(asked.trailers, [(b"grpc-status", b"0")])

    def test_interim_answers(self) -> None:
        asked = Asked(self.app, POST.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"), streams=True)
        peer = self.app.meets()
        peer.session.inform(1, [(b":status", b"103"), (b"link", b"</a>")])
        peer.session.inform(1, [(b":status", b"100")])
        peer.talk()
        self.check(asked, ("informed", 103), "continued")
        asked.stream.finish([])
        peer.answers(1)
        self.check(asked, ("answered", 200, b""))

    def test_the_length_of_what_is_not_sent(self) -> None:
        for method, status, length in ((b"HEAD", b"200", 5), (b"GET", b"304", 5), (b"GET", b"204", None)):
            self.setUp()
            asked = Asked(self.app, GET.replace(b"GET", method))
            peer = self.app.meets()
            fields = [(b"content-length", b"5")] if length else []
            peer.session.respond(1, [(b":status", status), *fields], True)
            peer.talk()
            self.check(asked, ("answered", int(status), b""))
            self.assertEqual(asked.head.length, length)

    def test_fields_of_an_answer(self) -> None:
        asked = Asked(self.app)
        fields = [
            (b"date", b"D"),
            (b"x", b"1"),
            (b"date", b"E"),
            (b"x-request-id", b"i"),
            (b"x", b"2"),
            (b"trailer", b"a"),
        ]
        self.app.meets().answers(1, b"", fields)
        self.assertEqual(asked.head.fields, [(b"date", b"D"), (b"x", b"1"), (b"x", b"2")])
        self.assertTrue(asked.head.has_date)

    def test_cancelled_the_app_server_hears_it(self) -> None:
        peer = self.connect()
        asked = Asked(self.app)
        peer.hears()
        asked.stream.cancel()
        self.assertIn(("reset", 3, ErrorCode.CANCEL), peer.hears())
        peer.begins(3, b"late")
        self.check(asked)
        self.assertEqual(repr(self.app.shared.shared), "[<H2Upstream 0 of 100 streams>]")

    def test_after_many_cancels_the_next_go_elsewhere(self) -> None:
        peer = self.connect()
        waiting = Asked(self.app)
        for _ in range(MOST_RESETS):
            self.assertEqual(len(self.app.attempts), 1)
            asked = Asked(self.app)
            peer.talk()
            asked.stream.cancel()
            peer.talk()
        Asked(self.app)
        self.assertEqual(len(self.app.attempts), 2)
        peer.answers(3)
        self.check(waiting, ("answered", 200, b""))
        peer.talk()
        self.assertIs(peer.wire.loss, ConnectionDone)

    def test_answered_before_the_body_is_complete(self) -> None:
        asked = Asked(self.app, POST, streams=True)
        peer = self.app.meets()
        asked.stream.write(b"one")
        peer.answers(1, b"enough")
        self.check(asked, ("answered", 200, b"enough"))
        asked.stream.write(b"two")
        asked.stream.finish([])
        self.assertIn(("reset", 1, ErrorCode.CANCEL), peer.hears())
        self.assertEqual(peer.bodies[1], b"one")
        self.check(asked)


class FlowControl(Case):
    def test_mibs_up(self) -> None:
        body = bytes(range(256)) * (5 * MIB // 256)
        asked = Asked(self.app, POST, streams=True)
        peer = self.app.meets()
        for at in range(0, len(body), 50_000):
            asked.stream.write(body[at : at + 50_000])
            peer.talk()
        asked.stream.finish([])
        peer.talk()
        self.assertEqual(peer.bodies[1], body)

    def test_mibs_down(self) -> None:
        body = bytes(range(256)) * (5 * MIB // 256)
        asked = Asked(self.app)
        peer = self.app.meets()
        peer.answers(1, body)
        self.assertEqual(self.body_of(asked), body)
        self.assertEqual((asked.events[0], asked.events[-1]), (("began", 200), "ended"))

    def test_an_app_server_that_takes_nothing_holds_the_client(self) -> None:
        asked = Asked(self.app, POST, streams=True)
        peer = self.app.meets()
        peer.takes = False
        sent = 0
        while "hold" not in asked.events:
            asked.stream.write(b"x" * 16_384)
            sent += 16_384
            peer.talk()
        queued = sent - len(peer.bodies[1])
        self.assertTrue(STREAM_QUEUE < queued <= STREAM_QUEUE + 16_384, queued)
        self.check(asked, "hold")
        asked.stream.write(b"y")
        self.check(asked)
        peer.take_body(1)
        self.check(asked, "release")
        asked.stream.finish([])
        while len(peer.bodies[1]) <= sent:
            peer.take_body(1)
        peer.answers(1)
        self.check(asked, ("answered", 200, b""))

    def test_the_others_go_on_meanwhile(self) -> None:
        slow = Asked(self.app, POST, streams=True)
        peer = self.app.meets()
        peer.takes = False
        slow.stream.write(b"x" * MIB)
        other = Asked(self.app)
        peer.answers(3, b"hi")
        self.check(other, ("answered", 200, b"hi"))

    def test_a_client_that_does_not_read_holds_the_app_server(self) -> None:
        asked = Asked(self.app)
        peer = self.app.meets()
        peer.begins(1)
        asked.stream.pause()
        peer.sends(1, b"x" * MIB, True)
        self.assertEqual(len(self.body_of(asked)), UPSTREAM_STREAM_WINDOW)
        asked.stream.resume()
        peer.talk()
        self.assertEqual(len(self.body_of(asked)), MIB)
        self.assertEqual(asked.events[-1], "ended")

    def test_many_that_do_not_read_do_not_hold_the_others(self) -> None:
        slow = [Asked(self.app) for _ in range(50)]
        peer = self.app.meets()
        for number, one in enumerate(slow):
            peer.begins(1 + 2 * number)
            one.stream.pause()
            peer.sends(1 + 2 * number, b"x" * MIB)
        other = Asked(self.app)
        peer.answers(101, b"y" * MIB)
        self.assertEqual(len(self.body_of(other)), MIB)

    def test_what_a_cancelled_stream_had_not_taken_is_given_back(self) -> None:
        peer = self.connect()
        for number in range(3, 203, 2):
            asked = Asked(self.app)
            peer.begins(number)
            asked.stream.pause()
            peer.sends(number, b"x" * MIB)
            asked.stream.cancel()
            peer.talk()
        self.assertEqual(len(peer.bodies), 0)
        other = Asked(self.app)
        peer.answers(203, b"y" * MIB)
        self.assertEqual(len(self.body_of(other)), MIB)

    def test_a_transport_that_is_full(self) -> None:
        asked = Asked(self.app, POST, streams=True)
        peer = self.app.meets()
        peer.wire.room = 0
        while "hold" not in asked.events:
            asked.stream.write(b"x" * 16_384)
            peer.talk()
        self.assertLess(peer.wire.queued_bytes, 300_000)
        other = Asked(self.app)
        peer.talk()
        self.check(other)
        peer.wire.room = None
        peer.talk()
        self.check(asked, "hold", "release")
        peer.answers(3)
        self.check(other, ("answered", 200, b""))


class Faults(Case):
    def failing(self, head: bytes = GET) -> tuple[Asked, Peer]:
        asked = Asked(self.app, head)
        return asked, self.app.meets()

    def test_a_reset_before_the_answer(self) -> None:
        asked, peer = self.failing()
        peer.session.reset(1, ErrorCode.INTERNAL_ERROR)
        peer.talk()
        self.check(asked, ("failed", "stream-reset"))
        self.assertFalse(asked.stream.has_answered or asked.stream.was_refused)

    def test_a_reset_within_the_answer(self) -> None:
        for code in (ErrorCode.INTERNAL_ERROR, ErrorCode.NO_ERROR, ErrorCode.REFUSED_STREAM):
            self.setUp()
            asked, peer = self.failing()
            peer.begins(1, b"half")
            peer.session.reset(1, code)
            peer.talk()
            self.check(asked, ("began", 200), b"half", ("failed", "stream-reset"))
            self.assertTrue(asked.stream.has_answered)

    def test_a_stream_that_is_refused(self) -> None:
        asked, peer = self.failing()
        peer.session.reset(1, ErrorCode.REFUSED_STREAM)
        peer.talk()
        self.check(asked, ("failed", "stream-refused"))
        self.assertTrue(asked.stream.was_refused)

    def test_a_connection_that_ends_between_taking_and_sending(self) -> None:
        for body in (None, b"body"):
            peer = self.connect()
            stream = self.app.shared.take()
            peer.wire.lose(ConnectionLost)
            receiver = Receiver()
            stream.send(GET, b"GET", receiver, body is not None)
            if body is not None:
                stream.write(body)
                stream.finish([])
            self.assertEqual(receiver.events, [])
            self.clock.advance(0)
            self.assertEqual(receiver.events, [("failed", "stream-refused")])
            self.assertTrue(stream.was_refused)
            stream.cancel()

    def test_streams_after_the_last_of_a_goaway(self) -> None:
        asked = [Asked(self.app) for _ in range(3)]
        peer = self.app.meets()
        peer.wire.hear(frame(GOAWAY, 0, 0, (3).to_bytes(4, "big") + bytes(4)))
        peer.wire.settle()
        self.check(asked[0])
        self.check(asked[1])
        self.check(asked[2], ("failed", "stream-refused"))
        self.assertEqual(self.app.shared.shared, [])
        self.assertIsNone(self.app.shared.take())
        peer.answers(1)
        self.assertIsNone(peer.wire.loss)
        peer.answers(3)
        self.check(asked[0], ("answered", 200, b""))
        self.check(asked[1], ("answered", 200, b""))
        peer.talk()
        self.assertIs(peer.wire.loss, ConnectionDone)

    def test_a_goaway_before_requests_have_left(self) -> None:
        peer = self.connect()
        asked = [Asked(self.app) for _ in range(3)]
        peer.session.terminate(ErrorCode.NO_ERROR)
        peer.wire.hear(peer.session.output(1 << 20))
        peer.wire.settle()
        for one in asked:
            self.check(one, ("failed", "stream-refused"))
        self.assertIs(peer.wire.loss, ConnectionDone)

    def test_a_goaway_while_it_is_idle(self) -> None:
        peer = self.connect()
        peer.session.terminate(ErrorCode.NO_ERROR)
        peer.talk()
        self.assertIs(peer.wire.loss, ConnectionDone)
        self.assertIsNone(self.app.shared.take())

    def test_the_connection_breaks(self) -> None:
        begun, waiting = Asked(self.app), Asked(self.app)
        peer = self.app.meets()
        peer.begins(1, b"half")
        peer.wire.lose(ConnectionLost)
        self.check(begun, ("began", 200), b"half", ("failed", "answer-cut"))
        self.check(waiting, ("failed", "connection-closed"))
        self.assertIs(waiting.fault, UNUSED)
        self.assertIsNone(self.app.shared.take())

    def raw(self, *frames: bytes, head: bytes = GET) -> tuple[Asked, Peer]:
        asked, peer = self.failing(head)
        peer.wire.hear(b"".join(frames))
        peer.wire.settle()
        return asked, peer

    def answer(self, *fields: tuple[bytes, bytes], status: bytes = b"200", ends: bool = True) -> bytes:
        data = block((b":status", status), *fields)
        pieces = [data[at : at + 16_000] for at in range(0, len(data), 16_000)]
        frames = [frame(HEADERS if at == 0 else CONTINUATION, 0, 1, piece) for at, piece in enumerate(pieces)]
        first, last = bytearray(frames[0]), len(frames) - 1
        first[4] |= END_STREAM if ends else 0
        frames[0] = bytes(first)
        final = bytearray(frames[last])
        final[4] |= END_HEADERS
        frames[last] = bytes(final)
        return b"".join(frames)

    def test_answers_that_break_a_rule(self) -> None:
        for answer in (
            self.answer(status=b"99"),
            self.answer(status=b"20x"),
            self.answer(status=b"600"),
            self.answer(status=b"101"),
            self.answer((b":status", b"200")),
            self.answer((b":path", b"/")),
            self.answer((b"Upper", b"1")),
            self.answer((b"a b", b"1")),
            self.answer((b"a", b"1\r\nb: 2")),
            self.answer((b"a", b"\0")),
            self.answer((b"connection", b"close")),
            self.answer((b"transfer-encoding", b"chunked")),
            self.answer((b"content-length", b"5")),
            self.answer((b"content-length", b"+0")),
            self.answer((b"content-length", b"2"), ends=False) + frame(DATA, END_STREAM, 1, b"x"),
            self.answer((b"content-length", b"2"), ends=False) + frame(DATA, END_STREAM, 1, b"xyz"),
            self.answer(*[(b"a", b"b")] * 129),
            self.answer(*[(b"a", b"b" * 400)] * 100),
            frame(HEADERS, END_HEADERS, 1, block((b"a", b"b"))),
            self.answer(status=b"103", ends=True),
            self.answer(status=b"103", ends=False) + frame(DATA, 0, 1, b"x"),
        ):
            self.setUp()
            asked, peer = self.raw(answer)
            self.assertEqual(asked.events[-1], ("failed", "malformed-answer"))
            self.assertIsNone(peer.wire.loss, "it costs the stream only")
            other = Asked(self.app)
            peer.answers(3)
            self.check(other, ("answered", 200, b""))

    def test_a_body_where_there_is_none(self) -> None:
        for head, status in ((GET.replace(b"GET", b"HEAD"), b"200"), (GET, b"204"), (GET, b"304")):
            self.setUp()
            asked, _ = self.raw(self.answer(status=status, ends=False), frame(DATA, END_STREAM, 1, b"x"), head=head)
            self.check(asked, ("failed", "malformed-answer"))

    def test_trailers_that_break_a_rule(self) -> None:
        for fields in (((b":status", b"200"),), ((b"connection", b"x"),), ((b"A", b"b"),), tuple([(b"a", b"b")] * 129)):
            self.setUp()
            asked, _ = self.raw(
                self.answer(ends=False),
                frame(DATA, 0, 1, b"x"),
                frame(HEADERS, END_HEADERS | END_STREAM, 1, block(*fields)),
            )
            self.assertEqual(asked.events[-1], ("failed", "malformed-answer"))

    def test_a_broken_rule_of_the_connection_ends_it(self) -> None:
        for bad in (frame(DATA, 0, 1, b"x"), frame(HEADERS, END_HEADERS, 9, block((b":status", b"200"))), b"\xff" * 9):
            self.setUp()
            asked, peer = self.raw(bad)
            other = Asked(self.app)
            peer.wire.settle()
            self.check(asked, ("failed", "malformed-answer"))
            self.assertIsNotNone(peer.wire.loss)
            self.assertIsNone(other.stream)

    def test_one_that_does_not_speak_it(self) -> None:
        asked = Asked(self.app)
        wire = self.app.accepts()
        wire.hear(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        wire.settle()
        self.check(asked, ("failed", "malformed-answer"))
        self.assertIsNotNone(wire.loss)

    def test_what_a_receiver_raises_is_its_own_affair(self) -> None:
        first, second = Asked(self.app), Asked(self.app)
        peer = self.app.meets()

        def raises(*_: Any) -> None:
            raise ZeroDivisionError

        first.answered = raises  # type: ignore[method-assign, assignment]
        peer.session.respond(1, OK, True)
        peer.session.respond(3, OK, True)
        peer.talk()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.check(second, ("answered", 200, b""))


class Deadlines(Case):
    def test_no_answer(self) -> None:
        asked = Asked(self.app)
        peer = self.app.meets()
        self.waits(29)
        self.check(asked)
        self.waits(2)
        self.check(asked, ("failed", "answer-timeout"))
        self.assertEqual(asked.fault.status, 504)
        self.assertIn(("reset", 1, ErrorCode.CANCEL), peer.hears())
        self.assertIsNone(peer.wire.loss)

    def test_an_answer_that_stops(self) -> None:
        asked = Asked(self.app)
        peer = self.app.meets()
        peer.begins(1, b"half")
        self.waits(59)
        peer.sends(1, b"more")
        self.waits(59)
        self.check(asked, ("began", 200), b"half", b"more")
        self.waits(2)
        self.check(asked, ("failed", "answer-stalled"))

    def test_none_while_nobody_reads(self) -> None:
        asked = Asked(self.app)
        peer = self.app.meets()
        peer.begins(1, b"half")
        asked.stream.pause()
        self.waits(200)
        self.check(asked, ("began", 200), b"half")
        asked.stream.resume()
        self.waits(61)
        self.check(asked, ("failed", "answer-stalled"))

    def test_the_clients_pace_counts_for_its_body(self) -> None:
        asked = Asked(self.app, POST, streams=True)
        self.app.meets()
        self.waits(200)
        self.check(asked)
        asked.stream.finish([])
        self.waits(31)
        self.check(asked, ("failed", "answer-timeout"))

    def test_a_body_that_is_not_taken(self) -> None:
        asked = Asked(self.app, POST, streams=True)
        peer = self.app.meets()
        peer.takes = False
        asked.stream.write(b"x" * MIB)
        peer.talk()
        self.waits(59)
        self.check(asked, "hold")
        peer.take_body(1)
        self.waits(59)
        self.check(asked)
        self.waits(2)
        self.check(asked, ("failed", "body-stalled"))

    def test_two_directions_keep_each_other_alive(self) -> None:
        asked = Asked(self.app, POST, streams=True)
        peer = self.app.meets()
        peer.begins(1)
        for _ in range(4):
            self.waits(59)
            asked.stream.write(b"x")
        self.check(asked, ("began", 200))

    def test_an_idle_connection_closes_orderly(self) -> None:
        peer = self.connect()
        self.waits(5)
        self.assertIs(peer.wire.loss, ConnectionDone)
        self.assertEqual(split(bytes(peer.wire.sent)[24:])[-1][0], GOAWAY)

    def test_nothing_of_http2_is_heard(self) -> None:
        asked = Asked(self.app)
        wire = self.app.accepts()
        self.clock.pump([0.25] * 12)
        self.check(asked, ("failed", "connect-timeout"))
        wire.settle()
        self.assertIsNotNone(wire.loss)


class Liveness(Case):
    timeouts = UpstreamTimeouts(first_byte=300, read=300)

    def pings(self, peer: Peer) -> int:
        return len([kind for kind, flags, *_ in split(bytes(peer.wire.sent)[24:]) if kind == PING and not flags])

    def silent(self) -> tuple[Asked, Peer]:
        asked = Asked(self.app)
        return asked, self.app.meets()

    def test_a_connection_that_answers_a_ping_lives(self) -> None:
        asked, peer = self.silent()
        self.waits(SILENCE_SECONDS + PATIENCE_SECONDS + 100)
        self.assertEqual(self.pings(peer), 1, "more would be taken for an attack")
        self.check(asked)
        peer.begins(1)
        self.waits(SILENCE_SECONDS + 1)
        self.assertEqual(self.pings(peer), 2)

    def test_one_that_does_not_is_dead(self) -> None:
        asked, peer = self.silent()
        for _ in range(round(SILENCE_SECONDS + 1) * 4):
            self.clock.advance(0.25)
        self.assertIsNone(self.app.shared.take(), "nothing new goes on it")
        for _ in range(round(PATIENCE_SECONDS + 1) * 4):
            self.clock.advance(0.25)
        self.check(asked, ("failed", "connection-dead"))
        peer.wire.settle()
        self.assertIsNotNone(peer.wire.loss)

    def test_idle_ones_are_not_asked(self) -> None:
        peer = self.connect()
        self.waits(SILENCE_SECONDS + 1)
        self.assertEqual(self.pings(peer), 0)


ACTIONS = [
    *("ask", "post", "write", "finish", "cancel", "pause", "resume"),
    *("answer", "begin", "send", "end", "reset", "refuse", "leave", "full", "room", "wait", "lose"),
]


class AnyOrder(Case):
    """Whatever both sides do, each request comes to one end, and nothing is left of it."""

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(ACTIONS),
                st.integers(0, 7),
            ),
            max_size=60,
        ),
        st.integers(1, 4),
    )
    def test_each_comes_to_one_end(self, actions: list[tuple[str, int]], streams: int) -> None:
        self.streams = streams
        self.setUp()
        asked: list[Asked] = []
        given_up: set[Asked] = set()
        for action, number in actions:
            self.act(action, number, asked, given_up)
            self.settle()
        # Then time passes, and everything that is open comes to its end by the deadlines.
        for one in asked:
            if one.stream is not None:
                one.stream.resume()
                one.stream.finish([])
        for attempt in self.app.attempts:
            if attempt.wire is not None:
                attempt.wire.room = None
        self.settle()
        for _ in range(4 * 70):
            self.clock.advance(0.25)
            self.settle()
        for one in asked:
            ends = [event for event in one.events if event == "ended" or event[0] in ("answered", "failed")]
            self.assertEqual(len(ends), 0 if one in given_up else 1, one.events)
            if ends:
                self.assertIs(one.events[-1], ends[0])
        self.assertEqual(repr(self.app.shared), "<SharedPool [], 0 idle, 0 opening, 0 waiting>")
        self.assertEqual(repr(self.wheel), "<Wheel 0 waiting>")
        for attempt in self.app.attempts:
            self.assertTrue(attempt.was_given_up or attempt.wire is None or attempt.wire.loss is not None)

    def settle(self) -> None:
        for _ in range(3):
            self.clock.advance(0)
            for attempt in self.app.attempts:
                if attempt.wire is None and not attempt.was_given_up:
                    self.app.meets(attempt)
            for peer in self.app.peers:
                if peer.wire.loss is None:
                    peer.talk()

    def setUp(self) -> None:
        super().setUp()
        self.begun: set[Any] = set()

    def act(self, action: str, number: int, asked: list[Asked], given_up: set[Asked]) -> None:
        if action in ("ask", "post"):
            asked.append(Asked(self.app, POST if action == "post" else GET, streams=action == "post"))
            return
        if action == "wait":
            self.clock.advance(number)
            return
        peers = [peer for peer in self.app.peers if peer.wire.loss is None]
        if peers and action in ("leave", "full", "room", "lose"):
            peer = peers[number % len(peers)]
            if action == "leave":
                peer.session.terminate(ErrorCode.NO_ERROR)
            elif action == "lose":
                peer.wire.lose(ConnectionLost)
            else:
                peer.wire.room = 0 if action == "full" else None
            return
        if not asked:
            return
        one = asked[number % len(asked)]
        if action == "cancel":
            if not any(event == "ended" or event[0] in ("answered", "failed") for event in one.events):
                given_up.add(one)
            if one.stream is not None:
                one.stream.cancel()
            elif one.give_up is not None:
                one.give_up()
        elif one.stream is not None and action in ("write", "finish", "pause", "resume"):
            if action == "write":
                one.stream.write(b"x" * 30_000)
            elif action == "finish":
                one.stream.finish([(b"x-sum", b"1")])
            else:
                getattr(one.stream, action)()
        elif one.stream is not None:
            peer, stream = self.app.peers[number % len(self.app.peers)], 1 + 2 * (number // 2)
            if action in ("answer", "begin"):
                if (peer, stream) not in self.begun:
                    self.begun.add((peer, stream))
                    peer.session.respond(stream, OK, False)
                    if action == "answer":
                        peer.session.send_data(stream, b"y" * 70_000, True)
            elif action == "send":
                peer.session.send_data(stream, b"z" * 200_000)
            elif action == "end":
                peer.session.end(stream, [(b"a", b"b")])
            else:
                peer.session.reset(stream, ErrorCode.REFUSED_STREAM if action == "refuse" else ErrorCode.CANCEL)
