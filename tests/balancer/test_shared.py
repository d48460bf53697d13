"""Tests of `scalekit.balancer.shared` in memory; with a real Redis see `tests.balancer.test_registry`."""

from __future__ import annotations

from typing import cast

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from scalekit.balancer import shared
from scalekit.balancer.instance import Instance
from scalekit.balancer.redis_records import Record, Saying, read_record
from scalekit.balancer.roster import Endpoint, Registration, Roster
from scalekit.balancer.shared import SharedRegistry

A = Registration("a", Endpoint("http", "10.0.0.7", 3000), 5, weight=2)


def held_of(saying: Saying) -> bytes:
    """What Redis holds once it has taken this."""
    return saying.stamp.encode() + saying.record


class SharedCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.roster = Roster(lambda: 0.5)
        self.registry = SharedRegistry(self.roster, list, is_local=False)

    def enrol(self, wanted: Registration = A, now: float = 0.0) -> Instance:
        return self.registry.enrol("shop", wanted, now)

    def said(self) -> list[Saying]:
        """All that Redis has not been told, the oldest first; it is told now, and has taken it."""
        found = []
        while (saying := self.registry.next_saying()) is not None:
            found.append(saying)
            self.registry.was_said(saying, b"", "10.0.0.1", 0.0)
        return found

    def elsewhere(self, **changes: int) -> bytes:
        """What Redis holds when another balancer has been told something else of this generation."""
        other = SharedRegistry(Roster(lambda: 0.5), list, is_local=False)
        other.enrol("shop", A._replace(**changes), 0.0)  # type: ignore[arg-type]
        return held_of(cast(Saying, other.next_saying()))


class SayingTests(SharedCase):
    def test_a_renewal_does_not_hide_what_was_said_before_it(self) -> None:
        """Redis takes only a lease from a renewal: the weight goes with what an operator has said."""
        instance = self.enrol()
        self.said()
        self.registry.reweigh(instance, 7)
        self.registry.renew("shop", "a", 5, 1.0)
        (saying,) = self.said()
        self.assertTrue(saying.is_news)
        self.assertEqual(self.record(saying).one.weight, 7)

    def test_what_is_newer_is_said_instead(self) -> None:
        """Of the same instance: a renewal alone stays one, news follow a renewal, and leaving follows all."""
        instance = self.enrol()
        self.said()
        self.registry.renew("shop", "a", 5, 1.0)
        self.assertEqual([one.is_news for one in self.said()], [False])
        self.registry.renew("shop", "a", 5, 1.0)
        self.registry.reweigh(instance, 7)
        self.assertEqual([one.is_news for one in self.said()], [True])
        self.registry.reweigh(instance, 8)
        self.registry.unregister("shop", "a", 2.0)
        self.assertEqual([self.record(one).is_drained for one in self.said()], [True])

    def test_bounded(self) -> None:
        """However long Redis is away: the oldest is forgotten, and who says more of itself is the newest."""
        self.patch(shared, "UNSAID_LIMIT", 3)
        for number in range(3):
            self.enrol(A._replace(id=f"i{number}", endpoint=A.endpoint._replace(port=3000 + number)))
        self.registry.renew("shop", "i0", 5, 1.0)
        for number in range(3, 5):
            self.enrol(A._replace(id=f"i{number}", endpoint=A.endpoint._replace(port=3000 + number)))
        self.assertEqual(self.registry.unsaid, 3)
        self.assertEqual([one.id for one in self.said()], ["i0", "i3", "i4"])

    def record(self, saying: Saying) -> Record:
        return read_record(held_of(saying), 1.0)


class ReconcilingTests(SharedCase):
    def test_what_is_told_meanwhile_is_newer(self) -> None:
        """What comes of asking for all is older than what another balancer has said since, and does not undo it."""
        older = self.elsewhere()
        for is_drained in (False, True):
            self.registry.begin_reconcile()
            newer = self.elsewhere(weight=9)
            if is_drained:
                newer = newer[:19] + b"1" + newer[20:]
            self.registry.held("shop", "a", newer, "10.0.0.1", 0.0)
            self.registry.reconcile([("shop", older, 10.0)], "10.0.0.1", 0.0)
            self.assertEqual([one.weight for one in self.roster.instances("shop")], [] if is_drained else [9])
        self.assertEqual(self.registry.unsaid, 1, "that it is drained, for who has only read the older one")

    def test_what_was_told_before_is_older(self) -> None:
        self.registry.held("shop", "a", self.elsewhere(), "10.0.0.1", 0.0)
        self.registry.begin_reconcile()
        self.registry.reconcile([("shop", self.elsewhere(weight=9), 10.0)], "10.0.0.1", 0.0)
        self.assertEqual([one.weight for one in self.roster.instances("shop")], [9])

    def test_nobody_repeats_what_was_told_meanwhile(self) -> None:
        """Redis has it from where it was said, though it was not there when all was read."""
        self.registry.begin_reconcile()
        self.registry.held("shop", "a", self.elsewhere(), "10.0.0.1", 0.0)
        self.registry.reconcile([], "10.0.0.1", 0.0)
        self.assertEqual(self.said(), [])
        self.registry.begin_reconcile()
        self.registry.reconcile([], "10.0.0.1", 0.0)
        self.assertEqual([msgspec.json.decode(one.record)["id"] for one in self.said()], ["a"])
