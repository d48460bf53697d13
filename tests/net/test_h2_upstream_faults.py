"""What an app server does wrong on an HTTP/2 connection, does too late, or does not do at all."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost

from scalekit.http.h2.owner import ErrorCode
from scalekit.net.h2_upstream import PATIENCE_SECONDS, SILENCE_SECONDS
from scalekit.net.pooled import UNUSED, UpstreamTimeouts
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
from tests.net.h2_app_server import GET, OK, POST, Asked, Case, Peer


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
        asked.stream.write(b"x" * 1_048_576)
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
