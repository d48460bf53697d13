"""Tests of `scalekit.balancer.configured`."""

from __future__ import annotations

from scalekit.balancer import directory
from scalekit.balancer.judging import FORGET_SECONDS
from scalekit.balancer.roster import Endpoint, Instance, State
from scalekit.errors import ClientFault
from tests.balancer.rosters import A, B, RosterTestCase


class StaticTests(RosterTestCase):
    """Servers of the configuration."""

    def static(self, *endpoints: Endpoint, now: float = 0.0) -> list[Instance]:
        self.roster.settle_static("default", endpoints, now)
        return list(self.roster.instances("default"))

    def test_join(self) -> None:
        """They join as others do, once."""
        a, b = self.static(A, B)
        self.assertEqual(self.static(A, B), [a, b])
        self.assertEqual(
            self.news(), ["127.0.0.1:3000 none>joining: configured", "127.0.0.1:3001 none>joining: configured"]
        )

    def test_cannot_be_unregistered(self) -> None:
        """An app cannot take away what the operator has configured."""
        (a,) = self.static(A)
        fault = self.assertRaises(ClientFault, self.roster.unregister, "default", a.id, 0.0)
        self.assertEqual((fault.status, fault.reason), (403, "static-server"))
        self.assertEqual(a.state, State.JOINING)

    def test_no_longer_named(self) -> None:
        """What is no longer named drains and is forgotten; what is registered stays."""
        a, b = self.static(A, B)
        registered = self.roster.register("default", Endpoint("http", "127.0.0.1", 3002), 0.0)
        b.in_flight = 1
        self.assertEqual(self.static(A), [a, registered, b])
        self.assertEqual(b.state, State.DRAINING)
        b.in_flight = 0
        self.roster.expire(1.0)
        self.assertEqual(self.static(A), [a, registered])

    def test_changed(self) -> None:
        """A server of another scheme takes the place of the old one."""
        (a,) = self.static(A)
        new = self.static(A._replace(scheme="https"))
        self.assertEqual((a.state, [one.scheme for one in new]), (State.GONE, ["https"]))

    def test_registered_too(self) -> None:
        """What is configured and registered is one instance, and the configuration says how to talk to it."""
        a = self.up(A)
        self.assertEqual(self.static(A), [a])
        self.assertIs(self.roster.register("default", A._replace(scheme="https"), 1.0, weight=3), a)
        self.assertEqual((a.is_static, a.scheme, a.weight), (True, "http", 3))

    def test_answers_gone(self) -> None:
        """One that answers 410 drains, and is asked on until it passes again."""
        (a,) = self.static(A)
        a.in_flight = 1
        self.roster.probed(a, 410, "", 1.0)
        heir, old = self.roster.instances("default")
        self.assertEqual((old, old.state, heir.state, heir.is_static), (a, State.DRAINING, State.DOWN, True))
        a.in_flight = 0
        self.roster.expire(2.0)
        self.assertEqual(self.roster.due(10.0), [heir])
        self.roster.probed(heir, 410, "", 10.0)
        self.assertEqual(self.roster.instances("default"), (heir,))
        self.roster.probed(heir, 200, "", 15.0)
        self.roster.probed(heir, 200, "", 16.0)
        self.assertEqual(self.roster.available("default"), (heir,))

    def test_answers_gone_while_others_are_sick(self) -> None:
        """In panic only those that can be reached are asked: not the heir of one that says that it is leaving."""
        a, b = self.static(A, B)
        for _ in range(3):
            self.roster.probed(b, 500, "", 1.0)
        self.roster.probed(a, 410, "", 1.0)
        self.assertTrue(self.roster.is_panicking("default"))
        self.assertEqual(self.roster.available("default"), (b,))

    def test_never_forgotten(self) -> None:
        """However long it is down, it is asked on."""
        (a,) = self.static(A)
        self.lose(a, 1.0)
        self.lose(a, 10 * FORGET_SECONDS)
        self.assertEqual((a.state, self.roster.due(20 * FORGET_SECONDS)), (State.DOWN, [a]))

    def test_limit(self) -> None:
        """What is within the limit is in, and told of."""
        self.patch(directory, "INSTANCES_LIMIT", 1)
        self.assertRaises(ClientFault, self.static, A, B)
        self.assertEqual(self.news(), ["127.0.0.1:3000 none>joining: configured"])

    def test_an_operator_drains_it_and_takes_it_back(self) -> None:
        """It stays, is neither probed nor asked, whatever the app itself says, and then joins as a new one does."""
        a, b = self.static(A, B)
        a.in_flight = 1
        a.weight = 7
        self.news()
        self.assertIs(self.roster.hold("default", a.id, 1.0), a)
        held = self.roster.find("default", a.id)
        assert held is not None
        self.assertEqual(
            self.news(),
            [
                "127.0.0.1:3000 joining>draining: drained by an operator",
                "127.0.0.1:3000 none>joining: configured",
                "127.0.0.1:3000 joining>drained: drained by an operator",
            ],
        )
        self.assertEqual(self.roster.available("default"), (b,))
        self.assertIs(self.roster.hold("default", a.id, 2.0), a)
        a.in_flight = 0
        self.roster.expire(3.0)
        self.assertEqual((a.state, held.state, held.weight), (State.GONE, State.DRAINED, 7))
        self.assertIs(self.roster.hold("default", a.id, 3.0), held)
        self.assertNotIn(held, self.roster.due(1000.0))
        self.roster.register("default", A, 1001.0, weight=7)
        self.static(A, B)
        self.assertIs(held.state, State.DRAINED)
        self.news()
        self.assertIs(self.roster.take_back("default", a.id, 1002.0), held)
        self.assertIs(self.roster.take_back("default", a.id, 1002.0), held)
        self.assertEqual(self.news(), ["127.0.0.1:3000 drained>joining: taken back by an operator"])
        self.assertIn(held, self.roster.due(1003.0))

    def test_who_is_drained_does_not_count(self) -> None:
        """It is nobody's share of a panic, and nobody is asked instead of it."""
        a, b = self.static(A, B)
        self.roster.hold("default", a.id, 1.0)
        self.assertEqual((self.roster.is_panicking("default"), self.roster.available("default")), (False, (b,)))
        self.lose(b, 2.0)
        self.assertEqual((self.roster.is_panicking("default"), self.roster.available("default")), (True, ()))
        self.roster.hold("default", b.id, 3.0)
        self.assertEqual((self.roster.is_panicking("default"), self.roster.available("default")), (False, ()))

    def test_configured_anew_it_is_back(self) -> None:
        (a,) = self.static(A)
        self.roster.hold("default", a.id, 1.0)
        self.roster.settle_static("default", [A, B], 2.0, is_anew=True)
        self.assertEqual([one.state for one in self.roster.instances("default")], [State.JOINING] * 2)

    def test_no_longer_named_while_drained(self) -> None:
        (a,) = self.static(A)
        self.roster.hold("default", a.id, 1.0)
        self.assertEqual(self.static(), [])

    def test_only_those_of_the_configuration(self) -> None:
        """Apps leave and come back by themselves."""
        a = self.up(A)
        for act in (self.roster.hold, self.roster.take_back):
            self.assertIsNone(act("default", a.id, 1.0))
            self.assertIsNone(act("shop", a.id, 1.0))
        self.assertEqual(self.news(), [])
