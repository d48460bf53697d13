from __future__ import annotations

import http.client
import os

from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit.cache_requests import Request
from scalekit.kit.connections import IDLE_SECONDS, Connections
from tests.kit.answering import PATIENCE_SECONDS, Answering


class ConnectionsTests(Answering, SynchronousTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.connections = Connections(self.url, "", self.now)
        self.addCleanup(self.connections.close)

    def ask(self, seconds: float = PATIENCE_SECONDS) -> bytes:
        return self.connections.ask(Request("GET", "/", {}, None, seconds), {}).body

    def test_kept(self) -> None:
        for _ in range(3):
            self.assertEqual(self.ask(), b"value")
        self.assertEqual(self.ports(), 1)
        self.skipped = IDLE_SECONDS
        self.ask()
        self.assertEqual(self.ports(), 2)

    def test_after_an_answer_without_a_body_too(self) -> None:
        self.server.next = 204, {"Content-Length": "0"}, b""
        for _ in range(2):
            self.assertEqual(self.ask(), b"")
        self.assertEqual(self.ports(), 1)

    def test_warmed_up(self) -> None:
        self.connections.warm_up()
        ((connection, _),) = self.connections._idle
        self.ask()
        self.assertEqual(self.server.asked[0][4], connection.sock.getsockname()[1])
        Connections("http://127.0.0.1:1", "", self.now).warm_up()  # nobody is there

    def test_one_that_was_closed_meanwhile(self) -> None:
        self.server.closes = True
        self.assertEqual([self.ask() for _ in range(3)], [b"value"] * 3)
        self.assertEqual(self.ports(), 3)

    def test_after_a_fork(self) -> None:
        self.ask()
        ((ours, _),) = self.connections._idle
        self.addCleanup(ours.close)
        self.patch(os, "getpid", lambda: -1)
        self.ask()
        self.assertEqual(self.ports(), 2)

    def test_cut_in_the_middle(self) -> None:
        self.server.next, self.server.closes = (200, {"Content-Length": "50"}, b"half"), True
        self.assertRaises(http.client.IncompleteRead, self.ask)

    def test_hung(self) -> None:
        self.server.next = 0, {}, b""
        self.assertRaises(TimeoutError, self.ask, 0.05)

    def test_repr(self) -> None:
        self.ask()
        self.assertRegex(repr(self.connections), r"^<Connections to 127.0.0.1:\d+, 1 idle>$")
