"""Tests of `scalekit.balancer.roster`, of `scalekit.balancer.directory` and `scalekit.balancer.telling` beneath it."""

from __future__ import annotations

from scalekit.balancer import directory
from scalekit.balancer.departed import KEPT_SECONDS
from scalekit.balancer.judging import FORGET_SECONDS
from scalekit.balancer.roster import Endpoint, State
from scalekit.balancer.routes import Claim
from scalekit.errors import ClientFault
from tests.balancer.rosters import A, B, RosterTestCase


class RegisterTests(RosterTestCase):
    """Coming."""

    def test_until_rise(self) -> None:
        """A new instance takes no traffic before two probes have passed if somebody else is up."""
        a = self.up(A)
        b = self.roster.register("default", B, 1.0)
        self.assertEqual(self.roster.available("default"), (a,))
        self.roster.probed(b, 200, "", 2.0)
        self.assertEqual(self.roster.available("default"), (a,))
        self.roster.probed(b, 204, "", 3.0)
        self.assertEqual(self.roster.available("default"), (a, b))
        self.assertEqual(
            self.news(),
            ["127.0.0.1:3001 none>joining: registered", "127.0.0.1:3001 joining>up: 2 probes passed"],
        )

    def test_nobody_else(self) -> None:
        """While nobody is up, those that are joining take the traffic; those that are down never do."""
        a = self.roster.register("default", A, 0.0)
        self.assertEqual(self.roster.available("default"), (a,))
        b = self.up(B)
        self.lose(b)
        self.assertEqual(self.roster.available("default"), (a,))
        self.lose(a)
        self.assertEqual(self.roster.available("default"), ())
        self.assertEqual(self.roster.available("unheard-of"), ())

    def test_view_is_kept(self) -> None:
        """The tuple is the same object until something changes."""
        a = self.up(A)
        view = self.roster.available("default")
        self.roster.probed(a, 200, "", 1.0)
        self.roster.register("default", A, 1.0)
        self.assertIs(self.roster.available("default"), view)

    def test_refresh(self) -> None:
        """Registering again changes the weight; what is up stays up."""
        a = self.up(A)
        self.assertIs(self.roster.register("default", A, 1.0, weight=7), a)
        self.assertEqual((a.weight, a.state, self.news()), (7, State.UP, []))

    def test_down_registers_again(self) -> None:
        """What is down and registers again is joining, and probed within half a second."""
        a = self.up(A)
        self.lose(a, 10.0)
        self.news()
        self.assertIs(self.roster.register("default", A, 11.0), a)
        self.assertEqual(self.news(), ["127.0.0.1:3000 down>joining: registered again"])
        self.assertEqual(self.roster.due(11.25), [a])
        self.lose(a, 11.5, 2)
        self.assertEqual(a.state, State.JOINING)

    def test_other_scheme(self) -> None:
        """The same address with another scheme is another instance; the old one drains."""
        a = self.up(A)
        a.in_flight = 1
        other = self.roster.register("default", A._replace(scheme="https"), 1.0)
        self.assertEqual((a.state, other.state), (State.DRAINING, State.JOINING))
        self.assertEqual(self.roster.instances("default"), (other, a))

    def test_services_apart(self) -> None:
        """The same address may serve two services, each with its own state."""
        a = self.up(A)
        other = self.roster.register("shop", A, 0.0)
        self.assertEqual(self.roster.services(), ("default", "shop"))
        self.lose(a)
        self.assertEqual((a.key, other.key), (("default", "127.0.0.1:3000"), ("shop", "127.0.0.1:3000")))
        self.assertEqual((a.state, other.state), (State.DOWN, State.JOINING))

    def test_limits(self) -> None:
        """Beyond the limits an instance is refused with a 403 that names them, and nothing changes."""
        self.patch(directory, "INSTANCES_LIMIT", 2)
        self.patch(directory, "SERVICES_LIMIT", 2)
        self.up(A)
        self.up(B)
        self.roster.register("shop", A, 0.0)
        for service, port in [("default", 3002), ("third", 3000)]:
            fault = self.assertRaises(
                ClientFault, self.roster.register, service, Endpoint("http", "127.0.0.1", port), 0.0
            )
            self.assertEqual((fault.status, fault.reason), (403, "roster-full"))
        self.assertEqual(len(self.roster.instances("default")), 2)
        self.roster.register("default", A, 0.0)

    def test_ids(self) -> None:
        """An instance is named as in a URL, and tells its truth in one line."""
        a = self.roster.register("default", Endpoint("https", "::1", 3000, "app.example"), 0.0)
        self.assertEqual(repr(a), "<default@[::1]:3000 joining (registered) in_flight=0>")
        self.assertEqual(repr(self.told[0]), "<default@[::1]:3000 none -> joining: registered>")
        self.assertEqual(repr(self.roster), f"<Roster {a!r}>")


