"""Tests of `scalekit.balancer.registrar`: who leaves, and who waits for it."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from scalekit.balancer.registering import LOOK_SECONDS
from scalekit.balancer.roster import Endpoint, State
from scalekit.balancer.turnover import DRAIN_SECONDS
from tests.balancer.registrars import THERE, Answer, RegistrarCase


class UnregisterTests(RegistrarCase):
    """``/unregister``."""

    def test_idle(self) -> None:
        """With nothing in flight it is gone at once."""
        self.ask("/register?port=3000")
        answer = self.ask("/unregister?port=3000")
        self.assertEqual((answer.status, answer.value["state"]), (200, "gone"))
        self.assertEqual(self.states(), [])

    def test_unknown(self) -> None:
        """Who is unknown is gone: 200."""
        answer = self.ask("/unregister?port=3000&service=blog", "POST")
        self.assertEqual(
            (answer.status, answer.value),
            (200, {"service": "blog", "id": "127.0.0.1:3000", "state": "gone", "in_flight": 0}),
        )

    def test_only_ones_own(self) -> None:
        """Nobody can unregister what another address has registered."""
        self.ask("/register?port=3000")
        self.assertEqual(self.ask("/unregister?port=3000", "POST", THERE).status, 200)
        self.assertEqual(self.states(), ["default@127.0.0.1:3000 joining"])

    def test_static(self) -> None:
        """A configured server stays: 403 with a reason."""
        self.roster.settle_static("default", [Endpoint("http", "127.0.0.1", 3000)], 0.0)
        answer = self.ask("/unregister?port=3000")
        self.assertEqual((answer.status, answer.value["reason"]), (403, "static-server"))

    def busy(self) -> Any:
        self.ask("/register?port=3000")
        (instance,) = self.roster.instances("default")
        instance.in_flight = 2
        return instance

    def test_without_wait(self) -> None:
        """The answer comes at once and says what is in flight."""
        self.busy()
        answer = self.ask("/unregister?port=3000")
        self.assertEqual((answer.value["state"], answer.value["in_flight"]), ("draining", 2))
        self.assertEqual(self.awaited, [])

    def test_wait_until_drained(self) -> None:
        """With wait the answer comes when nothing is in flight."""
        instance = self.busy()
        first = self.open("/unregister?port=3000&wait=30")
        second = self.open("/unregister?port=3000&wait=30", "POST")  # asks again, as clients do
        for in_flight in (2, 1):
            instance.in_flight = in_flight
            self.clock.advance(5.0)
            self.assertEqual((first.value(), second.value()), (b"", b""))
        instance.in_flight = 0
        self.clock.advance(LOOK_SECONDS)
        for transport in (first, second):
            answer = Answer(transport.value())
            self.assertEqual((answer.status, answer.value["state"]), (200, "gone"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_wait_over(self) -> None:
        """When the wait is over the answer says what is left."""
        self.busy()
        transport = self.open("/unregister?port=3000&wait=2.5")
        self.assertEqual(self.awaited, [("127.0.0.1:3000", 2.5)])
        self.clock.advance(2.4)
        self.assertEqual(transport.value(), b"")
        self.clock.advance(0.1)
        answer = Answer(transport.value())
        self.assertEqual((answer.status, answer.value["state"], answer.value["in_flight"]), (200, "draining", 2))

    def test_wait_is_bounded(self) -> None:
        """However long somebody wants to wait, what draining itself may take is all."""
        self.busy()
        self.roster.reconfigure(self.roster.rules, 2 * DRAIN_SECONDS, "spray", self.clock.seconds())
        transport = self.open("/unregister?port=3000&wait=999999")
        self.assertEqual(self.awaited, [("127.0.0.1:3000", 2 * DRAIN_SECONDS)])
        self.clock.advance(DRAIN_SECONDS)
        self.assertEqual(transport.value(), b"")
        self.clock.advance(DRAIN_SECONDS)
        self.assertEqual(Answer(transport.value()).status, 200)

    def test_wait_given_up(self) -> None:
        """A client that goes leaves nothing behind; the instance drains on."""
        instance = self.busy()
        transport = self.open("/unregister?port=3000&wait=30")
        transport.protocol.connectionLost(Failure(ConnectionDone()))  # type: ignore[attr-defined]
        self.assertEqual(self.clock.getDelayedCalls(), [])
        instance.in_flight = 0
        self.roster.expire(self.clock.seconds())
        self.assertIs(instance.state, State.GONE)

    def test_bad_wait(self) -> None:
        """What is no number of seconds is a 400 that names the parameter, and drains nobody."""
        self.ask("/register?port=3000")
        for wait in ("x", "-1", "nan", "inf", "1e3", "1_0", "%D9%A3"):
            answer = self.ask(f"/unregister?port=3000&wait={wait}")
            self.assertEqual(answer.status, 400)
            self.assertIn("wait", answer.value["detail"])
        self.assertEqual(self.states(), ["default@127.0.0.1:3000 joining"])
