"""Tests of `scalekit.kit.rhythm`; of its use in `tests.kit.test_membership`."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit.rhythm import BACKOFF_SECONDS, COMPLAIN_SECONDS, RENEW_SECONDS, Rhythm

chances = st.floats(0, 1, exclude_max=True)


class RhythmTests(SynchronousTestCase):
    @given(chances)
    def test_two_beats_fit_into_a_lease(self, chance: float) -> None:
        rhythm = Rhythm(lambda: chance)
        self.assertLessEqual(2 * rhythm.succeeded(), 15.0)
        self.assertTrue(rhythm.is_registered)

    @given(st.lists(st.tuples(st.floats(0, 30), chances), min_size=1, max_size=60))
    def test_what_goes_wrong_is_said_once_a_minute(self, failures: list[tuple[float, float]]) -> None:
        """Whatever the failures' times are."""
        chances = iter([chance for _, chance in failures])
        rhythm = Rhythm(chances.__next__)
        now, said = 0.0, []
        for passed, _ in failures:
            now += passed
            seconds, is_news = rhythm.failed(now)
            self.assertLessEqual(seconds, BACKOFF_SECONDS[1])
            if is_news:
                said.append(now)
        self.assertEqual(said[0], failures[0][0])
        self.assertTrue(all(later - one >= COMPLAIN_SECONDS for one, later in pairwise(said)))

    def test_what_the_balancer_has_against_us_is_said_once(self) -> None:
        rhythm = Rhythm(lambda: 0.5)

        def is_news(now: float, cause: str, status: int) -> bool:
            return rhythm.failed(now, cause, status)[1]

        self.assertEqual([is_news(minute * 60.0, "foreign", 403) for minute in range(3)], [True, False, False])
        self.assertTrue(is_news(200.0, "no token", 401))
        self.assertTrue(is_news(201.0, "busy", 503))
        self.assertFalse(is_news(202.0, "no token", 401))
        self.assertEqual([is_news(203.0 + 60.0 * minute, "slowly", 429) for minute in range(3)], [False, True, True])
        rhythm.succeeded()
        self.assertTrue(is_news(400.0, "no token", 401))

    def test_a_new_failure_after_a_success_is_news(self) -> None:
        rhythm = Rhythm(lambda: 0.5)
        self.assertEqual([rhythm.failed(0.0)[1], rhythm.failed(1.0)[1]], [True, False])
        self.assertEqual(rhythm.succeeded(), RENEW_SECONDS)
        self.assertEqual(rhythm.failed(2.0), (0.25, True))
        self.assertFalse(rhythm.is_registered)
