"""Tests of `scalekit.balancer.roster` and `scalekit.balancer.instance`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.balancer import roster as roster_module
from scalekit.balancer.health import HealthRules
from scalekit.balancer.roster import DRAIN_SECONDS, FORGET_SECONDS, Endpoint, Instance, Roster, State, Transition
from scalekit.balancer.routes import Claim
from scalekit.errors import ClientFault

A = Endpoint("http", "127.0.0.1", 3000)
B = Endpoint("http", "127.0.0.1", 3001)


class RosterTestCase(SynchronousTestCase):
    """A roster, and what it has told."""

    def setUp(self) -> None:
        self.roster = Roster(lambda: 0.5)
        self.told: list[Transition] = []
        self.roster.observe(self.told.append)

    def news(self) -> list[str]:
        """What was told since the last time."""
        told = [f"{one.instance.id} {one.before or 'none'}>{one.after}: {one.reason}" for one in self.told]
        self.told.clear()
        return told

    def up(self, endpoint: Endpoint, now: float = 0.0) -> Instance:
        """A registered instance that has passed its probes."""
        instance = self.roster.register("default", endpoint, now)
        for _ in range(2):
            self.roster.probed(instance, 200, "answered 200", now)
        self.told.clear()
        return instance

    def lose(self, instance: Instance, now: float = 0.0, times: int = 3) -> None:
        """Let probes fail."""
        for _ in range(times):
            self.roster.probed(instance, None, "connection refused", now, is_refused=True)


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
        self.patch(roster_module, "INSTANCES_LIMIT", 2)
        self.patch(roster_module, "SERVICES_LIMIT", 2)
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
        """Observers hear what is claimed whenever that changes, until the last instance is gone."""
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
        self.assertEqual(heard[-1], ())


class UnregisterTests(RosterTestCase):
    """Going."""

    def test_idle(self) -> None:
        """With nothing in flight an instance is gone at once."""
        a = self.up(A)
        self.assertIs(self.roster.unregister("default", a.id, 1.0), a)
        self.assertEqual(
            self.news(),
            ["127.0.0.1:3000 up>draining: unregistered", "127.0.0.1:3000 draining>gone: nothing in flight"],
        )
        self.assertEqual((self.roster.services(), self.roster.available("default")), ((), ()))

    def test_drains(self) -> None:
        """Nothing new, no probes, and gone when the last request is over."""
        a, b = self.up(A), self.up(B)
        a.in_flight = 2
        self.roster.unregister("default", a.id, 1.0)
        self.assertEqual(self.roster.available("default"), (b,))
        self.roster.expire(2.0)
        self.assertEqual(a.state, State.DRAINING)
        self.assertNotIn(a, self.roster.due(1000.0))
        a.in_flight = 0
        self.roster.expire(3.0)
        self.assertEqual(self.news()[-1], "127.0.0.1:3000 draining>gone: nothing in flight")

    def test_deadline(self) -> None:
        """After the deadline it is gone whatever is in flight."""
        a = self.up(A)
        a.in_flight = 1
        self.roster.unregister("default", a.id, 1.0)
        self.assertEqual(self.roster.next_deadline(), 1.0 + DRAIN_SECONDS)
        self.roster.expire(0.9 + DRAIN_SECONDS)
        self.assertEqual(a.state, State.DRAINING)
        self.roster.expire(1.0 + DRAIN_SECONDS)
        self.assertEqual(self.news()[-1], "127.0.0.1:3000 draining>gone: 1 in flight at the deadline")
        self.assertIsNone(self.roster.next_deadline())

    def test_unknown(self) -> None:
        """There is nothing to unregister."""
        self.assertIsNone(self.roster.unregister("default", A.id, 0.0))
        self.up(B)
        self.assertIsNone(self.roster.unregister("default", A.id, 0.0))

    def test_twice(self) -> None:
        """What is draining already is found, and not drained anew."""
        a = self.up(A)
        a.in_flight = 1
        self.roster.unregister("default", a.id, 1.0)
        self.news()
        self.assertIs(self.roster.unregister("default", a.id, 5.0), a)
        self.assertEqual((self.news(), a.drain_deadline), ([], 1.0 + DRAIN_SECONDS))

    def test_successor(self) -> None:
        """Who registers at an address that drains is a new instance, and the old one's end does not touch it."""
        a = self.up(A)
        a.in_flight = 1
        self.roster.unregister("default", a.id, 1.0)
        new = self.roster.register("default", A, 2.0)
        self.assertIsNot(new, a)
        a.in_flight = 0
        self.roster.expire(3.0)
        self.assertEqual((a.state, new.state), (State.GONE, State.JOINING))
        self.assertEqual(self.roster.available("default"), (new,))

    def test_waiting(self) -> None:
        """Who waits is called once, when it is gone; who has stopped waiting is not."""
        a = self.up(A)
        a.in_flight = 1
        called: list[Instance] = []
        dropped: list[Instance] = []
        never = dropped.append
        self.roster.unregister("default", a.id, 1.0)
        self.roster.wait_drained(a, called.append)
        self.roster.wait_drained(a, never)
        self.roster.stop_waiting(a, never)
        self.assertEqual(called, [])
        a.in_flight = 0
        self.roster.expire(2.0)
        self.roster.expire(3.0)
        self.assertEqual((called, dropped), ([a], []))
        self.roster.wait_drained(a, called.append)
        self.assertEqual(called, [a, a])
        self.roster.stop_waiting(a, never)


