"""Tests of `scalekit.kit.asgi_app`: an event loop is not needed to see what it says when."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit.asgi_app import BehindASGI, Scope
from scalekit.kit.context import current
from scalekit.kit.registration import RESPONSE, response_to
from scalekit.kit.told import LOOPBACK, Balancers

STARTUP, SHUTDOWN = {"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}
FIELDS = [
    (b"x-forwarded-for", b"203.0.113.7"),
    (b"x-forwarded-for", b"10.0.0.1"),
    (b"x-forwarded-proto", b"https"),
    (b"x-request-id", b"ab-1"),
    (b"traceparent", b"00-1-2-01"),
]


class BehindASGITests(SynchronousTestCase):
    def setUp(self) -> None:
        self.is_leaving = False
        self.secret = ""
        self.events: list[str] = []
        self.seen: Scope = {}

    async def leave(self) -> None:
        self.events.append("left")

    def run_app(
        self,
        scope: Scope,
        *messages: dict[str, Any],
        application: Callable[..., Awaitable[None]] | None = None,
    ) -> list[dict[str, Any]]:
        """What is sent to the server; each message is noted among the events by its type."""
        sent: list[dict[str, Any]] = []
        waiting = list(messages)

        async def receive() -> dict[str, Any]:
            return waiting.pop(0)

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)
            self.events.append(message["type"])

        wrapped = BehindASGI(
            application or self.application,
            Balancers(LOOPBACK),
            lambda: self.is_leaving,
            lambda: self.events.append("joined"),
            self.leave,
            lambda: self.secret,
        )
        try:
            wrapped(scope, receive, send).send(None)
        except StopIteration:
            return sent
        raise AssertionError("it waits")

    async def application(self, scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        self.seen = scope
        self.logged = dict(current())
        await send({"type": "application"})

    def http(self, path: str = "/x", method: str = "GET", **more: Any) -> Scope:
        return {"type": "http", "path": path, "method": method, "scheme": "http", "headers": [], "client": None} | more

    def test_ping(self) -> None:
        for method, body in {"GET": b"OK\n", "HEAD": b""}.items():
            start, end = self.run_app(self.http("/ping", method))
            self.assertEqual((start["status"], end["body"]), (200, body))
            self.assertIn((b"content-length", b"3"), start["headers"])
        self.assertEqual(self.run_app(self.http("/ping", "POST")), [{"type": "application"}])
        self.is_leaving = True
        start, end = self.run_app(self.http("/ping"))
        self.assertEqual((start["status"], end["body"]), (410, b"draining\n"))

    def test_challenges(self) -> None:
        scope = self.http("/ping", headers=[(b"x-scalekit-challenge", b"nonce")])
        self.assertEqual(len(self.run_app(scope)[0]["headers"]), 3)
        self.secret = "abc"
        response = (RESPONSE.lower().encode(), response_to("nonce", "abc").encode())
        self.assertIn(response, self.run_app(scope)[0]["headers"])

    def test_the_balancer_is_believed(self) -> None:
        given = self.http(headers=FIELDS, client=("127.0.0.1", 4711))
        self.run_app(given)
        self.assertEqual((self.seen["client"], self.seen["scheme"]), (("203.0.113.7", 0), "https"))
        self.assertEqual(self.seen["scalekit"], {"peer": "127.0.0.1", "request_id": "ab-1", "traceparent": "00-1-2-01"})
        self.assertEqual((self.logged, current()), ({"request_id": "ab-1"}, {}))
        self.assertEqual(given["client"], ("127.0.0.1", 4711), "the server's own is not touched")
        self.run_app(self.http(headers=FIELDS, client=("127.0.0.1", 4711), type="websocket", scheme="ws"))
        self.assertEqual((self.seen["client"], self.seen["scheme"]), (("203.0.113.7", 0), "wss"))

    def test_what_the_server_has_believed_already_is(self) -> None:
        """As uvicorn does, which then says that the client's port is 0."""
        self.run_app(self.http(headers=FIELDS, client=("203.0.113.7", 0)))
        self.assertEqual(self.seen["scalekit"]["request_id"], "ab-1")

    def test_nobody_else_is(self) -> None:
        given = self.http(headers=FIELDS, client=("10.0.0.1", 4711))
        self.run_app(given)
        self.assertIs(self.seen, given)

    def test_an_application_without_lifespan(self) -> None:
        self.run_app({"type": "lifespan"}, STARTUP, SHUTDOWN)
        self.assertEqual(self.events, ["lifespan.startup.complete", "joined", "left", "lifespan.shutdown.complete"])

    def test_one_that_returns_from_it(self) -> None:
        async def application(scope: Scope, receive: Any, send: Any) -> None:
            pass

        self.run_app({"type": "lifespan"}, STARTUP, SHUTDOWN, application=application)
        self.assertEqual(self.events, ["lifespan.startup.complete", "joined", "left", "lifespan.shutdown.complete"])

    def test_one_with_its_own(self) -> None:
        async def application(scope: Scope, receive: Any, send: Any) -> None:
            for kind in ("startup", "shutdown"):
                self.events.append((await receive())["type"])
                await send({"type": f"lifespan.{kind}.complete"})

        self.run_app({"type": "lifespan"}, STARTUP, SHUTDOWN, application=application)
        self.assertEqual(
            self.events,
            [
                *("lifespan.startup", "lifespan.startup.complete", "joined"),
                *("left", "lifespan.shutdown", "lifespan.shutdown.complete"),
            ],
        )

    def test_one_that_cannot_start_is_not_registered(self) -> None:
        async def application(scope: Scope, receive: Any, send: Any) -> None:
            await receive()
            await send({"type": "lifespan.startup.failed", "message": "no database"})

        self.run_app({"type": "lifespan"}, STARTUP, application=application)
        self.assertEqual(self.events, ["lifespan.startup.failed"])

    def test_one_that_fails_in_it(self) -> None:
        async def application(scope: Scope, receive: Any, send: Any) -> None:
            await receive()
            raise RuntimeError("no database")

        self.assertRaises(RuntimeError, self.run_app, {"type": "lifespan"}, STARTUP, application=application)
        self.assertEqual(self.events, [])
