"""Tests of `scalekit.balancer.standing`: panic."""

from __future__ import annotations

from tests.balancer.rosters import StateCase


class SprayTests(StateCase):
    """Panic, ``spray``."""

    def test_spray(self) -> None:
        """Under half are well: all are asked again but where nobody listens; it is told when it begins and ends."""
        a, b, c = self.warm(3)
        self.fall(b)
        self.assertEqual(self.roster.available("default"), (a, c))
        self.fall(c)
        self.assertEqual(self.roster.available("default"), (a, b, c))
        self.assertTrue(self.roster.is_panicking("default"))
        self.roster.probed(c, None, "connection refused", self.now, is_refused=True)
        self.assertEqual(self.roster.available("default"), (a, b))
        self.rise(b)
        self.assertEqual(self.roster.available("default"), (a, b))
        self.assertEqual([one for one in self.news() if "panic" in one], ["panic default", "panic-over default"])

    def test_gone(self) -> None:
        """It ends with the service."""
        (a,) = self.warm(1)
        self.fall(a)
        self.roster.unregister("default", a.id, self.now)
        self.assertEqual(self.news()[-1], "panic-over default")


class FailTests(StateCase):
    """Panic, ``fail``."""

    panic = "fail"

    def test_fail(self) -> None:
        """Only those that are well are asked, however few."""
        a, b, c = self.warm(3)
        self.fall(b, c)
        self.assertEqual((self.roster.available("default"), self.news()[-1]), ((a,), "panic default"))
        self.fall(a)
        self.assertEqual(self.roster.available("default"), ())

    def test_another_rule(self) -> None:
        """It counts at once."""
        a, b, c = self.warm(3)
        self.fall(b, c)
        self.roster.reconfigure(self.roster.rules, 30.0, "spray", self.now)
        self.assertEqual(self.roster.available("default"), (a, b, c))
