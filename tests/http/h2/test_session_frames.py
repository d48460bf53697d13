"""
What any library has to do that is to stand behind `scalekit.http.h2.session`, the second part: a server that is fed
frames made by hand.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.http.h2.owner import ErrorCode, Noise
from scalekit.http.h2.session import ServerSession
from tests.http.h2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    PREFACE,
    REQUEST,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    block,
    frame,
    literal,
    request,
    split,
)
from tests.http.h2.recorder import Recorder

GET = list(REQUEST)
OK = [(b":status", b"200")]


class HandMade(SynchronousTestCase):
    """A server's session, and frames that a library would not send."""

    def setUp(self) -> None:
        self.owner = Recorder()
        self.server = ServerSession(self.owner, 100)
        self.server.receive(PREFACE + frame(SETTINGS))
        self.said()
        self.owner.take()

    def said(self) -> list[tuple[int, int, int, bytes]]:
        """The frames that the server has sent since the last time."""
        data = b""
        while piece := self.server.output(65536):
            data += piece
        return split(data)

    def goaway(self) -> int:
        """The code of the GOAWAY that was sent, and that the session is over."""
        codes = [int.from_bytes(payload[4:8], "big") for kind, _, _, payload in self.said() if kind == GOAWAY]
        self.assertEqual(len(codes), 1)
        self.assertTrue(self.server.is_over)
        return codes[0]

    def test_a_head_that_breaks_a_rule_costs_its_stream_only(self) -> None:
        for fields in (
            [*GET, (b"Upper", b"x")],
            [*GET, (b"a:b", b"x")],
            [*GET, (b"", b"x")],
            [*GET, (b"a b", b"x")],
            [*GET, (b"a", b"x\0")],
            [*GET, (b"a", b"x\r\ny: z")],
            [*GET, (b"a", b" x")],
            [*GET, (b"connection", b"close")],
            [*GET, (b"keep-alive", b"1")],
            [*GET, (b"proxy-connection", b"close")],
            [*GET, (b"transfer-encoding", b"chunked")],
            [*GET, (b"upgrade", b"h2c")],
            [*GET, (b"te", b"gzip")],
            [*GET, (b":path", b"/b")],
            [*GET, (b":status", b"200")],
            [*GET, (b":other", b"x")],
            [(b"a", b"b"), *GET],
            GET[1:],
            [*GET[:2], GET[3]],
            [*GET[:2], (b":path", b""), GET[3]],
            [*GET[:2], (b":path", b"/a b"), GET[3]],
            [*GET[:3], (b":authority", b"user@a")],
            [*GET, (b"content-length", b"1")],
            [*GET, (b"content-length", b"+0")],
            [*GET, (b"content-length", b"0"), (b"content-length", b"0")],
        ):
            self.setUp()
            self.server.receive(request(1, start=fields))
            resets = [(stream, payload) for kind, _, stream, payload in self.said() if kind == RST_STREAM]
            heads = [event for event in self.owner.take() if event[0] == "requested"]
            # Capitals are what some libraries fold: then the name arrives in lower case, and harmless.
            if fields[-1][0] == b"Upper" and heads:
                self.assertEqual(heads[0][2][-1], (b"upper", b"x"))
            else:
                self.assertEqual((resets, heads), ([(1, b"\0\0\0\1")], []), fields)
            self.server.receive(request(3))
            self.assertEqual([event[:2] for event in self.owner.take()], [("requested", 3)])

    def test_content_length_against_data(self) -> None:
        for length, size in ((5, 4), (5, 6), (0, 1)):
            self.setUp()
            self.server.receive(
                request(1, (b"content-length", b"%d" % length), end=False) + frame(DATA, END_STREAM, 1, b"x" * size)
            )
            self.assertIn((RST_STREAM, 0, 1, b"\0\0\0\1"), self.said())
            events = self.owner.take()
            self.assertIn(("closed", 1, 1), events)
            self.assertNotIn(True, [event[3] for event in events if event[0] == "data"])

    def test_trailers_that_break_a_rule(self) -> None:
        for field in ((b"connection", b"close"), (b":path", b"/"), (b"a", b"\0")):
            self.setUp()
            self.server.receive(request(1, end=False) + frame(HEADERS, END_HEADERS | END_STREAM, 1, block(field)))
            self.assertIn((RST_STREAM, 0, 1, b"\0\0\0\1"), self.said())
            self.assertNotIn("trailers", [event[0] for event in self.owner.take()])

    def test_connection_errors(self) -> None:
        for data, code in (
            (frame(PING, 0, 0, b"short"), ErrorCode.FRAME_SIZE_ERROR),
            (frame(PING, 0, 1, b"x" * 8), ErrorCode.PROTOCOL_ERROR),
            (frame(DATA, 0, 0, b"x"), ErrorCode.PROTOCOL_ERROR),
            (frame(RST_STREAM, 0, 1, b"\0\0\0\0"), ErrorCode.PROTOCOL_ERROR),
            (frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\0"), ErrorCode.PROTOCOL_ERROR),
            (frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"), ErrorCode.FLOW_CONTROL_ERROR),
            (frame(SETTINGS, 0, 0, b"x"), ErrorCode.FRAME_SIZE_ERROR),
            (frame(SETTINGS, ACK, 0, b"x" * 6), ErrorCode.FRAME_SIZE_ERROR),
            (frame(CONTINUATION, END_HEADERS, 1, b""), ErrorCode.PROTOCOL_ERROR),
            (frame(HEADERS, END_HEADERS | END_STREAM, 2, block(*GET)), ErrorCode.PROTOCOL_ERROR),
            (frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff" * 10), ErrorCode.COMPRESSION_ERROR),
            (request(1) + frame(DATA, 0, 1, b"x"), ErrorCode.STREAM_CLOSED),
            (frame(DATA, 0, 1, b"x" * 16385), ErrorCode.FRAME_SIZE_ERROR),
        ):
            self.setUp()
            self.server.receive(data)
            self.assertEqual(self.goaway(), code, data[:40])

    def test_floods_end_it_with_the_code_for_them(self) -> None:
        big = block(*GET, *[(b"x-%d" % n, b"y" * 100) for n in range(1000)])
        pieces = [big[start : start + 16384] for start in range(0, len(big), 16384)]
        fat = [frame(CONTINUATION, 0, 1, piece) for piece in pieces[1:]]
        for data in (
            frame(PING, 0, 0, b"x" * 8) * 5000,
            frame(SETTINGS) * 5000,
            frame(HEADERS, 0, 1, b"") + frame(CONTINUATION, 0, 1, b"") * 100,
            frame(HEADERS, 0, 1, pieces[0]) + b"".join(fat) + frame(CONTINUATION, END_HEADERS, 1),
            # A bomb: one large field in the table, and then its index a thousand times (RFC 7541 section 6.1).
            frame(HEADERS, END_HEADERS, 1, block(*GET) + b"\x40" + literal(b"bomb", b"x" * 3000)[1:] + b"\xbe" * 1000),
        ):
            self.setUp()
            self.server.receive(data)
            self.assertEqual(self.goaway(), ErrorCode.ENHANCE_YOUR_CALM, data[:40])

    def test_what_is_no_http_2(self) -> None:
        server = ServerSession(self.owner, 100)
        server.receive(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(split(server.output(65536))[-1][0], GOAWAY)
        self.assertTrue(server.is_over)
        server.receive(b"more")
        server.send_data(1, b"x")
        self.assertEqual((server.output(100), server.queued(1), server.queued_total), (b"", 0, 0))

    def test_noise_is_told(self) -> None:
        self.server.receive(
            frame(PING, 0, 0, b"x" * 8) + frame(SETTINGS) + frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") + frame(99) * 3
        )
        self.assertEqual([event[1] for event in self.owner.events], [Noise.PING, Noise.SETTINGS, Noise.WINDOW_UPDATE])
        self.assertIn((PING, ACK, 0, b"x" * 8), self.said())

    def test_empty_data_is_told(self) -> None:
        self.server.receive(request(1, end=False) + frame(DATA, 0, 1) * 3)
        self.assertEqual([event[0] for event in self.owner.take()], ["requested", "data", "data", "data"])

    def test_a_stream_whose_window_grows_too_far_is_reset_and_nothing_else(self) -> None:
        self.server.receive(request(1) + frame(WINDOW_UPDATE, 0, 1, b"\x7f\xff\xff\xff") + request(3))
        self.assertEqual([event[:2] for event in self.owner.take()], [("requested", 1), ("requested", 3)])
        self.assertEqual(self.said(), [(RST_STREAM, 0, 1, b"\0\0\0\3")])
        self.assertEqual(self.owner.take(), [("closed", 1, ErrorCode.FLOW_CONTROL_ERROR)])
        self.server.receive(
            frame(WINDOW_UPDATE, 0, 3, b"\x7f\xfe\0\0") + frame(WINDOW_UPDATE, 0, 1, b"\x7f\xff\xff\xff")
        )
        self.assertEqual((self.said(), self.server.is_over), ([], False))

    def test_what_comes_on_a_stream_that_is_over(self) -> None:
        self.server.receive(request(1))
        self.server.respond(1, OK, True)
        self.said()
        self.server.receive(request(3) + frame(DATA, END_STREAM, 1, b"late") + request(5))
        self.assertEqual(
            [event[:2] for event in self.owner.take()], [("requested", 1), ("closed", 1), ("requested", 3)]
        )
        self.assertEqual(self.goaway(), ErrorCode.STREAM_CLOSED)
        self.server.receive(request(7))
        self.assertEqual([event for event in self.owner.take() if event[0] == "requested"], [])
