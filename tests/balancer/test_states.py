"""Tests of the states beyond up and down, of `scalekit.balancer.leases` and `scalekit.balancer.standing`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.balancer import generations
from scalekit.balancer.instance import SLOW_START_SECONDS, warm_share
from scalekit.balancer.roster import (
    FORGET_LAPSED_SECONDS,
    Endpoint,
    Instance,
    Notice,
    Registration,
    Roster,
    State,
    Transition,
)
from scalekit.balancer.routes import Claim
from scalekit.balancer.standing import ejection_seconds
from scalekit.errors import ClientFault


class StateCase(SynchronousTestCase):
    """A roster with a clock, and what it has told."""

    panic = "spray"

    def setUp(self) -> None:
        self.now = 1000.0
        self.roster = Roster(lambda: 0.5, panic=self.panic)
        self.told: list[str] = []
        self.roster.observe(self.hear)
        self.roster.observe_notices(self.notice)

    def hear(self, told: Transition) -> None:
        self.told.append(f"{told.instance.id} {told.before or 'none'}>{told.after}: {told.reason}")

    def notice(self, told: Notice) -> None:
        self.told.append(f"{told.kind} {told.service}")

    def news(self) -> list[str]:
        told, self.told = self.told, []
        return told

    def register(self, number: int) -> Instance:
        return self.roster.register("default", Endpoint("http", "127.0.0.1", 3000 + number), self.now)

    def enrol(self, id: str, generation: int = 1, number: int = 0, secret: str = "") -> Instance:
        endpoint = Endpoint("http", "127.0.0.1", 3000 + number)
        return self.roster.enrol("default", Registration(id, endpoint, generation, secret=secret), self.now)

    def rise(self, *instances: Instance) -> None:
        for instance in instances:
            for _ in range(2):
                self.roster.probed(instance, 200, "answered 200", self.now)

    def fall(self, *instances: Instance, status: int | None = 500) -> None:
        for instance in instances:
            for _ in range(3):
                self.roster.probed(instance, status, f"answered {status}", self.now)

    def strike(self, instance: Instance, times: int = 5) -> None:
        for _ in range(times):
            self.roster.struck(instance, "answered 502", self.now)

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.roster.expire(self.now)

    def warm(self, count: int) -> list[Instance]:
        """So many instances that have been up for long."""
        instances = [self.register(number) for number in range(count)]
        self.rise(*instances)
        self.wait(60.0)
        self.told.clear()
        return instances


class SlowStartTests(StateCase):
    """``warming``."""

    def test_grows(self) -> None:
        """Beside one that is warm a new one begins with a tenth, and is up after ten seconds."""
        self.warm(1)
        b = self.register(1)
        self.rise(b)
        self.assertEqual((b.state, b.share), (State.WARMING, 0.1))
        self.assertIn(b, self.roster.available("default"))
        self.wait(5.0)
        self.assertAlmostEqual(b.share, 0.55)
        self.wait(5.0)
        self.assertEqual((b.state, b.share), (State.UP, 1.0))
        self.assertEqual(self.news()[-1], "127.0.0.1:3001 warming>up: slow start is over")

    def test_not_in_an_empty_pool(self) -> None:
        """Those that come together, with nobody warm beside them, are up at once."""
        a, b = self.register(0), self.register(1)
        self.rise(a)
        self.wait(1.0)
        self.rise(b)
        self.assertEqual((a.state, b.state), (State.UP, State.UP))

    def test_share(self) -> None:
        """From a tenth to the whole."""
        self.assertEqual([warm_share(s) for s in (-1.0, 0.0, SLOW_START_SECONDS, 99.0)], [0.1, 0.1, 1.0, 1.0])


class LeaseTests(StateCase):
    """Renewing, or not."""

    def test_missed_but_well(self) -> None:
        """A lease that is missed makes it suspect, and the next check that passes up again; it still gets requests."""
        a = self.enrol("a")
        self.rise(a)
        self.wait(14.0)
        self.assertIs(a.state, State.UP)
        self.wait(1.0)
        self.assertIs(a.state, State.SUSPECT)
        self.assertEqual(self.roster.available("default"), (a,))
        self.assertEqual(self.roster.due(self.now), [a])
        self.roster.probed(a, 200, "answered 200", self.now)
        self.wait(60.0)
        self.assertEqual(self.news()[-2:], ["a up>suspect: lease missed", "a suspect>up: the check passed"])

    def test_missed_and_dead(self) -> None:
        """One failed check is enough for who has missed its lease; it is forgotten sooner."""
        a = self.enrol("a")
        self.rise(a)
        self.wait(15.0)
        self.roster.probed(a, None, "connection refused", self.now, is_refused=True)
        self.assertEqual(self.news()[-2], "a suspect>down: lease missed, and the check failed: connection refused")
        self.now += FORGET_LAPSED_SECONDS
        self.fall(a)
        self.assertEqual(self.roster.services(), ())

    def test_renewed(self) -> None:
        """Renewing keeps it, and brings back who is suspect."""
        a = self.enrol("a")
        self.rise(a)
        for _ in range(5):
            self.wait(10.0)
            self.assertIs(self.roster.renew("default", "a", 1, self.now), a)
        self.wait(15.0)
        self.assertIs(a.state, State.SUSPECT)
        self.roster.renew("default", "a", None, self.now)
        self.assertEqual(self.news()[-1], "a suspect>up: lease renewed")
        self.assertIsNone(self.roster.renew("default", "b", 1, self.now))
        self.assertIsNone(self.roster.renew("default", "a", 2, self.now))

    def test_many_at_once(self) -> None:
        """If many lapse at once while probes pass, the registry is at fault: they are kept, which is told once."""
        instances = [self.enrol(f"i{number}", number=number) for number in range(10)]
        self.rise(*instances)
        self.news()
        self.wait(15.0)
        self.assertEqual(self.news(), ["leases-doubted "])
        self.assertEqual({one.state for one in instances}, {State.UP})
        for one in instances:
            self.roster.renew("default", one.id, 1, self.now)
        self.wait(1.0)
        self.assertEqual(self.news(), ["leases-trusted "])

    def test_few_of_many(self) -> None:
        """Three of twenty are the apps' own affair."""
        instances = [self.enrol(f"i{number}", number=number) for number in range(20)]
        self.rise(*instances)
        self.wait(10.0)
        for one in instances[3:]:
            self.roster.renew("default", one.id, 1, self.now)
        self.wait(5.0)
        self.assertEqual([one.state for one in instances[:4]], [*[State.SUSPECT] * 3, State.UP])


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


