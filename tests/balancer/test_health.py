"""Tests of `scalekit.balancer.health`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.balancer.health import DOWN_SECONDS, JITTER, TRANSITION_SECONDS, Health, HealthRules, Schedule


class HealthTests(SynchronousTestCase):
    """Counters."""

    def test_rise(self) -> None:
        """The second pass in a row counts, a failure in between starts anew."""
        health = Health(HealthRules())
        self.assertEqual(
            [health.passed(), health.failed(), health.passed(), health.passed()], [False, False, False, True]
        )

    def test_fall(self) -> None:
        """The third failure in a row counts, a pass in between starts anew."""
        health = Health(HealthRules())
        self.assertEqual([health.failed(), health.failed()], [False, False])
        health.passed()
        self.assertEqual([health.failed(), health.failed(), health.failed()], [False, False, True])

    def test_intervals(self) -> None:
        """2 s when all is well, 0.5 s in transition, 5 s when down."""
        health = Health(HealthRules())
        self.assertEqual(health.interval(is_down=False), TRANSITION_SECONDS)  # joining
        health.passed()
        self.assertEqual(health.interval(is_down=False), TRANSITION_SECONDS)
        health.passed()
        self.assertEqual(health.interval(is_down=False), 2.0)
        health.failed()
        self.assertEqual(health.interval(is_down=False), TRANSITION_SECONDS)
        self.assertEqual(health.interval(is_down=True), DOWN_SECONDS)
        health.passed()
        self.assertEqual(health.interval(is_down=True), TRANSITION_SECONDS)

    def test_configured_intervals(self) -> None:
        """An interval shorter than that of the transition, or longer than that of down, holds there too."""
        self.assertEqual(Health(HealthRules(interval=0.1)).interval(is_down=False), 0.1)
        self.assertEqual(Health(HealthRules(interval=30.0)).interval(is_down=True), 30.0)

    def test_forget(self) -> None:
        """Counting starts anew."""
        health = Health(HealthRules())
        health.passed()
        health.forget()
        self.assertFalse(health.passed())
        self.assertEqual(repr(health), "<Health passes=1 failures=0 due=None>")


class ScheduleTests(SynchronousTestCase):
    """Who is due when."""

    def setUp(self) -> None:
        self.chance = 0.5
        self.schedule: Schedule[str] = Schedule(lambda: self.chance)
        self.health = Health(HealthRules())

    def test_first(self) -> None:
        """The first probe comes at a random offset within half a second."""
        self.schedule.start(self.health, "a", 100.0)
        self.assertEqual(self.schedule.due(100.24, 10), [])
        self.assertEqual(self.schedule.next_deadline(), 100.25)
        self.assertEqual(self.schedule.due(100.25, 10), ["a"])

    def test_once(self) -> None:
        """What is being probed is not due again before it is planned again."""
        self.schedule.start(self.health, "a", 100.0)
        self.assertEqual(self.schedule.due(200.0, 10), ["a"])
        self.assertEqual(self.schedule.due(300.0, 10), [])
        self.assertIsNone(self.schedule.next_deadline())

    def test_limit(self) -> None:
        """What is beyond the limit stays due, the longest due comes first."""
        for number, name in enumerate("abc"):
            self.schedule.start(Health(HealthRules()), name, 100.0 - number)
        self.assertEqual(self.schedule.due(200.0, 2), ["c", "b"])
        self.assertEqual(self.schedule.due(200.0, 2), ["a"])

    def test_hasten(self) -> None:
        """A hint makes a probe due at once, and only once."""
        self.schedule.plan(self.health, "a", 2.0, 100.0)
        self.schedule.hasten(self.health, "a", 100.5)
        self.assertEqual(self.schedule.due(100.5, 10), ["a"])
        self.schedule.hasten(self.health, "a", 100.6)  # it is running
        self.assertEqual(self.schedule.due(200.0, 10), [])

    def test_stop(self) -> None:
        """What is stopped is never due."""
        self.schedule.start(self.health, "a", 100.0)
        self.schedule.stop(self.health)
        self.assertIsNone(self.schedule.next_deadline())
        self.assertEqual(self.schedule.due(200.0, 10), [])
        self.assertEqual(repr(self.schedule), "<Schedule entries=0 next=None>")

    @given(st.floats(0, 1), st.floats(0.1, 60))
    def test_jitter(self, chance: float, interval: float) -> None:
        """Probes are planned a fifth of the interval around it."""
        schedule: Schedule[str] = Schedule(lambda: chance)
        schedule.plan(Health(HealthRules()), "a", interval, 0.0)
        due = schedule.next_deadline()
        assert due is not None
        self.assertTrue(interval * (1 - JITTER) <= due + 1e-9 and due - 1e-9 <= interval * (1 + JITTER))
