"""The pools of the app servers, and probes, over real sockets."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError

from scalekit.balancer.health import HealthRules
from scalekit.balancer.instance import Endpoint, Instance, State, Transition
from scalekit.balancer.per_service import PerService
from scalekit.balancer.upstreams import Upstreams
from scalekit.errors import ClientFault, UpstreamFault
from scalekit.http.h2.owner import ErrorCode
from scalekit.http.heads import ResponseHead
from scalekit.net.deadlines import Wheel
from scalekit.net.factory import HTTPFactory
from scalekit.net.pooled import UpstreamTimeouts
from scalekit.net.ports import Admission, Port
from scalekit.net.tls import ClientTLS
from scalekit.net.unix_ports import UnixPort
from scalekit.net.upstream import UpstreamConnection
from tests.net.app_server import Receiver
from tests.net.wire import WireTestCase

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Received:
    """Takes a request's body."""

    def data(self, piece: bytes) -> None:
        pass

    def end(self, trailers: Any) -> None:
        pass


class Case(WireTestCase):
    """
    An app server on our port.

    :cvar scheme: how it is asked; empty: by ``secure``.
    :cvar offered: by ALPN.
    """

    scheme = ""
    offered: tuple[str, ...] = ()
    rules = HealthRules(path="/ping?deep")

    def setUp(self) -> None:
        super().setUp()
        self.requests: list[Any] = []
        self.body = b"pong"
        self.status = 200
        app = HTTPFactory(self, reactor, reactor.seconds, b"t")
        self.app_admission = Admission(100)
        port = self.new_port(app)
        port.startListening()
        wheel = Wheel(reactor)
        wheel.start()
        self.upstreams = Upstreams(reactor, wheel, PerService(UpstreamTimeouts()), self.trust)
        self.addCleanup(wheel.stop)
        self.addCleanup(self.until, lambda: self.app_admission.open == 0)
        self.addCleanup(app.drain)
        self.addCleanup(port.stopListening)
        self.app_port = getattr(port.getHost(), "port", 0)

    def new_port(self, app: HTTPFactory) -> Port:
        tls = self.server_tls() if self.secure else None
        return Port(0, app, "127.0.0.1", reactor, self.app_admission, tls)

    def trust(self) -> ClientTLS:
        return ClientTLS(self.ca, protocols=self.offered)

    def respond(self, exchange: Any) -> None:
        self.requests.append(exchange)
        if exchange.head.path != b"/hang":
            exchange.answer(ResponseHead(self.status, [], len(self.body)), self.body)

    def instance(self, port: int | None = None, name: str | None = "localhost") -> Instance:
        scheme = self.scheme or ("https" if self.secure else "http")
        return Instance("default", Endpoint(scheme, "127.0.0.1", port or self.app_port, name), 0.0, self.rules)

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

    async def test_what_is_said_of_idle_connections_holds_from_the_next_probe_on(self) -> None:
        instance = self.instance()
        await self.use(await self.open(instance))
        before = self.upstreams.pool(instance)
        await self.upstreams.probe(instance)
        self.assertIs(self.upstreams.pool(instance), before)
        instance.keep_alive = 2.0
        await self.upstreams.probe(instance)
        self.assertEqual((len(before.idle), self.upstreams.pool(instance).timeouts.idle), (0, 1.0))

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

    async def test_other_timeouts_are_for_other_connections(self) -> None:
        instance = self.instance()
        idle, busy = await self.open(instance), await self.open(instance)
        await self.use(idle)
        self.upstreams.reconfigure(PerService(UpstreamTimeouts()))
        self.assertEqual(len(self.upstreams.pool(instance).idle), 1)
        self.upstreams.reconfigure(PerService(UpstreamTimeouts(), {"default": UpstreamTimeouts(read=7.0)}))
        await self.until(lambda: self.app_admission.open == 1)
        await self.use(busy)
        await self.until(lambda: self.app_admission.open == 0)
        fresh = await self.open(instance)
        await self.use(fresh)
        self.assertEqual(self.upstreams.pool(instance).timeouts.read, 7.0)
        self.upstreams.reconfigure(PerService(UpstreamTimeouts(read=8.0), {"default": UpstreamTimeouts(read=7.0)}))
        self.assertIs(self.upstreams.pool(instance).take(), fresh, "others' are none of its business")
        fresh.retire()

    async def test_a_request_tried_once_more_there_leaves_nothing_behind(self) -> None:
        for state in (State.DRAINING, State.GONE):
            instance = self.instance()
            instance.state = state
            pool = self.upstreams.pool(instance)
            ready: list[UpstreamConnection] = []
            pool.open(ready.append, self.fail)
            await self.until(lambda ready=ready: bool(ready))  # type: ignore[misc]
            await self.use(ready[0])
            self.assertIsNone(pool.take())
            await self.until(lambda: self.app_admission.open == 0)
        self.assertEqual(repr(self.upstreams), "<Upstreams 0 pools>")


