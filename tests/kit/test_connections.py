from __future__ import annotations

import http.client
import os
import socket
import threading

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit.cache_requests import Request
from scalekit.kit.connections import IDLE_SECONDS, TURNS, Connections, Patience
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
        self.ask()
        self.assertEqual((len(self.connections._state.idle), self.connections._state.opening), (1, 0))

    def test_one_that_is_opened_too_late_is_there_for_the_next(self) -> None:
        opened, made = threading.Event(), []

        def slow() -> http.client.HTTPConnection:
            connection = http.client.HTTPConnection(self.url.partition("//")[2])
            connect = connection.connect
            self.patch(connection, "connect", lambda: opened.wait(PATIENCE_SECONDS) and connect())
            made.append(connection)
            return connection

        self.patch(self.connections, "_new", slow)
        for _ in range(3):
            self.assertRaises(TimeoutError, self.ask, 0.01)
        opened.set()
        self.assertEqual([self.ask() for _ in range(2)], [b"value"] * 2)
        self.assertEqual(len(made), 1)

    def test_nobody_is_there(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        connections = Connections(f"http://127.0.0.1:{port}", "", self.now)
        request = Request("GET", "/", {}, None, PATIENCE_SECONDS)
        self.assertRaises(ConnectionError, connections.ask, request, {})
        self.assertRaises(ValueError, Connections, "http://127.0.0.1:99999", "", self.now)

    def test_no_thread_can_be_started(self) -> None:
        def start(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        self.patch(threading.Thread, "start", start)
        self.assertRaises(ConnectionError, self.ask)

    def test_one_that_was_closed_meanwhile(self) -> None:
        self.server.closes = True
        self.assertEqual([self.ask() for _ in range(3)], [b"value"] * 3)
        self.assertEqual(self.ports(), 3)

    def test_after_a_fork(self) -> None:
        self.ask()
        ((ours, _),) = self.connections._state.idle
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


class PatienceTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.patience = Patience(5.0, self.clock.seconds)

    def late(self, by: float) -> None:
        """Nothing comes, and the system lets us wait for so long."""

        def wait(seconds: float) -> None:
            self.clock.advance(seconds + by)
            raise TimeoutError

        self.assertIsNone(self.patience.turn(wait))

    def test_it_is_over_after_its_turns_however_late_we_are_run(self) -> None:
        for _ in range(TURNS):
            self.assertFalse(self.patience.is_over)
            self.late(by=1000.0)
        self.assertTrue(self.patience.is_over)
        self.assertGreater(self.patience.left, 0.0)

    def test_what_comes_early_leaves_the_rest(self) -> None:
        self.assertEqual(self.patience.turn(lambda seconds: self.clock.advance(0.25) or "came"), "came")
        self.assertEqual(self.patience.left, 4.75)
        self.patience.turn(lambda seconds: self.clock.advance(1000.0))
        self.assertEqual(self.patience.left, 4.75 - 5.0 / TURNS)
