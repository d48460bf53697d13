"""WebSockets whose app server leaves, all in memory: they are told, each at its time, and nothing is torn."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.balancer.health import HealthRules
from scalekit.balancer.instance import Endpoint, Instance, State
from scalekit.balancer.tunnels import ANSWER_SECONDS, LONGEST_GAP_SECONDS, MESSAGE_SECONDS, Tunnels, plan_turns
from scalekit.errors import Fault
from scalekit.http.h2.client_session import ClientSession
from scalekit.http.heads import Outcome
from scalekit.http.upgrade import accept_of, made_key
from scalekit.http.websocket import close_frame
from scalekit.net.deadlines import Wheel
from tests.balancer.proxied import Case, Proxied
from tests.balancer.test_over_http2 import OverHTTP2
from tests.balancer.test_tunnels import AGREE, AGREED, ASK
from tests.http.h2.recorder import Recorder
from tests.http.test_websocket import END, START, TEXT, frame
from tests.net.h2_conversation import GET

KEY = b"\x80\x00\x00\x00"  # what the balancer's random gives
TOLD = close_frame(1001)
ANSWER = close_frame(1001, key=b"abcd")
SECOND = 1.0


class FarewellCase(Case):
    def begun(self, it: Proxied | None = None) -> Proxied:
        """A WebSocket to the only app server."""
        it = it or Proxied(1)
        it.says(ASK)
        it.accepts()
        it.app.hears()
        it.answers(AGREE)
        self.assertEqual(it.hears(), AGREED)
        return it

    def drain(self, it: Proxied) -> Instance:
        """The app server leaves."""
        instance: Instance = it.instances[0]
        it.roster.settle_static("default", [], it.clock.seconds())
        self.assertIs(instance.state, State.DRAINING)
        return instance

    def drained(self, instance: Instance, it: Proxied) -> None:
        """The roster lets it go."""
        self.assertEqual(instance.in_flight, 0)
        it.roster.expire(it.clock.seconds())
        self.assertEqual(repr(instance).partition(" ")[2].partition(" in_flight")[0], "gone (nothing in flight)")


class Told(FarewellCase):
    def test_the_client_answers_and_both_close(self) -> None:
        it = self.begun()
        it.answers(frame(TEXT, b"before"))
        instance = self.drain(it)
        it.waits(SECOND)
        self.assertEqual(it.hears(), frame(TEXT, b"before") + TOLD)
        it.answers(frame(TEXT, b"after"))
        it.says(frame(TEXT, b"still", b"abcd"), ANSWER)
        self.assertEqual(it.app.hears(), frame(TEXT, b"still", b"abcd") + ANSWER)
        self.assertTrue(it.wire.has_shut)
        it.leaves()
        it.answers(close_frame(1001))
        self.assertEqual(instance.in_flight, 1)
        it.app.wire.end()
        it.settle()
        self.assertEqual(it.hears(), b"")
        self.assertIs(it.wire.loss, ConnectionDone)
        self.assertIs(it.app.wire.loss, ConnectionDone)
        self.drained(instance, it)
        self.ends(it, (101, "going-away"))
        self.assertEqual(len(it.tunnels), 0)

    def test_in_flight_it_is_until_the_app_server_has_closed(self) -> None:
        it = self.begun()
        instance = self.drain(it)
        it.waits(SECOND)
        it.says(ANSWER)
        it.app.wire.end()
        it.settle()
        self.drained(instance, it)
        self.assertIs(it.app.wire.loss, ConnectionDone)
        self.assertFalse(it.is_over)
        it.leaves()
        self.ends(it, (101, "going-away"))

    def test_not_inside_a_frame(self) -> None:
        it = self.begun()
        whole = frame(0x82, bytes(70_000))
        it.answers(whole[:100])
        self.drain(it)
        it.waits(MESSAGE_SECONDS + ANSWER_SECONDS + 10)
        it.answers(whole[100:] + frame(TEXT, b"next"))
        self.assertEqual(it.hears(), whole + TOLD)

    def test_not_inside_a_message_unless_it_takes_long(self) -> None:
        for seconds in (SECOND, MESSAGE_SECONDS + SECOND):
            it = self.begun()
            it.answers(frame(START, b"a"))
            self.drain(it)
            it.waits(seconds)
            it.answers(frame(END, b"b") + frame(TEXT, b"c"))
            it.waits(SECOND)
            b = b"" if seconds > MESSAGE_SECONDS else frame(END, b"b")
            self.assertEqual(it.hears(), frame(START, b"a") + b + TOLD)

    def test_a_frame_that_never_ends_is_cut_when_the_time_for_draining_is_over(self) -> None:
        it = self.begun()
        it.answers(frame(TEXT, b"abc")[:3])
        instance = self.drain(it)
        it.waits(29)
        self.assertFalse(it.is_over)
        it.waits(2)
        self.assertTrue(it.was_cut)
        self.assertEqual(it.app.wire.loss is None, False)
        self.assertEqual(instance.in_flight, 0)
        self.ends(it, (101, "drain-timeout"))

    def test_a_client_that_does_not_answer(self) -> None:
        it = self.begun()
        instance = self.drain(it)
        it.waits(SECOND + ANSWER_SECONDS + SECOND)
        self.assertEqual(it.hears(), TOLD)
        self.assertEqual(it.app.hears(), close_frame(1001, key=KEY))
        it.says(frame(TEXT, b"late", b"abcd"))
        self.assertEqual(it.app.hears(), b"")
        it.app.wire.end()
        it.settle()
        self.drained(instance, it)
        it.waits(ANSWER_SECONDS + SECOND)
        self.assertTrue(it.was_cut)
        self.ends(it, (101, "going-away"))

    def test_nor_an_app_server(self) -> None:
        it = self.begun()
        instance = self.drain(it)
        it.waits(2 * ANSWER_SECONDS + 3)
        self.assertTrue(it.was_cut)
        self.assertEqual(it.tunnels.drained, {("default", "told"): 1, ("default", "cut"): 1})
        self.assertIsNotNone(it.app.wire.loss)
        self.drained(instance, it)
        self.ends(it, (101, "going-away"))

    def test_a_client_that_stops_inside_a_frame(self) -> None:
        it = self.begun()
        it.says(frame(TEXT, b"abc", b"abcd")[:4])
        it.app.hears()
        self.drain(it)
        it.waits(SECOND + ANSWER_SECONDS + SECOND)
        self.assertEqual(it.app.hears(), b"")
        self.assertIsNotNone(it.app.wire.loss)
        self.ends(it, (101, "going-away"))

    def test_an_app_server_that_breaks_off(self) -> None:
        it = self.begun()
        instance = self.drain(it)
        it.waits(SECOND)
        it.closes(ConnectionLost)
        self.assertEqual(it.hears(), TOLD)
        self.assertFalse(it.was_cut)
        self.assertTrue(it.wire.has_shut)
        self.drained(instance, it)
        it.leaves()
        self.ends(it, (101, "going-away"))

    def test_a_client_that_is_lost(self) -> None:
        it = self.begun()
        self.drain(it)
        it.waits(SECOND)
        it.wire.lose(ConnectionLost)
        it.settle()
        self.assertIsNotNone(it.app.wire.loss)
        self.ends(it, (101, "going-away"))
        it.waits(2 * ANSWER_SECONDS)
        self.assertEqual(it.tunnels.drained, {("default", "told"): 1})

    def test_a_peer_that_is_ending_it_already(self) -> None:
        it = self.begun()
        it.says(close_frame(4000, key=b"abcd"))
        self.drain(it)
        it.waits(SECOND)
        self.assertEqual(it.hears(), b"")
        it.answers(close_frame(4000))
        self.assertEqual(it.hears(), close_frame(4000))
        it.app.wire.end()
        it.settle()
        it.leaves()
        self.ends(it, (101, ""))

    def test_one_that_was_asked_for_before_and_begins_after(self) -> None:
        it = Proxied(1)
        it.says(ASK)
        it.accepts()
        self.drain(it)
        it.answers(AGREE)
        it.waits(SECOND)
        self.assertEqual(it.hears(), AGREED + TOLD)

    def test_those_of_others_go_on(self) -> None:
        it = self.begun(Proxied(2))
        other = next(one for one in it.instances if not one.in_flight)
        it.roster.settle_static("default", [one.endpoint for one in it.instances if one is not other], 0.0)
        it.waits(60)
        it.answers(frame(TEXT, b"x"))
        self.assertEqual(it.hears(), frame(TEXT, b"x"))

    def test_what_waited_for_its_message_is_told_when_the_time_is_over(self) -> None:
        """A frame's end that comes with the last words of the drain."""
        it = self.begun()
        it.answers(frame(TEXT, b"abc")[:3])
        instance = self.drain(it)
        it.waits(MESSAGE_SECONDS + SECOND)
        it.tunnels.end(instance, 0.0)
        it.waits(SECOND)
        it.answers(frame(TEXT, b"abc")[3:])
        self.assertEqual(it.hears(), frame(TEXT, b"abc") + TOLD)