class SecurePools(Pools):
    secure = True


class Probes(Case):
    async def test_the_status_of_the_ping_path(self) -> None:
        self.assertEqual(await self.upstreams.probe(self.instance()), 200)
        (request,) = self.requests
        self.assertEqual(request.head.target, b"/ping?deep")
        self.assertEqual(request.head.keep_alive, request.head.version == 20, "HTTP/2 has no such thing")
        self.assertEqual(repr(self.upstreams), "<Upstreams 0 pools>")
        await self.until(lambda: self.app_admission.open == 0)

    async def test_a_status_and_a_text_that_are_wanted(self) -> None:
        self.rules = HealthRules(status=401, text=b"ong")
        self.status = 401
        self.assertEqual(await self.upstreams.probe(self.instance()), 401)
        self.body = b"PONG"
        fault: Any = await self.assertFailure(self.upstreams.probe(self.instance()), UpstreamFault)
        self.assertEqual(fault.reason, "ping-text")

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
        self.rules = HealthRules(path="/hang")
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


class SocketFiles(Case):
    def new_port(self, app: HTTPFactory) -> Port:
        folder = tempfile.TemporaryDirectory()  # trial's own may be too long for a socket's name
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "socket")
        return UnixPort(self.path, app, reactor, self.app_admission)

    def instance(self, port: int | None = None, name: str | None = "localhost") -> Instance:
        return Instance("default", Endpoint("unix", self.path, 0), 0.0, self.rules)

    async def test_a_probe(self) -> None:
        self.assertEqual(await self.upstreams.probe(self.instance()), 200)
        self.assertEqual((self.requests[0].head.target, self.requests[0].head.host), (b"/ping?deep", b"localhost"))
        self.status = 405
        self.assertEqual(await self.upstreams.probe(self.instance()), 405)
        self.assertEqual(len(self.requests), 2, "gRPC is asked for where HTTP/2 is spoken")

    async def test_a_connection_that_is_kept(self) -> None:
        instance = self.instance()
        connection = await self.open(instance)
        await self.use(connection)
        self.assertIs(self.upstreams.pool(instance).take(), connection)
        await self.use(connection)

    async def test_nobody_there(self) -> None:
        self.path += "-of-another"
        fault: Any = await self.assertFailure(self.upstreams.probe(self.instance()), UpstreamFault)
        self.assertEqual((fault.reason, fault.detail), ("connect-refused", f"{self.path}: No such file or directory"))


class SecureProbes(Probes):
    secure = True

    async def test_a_certificate_for_another_name(self) -> None:
        fault: Any = await self.assertFailure(self.upstreams.probe(self.instance(name="other.example")), UpstreamFault)
        self.assertEqual(fault.reason, "tls-verify")

    async def test_without_a_name_the_address_counts(self) -> None:
        self.assertEqual(await self.upstreams.probe(self.instance(name=None)), 200)


class HTTP2Probes(Probes):
    scheme = "h2c"


class NegotiatedProbes(SecureProbes):
    offered = ("h2", "http/1.1")

    async def test_the_status_of_the_ping_path(self) -> None:
        self.assertEqual(await self.upstreams.probe(self.instance()), 200)
        self.assertEqual(self.requests[0].head.version, 20)
        await self.until(lambda: self.app_admission.open == 0)


