"""Tests of `scalekit.backoff`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.backoff import Backoff


class BackoffTests(SynchronousTestCase):
    def test_spans_double_up_to_the_longest(self) -> None:
        backoff = Backoff(0.5, 3.0, lambda: 1.0)
        self.assertEqual([backoff.failed() for _ in range(5)], [0.5, 1.0, 2.0, 3.0, 3.0])

    def test_the_jitter_is_full(self) -> None:
        backoff = Backoff(1.0, 8.0, iter([0.0, 0.5, 0.25]).__next__)
        self.assertEqual([backoff.failed() for _ in range(3)], [0.0, 1.0, 1.0])

    def test_a_success_begins_anew(self) -> None:
        backoff = Backoff(1.0, 8.0, lambda: 1.0)
        backoff.failed()
        backoff.failed()
        backoff.succeeded()
        self.assertEqual(backoff.failed(), 1.0)

    def test_ten_thousand_failures_do_not_overflow(self) -> None:
        backoff = Backoff(1.0, 8.0, lambda: 1.0)
        for _ in range(10_000):
            self.assertLessEqual(backoff.failed(), 8.0)
