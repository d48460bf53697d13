"""The reverse proxy between a client and app servers, all in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import succeed
from twisted.internet.task import Clock

from scalekit.balancer.forward import CONTINUE_SECONDS
from scalekit.balancer.routes import Claim
from scalekit.web.compress import Compress
from tests.balancer.proxied import GET, HELLO, OK, Case, Proxied, get, send


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
