"""Tests of `scalekit.balancer.sticky`, alone and through the proxy."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.balancer.picking.turns import RoundRobin
from scalekit.balancer.sticky import Sticky
from scalekit.balancer.traffic import Traffic
from scalekit.http.heads import Client, RequestHead, ResponseHead
from tests.balancer.proxied import GET, HELLO, Case, Proxied, get
from tests.balancer.test_picking import several
from tests.balancer.test_tunnels import AGREE, ASK

KEY = b"k" * 32


class Asked:
    def __init__(self, cookie: bytes | None, is_secure: bool = False) -> None:
        fields = [] if cookie is None else [(b"Cookie", b"a=b; scalekit-shop=" + cookie)]
        self.head = RequestHead(b"GET", b"/", fields)
        self.client = Client("192.0.2.7", 5000, is_secure, 2000)


class TokenTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.sticky = Sticky(KEY, "shop")
        self.available = several(1, 1, 1)

    def test_it_brings_back(self) -> None:
        for instance in self.available:
            exchange = Asked(self.sticky.token(instance))
            self.assertIs(self.sticky.instance_of(exchange, self.available), instance)
            # Also after a restart, and on another balancer.
            self.assertIs(Sticky(KEY, "shop").instance_of(exchange, self.available[::-1]), instance)

    def test_it_names_no_address(self) -> None:
        for instance in self.available:
            token = self.sticky.token(instance)
            self.assertRegex(token, rb"\A[A-Za-z0-9_-]{22}\Z")
            self.assertNotIn(str(instance.port).encode() + b"=", token)

    def test_it_is_good_for_its_service_and_its_key_only(self) -> None:
        for other in (Sticky(KEY, "blog", "scalekit-shop"), Sticky(b"o" * 32, "shop")):
            exchange = Asked(other.token(self.available[0]))
            self.assertIsNone(self.sticky.instance_of(exchange, self.available))

    def test_whoever_is_away_is_not_gone_to(self) -> None:
        exchange = Asked(self.sticky.token(self.available[0]))
        self.assertIsNotNone(self.sticky.instance_of(exchange, self.available))
        self.assertIsNone(self.sticky.instance_of(exchange, self.available[1:]))
        self.assertIsNotNone(self.sticky.instance_of(exchange, self.available))

    @given(st.none() | st.binary(max_size=30))
    def test_nothing_else_is_a_token(self, cookie: bytes | None) -> None:
        self.assertIsNone(Sticky(KEY, "shop").instance_of(Asked(cookie), several(1, 1)))

    def test_the_cookie(self) -> None:
        one = self.available[0]
        token = self.sticky.token(one)
        for is_secure, end in ((False, b""), (True, b"; Secure")):
            head = ResponseHead(200, [(b"A", b"b")], 5, b"Fine", True)
            marked = self.sticky.marked(head, Asked(None, is_secure), one, self.available)
            self.assertEqual(
                marked.get(b"set-cookie"), b"scalekit-shop=" + token + b"; Path=/; HttpOnly; SameSite=Lax" + end
            )
            self.assertEqual(marked.get(b"cache-control"), b'no-cache="set-cookie"')
            self.assertEqual(
                (marked.length, marked.reason, marked.has_date, marked.get(b"a")), (5, b"Fine", True, b"b")
            )
            self.assertIsNone(head.get(b"set-cookie"), "a head may be shared")

    def test_when_there_is_none(self) -> None:
        one, other, _ = self.available
        head = ResponseHead(200, [])
        for exchange in (Asked(self.sticky.token(one)), Asked(self.sticky.token(other))):
            self.assertIs(self.sticky.marked(head, exchange, one, self.available), head)
        error = ResponseHead(500, [])
        self.assertIs(self.sticky.marked(error, Asked(None), one, self.available), error)

    def test_its_name(self) -> None:
        self.assertEqual(repr(Sticky(KEY, "shop", "session")), "<Sticky session>")


class ThroughTheProxy(Case):
    def begin(self, count: int = 3) -> tuple[Proxied, Any]:
        it = Proxied(count)
        it.proxy.traffic["default"] = Traffic(RoundRobin(), sticky=Sticky(KEY, "default"))
        return it, it.proxy.traffic["default"]

    def answered(self, it: Proxied) -> bytes:
        """The cookie that comes with an answer; empty without one."""
        if it.app.attempts[-1].wire is None:
            it.accepts()
        it.answers(HELLO)
        found = re.search(rb"Set-Cookie: ([^;]+);", it.hears())
        return found[1] if found else b""

    def test_there_and_back_again(self) -> None:
        it, _ = self.begin()
        it.says(GET)
        app, cookie = it.app, self.answered(it)
        self.assertTrue(cookie.startswith(b"scalekit-default="))
        for _ in range(4):
            it.says(get(b"/", b"Cookie: " + cookie))
            self.assertIs(it.app, app)
            self.assertEqual(self.answered(it), b"")
        self.ends(it, *[(200, "")] * 5)

    def test_an_answer_in_pieces(self) -> None:
        it, _ = self.begin()
        it.says(GET)
        it.accepts()
        it.answers(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe", b"llo")
        self.assertIn(b"Set-Cookie: scalekit-default=", it.hears())

    def test_a_tunnel(self) -> None:
        it, _ = self.begin()
        it.says(ASK)
        it.accepts()
        it.answers(AGREE)
        self.assertIn(b"Set-Cookie: scalekit-default=", it.hears())

    def test_draining_goes_before(self) -> None:
        it, _ = self.begin()
        it.says(GET)
        app, cookie = it.app, self.answered(it)
        gone = it.instances[it.apps.index(app)]
        it.roster.settle_static("default", [one.endpoint for one in it.instances if one is not gone], 0.0)
        it.says(get(b"/", b"Cookie: " + cookie))
        other = it.app
        self.assertIsNot(other, app)
        fresh = self.answered(it)
        self.assertNotIn(fresh, (b"", cookie))
        it.says(get(b"/", b"Cookie: " + fresh))
        self.assertIs(it.app, other)

    def test_one_that_fails_once_keeps_its_clients(self) -> None:
        it, traffic = self.begin()
        cookie = b"scalekit-default=" + traffic.sticky.token(it.instances[2])
        it.says(get(b"/", b"Cookie: " + cookie))
        self.assertIs(it.app, it.apps[2])
        it.refuses()
        self.assertIsNot(it.app, it.apps[2])
        self.assertEqual(self.answered(it), b"")
        it.says(get(b"/", b"Cookie: " + cookie))
        self.assertIs(it.app, it.apps[2])

    def test_one_that_is_full_keeps_its_clients(self) -> None:
        it, traffic = self.begin()
        it.instances[1].max_in_flight = it.instances[1].in_flight = 1
        it.says(get(b"/", b"Cookie: scalekit-default=" + traffic.sticky.token(it.instances[1])))
        self.assertIsNot(it.app, it.apps[1])
        self.assertEqual(self.answered(it), b"")
