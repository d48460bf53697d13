"""Bodies through the reverse proxy: sent again, held back, and answered before their end."""

from __future__ import annotations

from scalekit.balancer.forward import REPLAYED_BODY_BYTES
from scalekit.net.transports import QUEUE_BYTES
from tests.balancer.proxied import GET, HELLO, Case, Proxied, get, requests_on, send


class Replays(Case):
    """The body is sent again, all of it and nothing twice."""

    def test_what_came_and_what_is_to_come(self) -> None:
        it = Proxied()
        it.says(send(b"PUT", 6) + b"ab")
        it.accepts()
        it.says(b"c")
        it.closes()
        it.says(b"d")
        it.accepts()
        it.says(b"ef")
        (received,) = requests_on(it.app.wire)
        self.assertEqual(received.body, b"abcdef")
        it.answers(HELLO)
        self.ends(it, (200, ""))

    def test_a_complete_one(self) -> None:
        for head, body in (
            (send(b"PUT", 3), b"abc"),
            (get(b"/", b"Transfer-Encoding: chunked", method=b"PUT"), b"3\r\nabc\r\n0\r\n\r\n"),
        ):
            it = Proxied()
            it.says(head + body)
            it.accepts()
            it.closes()
            it.accepts()
            (received,) = requests_on(it.app.wire)
            self.assertEqual((received.body, received.is_complete), (b"abc", True))
            it.answers(HELLO)
            self.ends(it, (200, ""))

    def test_while_a_connection_is_opened_the_client_waits(self) -> None:
        size = 4 * REPLAYED_BODY_BYTES
        for lines in ((b"Content-Length: %d" % size,), (b"Transfer-Encoding: chunked",)):
            is_chunked = lines[0].startswith(b"T")
            it = Proxied()
            it.says(get(b"/", *lines, method=b"PUT"))
            it.accepts()
            body = b"".join(b"%07d\n" % n for n in range(size // 8))
            wire_body = b"%x\r\n%b\r\n0\r\n\r\n" % (size, body) if is_chunked else body
            it.says(wire_body[:1000])
            it.closes()
            it.says(wire_body[1000:])
            self.assertFalse(it.wire.is_reading)
            it.accepts()
            (received,) = requests_on(it.app.wire)
            self.assertEqual(received.body, body)
            self.assertTrue(received.is_complete)
            it.answers(HELLO)
            self.ends(it, (200, ""))

    def test_too_much_to_keep_is_not_sent_again(self) -> None:
        it = Proxied()
        it.says(send(b"PUT", 2 * REPLAYED_BODY_BYTES))
        it.accepts()
        it.says(b"x" * (REPLAYED_BODY_BYTES + 1))
        it.closes()
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 502 "))
        self.ends(it, (502, "connection-closed"))

    def test_as_much_as_may_be_kept_is(self) -> None:
        it = Proxied()
        it.says(send(b"PUT", REPLAYED_BODY_BYTES))
        it.accepts()
        it.says(b"x" * REPLAYED_BODY_BYTES)
        it.closes()
        it.accepts()
        (received,) = requests_on(it.app.wire)
        self.assertEqual(len(received.body), REPLAYED_BODY_BYTES)
        it.answers(HELLO)
        self.ends(it, (200, ""))

    def test_a_body_that_was_held_goes_on(self) -> None:
        it = Proxied()
        it.says(send(b"PUT", QUEUE_BYTES * 4))
        it.app.accepts().room = 0
        it.says(b"x" * 1000)
        connection = it.app.pool
        self.assertEqual(len(connection.idle), 0)
        it.seen[0].pause()
        it.says(b"x" * 1000)
        it.closes()
        it.accepts()
        it.says(b"x" * (QUEUE_BYTES * 4 - 2000))
        (received,) = requests_on(it.app.wire)
        self.assertEqual(len(received.body), QUEUE_BYTES * 4)
        it.answers(HELLO)
        self.ends(it, (200, ""))


class BackPressure(Case):
    def test_a_slow_app_server_slows_the_client(self) -> None:
        it = Proxied()
        it.says(send(b"PUT", 10_000_000))
        it.app.accepts().room = 1000
        it.settle()
        for _ in range(20):
            it.says(b"x" * 64_000)
        self.assertFalse(it.wire.is_reading)
        self.assertLess(it.app.wire.queued_bytes, QUEUE_BYTES + 70_000)
        it.app.wire.room = None
        it.settle()
        self.assertTrue(it.wire.is_reading)
        it.wire.lose()
        self.ends(it, (0, "client-gone"))

    def test_a_slow_client_slows_the_app_server(self) -> None:
        it = Proxied()
        it.takes(0)
        it.says(GET)
        it.accepts()
        it.answers(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n")
        for _ in range(20):
            it.answers(b"x" * 64_000)
        self.assertFalse(it.app.wire.is_reading)
        self.assertLess(it.wire.queued_bytes, QUEUE_BYTES + 70_000)
        it.waits(50)
        it.takes(None)
        self.assertTrue(it.app.wire.is_reading)
        it.answers(b"x" * (10_000_000 - 20 * 64_000))
        self.assertEqual(len(it.hears().partition(b"\r\n\r\n")[2]), 10_000_000)
        self.ends(it, (200, ""))
        self.assertEqual(len(it.app.pool.idle), 1)

    def test_an_answer_before_the_body_is_complete(self) -> None:
        it = Proxied()
        it.says(send(b"PUT", 1000) + b"abc")
        it.accepts()
        it.answers(HELLO)
        self.assertEqual(it.hears(), HELLO)
        self.assertEqual(it.app.pool.idle, [])
        it.says(b"x" * 997 + GET)
        self.assertEqual(len(it.seen), 2)
        it.wire.lose()
        self.ends(it, (200, ""), (0, "client-gone"))