class OverHTTP2Told(FarewellCase):
    def test_an_app_server_of_http_2(self) -> None:
        it = OverHTTP2(1)
        it.says(ASK)
        peer = it.meets()
        peer.begins(1)
        it.hears()
        peer.take()
        instance = self.drain(it)
        it.waits(SECOND)
        self.assertEqual(it.hears(), TOLD)
        peer.sends(1, frame(TEXT, b"after"))
        it.says(ANSWER)
        self.assertEqual(peer.bodies[1], ANSWER)
        peer.sends(1, close_frame(1001), True)
        it.settle()
        self.assertEqual(it.hears(), b"")
        self.drained(instance, it)
        it.leaves()
        self.ends(it, (101, "going-away"))


class FromHTTP2(Proxied):
    """A client of HTTP/2, and app servers of HTTP/1.1."""

    def connect(self) -> None:
        self._accept(self.factory.build_h2())
        self.told = Recorder()
        self.client = ClientSession(self.told, 1000)

    def talk(self) -> list[Any]:
        """What the client hears meanwhile."""
        while True:
            up = self.client.output(1 << 20)
            if up:
                self.says(up)
            down = self.sent()
            if down:
                self.client.receive(down)
            if not up and not down:
                return self.told.take()


class FromHTTP2Told(FarewellCase):
    def test_a_client_of_http_2(self) -> None:
        it = FromHTTP2(1)
        it.talk()
        connect = [(b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:]]
        stream = it.client.request(connect, False)
        it.talk()
        it.accepts()
        it.app.hears()
        it.answers(AGREE.replace(accept_of(b"dGhlIHNhbXBsZSBub25jZQ=="), accept_of(made_key(b"t-1"))))
        self.assertEqual([event[0] for event in it.talk()], ["answered"])
        instance = self.drain(it)
        it.waits(SECOND)
        self.assertEqual(it.talk(), [("data", stream, TOLD, False)])
        it.client.send_data(stream, ANSWER)
        self.assertEqual(it.talk(), [("data", stream, b"", True)])
        self.assertEqual(it.app.hears(), ANSWER)
        it.answers(close_frame(1001))
        it.app.wire.end()
        it.settle()
        self.drained(instance, it)
        it.client.end(stream)
        self.assertEqual(it.talk(), [("closed", stream, 0)])
        self.ends(it, (101, "going-away"))


