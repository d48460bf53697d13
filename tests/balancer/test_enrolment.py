"""Tests of `scalekit.balancer.enrolment` and `scalekit.balancer.generations`."""

from __future__ import annotations

from scalekit.balancer import generations
from scalekit.balancer.roster import Endpoint, Registration, State
from scalekit.balancer.routes import Claim
from scalekit.errors import ClientFault
from tests.balancer.rosters import StateCase


class GenerationTests(StateCase):
    """Old processes and new ones."""

    def refused(self, id: str, generation: int) -> str:
        return str(self.assertRaises(ClientFault, self.enrol, id, generation).reason)

    def test_newer_replaces(self) -> None:
        """A higher generation takes over, the old one drains; what the old one says later changes nothing."""
        old = self.enrol("a", 1)
        old.in_flight = 1
        new = self.enrol("a", 2)
        self.assertEqual((old.state, new.state), (State.DRAINING, State.JOINING))
        self.assertIn("a joining>draining: replaced by generation 2", self.news())
        self.assertEqual(self.refused("a", 1), "stale-generation")
        for act in (
            lambda: self.roster.unregister("default", "a", self.now, generation=1),
            lambda: self.roster.renew("default", "a", 1, self.now),
        ):
            self.assertEqual(self.assertRaises(ClientFault, act).reason, "stale-generation")
        self.assertIs(new.state, State.JOINING)

    def test_same_again(self) -> None:
        """The same generation refreshes, and keeps its secret."""
        a = self.enrol("a", secret="first")
        claim = Claim.of("default", [], "/x")
        endpoint = Endpoint("http", "127.0.0.1", 3000)
        wanted = Registration("a", endpoint, 1, 7, 20.0, claim, {"zone": "b"}, 65.0, "second")
        self.assertIs(self.roster.enrol("default", wanted, self.now), a)
        self.assertEqual((a.weight, a.lease_until, a.claim, a.meta), (7, self.now + 20.0, claim, {"zone": "b"}))
        self.assertEqual((a.keep_alive, a.secret), (65.0, "first"))

    def test_drained_stays_away(self) -> None:
        """What was drained comes back with a higher generation only, until that is long ago."""
        self.enrol("a", 3)
        self.roster.unregister("default", "a", self.now, generation=3)
        self.assertEqual((self.refused("a", 3), self.refused("a", 2)), ("drained", "drained"))
        self.assertEqual(
            self.assertRaises(ClientFault, self.roster.renew, "default", "a", 3, self.now).reason, "drained"
        )
        self.assertIs(self.enrol("a", 4).state, State.JOINING)
        self.roster.unregister("default", "a", self.now)
        self.wait(700.0)
        self.assertIs(self.enrol("a", 1).state, State.JOINING)

    def test_memory_is_bounded(self) -> None:
        """The oldest of what was drained is forgotten first."""
        self.patch(generations, "RETIRED_LIMIT", 1)
        for id in ("a", "b"):
            self.enrol(id)
            self.roster.unregister("default", id, self.now)
        self.assertEqual(self.refused("b", 1), "drained")
        self.assertIs(self.enrol("a").state, State.JOINING)

    def test_same_address(self) -> None:
        """One process an address: another id there takes the place of the first, and the tutorial's route refreshes."""
        old = self.enrol("a")
        new = self.enrol("b")
        self.assertEqual((old.state, self.roster.instances("default")), (State.GONE, (new,)))
        self.assertIs(self.register(0), new)

    def test_configured(self) -> None:
        """The configuration's servers are nobody's to register; naming an address takes it over."""
        self.enrol("a")
        self.roster.settle_static("default", [Endpoint("http", "127.0.0.1", 3000)], self.now)
        (static,) = self.roster.instances("default")
        self.assertTrue(static.is_static)
        self.assertEqual(self.refused("a", 5), "static-server")

    def test_ids(self) -> None:
        """An address as id is its own only."""
        self.assertEqual(self.refused("127.0.0.1:3001", 1), "bad-id")
        self.assertIs(self.enrol("127.0.0.1:3000").state, State.JOINING)

    def test_consent(self) -> None:
        """Who has a secret gets nothing before a challenge was answered, even if there is nobody else."""
        a = self.enrol("a", secret="s")
        self.assertEqual(self.roster.available("default"), ())
        self.roster.probed(a, 200, "answered 200", self.now)
        self.assertEqual(self.roster.available("default"), (a,))

    def test_hurried(self) -> None:
        """In a hurry it is gone at once, whatever is in flight, also when it is draining already."""
        for is_draining in (False, True):
            a = self.enrol("a", 1 + is_draining)
            a.in_flight = 1
            if is_draining:
                self.roster.unregister("default", "a", self.now)
            self.roster.unregister("default", "a", self.now, is_hurried=True)
            self.assertIs(a.state, State.GONE)
