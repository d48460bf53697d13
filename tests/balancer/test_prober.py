"""Tests of `scalekit.balancer.prober`."""

from __future__ import annotations

from itertools import pairwise

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from scalekit.balancer.health import HealthRules
from scalekit.balancer.prober import BODY_LIMIT, STATE_LIMIT, TICK_SECONDS, PingAnswer, Prober, ping_head
from scalekit.balancer.roster import Endpoint, Instance, Roster, State, Transition
from scalekit.errors import UpstreamFault
from scalekit.http.heads import ResponseHead
from scalekit.interfaces import IAnswerReceiver


class ProberTests(SynchronousTestCase):
    """Ticks, deadlines, failures."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.roster = Roster(lambda: 0.5)
        self.asked: list[tuple[float, Instance, Deferred[int]]] = []
        self.cancelled: list[Instance] = []
        self.prober = Prober(self.roster, self.probe, self.clock)
        self.prober.startService()
        self.a = self.register(3000)

    def register(self, port: int) -> Instance:
        return self.roster.register("default", Endpoint("http", "127.0.0.1", port), self.clock.seconds())

    def probe(self, instance: Instance) -> Deferred[int]:
        asked: Deferred[int] = Deferred(lambda _: self.cancelled.append(instance))
        self.asked.append((self.clock.seconds(), instance, asked))
        return asked

    def answer(self, result: int | Exception) -> None:
        """Answer all that were asked."""
        asked, self.asked = self.asked, []
        for _, _, deferred in asked:
            if isinstance(result, int):
                deferred.callback(result)
            else:
                deferred.errback(result)

    def run_for(self, seconds: float, result: int | Exception | None = None) -> None:
        """Let time pass in small steps, each probe answered in the step that it was asked in."""
        for _ in range(round(seconds / TICK_SECONDS)):
            self.clock.advance(TICK_SECONDS)
            if result is not None:
                self.answer(result)

    def test_up(self) -> None:
        """An instance that answers is up within a second."""
        self.run_for(1.0, 200)
        self.assertIs(self.a.state, State.UP)
        self.assertEqual(self.a.reason, "2 probes passed")

    def test_side_by_side(self) -> None:
        """One that hangs delays nobody; it fails at its deadline, and its probe is ended."""
        b = self.register(3001)
        for _ in range(12):
            self.clock.advance(TICK_SECONDS)
            for entry in [entry for entry in self.asked if entry[1] is b]:
                self.asked.remove(entry)
                entry[2].callback(200)
        self.assertIs(b.state, State.UP)
        self.assertEqual({instance for _, instance, _ in self.asked}, {self.a})
        self.prober.stopService()  # so that b, too, is answered no more
        self.assertEqual(self.cancelled.count(self.a), len(self.cancelled))

    def test_hangs(self) -> None:
        """One that never answers is down after three deadlines, and its probes are ended."""
        self.run_for(5.0)
        self.assertEqual((self.a.state, self.a.reason), (State.DOWN, "3 probes failed: no answer within 1 s"))
        self.assertEqual(self.cancelled, [self.a] * 3)

    def test_one_at_a_time(self) -> None:
        """An instance is not asked again while it is being asked."""
        self.run_for(1.0)
        self.assertEqual(len(self.asked), 1)

    def test_out_and_back(self) -> None:
        """Out after three failed probes, 0.5 s apart; asked every 5 s; back half a second after it answers again."""
        self.run_for(5.0, 200)
        told: list[Transition] = []
        self.roster.observe(told.append)
        self.roster.connect_failed(self.a, self.clock.seconds())
        began = self.clock.seconds()
        self.run_for(20.0, ConnectionRefusedError())
        self.assertEqual([one.after for one in told], [State.DOWN])
        self.assertLessEqual(told[0].at - began, 1.5)
        self.assertIn("refused", told[0].reason)
        began = self.clock.seconds()
        self.run_for(6.0, 200)
        self.assertIs(self.a.state, State.UP)
        self.assertLessEqual(told[-1].at - began, 6.0)

    def test_cadence(self) -> None:
        """Every 2 s while all is well, every 5 s while it is down."""
        self.run_for(5.0, 200)
        asked: list[float] = []
        for result, seconds in [(200, 8.0), (500, 5.0)]:
            asked.clear()
            for _ in range(int(seconds / TICK_SECONDS)):
                self.clock.advance(TICK_SECONDS)
                asked += [when for when, _, _ in self.asked]
                self.answer(result)
            if result == 200:
                self.assertEqual([b - a for a, b in pairwise(asked)], [2.0] * (len(asked) - 1))
                self.assertEqual(len(asked), 4)
        asked.clear()
        for _ in range(80):
            self.clock.advance(TICK_SECONDS)
            asked += [when for when, _, _ in self.asked]
            self.answer(500)
        self.assertEqual([b - a for a, b in pairwise(asked)], [5.0] * 3)

    def test_draining_is_not_asked(self) -> None:
        """What drains is left alone, and let go when nothing is in flight."""
        self.run_for(5.0, 200)
        self.a.in_flight = 1
        self.roster.unregister("default", self.a.id, self.clock.seconds())
        self.run_for(10.0)
        self.assertEqual((self.asked, self.a.state), ([], State.DRAINING))
        self.a.in_flight = 0
        self.run_for(TICK_SECONDS)
        self.assertIs(self.a.state, State.GONE)

    def test_tick_that_raises(self) -> None:
        """An exception in a tick is logged, and the next tick comes."""
        expire = self.roster.expire
        self.patch(self.roster, "expire", lambda now: 1 / 0)
        self.clock.advance(TICK_SECONDS)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.patch(self.roster, "expire", expire)
        self.run_for(2.0, 200)
        self.assertIs(self.a.state, State.UP)

    def test_probe_that_raises(self) -> None:
        """A probe that raises instead of failing is a failed probe, and delays nobody."""
        prober = Prober(self.roster, lambda instance: 1 / 0, self.clock)  # type: ignore[arg-type, return-value]
        self.prober.stopService()
        prober.startService()
        b = self.register(3001)
        self.run_for(3.0)
        self.assertEqual([self.a.state, b.state], [State.DOWN, State.DOWN])
        self.assertIn("division by zero", b.reason)
        prober.stopService()

    def test_observer_that_raises(self) -> None:
        """An observer's fault is logged; the instance is probed on."""
        self.roster.observe(lambda told: 1 / 0)  # type: ignore[arg-type]
        self.run_for(5.0, 200)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIs(self.a.state, State.UP)
        self.run_for(10.0, 500)
        self.flushLoggedErrors(ZeroDivisionError)
        self.assertIs(self.a.state, State.DOWN)

    def test_stop(self) -> None:
        """When the service stops, what runs is ended and says nothing about its instance."""
        self.run_for(0.5)
        self.prober.stopService()
        self.assertEqual((self.cancelled, self.a.state), ([self.a], State.JOINING))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.prober.stopService()

    def test_ready_answers(self) -> None:
        """A probe may have its answer at once."""
        self.prober.stopService()

        def probe(instance: Instance) -> Deferred[int]:
            return succeed(200) if instance is self.a else fail(UpstreamFault(502, "x", "no luck"))

        prober = Prober(self.roster, probe, self.clock)
        prober.startService()
        b = self.register(3001)
        self.run_for(3.0)
        self.assertEqual([self.a.state, b.state], [State.UP, State.DOWN])
        self.assertEqual(b.reason, "3 probes failed: no luck")
        prober.stopService()


