"""Tests of `scalekit.balancer.leases`."""

from __future__ import annotations

from scalekit.balancer.judging import FORGET_LAPSED_SECONDS
from scalekit.balancer.roster import State
from tests.balancer.rosters import StateCase


class LeaseTests(StateCase):
    """Renewing, or not."""

    def test_missed_but_well(self) -> None:
        """A lease that is missed makes it suspect, and the next check that passes up again; it still gets requests."""
        a = self.enrol("a")
        self.rise(a)
        self.wait(14.0)
        self.assertIs(a.state, State.UP)
        self.wait(1.0)
        self.assertIs(a.state, State.SUSPECT)
        self.assertEqual(self.roster.available("default"), (a,))
        self.assertEqual(self.roster.due(self.now), [a])
        self.roster.probed(a, 200, "answered 200", self.now)
        self.wait(60.0)
        self.assertEqual(self.news()[-2:], ["a up>suspect: lease missed", "a suspect>up: the check passed"])

    def test_missed_and_dead(self) -> None:
        """One failed check is enough for who has missed its lease; it is forgotten sooner."""
        a = self.enrol("a")
        self.rise(a)
        self.wait(15.0)
        self.roster.probed(a, None, "connection refused", self.now, is_refused=True)
        self.assertEqual(self.news()[-2], "a suspect>down: lease missed, and the check failed: connection refused")
        self.now += FORGET_LAPSED_SECONDS
        self.fall(a)
        self.assertEqual(self.roster.services(), ())

    def test_renewed(self) -> None:
        """Renewing keeps it, and brings back who is suspect."""
        a = self.enrol("a")
        self.rise(a)
        for _ in range(5):
            self.wait(10.0)
            self.assertIs(self.roster.renew("default", "a", 1, self.now), a)
        self.wait(15.0)
        self.assertIs(a.state, State.SUSPECT)
        self.roster.renew("default", "a", None, self.now)
        self.assertEqual(self.news()[-1], "a suspect>up: lease renewed")
        self.assertIsNone(self.roster.renew("default", "b", 1, self.now))
        self.assertIsNone(self.roster.renew("default", "a", 2, self.now))

    def test_many_at_once(self) -> None:
        """If many lapse at once while probes pass, the registry is at fault: they are kept, which is told once."""
        instances = [self.enrol(f"i{number}", number=number) for number in range(10)]
        self.rise(*instances)
        self.news()
        self.wait(15.0)
        self.assertEqual(self.news(), ["leases-doubted "])
        self.assertEqual({one.state for one in instances}, {State.UP})
        for one in instances:
            self.roster.renew("default", one.id, 1, self.now)
        self.wait(1.0)
        self.assertEqual(self.news(), ["leases-trusted "])

    def test_one_after_the_other(self) -> None:
        """What has lapsed longer ago than a lease is no part of "at once"."""
        a, b = self.enrol("a"), self.enrol("b", number=1)
        self.rise(a, b)
        self.wait(14.0)
        self.roster.renew("default", "b", 1, self.now)
        self.wait(1.0)
        self.roster.probed(a, 200, "answered 200", self.now)
        self.wait(13.0)
        self.roster.renew("default", "b", 1, self.now)
        self.news()
        self.wait(15.0)
        self.assertEqual(self.news(), ["b up>suspect: lease missed"])

    def test_few_of_many(self) -> None:
        """Three of twenty are the apps' own affair."""
        instances = [self.enrol(f"i{number}", number=number) for number in range(20)]
        self.rise(*instances)
        self.wait(10.0)
        for one in instances[3:]:
            self.roster.renew("default", one.id, 1, self.now)
        self.wait(5.0)
        self.assertEqual([one.state for one in instances[:4]], [*[State.SUSPECT] * 3, State.UP])
