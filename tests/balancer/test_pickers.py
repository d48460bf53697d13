"""Tests of `scalekit.balancer.pickers`."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from scalekit.balancer.pickers import ALGORITHMS, IPicker, RoundRobin

memberships = st.lists(st.integers(0, 50), min_size=1, max_size=8, unique=True).map(tuple)


class ConformanceTests(SynchronousTestCase):
    """What every picker promises."""

    def test_interface(self) -> None:
        """Every algorithm of the configuration makes pickers."""
        for make in ALGORITHMS.values():
            self.assertTrue(verifyObject(IPicker, make()))

    @given(st.sampled_from(sorted(ALGORITHMS)), memberships, st.integers(0, 20))
    def test_candidates(self, algorithm: str, available: tuple[int, ...], before: int) -> None:
        """Every instance is a candidate once, the first one too, also when others pick in between."""
        picker = ALGORITHMS[algorithm]()
        for _ in range(before):
            self.assertIn(picker.first(available), available)
        seen = []
        for candidate in picker.candidates(available):
            seen.append(candidate)
            picker.first(available)
        self.assertEqual(sorted(seen), sorted(available))

    @given(st.sampled_from(sorted(ALGORITHMS)), memberships, st.data())
    def test_after(self, algorithm: str, available: tuple[int, ...], data: st.DataObject) -> None:
        """The next candidate is one that was not tried, if there is one."""
        picker = ALGORITHMS[algorithm]()
        tried = data.draw(st.sets(st.sampled_from(available)))
        found = picker.after(available, tried)
        if tried == set(available):
            self.assertIsNone(found)
        else:
            self.assertIn(found, set(available) - tried)

    def test_after_nobody(self) -> None:
        """Where nobody is available there is no next candidate."""
        self.assertIsNone(RoundRobin().after((), ("a",)))


class RoundRobinTests(SynchronousTestCase):
    """Fairness."""

    def test_order(self) -> None:
        """One after the other, from the first."""
        picker = RoundRobin()
        self.assertEqual([picker.first(("a", "b", "c")) for _ in range(7)], list("abcabca"))

    @given(st.lists(st.tuples(memberships, st.integers(0, 60)), max_size=10))
    def test_fair(self, periods: list[tuple[tuple[int, ...], int]]) -> None:
        """Between two changes of the membership, each of n gets its share of the requests, give or take one."""
        picker = RoundRobin()
        for available, requests in periods:
            got = Counter(picker.first(available) for _ in range(requests))
            shares = [got[one] for one in available]
            self.assertLessEqual(max(shares) - min(shares), 1)

    def test_retries_are_spread(self) -> None:
        """What one dead instance leaves behind does not fall on its neighbour alone."""
        picker = RoundRobin()
        available = ("dead", "b", "c", "d")
        served: Counter[str | None] = Counter()
        for _ in range(300):
            picked = picker.first(available)
            served[picker.after(available, (picked,)) if picked == "dead" else picked] += 1
        self.assertNotIn("dead", served)
        self.assertTrue(all(60 <= served[one] <= 140 for one in "bcd"), served)