class ClaimTests(RosterTestCase):
    """Routes of registered services."""

    def test_claims(self) -> None:
        """Observers hear what is claimed whenever that changes; what is claimed no more is kept for a while."""
        heard: list[tuple[Claim, ...]] = []
        self.roster.observe_claims(heard.append)
        claim = Claim.of("shop", ["shop.example"], "/")
        other = Claim.of("shop", ["shop.example"], "/v2")
        self.roster.register("shop", A, 0.0, claim=claim)
        self.roster.register("shop", B, 0.0, claim=claim)
        self.assertEqual(heard[-1], (claim,))
        self.roster.register("shop", B, 0.0, claim=other)
        self.assertEqual(heard[-1], (claim, other))
        count = len(heard)
        self.roster.register("shop", B, 0.0, claim=other)
        self.assertEqual(len(heard), count)
        self.roster.unregister("shop", A.id, 1.0)
        self.roster.unregister("shop", B.id, 1.0)
        self.assertEqual(heard[-1], (claim, other))
        self.assertEqual((self.roster.departed_at("shop"), self.roster.departed_at("default")), (1.0, None))
        self.assertEqual(self.roster.next_deadline(), 1.0 + KEPT_SECONDS)
        self.roster.expire(0.5 + KEPT_SECONDS)
        self.assertEqual(heard[-1], (claim, other))
        revision = self.roster.revision
        self.roster.expire(1.0 + KEPT_SECONDS)
        self.assertEqual((heard[-1], self.roster.departed_at("shop")), ((), None))
        self.assertGreater(self.roster.revision, revision)

    def test_what_is_there_speaks_for_itself(self) -> None:
        """Who takes the place of the last one says what its service gets; once that is gone, both are kept."""
        heard: list[tuple[Claim, ...]] = []
        self.roster.observe_claims(heard.append)
        old, new = Claim.of("shop", [], "/old"), Claim.of("shop", [], "/new")
        self.roster.register("shop", A, 0.0, claim=old)
        self.roster.unregister("shop", A.id, 1.0)
        self.assertEqual(heard[-1], (old,))
        self.roster.register("shop", B, 2.0, claim=new)
        self.assertEqual((heard[-1], self.roster.departed_at("shop")), ((new,), None))
        self.roster.unregister("shop", B.id, 3.0)
        self.assertEqual((heard[-1], self.roster.departed_at("shop")), ((old, new), 3.0))

    def test_others_first(self) -> None:
        """Whatever somebody claims counts before what nobody does any more."""
        heard: list[tuple[Claim, ...]] = []
        self.roster.observe_claims(heard.append)
        gone, there = Claim.of("shop", [], "/x"), Claim.of("blog", [], "/x")
        self.roster.register("shop", A, 0.0, claim=gone)
        self.roster.unregister("shop", A.id, 1.0)
        self.roster.register("blog", B, 2.0, claim=there)
        self.assertEqual(heard[-1], (there, gone))

    def test_down_for_good(self) -> None:
        """A crash is no reason to let others answer: who is down is forgotten after a minute, its routes are not."""
        heard: list[tuple[Claim, ...]] = []
        self.roster.observe_claims(heard.append)
        claim = Claim.of("shop", ["shop.example"], "/")
        instance = self.roster.register("shop", A, 0.0, claim=claim)
        self.lose(instance)
        self.lose(instance, FORGET_SECONDS, 1)
        self.assertEqual((self.roster.instances("shop"), heard[-1]), ((), (claim,)))

    def test_forget(self) -> None:
        """An operator need not wait."""
        heard: list[tuple[Claim, ...]] = []
        self.roster.observe_claims(heard.append)
        for service, endpoint in (("shop", A), ("blog", B)):
            self.roster.register(service, endpoint, 0.0, claim=Claim.of(service, [], f"/{service}"))
            self.roster.unregister(service, endpoint.id, 1.0)
        revision = self.roster.revision
        self.roster.forget("shop")
        self.assertEqual(heard[-1], (Claim.of("blog", [], "/blog"),))
        self.assertGreater(self.roster.revision, revision)
