"""Budgets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.http.h2.budget import Budget

#: Seconds from one to the next, and what is spent then.
SPENDING = st.lists(st.tuples(st.floats(0, 20), st.integers(1, 30)), min_size=1, max_size=30)


class BudgetTests(SynchronousTestCase):
    def test_a_burst_and_then_the_rate(self) -> None:
        budget = Budget((3, 1), 100.0)
        self.assertEqual([budget.spend(100.0) for _ in range(4)], [True, True, True, False])
        budget = Budget((3, 1), 100.0)
        self.assertTrue(all(budget.spend(100.0) for _ in range(3)))
        self.assertTrue(budget.spend(101.0))
        self.assertFalse(budget.spend(101.5))

    def test_what_is_earned_stays_under_the_burst(self) -> None:
        budget = Budget((3, 0), 0.0)
        budget.earn(100)
        self.assertEqual([budget.spend(0.0) for _ in range(4)], [True, True, True, False])

    @given(st.integers(0, 100), st.integers(0, 20), SPENDING)
    def test_never_more_than_burst_and_rate(self, burst: int, rate: int, spending: list[tuple[float, int]]) -> None:
        budget = Budget((burst, rate), 0.0)
        now, spent = 0.0, 0
        for pause, amount in spending:
            now += pause
            for _ in range(amount):
                if not budget.spend(now):
                    # Refused with reason: some stretch up to now held more than was allowed in it.
                    return
                spent += 1
            self.assertLessEqual(spent, burst + rate * now + 1e-6)

    @given(st.integers(1, 100), st.integers(1, 20), st.lists(st.floats(0, 5), max_size=30))
    def test_who_keeps_to_the_rate_is_never_refused(self, burst: int, rate: int, pauses: list[float]) -> None:
        budget = Budget((burst, rate), 0.0)
        now = 0.0
        for pause in pauses:
            now += max(pause, 1.001 / rate)
            self.assertTrue(budget.spend(now))

    @given(st.integers(1, 9), st.integers(1, 9), st.lists(st.floats(-5, 5), max_size=20))
    def test_a_clock_that_goes_back_gives_nothing(self, burst: int, rate: int, steps: list[float]) -> None:
        budget = Budget((burst, rate), 0.0)
        now = latest = 0.0
        spent = 0
        for step in steps:
            now += step
            latest = max(latest, now)
            spent += budget.spend(now)
        self.assertLessEqual(spent, burst + rate * latest + 1e-6)
