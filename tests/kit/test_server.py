"""Tests of `scalekit.kit.server`."""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, UNIXAddress
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from scalekit.kit.membership import Membership
from scalekit.kit.registration import CHALLENGE, RESPONSE, Registration, response_to
from scalekit.kit.server import BalancedServer
from scalekit.web.memory import ask
from tests.kit.fakes import FakeClient


class Application(Resource):
    isLeaf = True

    def render_GET(self, request: Any) -> bytes:
        return b"the application"


class FakeListening(Service):
    def __init__(self, responder: Any, told: list[str], address: Any) -> None:
        self.responder = responder
        self.told = told
        self.address = address

    def privilegedStartService(self) -> None:
        self.told.append("listens")

    def addresses(self) -> list[Any]:
        return [self.address]

    def drain(self, seconds: float) -> None:
        self.told.append(f"stops listening, {seconds:g} s for the rest")

    def stopService(self) -> None:
        self.told.append("ends")


class BalancedServerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.client = FakeClient(self.clock)
        self.told: list[str] = []
        self.listening: FakeListening

    def make(self, address: Any = None) -> BalancedServer:
        address = address or IPv4Address("TCP", "127.0.0.1", 3001)

        def listen(responder: Any) -> FakeListening:
            self.listening = FakeListening(responder, self.told, address)
            return self.listening

        def join(port: int) -> Membership:
            registration = Registration("https://lb", port, 7, f"web1-{port}")
            return Membership(registration, client=self.client, clock=self.clock, random=lambda: 0.5)

        return BalancedServer(Application(), listen, join)

    def start(self, server: BalancedServer) -> None:
        server.privilegedStartService()
        self.assertEqual(self.client.requests, [])
        server.startService()

    def test_registers_once_it_listens(self) -> None:
        server = self.make()
        self.start(server)
        self.assertEqual(self.told, ["listens"])
        self.assertEqual(self.client.requests, ["PUT https://lb/v1/services/default/instances/web1-3001"])

    def test_serves_the_application_and_answers_ping(self) -> None:
        self.make()
        self.assertEqual(ask(self.listening.responder, b"GET", b"/").sent, b"the application")
        self.assertEqual(ask(self.listening.responder, b"GET", b"/ping").status, 200)

    def test_answers_challenges_with_the_secret_of_its_registration(self) -> None:
        self.start(self.make())
        fields = [(CHALLENGE.encode(), b"nonce")]
        answer = ask(self.listening.responder, b"GET", b"/ping", fields)
        self.assertEqual((answer.status, [name for name, _ in answer.fields if name == RESPONSE.encode()]), (200, []))
        self.client.answer(201, b'{"secret": "abc"}')
        answer = ask(self.listening.responder, b"GET", b"/ping", fields)
        self.assertIn((RESPONSE.encode(), response_to("nonce", "abc").encode()), answer.fields)

    def test_stops_in_order(self) -> None:
        server = self.make()
        self.start(server)
        self.client.answer()
        stopped = server.stopService()
        self.assertEqual(ask(self.listening.responder, b"GET", b"/ping").status, 410)
        self.assertEqual(ask(self.listening.responder, b"GET", b"/").status, 200)
        self.assertIn("/drain?", self.client.requests[-1])
        self.assertEqual(self.told, ["listens"])
        self.client.answer()
        self.successResultOf(stopped)
        self.assertEqual(self.told, ["listens", "stops listening, 2 s for the rest", "ends"])

    def test_a_drain_before_the_stop_is_not_repeated(self) -> None:
        server = self.make()
        self.start(server)
        self.client.answer()
        drained = server.drain(is_hurried=True)
        self.assertIn("wait=2", self.client.requests[-1])
        stopped = server.stopService()
        self.client.answer()
        self.successResultOf(drained)
        self.successResultOf(stopped)
        self.assertEqual(len(self.client.requests), 2)

    def test_a_balancer_that_is_away_does_not_keep_it(self) -> None:
        server = self.make()
        self.start(server)
        self.client.cut()
        stopped = server.stopService()
        self.client.cut()
        self.successResultOf(stopped)
        # What the balancer has sent may still be under way.
        self.assertEqual(self.told, ["listens", "stops listening, 30 s for the rest", "ends"])

    def test_what_is_in_flight_at_the_balancers_deadline_has_what_is_left_of_ours(self) -> None:
        server = self.make()
        self.start(server)
        self.client.answer()
        stopped = server.stopService()
        self.clock.advance(12.0)
        self.client.answer(200, b'{"state": "gone", "in_flight": 1}')
        self.successResultOf(stopped)
        self.assertEqual(self.told, ["listens", "stops listening, 18 s for the rest", "ends"])

    def test_without_a_balancer_what_is_under_way_finishes(self) -> None:
        def listen(responder: Any) -> FakeListening:
            return FakeListening(responder, self.told, IPv4Address("TCP", "127.0.0.1", 3001))

        server = BalancedServer(Application(), listen)
        self.start(server)
        self.successResultOf(server.stopService())
        self.assertEqual(self.told, ["listens", "stops listening, 30 s for the rest", "ends"])

    def test_a_unix_socket_is_not_registered(self) -> None:
        server = self.make(UNIXAddress("/run/app.sock"))
        self.start(server)
        self.assertEqual(self.client.requests, [])
        self.successResultOf(server.stopService())