class HealthTests(RosterTestCase):
    """What probes do."""

    def test_out_and_back(self) -> None:
        """Out after three failed probes, back after two that passed."""
        a = self.up(A)
        self.lose(a, 1.0, 2)
        self.assertEqual(self.roster.available("default"), (a,))
        self.lose(a, 2.0, 1)
        self.assertEqual(self.roster.available("default"), ())
        self.roster.probed(a, 200, "", 3.0)
        self.roster.probed(a, 200, "", 4.0)
        self.assertEqual(self.roster.available("default"), (a,))
        self.assertEqual(
            self.news(),
            [
                "127.0.0.1:3000 up>down: 3 probes failed: connection refused",
                "127.0.0.1:3000 down>up: 2 probes passed",
            ],
        )

    def test_statuses(self) -> None:
        """Only 2xx passes: a redirection has not answered the question."""
        for status, state in [
            (200, State.UP),
            (299, State.UP),
            (199, State.DOWN),
            (302, State.DOWN),
            (500, State.DOWN),
        ]:
            roster = Roster(lambda: 0.5, HealthRules(rise=1, fall=1))
            a = roster.register("default", A, 0.0)
            roster.probed(a, status, f"answered {status}", 1.0)
            self.assertIs(a.state, state, status)

    def test_gone(self) -> None:
        """410 means draining, at once."""
        a = self.up(A)
        a.in_flight = 1
        self.roster.probed(a, 410, "answered 410", 1.0)
        self.assertEqual(self.news(), ["127.0.0.1:3000 up>draining: says that it is leaving"])
        self.assertEqual(self.roster.due(100.0), [])

    def test_late_result(self) -> None:
        """The result of a probe that an instance's draining has overtaken says nothing."""
        a = self.up(A)
        a.in_flight = 1
        self.roster.unregister("default", a.id, 1.0)
        self.roster.probed(a, 200, "", 2.0)
        self.lose(a, 2.0)
        self.assertEqual(a.state, State.DRAINING)
        self.assertEqual(self.roster.due(100.0), [])

    def test_forgotten(self) -> None:
        """A registered instance that is down for ten minutes is removed; one that answers in between is not."""
        a = self.up(A)
        self.lose(a, 1.0)
        self.lose(a, FORGET_SECONDS, 1)
        self.assertEqual(a.state, State.DOWN)
        self.lose(a, 1.0 + FORGET_SECONDS, 1)
        self.assertEqual(a.state, State.GONE)
        self.assertIn("127.0.0.1:3000 down>draining: down for 600 s", self.news())

    def test_hint(self) -> None:
        """A connect that failed makes the next probe immediate, but only the first time."""
        a = self.up(A)
        self.roster.due(100.0)
        self.roster.probed(a, 200, "", 100.0)
        self.assertEqual(self.roster.due(101.0), [])
        self.roster.connect_failed(a, 101.0)
        self.assertEqual(self.roster.due(101.0), [a])
        self.lose(a, 101.0, 1)
        self.roster.connect_failed(a, 101.1)
        self.assertEqual(self.roster.due(101.4), [])
        self.assertEqual(self.roster.due(101.5), [a])

    def test_next_deadline(self) -> None:
        """The next probe is planned with what the rules say."""
        a = self.up(A, 10.0)
        self.assertEqual(self.roster.next_deadline(), 12.0)
        self.lose(a, 12.0, 1)
        self.assertEqual(self.roster.next_deadline(), 12.5)
        self.lose(a, 12.5, 2)
        self.assertEqual(self.roster.next_deadline(), 17.5)


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

    def test_never_forgotten(self) -> None:
        """However long it is down, it is asked on."""
        (a,) = self.static(A)
        self.lose(a, 1.0)
        self.lose(a, 10 * FORGET_SECONDS)
        self.assertEqual((a.state, self.roster.due(20 * FORGET_SECONDS)), (State.DOWN, [a]))

    def test_limit(self) -> None:
        """What is within the limit is in, and told of."""
        self.patch(roster_module, "INSTANCES_LIMIT", 1)
        self.assertRaises(ClientFault, self.static, A, B)
        self.assertEqual(self.news(), ["127.0.0.1:3000 none>joining: configured"])
