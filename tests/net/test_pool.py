"""The pool: who is taken, who is kept, and what happens to those under way when it closes."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.net.deadlines import Wheel
from scalekit.net.pool import MOST_IDLE, YOUNG_SECONDS
from scalekit.net.upstream import UpstreamConnection, UpstreamTimeouts
from tests.net.app_server import AppServer, Receiver
from tests.net.conversation import MemoryTransport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.wheel = Wheel(self.clock)
        self.wheel.start()
        self.app = AppServer(self.clock, self.wheel, UpstreamTimeouts(idle=30))
        self.pool = self.app.pool
        self.ready: list[UpstreamConnection] = []
        self.failed: list[str] = []

    def open(self) -> tuple[UpstreamConnection, MemoryTransport]:
        self.pool.open(self.ready.append, lambda fault: self.failed.append(fault.reason))
        wire = self.app.accepts()
        return self.ready[-1], wire

    def use(self, connection: UpstreamConnection, wire: MemoryTransport) -> None:
        receiver = Receiver()
        connection.send(b"x", b"GET", receiver)
        self.app.says(OK, wire=wire)
        self.assertEqual(receiver.events, [("answered", 200, b"ok")])

    def idle_ones(self, count: int) -> list[tuple[UpstreamConnection, MemoryTransport]]:
        opened = [self.open() for _ in range(count)]
        for connection, wire in opened:
            self.use(connection, wire)
        return opened


class Taking(Case):
    def test_nothing_there(self) -> None:
        self.assertIsNone(self.pool.take())
        self.assertIsNone(self.pool.take_young())

    def test_the_last_used_comes_first(self) -> None:
        first, second = (connection for connection, _ in self.idle_ones(2))
        self.assertIs(self.pool.take(), second)
        self.assertIs(self.pool.take(), first)
        self.assertIsNone(self.pool.take())

    def test_for_what_may_not_be_sent_twice_only_a_young_one(self) -> None:
        ((connection, wire),) = self.idle_ones(1)
        self.assertIs(self.pool.take_young(), connection)
        self.use(connection, wire)
        self.clock.pump([0.25] * round((YOUNG_SECONDS + 0.5) / 0.25))
        self.assertIsNone(self.pool.take_young())
        self.assertIs(self.pool.take(), connection, "others may have it")

    def test_so_many_are_kept_and_no_more(self) -> None:
        opened = self.idle_ones(MOST_IDLE + 3)
        self.assertEqual(len(self.pool.idle), MOST_IDLE)
        for _, wire in opened:
            wire.settle()
        self.assertEqual(sum(wire.loss is ConnectionDone for _, wire in opened), 3)

    def test_what_has_ended_is_not_taken(self) -> None:
        (_, first), (_, second) = self.idle_ones(2)
        second.lose()
        self.app.says(b"surprise", wire=first)
        self.assertIsNone(self.pool.take())


class Opening(Case):
    def test_it_fails_once(self) -> None:
        self.pool.open(self.ready.append, lambda fault: self.failed.append(fault.reason))
        self.app.attempts[0].fail()
        self.app.attempts[0].fail()
        self.assertEqual((self.ready, self.failed), ([], ["connect-refused"]))

    def test_given_up_nobody_is_called(self) -> None:
        give_up = self.pool.open(self.ready.append, lambda fault: self.failed.append(fault.reason))
        give_up()
        give_up()
        self.assertTrue(self.app.attempts[0].was_given_up)
        self.app.attempts[0].fail()
        self.app.accepts()
        self.assertEqual((self.ready, self.failed), ([], []))
        self.assertIsNotNone(self.app.wire.loss)

    def test_giving_up_too_late_harms_nobody(self) -> None:
        give_up = self.pool.open(self.ready.append, self.fail)
        self.app.accepts()
        give_up()
        self.assertFalse(self.app.attempts[0].was_given_up)
        self.use(self.ready[0], self.app.wire)

    def test_repr(self) -> None:
        self.idle_ones(1)
        self.pool.open(self.ready.append, self.fail)
        self.assertEqual(repr(self.pool), "<Pool 1 idle, 1 opening>")
        self.pool.close()
        self.assertEqual(repr(self.pool), "<Pool 0 idle, 1 opening closed>")


class Closing(Case):
    def test_idle_ones_end_now_and_orderly(self) -> None:
        ((_, wire),) = self.idle_ones(1)
        self.pool.close()
        wire.settle()
        self.assertIs(wire.loss, ConnectionDone)

    def test_a_busy_one_ends_after_what_it_carries(self) -> None:
        connection, wire = self.open()
        receiver = Receiver()
        connection.send(b"x", b"GET", receiver)
        self.pool.close()
        wire.settle()
        self.assertIsNone(wire.loss)
        self.app.says(OK, wire=wire)
        self.assertEqual(receiver.events, [("answered", 200, b"ok")])
        self.assertIs(wire.loss, ConnectionDone)
        self.assertEqual(self.pool.idle, [])

    def test_one_that_is_being_opened_carries_its_request(self) -> None:
        self.pool.open(self.ready.append, self.fail)
        self.pool.close()
        wire = self.app.accepts()
        self.use(self.ready[0], wire)
        self.assertIs(self.app.wire.loss, ConnectionDone)
