"""The pools of the app servers, and probes, over real sockets."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError

from scalekit.balancer.health import HealthRules
from scalekit.balancer.instance import Endpoint, Instance, State, Transition
from scalekit.balancer.upstreams import Upstreams
from scalekit.errors import UpstreamFault
from scalekit.http.heads import ResponseHead
from scalekit.net.deadlines import Wheel
from scalekit.net.factory import HTTPFactory
from scalekit.net.ports import Admission, Port
from scalekit.net.tls import ClientTLS
from scalekit.net.upstream import UpstreamConnection, UpstreamTimeouts
from tests.net.app_server import Receiver
from tests.net.wire import WireTestCase

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Case(WireTestCase):
    """An app server on our port that answers what ``then`` says."""

    def setUp(self) -> None:
        super().setUp()
        self.requests: list[Any] = []
        self.body = b"pong"
        app = HTTPFactory(self, reactor, reactor.seconds, b"t")
        self.app_admission = Admission(100)
        tls = self.server_tls() if self.secure else None
        port = Port(0, app, "127.0.0.1", reactor, self.app_admission, tls)
        port.startListening()
        self.app_port = port.getHost().port
        wheel = Wheel(reactor)
        wheel.start()
        self.upstreams = Upstreams(reactor, wheel, UpstreamTimeouts(), lambda: ClientTLS(self.ca), "/ping?deep")
        self.addCleanup(wheel.stop)
        self.addCleanup(self.until, lambda: self.app_admission.open == 0)
        self.addCleanup(app.drain)
        self.addCleanup(port.stopListening)

    def respond(self, exchange: Any) -> None:
        self.requests.append(exchange)
        if exchange.head.path != b"/hang":
            exchange.answer(ResponseHead(200, [], len(self.body)), self.body)

    def instance(self, port: int | None = None, name: str | None = "localhost") -> Instance:
        scheme = "https" if self.secure else "http"
        return Instance("default", Endpoint(scheme, "127.0.0.1", port or self.app_port, name), 0.0, HealthRules())

    async def open(self, instance: Instance) -> UpstreamConnection:
        ready: list[UpstreamConnection] = []
        self.upstreams.pool(instance).open(ready.append, self.fail)
        await self.until(lambda: bool(ready))
        return ready[0]

    async def use(self, connection: UpstreamConnection) -> None:
        receiver = Receiver()
        connection.send(GET, b"GET", receiver)
        await self.until(lambda: bool(receiver.events))
        self.assertEqual(receiver.events, [("answered", 200, b"pong")])


class Pools(Case):
    async def test_a_connection_is_kept_for_its_instance(self) -> None:
        one, two = self.instance(), self.instance()
        connection = await self.open(one)
        await self.use(connection)
        self.assertIs(self.upstreams.pool(one).take(), connection)
        self.assertIsNone(self.upstreams.pool(two).take())
        await self.use(connection)

    async def test_an_instance_that_leaves_keeps_only_what_is_in_flight(self) -> None:
        instance = self.instance()
        idle, busy = await self.open(instance), await self.open(instance)
        await self.use(idle)
        self.upstreams.transition(Transition(instance, State.JOINING, State.UP, "", 0.0))
        self.assertEqual(len(self.upstreams.pool(instance).idle), 1)
        instance.state = State.DRAINING
        self.upstreams.transition(Transition(instance, State.UP, State.DRAINING, "", 0.0))
        await self.until(lambda: self.app_admission.open == 1)
        await self.use(busy)
        await self.until(lambda: self.app_admission.open == 0)
        self.assertEqual(repr(self.upstreams), "<Upstreams 0 pools>")
        self.upstreams.transition(Transition(instance, State.DRAINING, State.GONE, "", 0.0))

    async def test_a_request_tried_once_more_there_leaves_nothing_behind(self) -> None:
        for state in (State.DRAINING, State.GONE):
            instance = self.instance()
            instance.state = state
            await self.use(await self.open(instance))
            await self.until(lambda: self.app_admission.open == 0)
        self.assertEqual(repr(self.upstreams), "<Upstreams 0 pools>")


class SecurePools(Pools):
    secure = True


class Probes(Case):
    async def test_the_status_of_the_ping_path(self) -> None:
        self.assertEqual(await self.upstreams.probe(self.instance()), 200)
        (request,) = self.requests
        self.assertEqual(request.head.target, b"/ping?deep")
        self.assertFalse(request.head.keep_alive)
        self.assertEqual(repr(self.upstreams), "<Upstreams 0 pools>")
        await self.until(lambda: self.app_admission.open == 0)

    async def test_nobody_there(self) -> None:
        free = Port(0, self.factory, "127.0.0.1", reactor, Admission(1))
        free.startListening()
        port = free.getHost().port
        await free.stopListening()
        fault: Any = await self.assertFailure(self.upstreams.probe(self.instance(port)), UpstreamFault)
        self.assertEqual(fault.reason, "connect-refused")

    async def test_given_up_before_it_stands_and_after(self) -> None:
        probe = self.upstreams.probe(self.instance())
        probe.cancel()
        await self.assertFailure(probe, CancelledError)
        self.upstreams._ping_path = "/hang"
        probe = self.upstreams.probe(self.instance())
        await self.until(lambda: bool(self.requests))
        probe.cancel()
        await self.assertFailure(probe, CancelledError)
        await self.until(lambda: self.app_admission.open == 0)
        self.assertEqual(len(self.requests), 1)

    async def test_an_answer_that_is_too_long(self) -> None:
        self.body = b"x" * 1_000_000
        fault: Any = await self.assertFailure(self.upstreams.probe(self.instance()), UpstreamFault)
        self.assertEqual(fault.reason, "ping-too-long")
        await self.until(lambda: self.app_admission.open == 0)


class SecureProbes(Probes):
    secure = True

    async def test_a_certificate_for_another_name(self) -> None:
        fault: Any = await self.assertFailure(self.upstreams.probe(self.instance(name="other.example")), UpstreamFault)
        self.assertEqual(fault.reason, "tls-verify")

    async def test_without_a_name_the_address_counts(self) -> None:
        self.assertEqual(await self.upstreams.probe(self.instance(name=None)), 200)
