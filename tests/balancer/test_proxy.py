"""The reverse proxy between a client and app servers, all in memory."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.balancer.forward import CONTINUE_SECONDS, REPLAYED_BODY_BYTES
from scalekit.balancer.retrying import IDEMPOTENT
from scalekit.balancer.routes import Claim
from scalekit.net.transports import QUEUE_BYTES
from scalekit.web.compress import Compress
from tests.balancer.proxied import Proxied, requests_on

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
HELLO = OK + b"hello"


def get(path: bytes = b"/", *lines: bytes, method: bytes = b"GET") -> bytes:
    return b"%b %b HTTP/1.1\r\nHost: a\r\n%b\r\n" % (method, path, b"".join(line + b"\r\n" for line in lines))


def send(method: bytes, length: int, *lines: bytes) -> bytes:
    return get(b"/", b"Content-Length: %d" % length, *lines, method=method)


class Case(SynchronousTestCase):
    def ends(self, it: Proxied, *outcomes: tuple[int, str]) -> None:
        """Every exchange was reported once, and nothing is in flight."""
        it.settle()
        self.assertEqual([(status, reason) for _, status, reason in it.outcomes], list(outcomes))
        self.assertEqual(it.in_flight, [0] * len(it.apps))

    def warm(self, it: Proxied) -> None:
        """Each app server has one idle connection."""
        for _ in it.apps:
            it.says(GET)
            it.accepts()
            it.answers(HELLO)
        it.hears()
        it.outcomes.clear()


class GoingThrough(Case):
    def test_request_and_answer(self) -> None:
        it = Proxied()
        it.says(get(b"/x?y", b"X-Own: 1"))
        self.assertEqual(sum(it.in_flight), 1)
        it.accepts()
        heard = it.app.hears()
        self.assertTrue(heard.startswith(b"GET /x?y HTTP/1.1\r\nHost: a\r\nX-Own: 1\r\n"), heard)
        it.answers(HELLO)
        self.assertEqual(it.hears(), HELLO)
        self.ends(it, (200, ""))

    def test_who_names_no_host_gets_the_instances_address(self) -> None:
        """HTTP/1.0 may leave it out; an instance's own id is no host."""
        it = Proxied(1)
        it.instances[0].id = "web-1"
        it.says(b"GET / HTTP/1.0\r\n\r\n")
        it.accepts()
        self.assertIn(b"\r\nHost: 192.0.2.10:80\r\n", it.app.hears())
        it.answers(HELLO)
        self.ends(it, (200, ""))

    def test_they_take_turns_on_kept_connections(self) -> None:
        it = Proxied()
        self.warm(it)
        for _ in range(4):
            it.says(GET)
            it.answers(HELLO)
        self.assertEqual(it.hears(), HELLO * 4)
        self.assertEqual([len(app.attempts) for app in it.apps], [1, 1])
        self.ends(it, *[(200, "")] * 4)

    def test_bodies_stream_both_ways(self) -> None:
        it = Proxied()
        it.says(get(b"/", b"Transfer-Encoding: chunked", method=b"POST"))
        it.accepts()
        it.says(b"3\r\nabc\r\n")
        self.assertTrue(it.app.hears().endswith(b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"))
        it.says(b"0\r\nX-Trailer: 1\r\n\r\n")
        self.assertEqual(it.app.hears(), b"0\r\n\r\n")
        it.answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.assertEqual(it.hears(), b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        it.answers(b"2\r\nhi\r\n")
        self.assertEqual(it.hears(), b"2\r\nhi\r\n")
        self.assertEqual(sum(it.in_flight), 1)
        it.answers(b"0\r\n\r\n")
        self.assertEqual(it.hears(), b"0\r\n\r\n")
        self.ends(it, (200, ""))

    def test_trailers_only_where_they_are_wanted(self) -> None:
        for lines, end in (
            ((), b"0\r\n\r\n"),
            ((b"TE: trailers",), b"0\r\nX-Sum: 1\r\n\r\n"),
        ):
            it = Proxied()
            it.says(get(b"/", *lines))
            it.accepts()
            it.answers(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
            it.answers(b"0\r\nX-Sum: 1\r\nSet-Cookie: a=b\r\n\r\n")
            self.assertTrue(it.hears().endswith(b"hi\r\n" + end))

    def test_early_hints_go_through(self) -> None:
        it = Proxied()
        it.says(GET)
        it.accepts()
        it.answers(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        self.assertEqual(it.hears(), b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
        it.answers(HELLO)
        self.ends(it, (200, ""))

    def test_a_close_delimited_answer_gets_chunks(self) -> None:
        it = Proxied()
        it.says(GET)
        it.accepts()
        it.answers(b"HTTP/1.0 200 OK\r\n\r\nhi")
        it.closes()
        self.assertTrue(it.hears().endswith(b"2\r\nhi\r\n0\r\n\r\n"))
        self.ends(it, (200, ""))

    def test_pipelined_requests_in_order(self) -> None:
        it = Proxied()
        it.says(get(b"/1") + get(b"/2"))
        it.accepts()
        it.answers(HELLO)
        it.accepts()
        self.assertTrue(it.app.hears().startswith(b"GET /2 "))
        it.answers(HELLO)
        self.assertEqual(it.hears(), HELLO * 2)
        self.ends(it, (200, ""), (200, ""))

    def test_the_same_head_twice_is_forwarded_twice_alike_but_for_its_ids(self) -> None:
        it = Proxied(1)
        for number in (b"t-1", b"t-2"):
            it.says(get(b"/", b"Connection: X-Hop", b"X-Hop: 1", b"X-Forwarded-For: 9.9.9.9"))
            if not it.app.attempts[-1].wire:
                it.accepts()
            heard = it.app.hears()
            self.assertIn(b"X-Request-ID: " + number, heard)
            self.assertIn(b"X-Forwarded-For: 192.0.2.7\r\n", heard)
            self.assertNotIn(b"X-Hop", heard)
            it.answers(HELLO)

    def test_through_compress(self) -> None:
        it = Proxied(wrap=lambda proxy, clock: Compress(proxy, clock, lambda f, *a: succeed(f(*a))))
        it.says(get(b"/", b"Accept-Encoding: gzip"))
        it.accepts()
        it.answers(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000)
        self.assertIn(b"Content-Encoding: gzip", it.hears())
        self.ends(it, (200, ""))
        it.says(get(b"/", b"Accept-Encoding: gzip"))
        it.accepts()
        it.answers(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 200000\r\n\r\nxx")
        it.closes()
        self.assertTrue(it.was_cut)
        self.ends(it, (200, ""), (200, "answer-cut"))


class NobodyToAsk(Case):
    def test_no_app_servers(self) -> None:
        it = Proxied(0)
        it.says(get(b"/", b"Accept: text/plain"))
        heard = it.hears()
        self.assertTrue(heard.startswith(b"HTTP/1.1 503 "))
        self.assertIn(b"No app servers found", heard)
        self.ends(it, (503, "no-app-servers"))

    def test_no_route(self) -> None:
        it = Proxied(claims=(Claim.of("default", ["other.example"], "/"),))
        it.says(GET)
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 503 "))
        self.ends(it, (503, "no-route"))

    def test_a_path_that_is_on_two_routes_at_once(self) -> None:
        claims = (Claim.of("default", [], "/"), Claim.of("admin", [], "/admin"))
        for path, status in (
            (b"/public/..%2fadmin", 400),
            (b"/public/%2e%2e/admin", 400),
            (b"/x/..%2fpublic", 200),
            (b"/caf%C3%A9", 200),
        ):
            it = Proxied(claims=claims)
            it.says(get(path))
            if status == 200:
                it.accepts()
                self.assertTrue(it.app.hears().startswith(b"GET " + path + b" HTTP"))
                it.answers(HELLO)
            self.assertTrue(it.hears().startswith(b"HTTP/1.1 %d " % status), path)
            self.assertEqual(bool(it.asked), status == 200)

    def test_one_route_alone_cannot_be_missed(self) -> None:
        it = Proxied()
        it.says(get(b"/public/..%2fadmin"))
        it.accepts()
        it.answers(HELLO)
        self.ends(it, (200, ""))

    def test_the_last_hop(self) -> None:
        it = Proxied()
        it.says(get(b"/", b"Max-Forwards: 0", method=b"OPTIONS"))
        self.ends(it, (405, "last-hop"))

    def test_a_loop(self) -> None:
        it = Proxied()
        it.says(get(b"/", b"Via: 1.1 scalekit-test"))
        self.ends(it, (508, "loop"))


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


class ConnectFailures(Case):
    """Certainly nothing was sent: the next one, whatever the method."""

    def test_the_next_is_tried(self) -> None:
        for method in (b"GET", b"POST"):
            it = Proxied()
            it.says(send(method, 3) + b"abc")
            first = it.app
            it.refuses()
            self.assertIsNot(it.app, first)
            self.assertEqual(sum(it.in_flight), 1)
            it.accepts()
            self.assertTrue(it.app.hears().endswith(b"abc"))
            it.answers(HELLO)
            self.assertEqual(it.hears(), HELLO)
            self.assertEqual(it.seen[0].record.attempts, 2)
            self.assertEqual(len(it.blamed), 1)
            self.ends(it, (200, ""))

    def test_and_not_a_third(self) -> None:
        it = Proxied(3)
        it.says(GET)
        it.refuses()
        it.refuses("connect-timeout", 504)
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 504 "))
        self.assertEqual(len(it.blamed), 2)
        self.ends(it, (504, "connect-timeout"))

    def test_two_that_hang_cost_two_deadlines(self) -> None:
        it = Proxied(3)
        it.says(GET)
        it.waits(4.25)
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 504 "))
        self.ends(it, (504, "connect-timeout"))

    def test_nobody_else_there(self) -> None:
        it = Proxied(1)
        it.says(send(b"PUT", 3))
        it.refuses()
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 502 "))
        it.says(b"abc" + GET)
        self.assertEqual(len(it.seen), 2)
        it.wire.lose()
        self.ends(it, (502, "connect-refused"), (0, "client-gone"))

    def test_an_instance_that_drains_meanwhile(self) -> None:
        it = Proxied()
        it.says(GET)
        it.roster.settle_static("default", [], 0.0)
        it.refuses()
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 502 "))
        self.ends(it, (502, "connect-refused"))


class LostConnections(Case):
    """It was sent, and then the connection ended before a byte of the answer."""

    def test_a_kept_one_is_tried_afresh_at_the_same_app_server(self) -> None:
        for method in sorted(IDEMPOTENT):
            it = Proxied()
            self.warm(it)
            it.says(get(b"/", method=method))
            app = it.app
            it.closes()
            self.assertIs(it.app, app)
            self.assertEqual(len(app.attempts), 2)
            it.accepts()
            self.assertTrue(app.hears().startswith(method))
            it.answers(b"HTTP/1.1 204 No Content\r\n\r\n")
            self.assertEqual(it.seen[-1].record.attempts, 1)
            self.assertEqual(it.blamed, [])
            self.ends(it, (204, ""))

    def test_once_and_then_elsewhere_and_then_no_more(self) -> None:
        it = Proxied()
        self.warm(it)
        it.says(GET)
        first = it.app
        it.closes()
        it.accepts()
        it.closes()
        self.assertIsNot(it.app, first)
        # The other one's kept connection has had its chance to be stale: no second replay.
        it.closes()
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 502 "))
        self.ends(it, (502, "connection-closed"))

    def test_a_fresh_one_is_tried_elsewhere(self) -> None:
        it = Proxied()
        it.says(GET)
        first = it.app
        it.accepts()
        it.closes(ConnectionLost)
        self.assertIsNot(it.app, first)
        it.accepts()
        it.answers(HELLO)
        self.ends(it, (200, ""))

    def test_a_post_is_never_sent_twice(self) -> None:
        for is_warm in (False, True):
            for method in (b"POST", b"PATCH", b"BREW"):
                it = Proxied()
                if is_warm:
                    self.warm(it)
                it.says(send(method, 3) + b"abc")
                if not is_warm:
                    it.accepts()
                count = len(it.asked)
                it.closes()
                self.assertTrue(it.hears().startswith(b"HTTP/1.1 502 "))
                self.assertEqual(len(it.asked), count)
                self.ends(it, (502, "connection-closed"))

    def test_a_post_goes_on_young_or_new_connections_only(self) -> None:
        it = Proxied(1)
        self.warm(it)
        it.says(send(b"POST", 0))
        it.answers(HELLO)
        self.assertEqual(len(it.app.attempts), 1)
        it.waits(2)
        it.says(send(b"POST", 0))
        self.assertEqual(len(it.app.attempts), 2)
        it.accepts()
        it.answers(HELLO)
        self.ends(it, (200, ""), (200, ""))

    def test_not_after_a_byte_of_the_answer(self) -> None:
        for answer in (b"H", b"HTTP/1.1 103 Early Hints\r\n\r\n"):
            it = Proxied()
            self.warm(it)
            it.says(GET)
            it.answers(answer)
            it.closes()
            self.assertIn(b"HTTP/1.1 502 ", it.hears())
            self.ends(it, (502, "malformed-answer"))

    def test_not_after_a_timeout(self) -> None:
        it = Proxied()
        it.says(GET)
        it.accepts()
        it.waits(31)
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 504 "))
        self.ends(it, (504, "answer-timeout"))

    def test_malformed_answers_are_not_tried_again(self) -> None:
        it = Proxied()
        it.says(GET)
        it.accepts()
        it.answers(b"NONSENSE\r\n\r\n")
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 502 "))
        self.ends(it, (502, "malformed-answer"))

    def test_an_answer_of_503_is_passed_on(self) -> None:
        it = Proxied()
        it.says(GET)
        it.accepts()
        it.answers(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
        self.assertIn(b"Retry-After: 1\r\n", it.hears())
        self.ends(it, (503, ""))


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


class ClientGone(Case):
    """Whatever the app server does for it ends in the same turn."""

    def test_while_connecting(self) -> None:
        it = Proxied()
        it.says(GET)
        it.wire.lose()
        self.assertTrue(it.app.attempts[0].was_given_up)
        self.ends(it, (0, "client-gone"))

    def test_while_waiting(self) -> None:
        it = Proxied()
        it.says(GET)
        it.accepts()
        it.wire.lose()
        self.assertEqual(it.in_flight, [0, 0])
        it.settle()
        self.assertIsNotNone(it.app.wire.loss)
        self.ends(it, (0, "client-gone"))

    def test_in_the_middle_of_the_body(self) -> None:
        it = Proxied()
        it.says(send(b"PUT", 10) + b"abc")
        it.accepts()
        it.wire.lose()
        self.ends(it, (0, "client-gone"))
        self.assertIsNotNone(it.app.wire.loss)

    def test_in_the_middle_of_the_answer(self) -> None:
        it = Proxied()
        it.says(GET)
        it.accepts()
        it.answers(OK + b"he")
        it.wire.lose()
        self.ends(it, (200, "client-gone"))
        self.assertIsNotNone(it.app.wire.loss)
        self.assertEqual(it.app.pool.idle, [])

    def test_while_a_replay_connects(self) -> None:
        it = Proxied()
        self.warm(it)
        it.says(GET)
        it.closes()
        it.wire.lose()
        self.assertTrue(it.app.attempts[-1].was_given_up)
        self.ends(it, (0, "client-gone"))

    def test_a_broken_body_cancels_too(self) -> None:
        it = Proxied()
        it.says(get(b"/", b"Transfer-Encoding: chunked", method=b"PUT"))
        it.accepts()
        it.says(b"3\r\nabcX")
        self.assertTrue(it.hears().startswith(b"HTTP/1.1 400 "))
        self.assertIsNotNone(it.app.wire.loss)
        self.ends(it, (400, "bad-chunk"))


class BrokenAnswers(Case):
    """Once the head is out, only a cut tells the client."""

    def test_each_kind_of_it(self) -> None:
        for head in (OK, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n", b"HTTP/1.1 200 OK\r\n\r\n"):
            it = Proxied()
            it.says(GET)
            it.accepts()
            it.answers(head + b"he")
            it.closes(ConnectionLost)
            self.assertTrue(it.was_cut)
            self.assertFalse(it.hears().endswith(b"0\r\n\r\n"))
            self.ends(it, (200, "answer-cut"))
            self.assertEqual(len(it.asked), 1)

    def test_a_stall(self) -> None:
        it = Proxied()
        it.says(GET)
        it.accepts()
        it.answers(OK + b"he")
        it.waits(61)
        self.assertTrue(it.was_cut)
        self.ends(it, (200, "answer-stalled"))

    def test_bytes_after_it(self) -> None:
        it = Proxied()
        it.says(GET)
        it.accepts()
        it.answers(OK + b"he", b"llo!")
        self.assertTrue(it.was_cut)
        self.ends(it, (200, "malformed-answer"))


class DecoratorsThatRaise(Case):
    def test_the_exchange_ends_nevertheless(self) -> None:
        class Broken:
            """An exchange whose answer raises, as a decorator's might."""

            def __init__(self, inner: Any) -> None:
                self._inner = inner

            def __getattr__(self, name: str) -> Any:
                if name in ("answer", "finish"):
                    raise ZeroDivisionError
                return getattr(self._inner, name)

        class Breaking:
            def __init__(self, proxy: Any, clock: Clock) -> None:
                self._proxy = proxy

            def respond(self, exchange: Any) -> None:
                self._proxy.respond(Broken(exchange))

        for pieces, status in ((HELLO,), 500), ((OK, b"hello"), 200):
            it = Proxied(wrap=Breaking)
            it.says(GET)
            it.accepts()
            it.answers(*pieces)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
            self.ends(it, (status, "internal-error"))


PIECES = (b"a", b"b" * 100, b"c" * 30_000)
STEPS = st.one_of(
    st.tuples(st.just("body"), st.sampled_from(PIECES)),
    st.tuples(st.just("accept"), st.integers(0, 3)),
    st.tuples(st.just("room"), st.sampled_from([None, 0, 50_000])),
    st.tuples(
        st.just("answer"),
        st.sampled_from(
            [
                HELLO,
                OK,
                OK + b"he",
                b"llo",
                b"hello",
                b"HTTP/1.1 103 Early Hints\r\n\r\n",
                b"HTTP/1.1 100 Continue\r\n\r\n",
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
                b"0\r\n\r\n",
                b"H",
                b"HTTP/1.0 200 OK\r\n\r\nx",
                b"NONSENSE\r\n\r\n",
                b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 4\r\n\r\naway",
                b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 5\r\n\r\n",
            ]
        ),
    ),
    st.tuples(st.sampled_from(["refuse", "close", "cut", "end"]), st.none()),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 1.5, 5.0, 35.0])),
)
REQUEST = st.tuples(
    st.sampled_from([b"GET", b"PUT", b"POST"]),
    st.sampled_from(["none", "length", "chunked", "expect"]),
    st.lists(STEPS, max_size=12),
)


class InAnyOrder(SynchronousTestCase):
    """Whatever happens in whatever order, the books balance."""

    @settings(max_examples=150, deadline=None)
    @given(st.lists(REQUEST, min_size=1, max_size=3), st.booleans())
    def test_the_books_balance(self, requests: list[Any], goes_away: bool) -> None:
        it = Proxied()
        bodies: dict[bytes, bytes] = {}
        methods: dict[bytes, bytes] = {}
        for number, (method, framing, steps) in enumerate(requests):
            if it.is_over:
                it.connect()
            path = b"/%d" % number
            methods[path], bodies[path] = method, b""
            total = sum(len(piece) for what, piece in steps if what == "body")
            lines = {
                "none": (),
                "length": (b"Content-Length: %d" % total,),
                "expect": (b"Content-Length: %d" % total, b"Expect: 100-continue"),
                "chunked": (b"Transfer-Encoding: chunked",),
            }[framing]
            count = len(it.seen)
            it.says(get(path, *lines, method=method))
            for what, value in steps:
                self.do(it, what, value, framing, path, bodies)
                self.check(it, methods, bodies)
            if framing == "chunked" and len(it.seen) > count:
                it.says(b"0\r\n\r\n")
            self.check(it, methods, bodies)
        if goes_away:
            it.wire.lose()
        it.takes(None)
        it.waits(130)
        it.settle()
        self.check(it, methods, bodies)
        assert it.in_flight == [0, 0], it.in_flight
        assert len(it.outcomes) == len(it.seen)
        for app in it.apps:
            assert app.pool.idle == []
            assert repr(app.pool).startswith("<Pool 0 idle")

    def do(self, it: Proxied, what: str, value: Any, framing: str, path: bytes, bodies: dict[bytes, bytes]) -> None:
        if what == "body":
            if framing != "none":
                bodies[path] += value
                it.says(b"%x\r\n%b\r\n" % (len(value), value) if framing == "chunked" else value)
        elif what == "wait":
            it.waits(value)
        elif what == "end":
            it.leaves()
        elif it.asked:
            attempt = it.app.attempts[-1] if it.app.attempts else None
            if attempt is None:
                return
            if attempt.wire is None:
                if what == "accept" and not attempt.was_given_up:
                    it.accepts()
                elif what == "refuse" and not attempt.was_given_up:
                    it.refuses()
            elif attempt.wire.loss is None:
                if what == "answer":
                    it.answers(value)
                elif what == "close":
                    it.closes(ConnectionDone)
                elif what == "cut":
                    it.closes(ConnectionLost)
                elif what == "room":
                    attempt.wire.room = value
                    it.settle()

    def check(self, it: Proxied, methods: dict[bytes, bytes], bodies: dict[bytes, bytes]) -> None:
        under_way = len(it.seen) - len(it.outcomes)
        assert 0 <= under_way <= 1, (it.seen, it.outcomes)
        assert sum(it.in_flight) <= under_way and min(it.in_flight) >= 0, (it.in_flight, under_way)
        sent: dict[bytes, int] = {}
        for wire in it.wires()[1:]:
            for received in requests_on(wire):
                path = received.head.path
                assert received.head.method == methods[path]
                assert bodies[path].startswith(received.body), (path, len(received.body))
                sent[path] = sent.get(path, 0) + 1
        for path, times in sent.items():
            assert times <= (1 if methods[path] == b"POST" else 3), (path, times)
