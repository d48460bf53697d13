"""Tests of `scalekit.balancer.retrying`."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.balancer import retrying
from scalekit.balancer.retrying import (
    EARNED,
    IDEMPOTENT,
    KEPT_SECONDS,
    Refusal,
    RetryBudget,
    after_answer,
    after_failure,
)
from scalekit.http.heads import ResponseHead

SHIPPED_LEAST = retrying.LEAST
METHODS = (*sorted(IDEMPOTENT), b"POST", b"PATCH", b"CONNECT", b"get", b"BREW")
BOTH = (False, True)


class RuleTests(SynchronousTestCase):
    def test_what_may_have_been_done_is_done_again_only_if_that_does_no_harm(self) -> None:
        for method, (is_kept, is_certain, has_answered, is_timeout, is_upgrade) in product(
            METHODS, product(BOTH, repeat=5)
        ):
            refusal = after_failure(method, is_kept, is_certain, has_answered, is_timeout, is_upgrade)
            may = is_kept and (is_certain or (method in IDEMPOTENT and not (has_answered or is_timeout or is_upgrade)))
            self.assertEqual(not refusal, may, (method, is_certain, refusal))

    def test_answers(self) -> None:
        for method, is_kept, has_informed, status, is_upgrade in product(METHODS, BOTH, BOTH, (502, 503, 504), BOTH):
            refusal = after_answer(method, is_kept, has_informed, ResponseHead(status, []), is_upgrade)
            may = method in IDEMPOTENT and is_kept and not has_informed and status != 504 and not is_upgrade
            self.assertEqual(not refusal, may, (method, status, refusal))

    def test_whoever_says_when_is_believed(self) -> None:
        head = ResponseHead(503, [(b"retry-after", b"5")])
        self.assertEqual(after_answer(b"GET", True, False, head, False), Refusal.RETRY_AFTER)


#: Seconds that pass, requests that come then, and retries that are wanted.
TRAFFIC = st.lists(
    st.tuples(st.sampled_from([0.0, 0.1, 0.9, 3.0, 11.0]), st.integers(0, 100), st.integers(0, 100)), max_size=30
)


class BudgetTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(retrying, "LEAST", 3.0)  # a number that a reader can count to

    def spent(self, budget: RetryBudget, wanted: int, now: float = 0.0) -> int:
        return sum(budget.spend(now) for _ in range(wanted))

    def test_what_a_killed_app_server_takes_with_it(self) -> None:
        """Though there was hardly any traffic: some twenty that were in flight there at one moment."""
        self.patch(retrying, "LEAST", SHIPPED_LEAST)
        budget = RetryBudget()
        budget.requests += 40
        self.assertEqual(self.spent(budget, 20), 20)
        self.assertLess(self.spent(budget, 20), 20, "but not those of a second one as well")

    def test_a_few_at_first(self) -> None:
        self.assertEqual(self.spent(RetryBudget(), 10), 3)

    def test_a_fifth_of_what_comes(self) -> None:
        budget = RetryBudget()
        self.spent(budget, 3)
        for second in range(60):
            budget.requests += 100
            self.assertEqual(self.spent(budget, 100, float(second)), 20)

    def test_ten_seconds_worth_are_kept(self) -> None:
        budget = RetryBudget()
        for second in range(60):
            budget.requests += 100
            budget.settle(float(second))
        self.assertEqual(self.spent(budget, 10_000, 59.5), 200)

    def test_what_was_earned_long_ago_is_gone(self) -> None:
        budget = RetryBudget()
        budget.requests += 1000
        budget.settle(0.0)
        budget.settle(30.0)
        self.assertEqual(self.spent(budget, 1000, 30.0), 3)

    @given(TRAFFIC)
    def test_within_bounds(self, traffic: list[tuple[float, int, int]]) -> None:
        """
        Over any time no more than a fifth of the requests in it and in the ten seconds before it, plus three; and a
        request that finds five new ones before it always may.
        """
        budget, now = RetryBudget(), 0.0
        came: list[tuple[float, int]] = []
        spent: list[tuple[float, int]] = []
        for seconds, requests, wanted in traffic:
            now += seconds
            budget.requests += requests
            got = self.spent(budget, wanted, now)
            self.assertGreaterEqual(got, min(wanted, int(EARNED * requests)))
            came.append((now, requests))
            spent.append((now, got))
        for begin, _ in spent:
            for end, _ in spent:
                earned = sum(count for at, count in came if begin - KEPT_SECONDS - 1 <= at <= end)
                used = sum(count for at, count in spent if begin <= at <= end)
                self.assertLessEqual(used, retrying.LEAST + EARNED * earned + 1e-6)

    def test_its_word(self) -> None:
        self.assertEqual(repr(RetryBudget()), "<RetryBudget 3.0 left after 0 requests>")
