"""More requests at once than connections are opened: who waits for one is served, and a replay gets its own."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from scalekit.net import pool
from tests.balancer.proxied import Proxied, requests_on

GET = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Crowd(Proxied):
    """Many clients of one app server."""

    def __init__(self) -> None:
        self.clients: list[Any] = []
        super().__init__(1)

    def wires(self) -> list[Any]:
        return [*self.clients, *super().wires()]

    def ask(self, number: int) -> None:
        """One more client asks for ``/number``."""
        self.connect()
        self.clients.append(self.wire)
        self.says(GET % number)

    def asked_for(self) -> list[list[bytes]]:
        """What each connection to the app server has been asked for, the oldest first."""
        wires = [attempt.wire for attempt in self.app.attempts if attempt.wire is not None]
        return [[bytes(one.head.path) for one in requests_on(wire)] for wire in wires]


class BurstTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(pool, "MOST_OPENING", 1)
        self.it = Crowd()

    def accept(self) -> Any:
        """The app server accepts the one connect that is under way."""
        wire = self.it.app.attempts[-1].succeed()
        self.it.settle()
        return wire

    def answer(self, wire: Any) -> None:
        self.it.app.says(OK, wire=wire)
        self.it.settle()

    def test_they_share_what_stands(self) -> None:
        for number in range(3):
            self.it.ask(number)
        first = self.accept()
        self.assertEqual(len(self.it.app.attempts), 2)
        for _ in range(2):
            self.answer(first)
        self.assertEqual(self.it.asked_for(), [[b"/0", b"/2"]])
        self.answer(self.accept())
        self.assertEqual([outcome[1] for outcome in self.it.outcomes], [200] * 3)
        self.assertEqual(self.it.in_flight, [0])

    def test_a_client_that_leaves_leaves_the_line(self) -> None:
        for number in range(3):
            self.it.ask(number)
        self.it.clients[1].lose()
        self.it.settle()
        first = self.accept()
        self.answer(first)
        self.answer(self.accept())
        self.assertEqual(self.it.asked_for(), [[b"/0"], [b"/2"]])
        self.assertEqual(self.it.in_flight, [0])

    def test_what_met_a_close_gets_a_fresh_one(self) -> None:
        wires = []
        for number in range(2):
            self.it.ask(number)
            wires.append(self.accept())
        for wire in wires:
            self.answer(wire)
        for number in range(2, 5):
            self.it.ask(number)  # on those two, the last used first; and one is being opened
        self.assertEqual(self.it.asked_for(), [[b"/0", b"/3"], [b"/1", b"/2"]])
        self.it.app.closes(wire=wires[1])
        self.it.settle()
        self.answer(wires[0])  # it is free, but might be closed just as well
        self.assertEqual(self.it.asked_for()[0], [b"/0", b"/3"])
        third = self.accept()
        self.answer(third)
        self.answer(self.accept())
        self.assertEqual(self.it.asked_for()[2:], [[b"/4"], [b"/2"]])
        self.assertEqual([outcome[1] for outcome in self.it.outcomes], [200] * 5)
