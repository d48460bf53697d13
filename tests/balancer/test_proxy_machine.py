"""The reverse proxy, whatever happens in whatever order."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from tests.balancer.proxied import HELLO, OK, Proxied, get, requests_on

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
