"""The reverse proxy in front of app servers that speak HTTP/2, all in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost

from scalekit.http.h2.owner import ErrorCode
from scalekit.http.upgrade import accept_of
from scalekit.net.tunnel import HALF_CLOSED_SECONDS
from tests.balancer.proxied import Case, Proxied, get, requests_on, send
from tests.balancer.test_tunnels import ASK, KEY
from tests.http.h2.frames import GOAWAY, SETTINGS, frame
from tests.net.h2_app_server import H2AppServer, Peer

CHUNKED = get(b"/", b"Transfer-Encoding: chunked", method=b"POST")
OK = b"HTTP/1.1 200 OK\r\n"


class OverHTTP2(Proxied):
    """A client of HTTP/1.1, and app servers of HTTP/2."""

    def __init__(self, count: int = 2, knows_http2: bool = True) -> None:
        super().__init__(count)
        self.apps = [H2AppServer(self.clock, self.factory.wheel, knows_http2=knows_http2) for _ in range(count)]

    def meets(self) -> Peer:
        """The app server that was asked last accepts."""
        app: Any = self.app
        peer: Peer = app.meets(take=False)
        self.settle()
        return peer

    @property
    def peer(self) -> Peer:
        app: Any = self.app
        peer: Peer = app.peer
        return peer

    def settle(self) -> None:
        before = None
        while before != (now := [(len(wire.sent), wire.queued_bytes) for wire in self.wires()]):
            before = now
            super().settle()
            for app in self.apps:
                for peer in getattr(app, "peers", ()):
                    peer.talk()
        super().settle()

    def requested(self) -> list[tuple[bytes, int]]:
        """Method and stream of what the app server that was asked last has heard of since it was last asked."""
        self.settle()
        return [(dict(event[2])[b":method"], event[1]) for event in self.peer.take() if event[0] == "requested"]


class GoingThrough(Case):
    def test_request_and_answer(self) -> None:
        it = OverHTTP2()
        it.says(get(b"/x?y", b"X-Own: 1", b"Connection: X-Hop", b"X-Hop: 1"))
        peer = it.meets()
        (event,) = peer.take()
        fields = dict(event[2])
        self.assertEqual((fields[b":path"], fields[b":authority"], fields[b"x-own"]), (b"/x?y", b"a", b"1"))
        self.assertNotIn(b"x-hop", fields)
        self.assertEqual(fields[b"x-request-id"], b"t-1")
        self.assertEqual(fields[b"x-forwarded-for"], b"192.0.2.7")
        peer.answers(1, b"hello", [(b"x-theirs", b"2")])
        self.assertEqual(it.hears(), OK + b"x-theirs: 2\r\nContent-Length: 5\r\n\r\nhello")
        self.ends(it, (200, ""))

    def test_bodies_and_trailers(self) -> None:
        it = OverHTTP2()
        it.says(CHUNKED.replace(b"\r\n\r\n", b"\r\nTE: trailers\r\nConnection: TE\r\n\r\n"))
        peer = it.meets()
        it.says(b"3\r\nabc\r\n")
        self.assertEqual(peer.bodies[1], b"abc")
        it.says(b"0\r\nX-Sum: 3\r\nHost: evil\r\n\r\n")
        self.assertEqual(peer.hears()[-1], ("trailers", 1, [(b"x-sum", b"3")]))
        peer.begins(1, b"hi")
        peer.session.end(1, [(b"grpc-status", b"0"), (b"set-cookie", b"a=b")])
        self.assertTrue(it.hears().endswith(b"2\r\nhi\r\n0\r\ngrpc-status: 0\r\n\r\n"))
        self.ends(it, (200, ""))

    def test_pipelined_requests_share_a_connection(self) -> None:
        it = OverHTTP2(1)
        it.says(get(b"/1") + get(b"/2"))
        it.meets().answers(1, b"one")
        it.settle()
        it.peer.answers(3, b"two")
        self.assertEqual(it.hears(), OK + b"Content-Length: 3\r\n\r\none" + OK + b"Content-Length: 3\r\n\r\ntwo")
        self.assertEqual(len(it.app.attempts), 1)

    def test_a_client_that_leaves_is_a_cancel(self) -> None:
        it = OverHTTP2(1)
        it.says(get())
        peer = it.meets()
        it.wire.lose(ConnectionLost)
        it.settle()
        self.assertIn(("reset", 1, ErrorCode.CANCEL), peer.take())
        self.assertIsNone(peer.wire.loss)
        self.ends(it, (0, "client-gone"))

    def test_a_client_that_leaves_while_it_connects(self) -> None:
        it = OverHTTP2(1)
        it.says(get())
        it.wire.lose(ConnectionLost)
        it.settle()
        self.assertTrue(it.app.attempts[0].was_given_up)
        self.ends(it, (0, "client-gone"))

    def test_a_slow_client_holds_the_app_server(self) -> None:
        it = OverHTTP2(1)
        it.says(get())
        peer = it.meets()
        it.wire.room = 0
        peer.answers(1, b"x" * 2_000_000)
        it.settle()
        self.assertGreater(peer.session.queued(1), 1_500_000)
        it.takes(None)
        self.assertEqual(it.hears().count(b"x"), 2_000_000)
        self.ends(it, (200, ""))


class TriedAgain(Case):
    def test_what_was_refused_whatever_the_method(self) -> None:
        it = OverHTTP2()
        it.says(send(b"POST", 3) + b"abc")
        peer = it.meets()
        first = it.app
        peer.session.reset(1, ErrorCode.REFUSED_STREAM)
        it.settle()
        self.assertIs(it.app, first, "it is sent once more there")
        self.assertEqual(it.requested(), [(b"POST", 1), (b"POST", 3)])
        self.assertEqual(peer.bodies[3], b"abc")
        peer.session.reset(3, ErrorCode.REFUSED_STREAM)
        it.settle()
        self.assertIsNot(it.app, first, "then elsewhere")
        it.meets().answers(1)
        self.assertTrue(it.hears().startswith(OK))
        self.ends(it, (200, ""))

    def test_what_is_wanted_over_http_1_goes_there_so(self) -> None:
        """Whatever the method, and nobody is blamed."""
        it = OverHTTP2(2, knows_http2=False)
        it.says(send(b"POST", 3) + b"abc")
        it.meets().session.reset(1, ErrorCode.HTTP_1_1_REQUIRED)
        it.settle()
        first = it.app
        self.assertEqual(len(first.attempts), 2)
        it.accepts()
        (received,) = requests_on(first.wire)
        self.assertEqual((received.head.method, received.body), (b"POST", b"abc"))
        it.answers(OK + b"Content-Length: 5\r\n\r\nhello")
        self.assertTrue(it.hears().endswith(b"hello"))
        self.assertEqual((it.instances[it.apps.index(first)].strikes, it.seen[0].record.attempts), (0, 1))
        self.ends(it, (200, ""))

    def test_where_http_1_is_not_spoken_that_is_the_last_word(self) -> None:
        it = OverHTTP2(1)
        it.says(send(b"POST", 3) + b"abc")
        it.meets().session.reset(1, ErrorCode.HTTP_1_1_REQUIRED)
        self.assertIn(b"502 ", it.hears())
        self.ends(it, (502, "http-1-required"))

    def test_what_came_after_the_last_stream_of_a_goaway(self) -> None:
        it = OverHTTP2(1)
        it.says(send(b"POST", 3) + b"abc")
        first = it.meets()
        first.wire.hear(frame(GOAWAY, 0, 0, bytes(8)))
        it.settle()
        self.assertEqual(len(it.app.attempts), 2)
        it.meets().answers(1)
        self.assertTrue(it.hears().startswith(OK))
        self.assertIs(first.wire.loss, ConnectionDone)
        self.ends(it, (200, ""))

    def test_a_post_that_was_reset_is_not(self) -> None:
        it = OverHTTP2()
        it.says(send(b"POST", 3) + b"abc")
        it.meets().session.reset(1, ErrorCode.INTERNAL_ERROR)
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 502 "))
        self.ends(it, (502, "stream-reset"))

    def test_a_get_that_was_reset_is_elsewhere(self) -> None:
        it = OverHTTP2()
        it.says(get())
        peer = it.meets()
        first = it.app
        peer.session.reset(1, ErrorCode.INTERNAL_ERROR)
        it.settle()
        self.assertIsNot(it.app, first)
        it.meets().answers(1)
        self.ends(it, (200, ""))

    def test_nothing_once_the_answer_has_begun(self) -> None:
        it = OverHTTP2()
        it.says(get())
        peer = it.meets()
        peer.begins(1, b"half")
        peer.session.reset(1, ErrorCode.REFUSED_STREAM)
        it.settle()
        self.assertTrue(it.was_cut)
        self.ends(it, (200, "stream-reset"))

    def test_a_body_that_was_not_kept_is_not(self) -> None:
        it = OverHTTP2()
        it.says(send(b"PUT", 200_000) + b"x" * 200_000)
        it.meets().session.reset(1, ErrorCode.REFUSED_STREAM)
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 502 "))
        self.ends(it, (502, "stream-refused"))

    def test_a_connect_that_fails_for_many_is_each_ones_to_retry(self) -> None:
        it = OverHTTP2(1)
        it.says(get())
        it.refuses()
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 502 "))
        self.ends(it, (502, "connect-refused"))


class Tunnels(Case):
    """WebSocket to an app server of HTTP/2 in clear (RFC 8441)."""

    def asked(self) -> tuple[OverHTTP2, Peer]:
        it = OverHTTP2(1)
        it.says(ASK)
        return it, it.meets()

    def begun(self) -> tuple[OverHTTP2, Peer]:
        """A tunnel through which nothing has gone."""
        it, peer = self.asked()
        peer.begins(1)
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 101 "))
        peer.take()
        return it, peer

    def test_extended_connect(self) -> None:
        it, peer = self.asked()
        (event,) = peer.take()
        fields = dict(event[2])
        self.assertEqual(
            (fields[b":method"], fields[b":protocol"], fields[b":path"]), (b"CONNECT", b"websocket", b"/chat")
        )
        self.assertFalse(event[3])
        peer.begins(1, fields=[(b"sec-websocket-protocol", b"chat")])
        heard = it.hears()
        self.assertTrue(heard.startswith(b"HTTP/1.1 101 Switching Protocols\r\n"), heard)
        self.assertIn(b"Sec-WebSocket-Accept: " + accept_of(KEY) + b"\r\n", heard)
        self.assertIn(b"sec-websocket-protocol: chat\r\n", heard)
        it.says(b"\x81\x00")
        self.assertEqual(peer.bodies[1], b"\x81\x00")
        peer.sends(1, b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual(it.hears(), b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual(it.in_flight, [1])

    def test_each_direction_ends_by_itself(self) -> None:
        for is_client_first in (True, False):
            it, peer = self.begun()
            for is_client in (is_client_first, not is_client_first):
                if is_client:
                    it.says(b"bye")
                    it.leaves()
                    it.settle()
                    self.assertEqual(peer.bodies[1], b"bye")
                    self.assertIn(("data", 1, b"", True), peer.take())
                else:
                    peer.sends(1, b"ciao", True)
                    it.settle()
                    self.assertEqual(it.hears(), b"ciao")
            self.ends(it, (101, ""))
            self.assertIsNone(peer.wire.loss)

    def test_the_client_is_lost(self) -> None:
        it, peer = self.begun()
        it.wire.lose(ConnectionLost)
        it.settle()
        self.assertIn(("reset", 1, ErrorCode.CANCEL), peer.take())

    def test_the_app_server_resets_it(self) -> None:
        it, peer = self.begun()
        peer.session.reset(1, ErrorCode.CANCEL)
        it.settle()
        self.assertTrue(it.was_cut)
        self.ends(it, (101, "stream-reset"))

    def test_a_refusal_is_an_answer(self) -> None:
        it, peer = self.asked()
        peer.session.respond(1, [(b":status", b"403")], False)
        peer.session.send_data(1, b"no", True)
        it.settle()
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 403 "))
        self.ends(it, (403, ""))

    def test_one_that_has_not_announced_it(self) -> None:
        it = OverHTTP2(1)
        it.says(ASK)
        it.app.accepts()
        it.app.says(frame(SETTINGS))
        it.settle()
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 502 "))
        self.ends(it, (502, "no-tunnel"))

    def test_quiet_for_too_long(self) -> None:
        it, _ = self.begun()
        it.waits(3599)
        it.says(b"x")
        it.waits(3599)
        self.assertFalse(it.is_over)
        it.waits(2)
        self.assertTrue(it.was_cut)
        self.ends(it, (101, "tunnel-idle"))

    def test_the_other_half_may_not_last(self) -> None:
        it, peer = self.begun()
        peer.sends(1, b"", True)
        it.waits(HALF_CLOSED_SECONDS + 2)
        self.assertTrue(it.is_over)
        self.assertIn(("reset", 1, ErrorCode.CANCEL), peer.hears())

    def test_trailers_have_no_place_in_it(self) -> None:
        it, peer = self.begun()
        peer.session.end(1, [(b"a", b"b")])
        it.settle()
        self.assertTrue(it.was_cut)
        self.ends(it, (101, "malformed-answer"))

    def test_a_slow_reader_on_either_side(self) -> None:
        it, peer = self.begun()
        it.wire.room = 0
        peer.sends(1, b"x" * 1_000_000)
        self.assertGreater(peer.session.queued(1), 500_000)
        it.takes(None)
        self.assertEqual(len(it.hears()), 1_000_000)
        peer.takes = False
        for _ in range(100):
            it.says(b"y" * 10_000)
        self.assertFalse(it.wire.is_reading)
        while len(peer.bodies[1]) < 1_000_000:
            peer.take_body(1)
            it.settle()
        self.assertTrue(it.wire.is_reading)
