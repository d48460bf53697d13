"""Tests of `scalekit.kit.ping`."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from scalekit.http.heads import ResponseHead
from scalekit.kit.ping import PingFirst
from scalekit.web.memory import ask


class Application:
    def respond(self, exchange: Any) -> None:
        exchange.answer(ResponseHead(200, []), b"application")


class PingFirstTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.front = PingFirst(Application())

    def test_here_and_leaving(self) -> None:
        exchange = ask(self.front, b"GET", b"/ping")
        self.assertEqual((exchange.status, exchange.sent), (200, b"OK\n"))
        self.front.is_draining = True
        exchange = ask(self.front, b"GET", b"/ping?x=1")
        self.assertEqual((exchange.status, exchange.sent), (410, b"draining\n"))

    def test_everything_else_is_the_application_s_also_while_draining(self) -> None:
        self.front.is_draining = True
        for method, target in ((b"GET", b"/"), (b"GET", b"/ping/pong"), (b"POST", b"/ping")):
            self.assertEqual(ask(self.front, method, target).sent, b"application")
