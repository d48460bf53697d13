"""WebSocket through the reverse proxy, all in memory: how a tunnel begins, what goes through it, how it ends."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost

from scalekit.http.upgrade import accept_of
from scalekit.net.transports import QUEUE_BYTES
from scalekit.net.tunnel import HALF_CLOSED_SECONDS
from scalekit.web.compress import Compress
from tests.balancer.proxied import GET, HELLO, Case, Proxied, get, requests_on

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ASKED = (b"Connection: keep-alive, Upgrade", b"Upgrade: WebSocket", b"Sec-WebSocket-Key: " + KEY)
ASK = get(b"/chat", *ASKED, b"Sec-WebSocket-Version: 13")
AGREE = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"
) % accept_of(KEY)
AGREED = (
    b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
    b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
)


class TunnelCase(Case):
    def begun(self, count: int = 1, **options: Any) -> Proxied:
        """A tunnel through which nothing has gone."""
        it = Proxied(count, **options)
        it.says(ASK)
        it.accepts()
        it.app.hears()
        it.answers(AGREE)
        self.assertEqual(it.hears(), AGREED)
        return it


class Beginning(TunnelCase):
    def test_the_request_asks_in_our_words(self) -> None:
        it = Proxied(1)
        it.says(get(b"/chat", *ASKED, b"Sec-WebSocket-Extensions: permessage-deflate", b"TE: trailers"))
        it.accepts()
        lines = it.app.hears().split(b"\r\n")
        self.assertEqual([line for line in lines if b"pgrade" in line], [b"Connection: Upgrade", b"Upgrade: websocket"])
        self.assertIn(b"Sec-WebSocket-Key: " + KEY, lines)
        self.assertIn(b"Sec-WebSocket-Extensions: permessage-deflate", lines)
        self.assertNotIn(b"TE: trailers", lines)

    def test_bytes_go_both_ways_as_they_are(self) -> None:
        it = self.begun()
        it.says(b"GET / HTTP/1.1\r\n\r\n", b"\x81")
        self.assertEqual(it.app.hears(), b"GET / HTTP/1.1\r\n\r\n\x81")
        it.answers(b"HTTP/1.1 200 OK\r\n\r\n")
        self.assertEqual(it.hears(), b"HTTP/1.1 200 OK\r\n\r\n")
        self.assertEqual(it.outcomes, [])
        self.assertEqual(it.in_flight, [1])

    def test_what_comes_early_waits_for_the_101(self) -> None:
        it = Proxied(1)
        it.says(ASK + b"early ", b"and more")
        it.accepts()
        self.assertTrue(it.app.hears().endswith(b"\r\n\r\n"))
        it.answers(AGREE + b"at once")
        self.assertEqual(it.hears(), AGREED + b"at once")
        self.assertEqual(it.app.hears(), b"early and more")
        it.says(b"!")
        self.assertEqual(it.app.hears(), b"!")

    def test_and_is_the_next_request_if_none_comes(self) -> None:
        it = Proxied(1)
        it.says(ASK + GET)
        it.accepts()
        it.answers(HELLO)
        self.assertEqual([each.head.path for each in requests_on(it.app.wire)], [b"/chat", b"/"])
        it.answers(HELLO)
        self.assertEqual(it.hears(), HELLO * 2)
        self.ends(it, (200, ""), (200, ""))

    def test_what_waits_is_bounded(self) -> None:
        it = Proxied(1)
        it.says(ASK)
        it.accepts()
        it.says(b"x" * 1_000_000)
        self.assertFalse(it.wire.is_reading)
        it.answers(AGREE)
        self.assertTrue(it.wire.is_reading)
        self.assertTrue(it.app.hears().endswith(b"\r\n\r\n" + b"x" * 1_000_000))

    def test_a_refusal_is_an_answer_and_its_connection_is_kept(self) -> None:
        it = Proxied(1)
        it.says(ASK)
        it.accepts()
        it.answers(b"HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 13\r\nContent-Length: 0\r\n\r\n")
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 426 "))
        it.says(GET)
        it.answers(HELLO)
        self.assertEqual(it.hears(), HELLO)
        self.assertEqual(len(it.app.attempts), 1)
        self.ends(it, (426, ""), (200, ""))

    def test_only_a_fresh_connection_will_do(self) -> None:
        it = Proxied(1)
        self.warm(it)
        it.says(ASK)
        self.assertEqual(len(it.app.attempts), 2)

    def test_decorators_let_it_pass(self) -> None:
        it = Proxied(1, wrap=lambda proxy, clock: Compress(proxy, clock, lambda *_: None))  # type: ignore[arg-type]
        it.says(get(b"/", *ASKED, b"Accept-Encoding: gzip", b'If-None-Match: W/"x"'))
        it.accepts()
        it.answers(AGREE + b"a" * 5000)
        self.assertEqual(it.hears(), AGREED + b"a" * 5000)
        it.says(b"b")
        self.assertTrue(it.app.hears().endswith(b"\r\n\r\nb"))

    def test_early_hints_may_come_first(self) -> None:
        it = Proxied(1)
        it.says(ASK)
        it.accepts()
        it.answers(b"HTTP/1.1 103 Early Hints\r\n\r\n" + AGREE)
        self.assertEqual(it.hears(), b"HTTP/1.1 103 Early Hints\r\n\r\n" + AGREED)


class NotBeginning(TunnelCase):
    def assert_plain(self, request: bytes) -> None:
        """Goes on as a request without Upgrade, and a 101 to it is a fault of the app server."""
        it = Proxied(1)
        it.says(request)
        it.accepts()
        self.assertNotIn(b"pgrade", it.app.wire.sent)
        it.answers(AGREE)
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 502 "))
        self.ends(it, (502, "malformed-answer"))

    def test_not_a_handshake(self) -> None:
        key = b"Sec-WebSocket-Key: " + KEY
        for lines in (
            (b"Upgrade: websocket", key),
            (b"Connection: close, Upgrade", key),
            (b"Connection: Upgrade", b"Upgrade: websocket", b"Upgrade: websocket", key),
            (b"Connection: Upgrade", b"Upgrade: websocket, h2c", key),
            (b"Connection: Upgrade", b"Upgrade:", b"Upgrade: websocket", key),
            (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"),
            (b"Connection: Upgrade", b"Upgrade: TLS/1.0"),
            (b"Connection: Upgrade", b"Upgrade: websocket"),
            (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: short"),
            (b"Connection: Upgrade", b"Upgrade: websocket", key, key),
            (b"Connection: Upgrade, Sec-WebSocket-Key", b"Upgrade: websocket", key),
        ):
            self.assert_plain(get(b"/", *lines))

    def test_not_with_a_body_or_of_http_10_or_another_method(self) -> None:
        self.assert_plain(get(b"/", *ASKED, b"Content-Length: 3") + b"abc")
        self.assert_plain(get(b"/", *ASKED, b"Transfer-Encoding: chunked") + b"3\r\nabc\r\n0\r\n\r\n")
        self.assert_plain(get(b"/", *ASKED).replace(b"HTTP/1.1", b"HTTP/1.0"))
        self.assert_plain(get(b"/", *ASKED, method=b"PUT"))

    def assert_wrong(self, answer: bytes) -> None:
        it = Proxied(1)
        it.says(ASK)
        it.accepts()
        it.answers(answer + b"\x81\x00")
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 502 "))
        self.assertIsNotNone(it.app.wire.loss)
        self.ends(it, (502, "malformed-answer"))

    def test_a_101_that_is_not_what_was_asked_for(self) -> None:
        self.assert_wrong(AGREE.replace(b"websocket", b"h2c"))
        self.assert_wrong(AGREE.replace(b"Upgrade: websocket\r\n", b""))
        self.assert_wrong(AGREE.replace(b"Upgrade: websocket\r\n", b"Upgrade: websocket\r\n" * 2))
        self.assert_wrong(AGREE.replace(b"Connection: Upgrade\r\n", b""))
        self.assert_wrong(AGREE.replace(b"\r\n\r\n", b"\r\nContent-Length: 5\r\n\r\n"))
        self.assert_wrong(AGREE.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"))
        self.assert_wrong(AGREE.replace(accept_of(KEY), accept_of(b"x")))
        self.assert_wrong(AGREE.replace(b"Sec-WebSocket-Accept", b"X"))

    def test_it_is_not_sent_twice(self) -> None:
        it = Proxied(2)
        it.says(ASK)
        it.accepts()
        it.closes()
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 502 "))
        self.ends(it, (502, "connection-closed"))

    def test_but_tried_elsewhere_where_nobody_is_there(self) -> None:
        it = Proxied(2)
        it.says(ASK)
        it.refuses()
        it.accepts()
        it.answers(AGREE)
        self.assertEqual(it.hears(), AGREED)

    def test_a_client_that_leaves_before(self) -> None:
        it = Proxied(1)
        it.says(ASK)
        it.accepts()
        it.wire.lose()
        it.settle()
        self.assertIsNotNone(it.app.wire.loss)
        self.ends(it, (0, "client-gone"))


class Ending(TunnelCase):
    def test_the_client_first(self) -> None:
        it = self.begun()
        it.says(b"bye")
        it.leaves()
        self.assertEqual(it.app.hears(), b"bye")
        self.assertTrue(it.app.wire.has_shut)
        it.answers(b"still here")
        self.assertEqual(it.hears(), b"still here")
        it.app.wire.end()
        it.settle()
        self.assertIs(it.wire.loss, ConnectionDone)
        self.assertIs(it.app.wire.loss, ConnectionDone)
        self.ends(it, (101, ""))

    def test_the_app_server_first(self) -> None:
        it = self.begun()
        it.answers(b"bye")
        it.app.wire.end()
        it.settle()
        self.assertEqual(it.hears(), b"bye")
        self.assertTrue(it.wire.has_shut)
        it.says(b"still here")
        self.assertEqual(it.app.hears(), b"still here")
        it.leaves()
        self.assertIs(it.wire.loss, ConnectionDone)
        self.assertIs(it.app.wire.loss, ConnectionDone)
        self.ends(it, (101, ""))

    def test_the_client_had_ended_before_it_began(self) -> None:
        it = Proxied(1)
        it.says(ASK)
        it.leaves()
        it.accepts()
        it.answers(AGREE)
        self.assertTrue(it.app.wire.has_shut)
        it.answers(b"x")
        self.assertEqual(it.hears(), AGREED + b"x")
        it.app.wire.end()
        self.ends(it, (101, ""))

    def test_the_client_is_lost(self) -> None:
        it = self.begun()
        it.wire.lose(ConnectionLost)
        it.settle()
        self.assertIsNotNone(it.app.wire.loss)
        self.ends(it, (101, "client-gone"))

    def test_the_client_is_lost_after_the_end(self) -> None:
        """As of many clients over TLS that have heard a close_notify."""
        it = self.begun()
        it.app.wire.end()
        it.settle()
        it.wire.lose(ConnectionLost)
        it.settle()
        self.assertIs(it.app.wire.loss, ConnectionDone)
        self.ends(it, (101, ""))

    def test_but_not_with_all_that_was_for_it(self) -> None:
        it = self.begun()
        it.takes(0)
        it.answers(b"x")
        it.app.wire.end()
        it.settle()
        it.wire.lose(ConnectionLost)
        it.settle()
        self.assertIsNotNone(it.app.wire.loss)
        self.ends(it, (101, "client-gone"))

    def test_the_app_server_is_lost(self) -> None:
        it = self.begun()
        it.answers(b"last words")
        it.closes(ConnectionLost)
        self.assertEqual(it.hears(), b"last words")
        self.assertTrue(it.was_cut)
        self.ends(it, (101, "tunnel-cut"))

    def test_nobody_says_anything(self) -> None:
        it = self.begun()
        it.waits(it.factory.timeouts.tunnel_idle + 1)
        self.assertTrue(it.is_over)
        self.assertIsNotNone(it.app.wire.loss)
        self.ends(it, (101, "tunnel-idle"))

    def test_a_byte_now_and_then_is_enough(self) -> None:
        for talker in (Proxied.says, Proxied.answers):
            it = self.begun()
            for _ in range(3):
                it.waits(it.factory.timeouts.tunnel_idle - 10)
                talker(it, b"x")
            self.assertFalse(it.is_over)
            self.assertIsNone(it.app.wire.loss)

    def test_the_other_half_may_not_last(self) -> None:
        it = self.begun()
        it.app.wire.end()
        it.settle()
        it.waits(HALF_CLOSED_SECONDS + 1)
        self.assertTrue(it.was_cut)
        self.assertIsNotNone(it.app.wire.loss)
        self.ends(it, (101, "tunnel-idle"))

    def test_it_outlives_the_time_limits_of_requests(self) -> None:
        it = self.begun()
        it.says(b"x")
        it.waits(600)
        self.assertFalse(it.is_over)
        it.takes(0)
        it.answers(b"y" * (QUEUE_BYTES + 1))
        it.waits(600)
        it.takes(None)
        self.assertEqual(it.hears(), b"y" * (QUEUE_BYTES + 1))

    def test_a_drain_lasts_until_both_have_ended(self) -> None:
        it = self.begun()
        drained = it.factory.drain()
        it.says(b"x")
        self.assertEqual(it.app.hears(), b"x")
        self.assertNoResult(drained)
        it.app.wire.end()
        it.settle()
        it.leaves()
        self.successResultOf(drained)
