"""Tests of `scalekit.balancer.telling`: who is told what, and in which order."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.balancer.departed import Departed
from scalekit.balancer.directory import Directory
from scalekit.balancer.instance import Instance, State, Transition
from scalekit.balancer.roster import Roster
from scalekit.balancer.routes import Claim
from scalekit.balancer.telling import Telling
from tests.balancer.rosters import A, B


class TellingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.told: list[str] = []

    def listen(self, to: Telling) -> None:
        to.observe(lambda change: self.told.append(f"{change.after}"))
        to.observe_notices(lambda notice: self.told.append(notice.kind))
        to.observe_claims(lambda claims: self.told.append(f"{len(claims)} claims"))

    def test_order(self) -> None:
        """Claims, so that routes are right; then what happened, each with those who waited for it; then notices."""
        roster = Roster(lambda: 0.5)
        one = roster.register("shop", A, 0.0, claim=Claim.of("shop", [], "/shop"))
        directory, telling = Directory(), Telling(Departed())
        self.listen(telling)
        directory.add(one)
        telling.notice("panic", "shop", "all are down", 1.0)
        telling.wait_gone(one, lambda instance: self.told.append("waited"))
        for state in (State.DRAINING, State.GONE):
            telling.change(one, state, "why not", 1.0)
        telling.touch_claims()
        self.assertEqual((telling.has_news, self.told, telling.revision), (True, [], 0))
        self.assertEqual(telling.take_touched(), {"shop": 1.0})
        telling.tell(directory)
        self.assertEqual(self.told, ["1 claims", "draining", "gone", "waited", "panic"])
        self.assertEqual((telling.has_news, telling.revision), (False, 2))
        telling.tell(directory)
        self.assertEqual(len(self.told), 5)

    def test_nothing_is_told_of_what_only_touches(self) -> None:
        telling = Telling(Departed())
        self.listen(telling)
        telling.touch("shop", 3.0)
        self.assertTrue(telling.has_news)
        telling.tell(Directory())
        self.assertEqual((telling.has_news, self.told, telling.revision), (False, [], 0))

    def test_who_is_told_may_act(self) -> None:
        """What comes of it is told in its turn, and everybody finds the roster as it is by then."""
        roster = Roster(lambda: 0.5)
        seen: list[tuple[str, tuple[Instance, ...]]] = []

        def act(change: Transition) -> None:
            seen.append((f"{change.instance.id} {change.after}", roster.available("default")))
            if change.instance.authority == A.id and change.after is State.JOINING:
                roster.register("default", B, 1.0)

        roster.observe(act)
        first = roster.register("default", A, 0.0)
        second = roster.find("default", B.id)
        assert second is not None
        self.assertEqual(seen, [(f"{A.id} joining", (first,)), (f"{B.id} joining", (first, second))])