class GRPCProbes(Case):
    """A server of gRPC, as ours can be made to answer like one."""

    scheme = "h2c"

    def setUp(self) -> None:
        super().setUp()
        self.get_status = 405
        self.head_fields: list[tuple[bytes, bytes]] = []
        self.message = b"\0\0\0\0\2\x08\1"
        self.trailers = [(b"grpc-status", b"0")]

    def respond(self, exchange: Any) -> None:
        self.requests.append(exchange)
        if exchange.head.method == b"GET":
            if self.get_status:
                exchange.answer(ResponseHead(self.get_status, []), b"")
            else:
                exchange.abort(ClientFault(400, "no-get", "No."))
            return
        body = Received()
        exchange.receive(body)
        exchange.begin(ResponseHead(200, self.head_fields))
        if self.message:
            exchange.write(self.message)
        exchange.finish(self.trailers)

    def asked(self) -> list[bytes]:
        """What was asked for since the last time."""
        targets, self.requests = [exchange.head.target for exchange in self.requests], []
        return targets

    async def test_it_is_asked_in_its_own_language_from_then_on(self) -> None:
        check = b"/grpc.health.v1.Health/Check"
        for self.get_status in (405, 415, 0):
            instance = self.instance()
            self.assertEqual(await self.upstreams.probe(instance), 200)
            self.assertEqual(self.asked(), [b"/ping?deep", check])
            self.assertEqual(await self.upstreams.probe(instance), 200)
            self.assertEqual(self.asked(), [check])

    async def test_it_is_well_by_its_own_rules(self) -> None:
        """A text says nothing of it, and what it serves with is as good as the status that is wanted."""
        self.rules = HealthRules(status=204, text=b"pong")
        self.assertEqual(await self.upstreams.probe(self.instance()), 204)
        self.asked()
        self.rules = HealthRules(status=405)
        self.assertEqual(await self.upstreams.probe(self.instance()), 405)
        self.assertEqual(self.asked(), [b"/ping"])

    async def test_what_its_answers_mean(self) -> None:
        for message, code, status in (
            (b"\0\0\0\0\2\x08\1", b"0", 200),
            (b"\0\0\0\0\2\x08\2", b"0", 503),
            (b"", b"0", 503),
            (b"", b"12", 200),
            (b"", b"5", 503),
        ):
            self.message, self.trailers = message, [(b"grpc-status", code)]
            self.assertEqual(await self.upstreams.probe(self.instance()), status, (message, code))

    async def test_a_status_in_the_head(self) -> None:
        self.message, self.trailers, self.head_fields = b"", [], [(b"grpc-status", b"12")]
        self.assertEqual(await self.upstreams.probe(self.instance()), 200)

    async def test_what_is_no_grpc_keeps_its_answer(self) -> None:
        self.trailers = []
        instance = self.instance()
        for _ in range(2):
            self.assertEqual(await self.upstreams.probe(instance), 405)

    async def test_another_app_in_its_place(self) -> None:
        instance = self.instance()
        self.assertEqual(await self.upstreams.probe(instance), 200)
        self.get_status, self.trailers = 204, []
        self.assertEqual(await self.upstreams.probe(instance), 204)
        self.asked()
        self.assertEqual(await self.upstreams.probe(instance), 204)
        self.assertEqual(self.asked(), [b"/ping?deep"])

    async def test_one_that_has_gone(self) -> None:
        instance = self.instance()
        await self.upstreams.probe(instance)
        instance.port = 1
        await self.assertFailure(self.upstreams.probe(instance), UpstreamFault)
        instance.port = self.app_port
        self.asked()
        await self.upstreams.probe(instance)
        self.assertEqual(self.asked()[0], b"/ping?deep")

    async def test_given_up(self) -> None:
        probe = self.upstreams.probe(self.instance())
        probe.cancel()
        await self.assertFailure(probe, CancelledError)


class SecureGRPCProbes(GRPCProbes):
    secure = True
    scheme = "https"
    offered = ("h2", "http/1.1")


class ReluctantProbes(Case):
    """One that takes HTTP/2, and then wants HTTP/1.1."""

    secure = True
    offered = ("h2", "http/1.1")

    def respond(self, exchange: Any) -> None:
        if exchange.head.version == 20:
            self.requests.append(exchange)
            exchange.connection.session.reset(exchange.stream, ErrorCode.HTTP_1_1_REQUIRED)
            exchange.connection.flush_soon()
        else:
            super().respond(exchange)

    async def test_it_is_asked_again_and_then_at_once(self) -> None:
        instance = self.instance()
        self.assertEqual(await self.upstreams.probe(instance), 200)
        self.assertEqual(await self.upstreams.probe(instance), 200)
        self.assertEqual([exchange.head.version for exchange in self.requests], [20, 11, 11])
        connection = await self.open(instance)
        self.assertIsInstance(connection, UpstreamConnection)
        await self.use(connection)
        self.upstreams.transition(Transition(instance, State.UP, State.GONE, "", 0.0))


class OldProbes(Case):
    secure = True

    async def test_one_that_chooses_http_1_is_not_asked_in_grpc(self) -> None:
        self.status = 405
        self.assertEqual(await self.upstreams.probe(self.instance()), 405)
        self.assertEqual(len(self.requests), 1)
