"""Tests of `scalekit.balancer.judging`: what probes, requests and time make of an instance."""

from __future__ import annotations

from scalekit.balancer.health import HealthRules
from scalekit.balancer.instance import SLOW_START_SECONDS, warm_share
from scalekit.balancer.judging import FORGET_SECONDS
from scalekit.balancer.per_service import PerService
from scalekit.balancer.roster import Endpoint, Roster, State
from scalekit.balancer.standing import ejection_seconds
from tests.balancer.rosters import A, B, RosterTestCase, StateCase


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
            roster = Roster(lambda: 0.5, PerService(HealthRules(rise=1, fall=1)))
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


class RulesTests(RosterTestCase):
    """Other rules while it runs."""

    def test_they_count_from_the_next_probe_on(self) -> None:
        a, b = self.up(A), self.roster.register("default", B, 0.0)
        self.lose(a, 1.0, 1)
        self.roster.reconfigure(PerService(HealthRules(rise=1, fall=2)), 1.0, "spray", 2.0)
        self.lose(a, 3.0, 1)
        self.roster.probed(b, 200, "answered 200", 3.0)
        self.assertEqual((a.state, b.state), (State.DOWN, State.UP))
        self.assertEqual(self.roster.rules.usual.fall, 2)
        c = self.roster.register("default", Endpoint("http", "127.0.0.1", 3002), 3.0)
        self.assertEqual(c.health.rules.rise, 1)

    def test_a_service_has_its_own(self) -> None:
        rules = PerService(HealthRules(), {"shop": HealthRules(status=401)})
        self.roster.reconfigure(rules, 30.0, "spray", 0.0)
        a, b = self.roster.register("default", A, 0.0), self.roster.register("shop", B, 0.0)
        for _ in range(3):
            self.roster.probed(a, 401, "answered 401", 1.0)
            self.roster.probed(b, 401, "answered 401", 1.0)
        self.assertEqual((a.state, b.state), (State.DOWN, State.UP))
        self.assertEqual(a.reason, "3 probes failed: answered 401")
        self.roster.reconfigure(PerService(HealthRules()), 30.0, "spray", 2.0)
        for _ in range(3):
            self.roster.probed(b, 401, "answered 401", 3.0)
        self.assertEqual(b.state, State.DOWN)

    def test_nobody_waits_for_the_end_of_an_interval_that_is_no_longer(self) -> None:
        self.roster = Roster(lambda: 0.5, PerService(HealthRules(interval=3600.0)))
        a = self.up(A)
        self.roster.reconfigure(PerService(HealthRules(interval=10.0)), 30.0, "spray", 100.0)
        self.assertEqual((self.roster.due(109.9), self.roster.due(110.0)), ([], [a]))
        self.roster.probed(a, 200, "answered 200", 110.0)
        self.roster.reconfigure(PerService(HealthRules(interval=20.0)), 30.0, "spray", 110.0)
        self.assertEqual(self.roster.next_deadline(), 120.0)

    def test_time_for_draining(self) -> None:
        a, b = self.up(A), self.up(B)
        a.in_flight = b.in_flight = 1
        self.roster.unregister("default", a.id, 0.0)
        self.roster.reconfigure(PerService(HealthRules()), 5.0, "spray", 0.0)
        self.roster.unregister("default", b.id, 0.0)
        self.roster.expire(5.0)
        self.assertEqual((a.state, b.state), (State.DRAINING, State.GONE))


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