class EjectionTests(StateCase):
    """``ejected``."""

    def test_out_and_back(self) -> None:
        """Five in a row, and it is out for ten seconds; then it warms up; the next time it is twice as long."""
        a, *_ = self.warm(4)
        self.strike(a, 4)
        self.assertIs(a.state, State.UP)
        self.strike(a, 1)
        self.assertEqual(
            self.news(), ["127.0.0.1:3000 up>ejected: 5 requests failed in a row: answered 502; out for 10 s"]
        )
        self.assertNotIn(a, self.roster.available("default"))
        self.wait(9.9)
        self.assertIs(a.state, State.EJECTED)
        self.wait(0.1)
        self.assertEqual(self.news(), ["127.0.0.1:3000 ejected>warming: ejection is over"])
        self.strike(a)
        self.assertIn("out for 20 s", self.news()[0])
        self.assertEqual([ejection_seconds(n) for n in (0, 1, 4, 5, 1000)], [10.0, 20.0, 160.0, 300.0, 300.0])

    def test_in_a_row(self) -> None:
        """One that went well in between begins the count anew; after a good while ejections are short again."""
        a, *_ = self.warm(4)
        self.strike(a, 4)
        a.strikes = 0
        self.strike(a, 4)
        self.assertIs(a.state, State.UP)
        self.strike(a, 1)
        self.wait(10.0)
        self.wait(400.0)
        self.news()
        self.strike(a)
        self.assertIn("out for 10 s", self.news()[0])

    def test_never_more_than_half(self) -> None:
        """Of four two at most; of one none; and nobody while the others are down."""
        instances = self.warm(4)
        for one in instances:
            self.strike(one)
        self.assertEqual([one.state for one in instances], [State.EJECTED] * 2 + [State.UP] * 2)
        self.setUp()
        (alone,) = self.warm(1)
        self.strike(alone)
        self.assertIs(alone.state, State.UP)
        self.setUp()
        a, b, c = self.warm(3)
        self.fall(b, c)
        self.strike(a)
        self.assertIs(a.state, State.UP)

    def test_needed(self) -> None:
        """When too few others are left it comes back early."""
        a, b, _ = self.warm(3)
        self.strike(a)
        self.roster.unregister("default", b.id, self.now)
        self.assertIs(a.state, State.EJECTED)
        self.fall(self.roster.instances("default")[1])
        self.assertIn("127.0.0.1:3000 ejected>up: too few others are left", self.news())

    def test_probes_go_on(self) -> None:
        """One whose probes fail too is down; one of which nothing good is known joins anew."""
        a, b, *_ = self.warm(4)
        self.strike(a)
        self.fall(a)
        self.assertIs(a.state, State.DOWN)
        self.strike(b)
        self.roster.probed(b, 500, "answered 500", self.now)
        self.wait(10.0)
        self.assertIs(b.state, State.JOINING)


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