class PingAnswerTests(SynchronousTestCase):
    """What an instance answers."""

    def setUp(self) -> None:
        self.cuts = 0
        self.ping = PingAnswer(self.cut, HealthRules())

    def cut(self) -> None:
        self.cuts += 1

    def test_interface(self) -> None:
        """It takes answers."""
        self.assertTrue(verifyObject(IAnswerReceiver, self.ping))

    def test_whole(self) -> None:
        """An answer in one piece gives its status, also a redirection, which nobody follows."""
        self.ping.continued()
        self.ping.informed(103, [])
        self.ping.hold()
        self.ping.release()
        self.ping.answered(ResponseHead(302, [(b"Location", b"/login")]), b"moved")
        self.assertEqual((self.successResultOf(self.ping.status), self.cuts), (302, 0))

    def test_pieces(self) -> None:
        """An answer in pieces gives its status at its end."""
        self.ping.began(ResponseHead(200, []))
        self.ping.data(b"x" * BODY_LIMIT)
        self.assertNoResult(self.ping.status)
        self.ping.ended([])
        self.assertEqual(self.successResultOf(self.ping.status), 200)

    def test_draining(self) -> None:
        """A body that says so is as good as 410; other bodies, or that of an error, say nothing."""
        for status, body, told in [
            (200, b' {"state": "draining", "requests": 3}', 410),
            (200, b'{"state": "up"}', 200),
            (200, b'{"state": "draining"', 200),
            (200, b"draining", 200),
            (200, b'{"state":"draining"}' + b" " * STATE_LIMIT, 200),
            (503, b'{"state":"draining"}', 503),
        ]:
            ping = PingAnswer(lambda: None, HealthRules())
            ping.answered(ResponseHead(status, []), body)
            self.assertEqual(self.successResultOf(ping.status), told, body)

    def test_a_status_that_is_wanted(self) -> None:
        """Only that one is looked into, whichever it is; what another one means is decided elsewhere."""
        for status, body, told in [(401, b'{"state":"draining"}', 410), (401, b"", 401), (200, b"", 200)]:
            ping = PingAnswer(lambda: None, HealthRules(status=401))
            ping.answered(ResponseHead(status, []), body)
            self.assertEqual(self.successResultOf(ping.status), told, body)

    def test_a_text_that_is_wanted(self) -> None:
        """A good answer without it fails; it may be far behind, and in two pieces."""
        rules = HealthRules(text="très bien".encode())
        ping = PingAnswer(self.cut, rules)
        ping.began(ResponseHead(200, []))
        for piece in (b" " * 10 * STATE_LIMIT, rules.text[:3], rules.text[3:], b"!"):
            ping.data(piece)
        ping.ended([])
        self.assertEqual(self.successResultOf(ping.status), 200)
        ping = PingAnswer(self.cut, rules)
        ping.answered(ResponseHead(200, []), b"bien")
        fault = self.failureResultOf(ping.status, UpstreamFault).value
        self.assertEqual((fault.reason, fault.detail), ("ping-text", "answered 200 without 'très bien'"))
        ping = PingAnswer(self.cut, rules)
        ping.answered(ResponseHead(503, []), b"bien")
        self.assertEqual(self.successResultOf(ping.status), 503)

    def test_too_long(self) -> None:
        """An answer over 64 KiB is cut and fails."""
        self.ping.began(ResponseHead(200, []))
        for _ in range(3):
            self.ping.data(b"x" * BODY_LIMIT)
        self.ping.failed(UpstreamFault(502, "cut", "cut"))
        self.ping.ended([])
        fault = self.failureResultOf(self.ping.status, UpstreamFault).value
        self.assertEqual((fault.reason, self.cuts), ("ping-too-long", 1))
        self.ping = PingAnswer(self.cut, HealthRules())
        self.ping.answered(ResponseHead(200, []), b"x" * (BODY_LIMIT + 1))
        self.failureResultOf(self.ping.status, UpstreamFault)

    def test_failed(self) -> None:
        """A failure is handed on."""
        self.ping.failed(UpstreamFault(504, "slow", "too slow"))
        self.failureResultOf(self.ping.status, UpstreamFault)

    def test_cancelled(self) -> None:
        """When nobody waits any more the connection is cut, and what it brings is ignored."""
        self.ping.status.addErrback(lambda failure: None)
        self.ping.status.cancel()
        self.ping.failed(UpstreamFault(502, "cut", "cut"))
        self.assertEqual(self.cuts, 1)

    def test_head(self) -> None:
        """The question names the instance and who asks."""
        roster = Roster(lambda: 0.5)
        instance = roster.register("default", Endpoint("http", "::1", 3000), 0.0)
        instance.health.rules = HealthRules(path="/health")
        head = ping_head(instance)
        self.assertEqual((head.method, head.target, head.host), (b"GET", b"/health", b"[::1]:3000"))
        self.assertEqual(head.get(b"user-agent"), b"scalekit-prober")
