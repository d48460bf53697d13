"""The pool: who is taken, who is kept, and what happens to those under way when it closes."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.net import pool
from scalekit.net.deadlines import Wheel
from scalekit.net.pool import MOST_IDLE, MOST_OPENING, YOUNG_SECONDS
from scalekit.net.pooled import UpstreamTimeouts
from scalekit.net.upstream import UpstreamConnection
from tests.net.app_server import AppServer, Receiver
from tests.net.conversation import MemoryTransport

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def raising(protocol: object, failed: object) -> Callable[[], None]:
    """An opener that cannot even begin."""
    raise ValueError


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


class Many(Case):
    """More than may be opened at a time."""

    def setUp(self) -> None:
        super().setUp()
        self.give_ups = [self.want() for _ in range(MOST_OPENING)]

    def want(self, *is_fresh: bool) -> Callable[[], None]:
        return self.pool.open(self.ready.append, lambda fault: self.failed.append(fault.reason), *is_fresh)

    def check(self, attempts: int, waiting: int) -> None:
        """How many connects there have been, and who waits for one."""
        self.assertEqual(len(self.app.attempts), attempts)
        under_way = [one for one in self.app.attempts if one.wire is None and one._deadline.active()]
        line = f", {waiting} waiting" if waiting else ""
        self.assertEqual(repr(self.pool), f"<Pool {len(self.pool.idle)} idle, {len(under_way)} opening{line}>")
        self.assertLessEqual(len(under_way), MOST_OPENING)

    def test_the_next_begins_when_one_stands_or_has_failed(self) -> None:
        for _ in range(3):
            self.want()
        self.check(MOST_OPENING, 3)
        self.app.attempts[0].succeed()
        self.check(MOST_OPENING + 1, 2)
        self.app.attempts[1].fail()
        self.check(MOST_OPENING + 2, 1)
        self.give_ups[2]()
        self.check(MOST_OPENING + 3, 0)
        self.assertEqual((len(self.ready), self.failed), (1, ["connect-refused"]))

    def test_given_up_it_leaves_the_line(self) -> None:
        give_up, other = self.want(), self.want()
        give_up()
        give_up()
        self.check(MOST_OPENING, 1)
        self.app.attempts[0].succeed()
        self.check(MOST_OPENING + 1, 0)
        other()
        self.assertTrue(self.app.attempts[-1].was_given_up)
        self.clock.pump([0.25] * 20)
        self.assertEqual(len(self.failed), MOST_OPENING - 1, "those that were not given up")

    def test_a_connection_that_is_free_again_serves_who_waits(self) -> None:
        for _ in range(3):
            self.want()
        wire = self.app.attempts[0].succeed()
        connection = self.ready[0]
        for _ in range(2):
            self.use(connection, wire)
        self.assertEqual(self.ready, [connection] * 3)
        self.use(connection, wire)
        self.check(MOST_OPENING + 1, 0)
        self.assertEqual(self.pool.idle, [connection])
        self.clock.pump([0.25] * 20)
        self.assertEqual(len(self.failed), MOST_OPENING, "whoever was served is not told that it was not")

    def test_who_wants_a_new_one_waits_for_that(self) -> None:
        self.want()
        for _ in range(2):
            self.pool.open_alone(self.ready.append, self.fail)
        self.want()
        wire = self.app.attempts[0].succeed()  # and the first one's begins
        connection = self.ready[0]
        self.use(connection, wire)
        self.assertEqual(self.ready, [connection] * 2, "the last one goes past those in front of it")
        self.check(MOST_OPENING + 1, 2)
        self.use(connection, wire)
        self.check(MOST_OPENING + 1, 2)
        self.assertEqual(self.pool.idle, [connection])

    def test_waiting_has_an_end(self) -> None:
        self.want()
        self.clock.pump([0.25] * 8)
        # The others' time is over, and its own not yet: it may have had to wait for a moment only.
        self.assertEqual((len(self.failed), len(self.app.attempts)), (MOST_OPENING, MOST_OPENING + 1))
        self.clock.pump([0.25] * 3)
        self.assertEqual(self.failed, ["connect-timeout"] * (MOST_OPENING + 1))
        self.assertTrue(self.app.attempts[-1].was_given_up)
        self.check(MOST_OPENING + 1, 0)

    def test_also_in_the_line(self) -> None:
        self.want()
        for _ in range(5):
            self.clock.advance(1.0)
            for attempt in self.app.attempts:  # whose own deadlines are longer
                if attempt._deadline.active():
                    attempt._deadline.reset(10)
        self.assertEqual((self.failed, len(self.app.attempts)), (["connect-timeout"], MOST_OPENING))
        self.check(MOST_OPENING, 0)

    def test_the_line_has_an_end(self) -> None:
        self.patch(pool, "MOST_WAITING", 2)
        self.want()
        for _ in range(2):
            self.pool.open(self.ready.append, self.fail)
        self.assertEqual(self.failed, ["connect-queue-full"])
        self.check(MOST_OPENING, 2)

    def test_two_full_lines_whose_first_ones_go_to_the_other(self) -> None:
        """As requests that are tried elsewhere do."""
        self.patch(pool, "MOST_OPENING", 0)
        self.patch(pool, "MOST_WAITING", 400)
        pools = [AppServer(self.clock, self.wheel).pool for _ in range(2)]

        def elsewhere(number: int) -> Callable[[object], None]:
            def failed(fault: object) -> None:
                pools[1 - number].open(self.fail, lambda fault: self.failed.append("both"))

            return failed

        for number in range(2):
            for _ in range(400):
                pools[number].open(self.fail, elsewhere(number))
        self.assertEqual(self.failed, [])
        pools[0].open(self.fail, elsewhere(0))
        self.assertEqual([repr(one) for one in pools], ["<Pool 0 idle, 0 opening, 400 waiting>"] * 2)
        self.assertEqual(self.failed, ["both"])

    def test_a_closed_pool_serves_who_waits(self) -> None:
        for _ in range(2):
            self.want()
        self.pool.close()
        wire = self.app.attempts[0].succeed()
        self.use(self.ready[0], wire)
        self.assertEqual(len(self.ready), 2)
        self.use(self.ready[1], wire)
        self.assertIs(wire.loss, ConnectionDone)

    def test_who_waits_is_told_of_what_cannot_be_tried(self) -> None:
        """And the one whose connection stands, or has failed, is told of that."""
        faults: list[Exception] = []
        self.patch(self.pool, "_open_connection", raising)
        for _ in range(3):
            self.pool.open(self.fail, faults.append)
        self.app.attempts[0].succeed()
        self.assertEqual((len(self.ready), [type(fault) for fault in faults]), (1, [ValueError] * 3))
        self.assertEqual(repr(self.pool), f"<Pool 0 idle, {MOST_OPENING - 1} opening>")
        self.app.attempts[1].fail()
        self.assertEqual(self.failed, ["connect-refused"])
        self.clock.advance(30)
        self.assertEqual(len(faults), 3)

    def test_what_cannot_be_tried_takes_no_room(self) -> None:
        broken = pool.Pool(raising, self.wheel, UpstreamTimeouts())
        self.assertRaises(ValueError, broken.open, self.fail, self.fail)
        self.assertEqual(repr(broken), "<Pool 0 idle, 0 opening>")


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
