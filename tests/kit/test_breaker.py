"""Tests of `scalekit.kit.breaker`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit.breaker import Breaker


class BreakerTests(SynchronousTestCase):
    def opened(self) -> Breaker:
        breaker = Breaker()
        for _ in range(5):
            self.assertTrue(breaker.allows(0.0))
            breaker.failed(0.0)
        return breaker

    def test_four_failures_do_not_open_it(self) -> None:
        breaker = Breaker()
        for _ in range(4):
            breaker.failed(0.0)
        self.assertTrue(breaker.allows(0.0))

    def test_five_failures_open_it_for_two_seconds(self) -> None:
        breaker = self.opened()
        self.assertFalse(breaker.allows(1.99))
        self.assertTrue(breaker.allows(2.0))

    def test_only_one_tries_after_the_pause(self) -> None:
        breaker = self.opened()
        self.assertEqual([breaker.allows(2.0) for _ in range(3)], [True, False, False])

    def test_a_failed_try_opens_it_again(self) -> None:
        breaker = self.opened()
        breaker.allows(2.0)
        breaker.failed(2.1)
        self.assertFalse(breaker.allows(4.0))
        self.assertTrue(breaker.allows(4.1))

    def test_a_success_closes_it(self) -> None:
        breaker = self.opened()
        breaker.allows(2.0)
        breaker.succeeded()
        self.assertEqual(repr(breaker), "<Breaker closed after 0 failures>")
        self.assertTrue(breaker.allows(2.0))
