"""The reverse proxy between a client and app servers, all in memory."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import succeed
from twisted.internet.task import Clock

from scalekit.balancer.routes import Claim
from scalekit.web.compress import Compress
from tests.balancer.proxied import GET, HELLO, OK, Case, Proxied, get


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
