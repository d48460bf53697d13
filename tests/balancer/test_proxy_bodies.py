"""Bodies through the reverse proxy: asked for, too large, sent again, held back, and answered before their end."""

from __future__ import annotations

from scalekit.balancer.attempts import CONTINUE_SECONDS
from scalekit.balancer.upload import REPLAYED_BODY_BYTES
from scalekit.net.transports import QUEUE_BYTES
from tests.balancer.proxied import GET, HELLO, OK, Case, Proxied, get, requests_on, send


class TooLarge(Case):
    def test_by_its_declared_length(self) -> None:
        it = Proxied(max_body_bytes=10)
        it.says(send(b"POST", 11))
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 413 "))
        self.assertEqual(it.asked, [])
        self.ends(it, (413, "body-too-large"))

    def test_by_what_is_counted(self) -> None:
        it = Proxied(max_body_bytes=10)
        it.says(get(b"/", b"Transfer-Encoding: chunked", method=b"POST"))
        it.accepts()
        it.says(b"5\r\nabcde\r\n", b"6\r\nabcdef\r\n")
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 413 "))
        self.assertIsNotNone(it.app.wire.loss, "the app server does not take the piece for all of it")
        it.says(b"0\r\n\r\n" + GET)
        self.assertEqual(len(it.seen), 2)
        it.wire.lose()
        self.ends(it, (413, "body-too-large"), (0, "client-gone"))

    def test_after_the_answer_has_begun_it_is_cut(self) -> None:
        it = Proxied(max_body_bytes=10)
        it.says(get(b"/", b"Transfer-Encoding: chunked", method=b"POST"))
        it.accepts()
        it.answers(OK + b"he")
        it.says(b"f\r\nabcdefghijklmno\r\n")
        self.assertTrue(it.was_cut)
        self.ends(it, (200, "body-too-large"))

    def test_just_enough(self) -> None:
        it = Proxied(max_body_bytes=10)
        it.says(send(b"POST", 10) + b"0123456789")
        it.accepts()
        it.answers(HELLO)
        self.ends(it, (200, ""))


class Continue(Case):
    CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

    def begin(self, count: int = 2) -> Proxied:
        it = Proxied(count)
        it.says(send(b"PUT", 3, b"Expect: 100-continue"))
        it.accepts()
        self.assertIn(b"Expect: 100-continue\r\n", it.app.hears())
        self.assertEqual(it.hears(), b"")
        return it

    def finish(self, it: Proxied) -> None:
        self.assertEqual(it.hears(), self.CONTINUE)
        it.says(b"abc")
        self.assertTrue(it.app.hears().endswith(b"abc"))
        it.answers(HELLO)
        self.assertEqual(it.hears(), HELLO)
        it.waits(2)
        self.assertEqual(it.hears(), b"")
        self.ends(it, (200, ""))

    def test_the_app_servers_own_is_passed_on(self) -> None:
        it = self.begin()
        it.answers(self.CONTINUE)
        self.finish(it)

    def test_ours_after_a_while(self) -> None:
        it = self.begin()
        it.waits(CONTINUE_SECONDS + 0.25)
        self.finish(it)

    def test_a_refusal_instead(self) -> None:
        it = self.begin()
        it.answers(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 401 "))
        it.waits(2)
        self.assertEqual(it.hears(), b"")
        self.assertIsNotNone(it.app.wire.loss, "it still waits for a body that does not come")
        self.ends(it, (401, ""))

    def test_a_refusal_that_streams_is_not_interrupted(self) -> None:
        it = self.begin()
        it.answers(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 5\r\n\r\nhe")
        it.waits(2)
        it.answers(b"llo")
        self.assertTrue(it.hears().endswith(b"\r\n\r\nhello"))
        self.ends(it, (401, ""))

    def test_an_answer_that_begins_before_the_body_is_asked_for(self) -> None:
        """As Node's servers do it that send back what they get: nobody says 100, and the body is wanted."""
        it = self.begin()
        it.answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        heard = it.hears()
        self.assertTrue(heard.startswith(self.CONTINUE + b"HTTP/1.1 200 OK\r\n"), heard)
        self.assertNotIn(b"Connection: close", heard)
        it.says(b"abc")
        self.assertTrue(it.app.hears().endswith(b"abc"))
        it.answers(b"3\r\nabc\r\n0\r\n\r\n")
        self.assertTrue(it.hears().endswith(b"0\r\n\r\n"))
        self.ends(it, (200, ""))

    def test_another_app_server_has_its_own_time(self) -> None:
        it = self.begin()
        it.waits(0.75)
        it.closes()
        it.waits(0.75)
        self.assertEqual(it.hears(), b"", "nothing is asked for while there is nobody to send it to")
        it.accepts()
        it.waits(0.75)
        self.assertEqual(it.hears(), b"")
        it.waits(0.5)
        self.finish(it)

    def test_a_client_that_leaves_leaves_no_timer(self) -> None:
        it = self.begin()
        it.wire.lose()
        it.waits(2)
        self.ends(it, (0, "client-gone"))


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
