"""Tests of `scalekit.balancer.turnover`: leaving."""

from __future__ import annotations

from scalekit.balancer.roster import Instance, State
from scalekit.balancer.turnover import DRAIN_SECONDS
from tests.balancer.rosters import A, B, RosterTestCase


class UnregisterTests(RosterTestCase):
    """Going."""

    def test_idle(self) -> None:
        """With nothing in flight an instance is gone at once."""
        a = self.up(A)
        self.assertIs(self.roster.unregister("default", a.id, 1.0), a)
        self.assertEqual(
            self.news(),
            ["127.0.0.1:3000 up>draining: unregistered", "127.0.0.1:3000 draining>gone: nothing in flight"],
        )
        self.assertEqual((self.roster.services(), self.roster.available("default")), ((), ()))

    def test_drains(self) -> None:
        """Nothing new, no probes, and gone when the last request is over."""
        a, b = self.up(A), self.up(B)
        a.in_flight = 2
        self.roster.unregister("default", a.id, 1.0)
        self.assertEqual(self.roster.available("default"), (b,))
        self.roster.expire(2.0)
        self.assertEqual(a.state, State.DRAINING)
        self.assertNotIn(a, self.roster.due(1000.0))
        a.in_flight = 0
        self.roster.expire(3.0)
        self.assertEqual(self.news()[-1], "127.0.0.1:3000 draining>gone: nothing in flight")

    def test_deadline(self) -> None:
        """After the deadline it is gone whatever is in flight."""
        a = self.up(A)
        a.in_flight = 1
        self.roster.unregister("default", a.id, 1.0)
        self.assertEqual(self.roster.next_deadline(), 1.0 + DRAIN_SECONDS)
        self.roster.expire(0.9 + DRAIN_SECONDS)
        self.assertEqual(a.state, State.DRAINING)
        self.roster.expire(1.0 + DRAIN_SECONDS)
        self.assertEqual(self.news()[-1], "127.0.0.1:3000 draining>gone: 1 in flight at the deadline")
        self.assertIsNone(self.roster.next_deadline())

    def test_unknown(self) -> None:
        """There is nothing to unregister."""
        self.assertIsNone(self.roster.unregister("default", A.id, 0.0))
        self.up(B)
        self.assertIsNone(self.roster.unregister("default", A.id, 0.0))

    def test_twice(self) -> None:
        """What is draining already is found, and not drained anew."""
        a = self.up(A)
        a.in_flight = 1
        self.roster.unregister("default", a.id, 1.0)
        self.news()
        self.assertIs(self.roster.unregister("default", a.id, 5.0), a)
        self.assertEqual((self.news(), a.drain_deadline), ([], 1.0 + DRAIN_SECONDS))

    def test_successor(self) -> None:
        """Who registers at an address that drains is a new instance, and the old one's end does not touch it."""
        a = self.up(A)
        a.in_flight = 1
        self.roster.unregister("default", a.id, 1.0)
        new = self.roster.register("default", A, 2.0)
        self.assertIsNot(new, a)
        a.in_flight = 0
        self.roster.expire(3.0)
        self.assertEqual((a.state, new.state), (State.GONE, State.JOINING))
        self.assertEqual(self.roster.available("default"), (new,))

    def test_waiting(self) -> None:
        """Who waits is called once, when it is gone; who has stopped waiting is not."""
        a = self.up(A)
        a.in_flight = 1
        called: list[Instance] = []
        dropped: list[Instance] = []
        never = dropped.append
        self.roster.unregister("default", a.id, 1.0)
        self.roster.wait_drained(a, called.append)
        self.roster.wait_drained(a, never)
        self.roster.stop_waiting(a, never)
        self.assertEqual(called, [])
        a.in_flight = 0
        self.roster.expire(2.0)
        self.roster.expire(3.0)
        self.assertEqual((called, dropped), ([a], []))
        self.roster.wait_drained(a, called.append)
        self.assertEqual(called, [a, a])
        self.roster.stop_waiting(a, never)
