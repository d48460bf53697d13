"""`max_in_flight` and the line of those that wait, through the proxy."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from scalekit.balancer.instance import Endpoint
from scalekit.balancer.picking.turns import RoundRobin
from scalekit.balancer.routes import Claim
from scalekit.balancer.traffic import Traffic
from scalekit.balancer.waiting import MOST_WAITING, PATIENCE_SECONDS
from scalekit.errors import ConfigurationFault, UpstreamFault
from scalekit.http.heads import RequestHead
from scalekit.web.memory import MemoryExchange
from tests.balancer.proxied import HELLO, OK, Case, Proxied, get


class Limited(Proxied):
    """
    A balancer with several clients.

    :ivar wires_of: the clients' connections, by their number.
    """

    def __init__(self, count: int = 1, most: float = 1) -> None:
        super().__init__(count)
        self.traffic = self.proxy.traffic["default"] = Traffic(RoundRobin(), most)
        self.clients: list[Any] = []

    def asks(self, *paths: bytes) -> None:
        """Each by a client of its own."""
        for path in paths:
            self.connect()
            self.clients.append(self.wire)
            self.says(get(path))

    def told(self, number: int) -> bytes:
        """What a client has got so far."""
        self.settle()
        return bytes(self.clients[number].sent)

    def wires(self) -> list[Any]:
        return [*self.clients, *super().wires()] if hasattr(self, "clients") else super().wires()


class Forgetting(Case):
    def test_services_that_are_gone(self) -> None:
        it = Limited()
        names = [f"branch-{number}" for number in range(100)]
        for name in names:
            it.proxy.traffic[name] = Traffic(RoundRobin())
        it.proxy.traffic[names[7]].line.join("somebody", it.clock.seconds())
        it.waits(0.25)
        self.assertEqual(set(it.proxy.traffic), {"default", names[7]})
        self.assertIs(it.proxy.traffic["default"], it.traffic)


class Waiting(Case):
    def test_one_at_a_time(self) -> None:
        it = Limited()
        it.asks(b"/1", b"/2", b"/3")
        self.assertEqual((it.in_flight, len(it.traffic.line.waiting)), ([1], 2))
        it.accepts()
        for number in range(3):
            self.assertTrue(it.app.hears().startswith(b"GET /%d " % (number + 1)))
            it.answers(HELLO)
            self.assertTrue(it.told(number).endswith(b"hello"))
        self.assertEqual(it.traffic.waits, {"served": 2})
        self.ends(it, *[(200, "")] * 3)

    def test_whoever_has_room_gets_it(self) -> None:
        it = Limited(2)
        it.instances[0].in_flight = 1
        it.asks(b"/1")
        self.assertIs(it.app, it.apps[1])
        it.instances[0].in_flight = 0
        it.asks(b"/2")
        self.assertIs(it.app, it.apps[0])

    def test_what_an_instance_says_of_itself(self) -> None:
        it = Limited(1, 5)
        it.instances[0].max_in_flight = 2
        it.asks(b"/1", b"/2", b"/3")
        self.assertEqual(it.in_flight, [2])

    def test_without_a_limit_nobody_waits(self) -> None:
        it = Limited(1, float("inf"))
        it.asks(*[b"/"] * 50)
        self.assertEqual((it.in_flight, len(it.traffic.line.waiting)), ([50], 0))

    def test_the_newest_first_when_it_takes_too_long(self) -> None:
        it = Limited()
        it.asks(b"/1", b"/2", b"/3")
        it.accepts()
        it.app.hears()
        it.waits(PATIENCE_SECONDS / 2)
        it.answers(HELLO)
        self.assertTrue(it.app.hears().startswith(b"GET /3 "))

    def test_in_vain(self) -> None:
        it = Limited()
        it.asks(b"/1", b"/2")
        it.accepts()
        it.waits(PATIENCE_SECONDS + 0.25)
        self.assertTrue(it.told(1).startswith(b"HTTP/1.1 503 "))
        self.assertIn(b"\r\nRetry-After: 5\r\n", it.told(1))
        it.answers(HELLO)
        self.assertEqual(it.traffic.waits, {"timeout": 1})
        self.ends(it, (503, "queue-timeout"), (200, ""))

    def test_what_is_behind_it_is_for_a_new_service(self) -> None:
        """It is answered, and the request behind it on the connection begins the service's traffic, within one tick."""
        it = Limited()
        it.routing.settle((Claim.of("default", [], "/1"), Claim.of("other", [], "/2")))
        it.roster.settle_static("other", [Endpoint("http", "192.0.2.10", 81)], 0.0)
        it.instances = (*it.instances, *it.roster.instances("other"))
        it.apps.append(it.apps[0])
        it.instances[0].in_flight = 1
        it.connect()
        it.says(get(b"/1") + get(b"/2"))
        it.waits(PATIENCE_SECONDS + 0.25)
        self.assertEqual(list(it.proxy.traffic), ["default", "other"])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_too_many(self) -> None:
        it = Limited()
        for number in range(MOST_WAITING):
            it.traffic.line.join(number, 0.0)
        it.instances[0].in_flight = 1
        it.asks(b"/1")
        self.assertTrue(it.told(0).startswith(b"HTTP/1.1 503 "))
        self.assertIn(b"\r\nRetry-After: 5\r\n", it.told(0))
        self.assertEqual(it.traffic.waits, {"full": 1})
        self.assertEqual([status for _, status, _ in it.outcomes], [503])

    def test_who_is_gone_waits_no_more(self) -> None:
        it = Limited()
        it.asks(b"/1", b"/2", b"/3")
        it.clients[1].lose()
        self.assertEqual(len(it.traffic.line.waiting), 1)
        it.accepts()
        it.app.hears()
        it.answers(HELLO)
        self.assertTrue(it.app.hears().startswith(b"GET /3 "))
        it.answers(HELLO)
        self.assertEqual(it.traffic.waits, {"gone": 1, "served": 1})
        self.ends(it, (0, "client-gone"), (200, ""), (200, ""))

    def test_room_that_comes_with_a_failure_or_a_new_member(self) -> None:
        it = Limited(2)
        it.asks(b"/1", b"/2", b"/3", b"/4")
        self.assertEqual(it.in_flight, [1, 1])
        it.clients[0].lose()
        self.assertEqual(len(it.traffic.line.waiting), 1)
        it.instances[0].max_in_flight = 1
        it.traffic.most = 2
        it.waits(0.25)
        self.assertEqual(it.in_flight, [1, 2])

    def test_a_retry_does_not_wait(self) -> None:
        it = Limited(2)
        it.asks(b"/1", b"/2")
        it.refuses()
        self.assertEqual(it.seen[1].record.retry, "nobody-else")
        self.assertEqual([status for _, status, _ in it.outcomes], [502])

    def test_a_loop_that_is_seen_late(self) -> None:
        """What is wrong with a request that waited costs this request only."""
        it = Limited()
        it.asks(b"/1")
        it.connect()
        it.clients.append(it.wire)
        it.says(get(b"/2", b"Via: 1.1 scalekit-test"))
        it.asks(b"/3")
        it.accepts()
        it.answers(HELLO)
        self.assertTrue(it.told(1).startswith(b"HTTP/1.1 508 "))
        it.answers(HELLO)
        self.ends(it, (508, "loop"), (200, ""), (200, ""))

    def test_an_attempt_that_cannot_be_made(self) -> None:
        """It takes no room: who waits behind it has its turn."""
        it = Limited()
        it.asks(b"/1", b"/2", b"/3")
        it.accepts()
        open_first = it.app.pool.open

        def open_nothing(*args: object) -> None:
            self.patch(it.app.pool, "open", open_first)
            raise ConfigurationFault("balancer.upstream_tls.ca: unreadable")

        self.patch(it.app.pool, "open", open_nothing)
        it.answers(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n") + b"hello")
        self.assertTrue(it.told(1).startswith(b"HTTP/1.1 500 "))
        self.assertEqual(len(self.flushLoggedErrors(ConfigurationFault)), 1)
        self.assertEqual(it.in_flight, [1])
        it.accepts()
        it.answers(HELLO)
        self.ends(it, (500, "internal-error"), (200, ""), (200, ""))

    def test_one_whose_answer_raises(self) -> None:
        """As a decorator's might: the others get theirs, and it is cut."""
        for ends in (self.in_vain, self.no_attempt):
            it = Limited()
            it.instances[0].in_flight = 1
            exchanges = [MemoryExchange(RequestHead(b"GET", b"/", [], b"a")) for _ in range(3)]
            for exchange in exchanges:
                it.proxy.respond(exchange)
            exchanges[1].fail = lambda fault: 1 / 0  # type: ignore[method-assign,assignment]
            ends(it)
            it.proxy.tick()
            self.assertEqual([exchange.status for exchange in exchanges], [503, 0, 503])
            self.assertIsInstance(exchanges[1].fault, ZeroDivisionError)
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
            self.assertEqual((it.in_flight, len(it.traffic.line.waiting)), ([0], 0))

    def test_a_long_line_whose_attempts_all_fail_at_once(self) -> None:
        it = Limited()
        it.instances[0].in_flight = 1
        exchanges = [MemoryExchange(RequestHead(b"GET", b"/", [], b"a")) for _ in range(MOST_WAITING)]
        for exchange in exchanges:
            it.proxy.respond(exchange)
        self.no_attempt(it)
        it.proxy.tick()
        self.assertEqual({exchange.record.reason for exchange in exchanges}, {"connect-failed"})
        self.assertEqual((it.in_flight, it.traffic.waits), ([0], {"served": MOST_WAITING}))

    def in_vain(self, it: Limited) -> None:
        it.clock.rightNow += PATIENCE_SECONDS
        it.instances[0].in_flight = 0

    def no_attempt(self, it: Limited) -> None:
        """There is room, and no connection can be opened."""

        def refuse(*arguments: object) -> None:
            raise UpstreamFault(503, "connect-failed", "No connection can be opened.")

        self.patch(it.apps[0].pool, "open", refuse)
        it.instances[0].in_flight = 0

    @settings(max_examples=60, deadline=None)
    @given(
        st.integers(1, 3),
        st.integers(1, 2),
        st.lists(
            st.tuples(st.sampled_from(["ask", "answer", "refuse", "leave", "wait"]), st.integers(0, 20)), max_size=40
        ),
    )
    def test_in_any_order(self, count: int, most: int, steps: list[tuple[str, int]]) -> None:
        """Nobody has more than it takes, nobody waits while there is room, and everybody gets an answer."""
        it = Limited(count, most)
        for step, value in steps:
            if step == "ask":
                it.asks(b"/%d" % len(it.clients))
            elif step == "leave" and it.clients:
                it.clients[value % len(it.clients)].lose()
            elif step == "wait":
                it.waits(value / 4)
            elif step in ("answer", "refuse"):
                self.act(it, step)
            it.settle()
            assert all(0 <= n <= most for n in it.in_flight), it.in_flight
            if it.traffic.line.waiting:
                assert all(one.in_flight == most for one in it.roster.available("default")), it.in_flight
        it.waits(60)
        self.assertEqual(len(it.outcomes), len(it.seen))
        self.assertEqual(it.in_flight, [0] * count)

    def act(self, it: Limited, step: str) -> None:
        """The first app server that has something to do does it."""
        for app in it.apps:
            for attempt in app.attempts:
                if attempt.wire is None and attempt._deadline.active():
                    if step == "refuse":
                        attempt.fail()
                    else:
                        app.says(HELLO, wire=attempt.succeed())
                    return
                if attempt.wire is not None and not attempt.wire.loss and attempt.wire.protocol._receiver:
                    app.says(HELLO, wire=attempt.wire)
                    return
