"""Tests of `scalekit.kit.wsgi_app`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit.context import current
from scalekit.kit.registration import RESPONSE, response_to
from scalekit.kit.told import LOOPBACK, Balancers
from scalekit.kit.wsgi_app import BehindWSGI

FIELDS = {
    "HTTP_X_FORWARDED_FOR": "203.0.113.7, 10.0.0.1",
    "HTTP_X_FORWARDED_PROTO": "https",
    "HTTP_X_REQUEST_ID": "ab-1",
    "HTTP_TRACEPARENT": "00-1-2-01",
}


class BehindWSGITests(SynchronousTestCase):
    def setUp(self) -> None:
        self.is_leaving = False
        self.secret = ""
        self.fields: dict[str, str] = {}
        self.seen: dict[str, Any] = {}
        self.joined: list[int] = []
        wrapped = BehindWSGI(
            self.application,
            Balancers(LOOPBACK),
            lambda: self.is_leaving,
            lambda: self.joined.append(1),
            lambda: self.secret,
        )
        self.wrapped = wrapped
        self.checked = validator(wrapped)

    def application(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        self.seen = environ
        self.logged = dict(current())
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"application"]

    def ask(self, path: str, method: str = "GET", **environ: str) -> tuple[str, bytes]:
        given: dict[str, Any] = {"PATH_INFO": path, "SCRIPT_NAME": "", "REQUEST_METHOD": method, "QUERY_STRING": ""}
        given |= environ
        setup_testing_defaults(given)
        status: list[str] = []

        def begin(line: str, fields: list[tuple[str, str]], exc_info: Any = None) -> Callable[[bytes], None]:
            status.append(line)
            self.fields = dict(fields)
            return lambda data: None

        answer = self.checked(given, begin)
        try:
            return status[0] if status else "", b"".join(answer)
        finally:
            answer.close()  # type: ignore[attr-defined]

    def test_ping(self) -> None:
        self.assertEqual(self.ask("/ping"), ("200 OK", b"OK\n"))
        self.assertEqual(self.ask("/ping", "HEAD"), ("200 OK", b""))
        self.assertEqual(self.ask("/ping", "POST")[1], b"application")
        self.assertEqual(self.ask("/ping/2")[1], b"application")
        self.is_leaving = True
        self.assertEqual(self.ask("/ping"), ("410 Gone", b"draining\n"))

    def test_challenges(self) -> None:
        self.ask("/ping", HTTP_X_SCALEKIT_CHALLENGE="nonce")
        self.assertNotIn(RESPONSE, self.fields)
        self.secret = "abc"
        self.ask("/ping", HTTP_X_SCALEKIT_CHALLENGE="nonce")
        self.assertEqual(self.fields[RESPONSE], response_to("nonce", "abc"))
        self.ask("/ping")
        self.assertNotIn(RESPONSE, self.fields)

    def test_the_balancer_is_believed(self) -> None:
        self.assertEqual(self.ask("/x", REMOTE_ADDR="127.0.0.1", REMOTE_PORT="4711", **FIELDS)[1], b"application")
        self.assertEqual(
            [self.seen.get(name) for name in ("REMOTE_ADDR", "REMOTE_PORT", "wsgi.url_scheme", "scalekit.peer")],
            ["203.0.113.7", None, "https", "127.0.0.1"],
        )
        self.assertEqual(self.seen["scalekit.request_id"], "ab-1")
        self.assertEqual(self.seen["scalekit.traceparent"], "00-1-2-01")
        self.assertEqual((self.logged, current()), ({"request_id": "ab-1"}, {}))

    def test_nobody_else_is(self) -> None:
        self.ask("/x", REMOTE_ADDR="10.0.0.1", **FIELDS)
        self.assertEqual((self.seen["REMOTE_ADDR"], self.seen["wsgi.url_scheme"]), ("10.0.0.1", "http"))
        self.assertEqual([name for name in self.seen if name.startswith("scalekit.")], [])

    def test_a_balancer_that_tells_nothing(self) -> None:
        self.ask("/x", REMOTE_ADDR="127.0.0.1")
        self.assertEqual((self.seen["REMOTE_ADDR"], self.seen["scalekit.request_id"]), ("127.0.0.1", ""))

    def test_join(self) -> None:
        self.wrapped.join()
        self.assertEqual(self.joined, [1])