class All(FarewellCase):
    def test_the_balancer_itself_leaves(self) -> None:
        it = self.begun()
        it.tunnels.end_all(30.0)
        it.waits(SECOND)
        self.assertEqual(it.hears(), TOLD)

    def test_or_only_its_listener(self) -> None:
        it = self.begun()
        it.factory.drain()
        it.waits(SECOND)
        self.assertEqual(it.hears(), TOLD)

    def test_those_that_begin_then_too(self) -> None:
        it = Proxied(1)
        it.says(ASK)
        it.accepts()
        it.tunnels.end_all(30.0)
        it.answers(AGREE)
        it.waits(SECOND)
        self.assertEqual(it.hears(), AGREED + TOLD)


class Fake:
    """What a tunnel has on either side: an exchange, and a forward without a connection."""

    connection = None

    def __init__(self) -> None:
        self.heard = b""
        self.record = Outcome()

    def write(self, piece: bytes) -> None:
        self.heard += piece

    def refuse(self, fault: Fault) -> None:
        pass


class Turns(SynchronousTestCase):
    @given(st.integers(0, 300), st.floats(0, 3600), st.floats(0, 0.999))
    def test_they_are_spread(self, count: int, seconds: float, chance: float) -> None:
        turns = plan_turns(count, seconds, lambda: chance)
        self.assertEqual(len(turns), count)
        self.assertEqual(turns, sorted(turns))
        gaps = [later - earlier for earlier, later in pairwise(turns)]
        self.assertLessEqual(max(gaps, default=0.0), LONGEST_GAP_SECONDS + 1e-9)
        self.assertLessEqual(max(gaps, default=0.0) - min(gaps, default=0.0), 1e-6)
        self.assertLess(max(turns, default=-1.0), max(seconds * 0.7, 1e-9))

    def fakes(self, count: int) -> tuple[Clock, Tunnels, Instance, list[Any]]:
        clock = Clock()
        wheel = Wheel(clock)
        wheel.start()
        tunnels = Tunnels(wheel, lambda: 0.5)
        instance = Instance("default", Endpoint("http", "192.0.2.1", 80), 0.0, HealthRules())
        fakes: list[Any] = [Fake() for _ in range(count)]
        for fake in fakes:
            tunnels.begin(fake, fake, instance)
        return clock, tunnels, instance, fakes

    def told(self, clock: Clock, fakes: list[Any], seconds: float) -> list[int]:
        """How many have been told after each tick."""
        counts = []
        for _ in range(round(seconds / 0.25)):
            clock.advance(0.25)
            counts.append(sum(fake.heard == TOLD for fake in fakes))
        return counts

    def test_many_within_the_time(self) -> None:
        clock, tunnels, instance, fakes = self.fakes(800)
        tunnels.end(instance, 30.0)
        counts = self.told(clock, fakes, 21)
        self.assertLessEqual(max(later - earlier for earlier, later in pairwise(counts)), 11)
        self.assertEqual(counts[-1], 800)

    def test_less_time_than_was_thought(self) -> None:
        clock, tunnels, instance, fakes = self.fakes(800)
        tunnels.end(instance, 30.0)
        self.told(clock, fakes, 1)
        tunnels.end(instance, 2.0)
        tunnels.end(instance, 20.0)
        self.assertEqual(self.told(clock, fakes, 2)[-1], 800)

    def test_the_end_of_the_listener_does_not_change_what_was_planned(self) -> None:
        _, tunnels, instance, _ = self.fakes(10)
        fake: Any = Fake()
        tunnel = tunnels.begin(fake, fake, instance)
        tunnels.end_all(30.0)
        planned = tunnel.deadline
        tunnel.go_away()
        self.assertEqual(tunnel.deadline, planned)

    def test_all_at_once(self) -> None:
        clock, tunnels, instance, fakes = self.fakes(50)
        tunnels.end(instance, 0.0)
        self.assertEqual(self.told(clock, fakes, 0.5)[-1], 50)
        self.assertEqual(repr(tunnels), "<Tunnels 50 open>")
