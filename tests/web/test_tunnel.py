"""Twisted's WebSocketResource on our Site: in memory for the order of things, and on a real port for a real client."""

from __future__ import annotations

import time
from typing import Any, cast

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from twisted.internet.task import Clock, deferLater
from twisted.internet.threads import blockingCallFromThread, deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.websocket import WebSocketResource
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Ping, Pong, Request, TextMessage
from zope.interface.verify import verifyObject

from scalekit.http.heads import RequestHead
from scalekit.http.upgrade import accept_of, made_key
from scalekit.interfaces import IAnswerObserver, ITunnelReceiver
from scalekit.net.factory import HTTPFactory
from scalekit.net.ports import Admission, Port
from scalekit.web.compress import Compress
from scalekit.web.memory import MemoryExchange, respond
from scalekit.web.site import Site

reactor = cast(Any, global_reactor)
PATIENCE_SECONDS = 30
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


class Echo:
    """A `WebSocketProtocol`: says what it hears; ``close`` closes, ``raise`` raises."""

    def __init__(self, events: list[Any], greeting: str = "") -> None:
        self.events = events
        self._greeting = greeting
        self.transport: Any = None

    def negotiationStarted(self, transport: Any) -> None:
        self.transport = transport
        self.events.append("started")

    def negotiationFinished(self) -> None:
        self.events.append("finished")
        if self._greeting:
            self.transport.sendTextMessage(self._greeting)

    def pongReceived(self, payload: bytes) -> None:
        self.events.append(("pong", bytes(payload)))

    def textMessageReceived(self, message: str) -> None:
        self.events.append(message)
        if message == "close":
            self.transport.loseConnection(1001)
        elif message == "raise":
            raise ValueError(message)
        elif message == "ping":
            self.transport.ping(b"?")
        else:
            self.transport.sendTextMessage(message)

    def bytesMessageReceived(self, data: Any) -> None:
        self.transport.sendBytesMessage(bytes(data))

    def connectionLost(self, reason: Any) -> None:
        self.events.append(f"lost {reason.type.__name__}")


class Echoes:
    """A `WebSocketServerFactory` of them."""

    def __init__(self, greeting: str = "") -> None:
        self.events: list[Any] = []
        self.requests: list[Any] = []
        self._greeting = greeting

    def buildProtocol(self, request: Any) -> Any:
        self.requests.append(request)
        return Echo(self.events, self._greeting)


class MemoryTests(SynchronousTestCase):
    """A client of wsproto's and the site, with nothing between them."""

    def setUp(self) -> None:
        self.echoes = Echoes("hello")
        resource = WebSocketResource(cast(Any, self.echoes))
        resource.isLeaf = True
        self.site: Any = Site(resource, reactor=Clock())
        self.client = WSConnection(ConnectionType.CLIENT)
        lines = self.client.send(Request("localhost", "/")).split(b"\r\n")[1:-2]
        fields = [cast(Any, tuple(line.split(b": ", 1))) for line in lines if not line.startswith(b"Host")]
        self.exchange = MemoryExchange(
            RequestHead(b"GET", b"/", fields, hop=frozenset((b"upgrade",)), upgrade=b"websocket"), is_ended=False
        )
        self._heard = 0

    def begin(self) -> None:
        respond(self.site, self.exchange)
        self.assertEqual(self.exchange.status, 101)
        head = b"HTTP/1.1 101 \r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        for name, value in self.exchange.fields:
            head += name + b": " + value + b"\r\n"
        self.client.receive_data(head + b"\r\n")
        self.assertIsInstance(next(self.client.events()), AcceptConnection)

    def hears(self) -> list[Any]:
        """What the client has got since it was last asked."""
        new = self.exchange.sent[self._heard :]
        self._heard += len(new)
        self.client.receive_data(new)
        return list(self.client.events())

    def says(self, event: Any) -> None:
        self.exchange.feed(self.client.send(event))

    def test_messages(self) -> None:
        self.begin()
        self.assertEqual(self.hears(), [TextMessage("hello")])
        self.says(TextMessage("a"))
        self.says(BytesMessage(b"b" * 70_000))
        self.says(Ping(b"?"))
        events = self.hears()
        self.assertEqual([type(each) for each in events], [TextMessage, BytesMessage, Pong])
        self.assertEqual(len(events[1].data), 70_000)
        self.assertEqual(self.echoes.events, ["started", "finished", "a"])

    def test_close_by_the_client(self) -> None:
        self.begin()
        self.says(CloseConnection(1000))
        self.assertIsInstance(self.hears()[-1], CloseConnection)
        self.assertTrue(self.exchange.is_finished)
        self.exchange.feed(b"what is that?")
        self.exchange.end()
        self.assertEqual(self.echoes.events, ["started", "finished", "lost ConnectionDone"])

    def test_close_by_the_server(self) -> None:
        self.begin()
        self.says(TextMessage("close"))
        self.assertEqual(self.hears()[-1].code, 1001)
        self.assertTrue(self.exchange.is_finished)
        self.exchange.end()
        self.assertEqual(self.echoes.events[-1], "lost ConnectionDone")

    def test_the_listener_ends(self) -> None:
        """The client hears that at once, and the protocol hears it from the client."""
        self.begin()
        self.hears()
        self.exchange.go_away()
        tunnel = self.echoes.requests[0].channel._tunnel
        self.says(TextMessage("still"))
        (event,) = self.hears()
        self.assertEqual((event.code, self.echoes.events[-1]), (1001, "still"))
        self.says(event.response())
        self.assertTrue(self.exchange.is_finished)
        tunnel.go_away()
        self.assertEqual(self.exchange.sent[self._heard :], b"")
        self.exchange.end()
        self.assertEqual(self.echoes.events[-1], "lost ConnectionDone")

    def test_the_listener_ends_in_the_middle_of_a_message(self) -> None:
        self.begin()
        self.hears()
        tunnel = self.echoes.requests[0].channel._tunnel
        tunnel.write(b"\x81\x04ab")
        self.exchange.go_away()
        tunnel.write(b"cd\x81\x00")
        heard = self.hears()
        self.assertEqual((heard[-2].data, heard[-1].code), ("abcd", 1001))

    def test_the_client_leaves(self) -> None:
        self.begin()
        gone: list[Any] = []
        self.echoes.requests[0].notifyFinish().addErrback(gone.append)
        self.exchange.leave()
        self.exchange.leave()
        self.assertEqual(self.echoes.events, ["started", "finished", "lost ConnectionLost"])
        self.assertEqual(len(gone), 1)

    def test_the_client_ends_without_a_word(self) -> None:
        self.begin()
        self.exchange.end()
        self.assertEqual(self.echoes.events[-1], "lost ConnectionDone")
        self.assertTrue(self.exchange.is_finished)

    def test_early_messages_come_after_the_beginning(self) -> None:
        frames = b"\x81\x83\x00\x00\x00\x00abc"
        self.exchange.feed(frames)
        self.begin()
        self.assertEqual(self.echoes.events, ["started", "finished", "abc"])
        self.assertEqual(self.hears(), [TextMessage("hello"), TextMessage("abc")])

    def test_even_with_an_early_end(self) -> None:
        self.exchange.feed(b"\x81\x83\x00\x00\x00\x00abc")
        self.exchange.end()
        self.begin()
        self.assertEqual(self.hears(), [TextMessage("hello"), TextMessage("abc")])
        self.assertEqual(self.echoes.events[-1], "lost ConnectionDone")

    def test_back_pressure(self) -> None:
        self.begin()
        told: list[str] = []

        class Producer:
            def pauseProducing(self) -> None:
                told.append("pause")

            def resumeProducing(self) -> None:
                told.append("resume")

            def stopProducing(self) -> None:
                told.append("stop")

        echo_transport = self.echoes.requests[0].channel._tunnel._protocol
        echo_transport.attachProducer(Producer())
        self.exchange.hold()
        self.exchange.release()
        self.exchange.leave()
        self.assertEqual(told, ["pause", "resume", "stop"])

    def test_what_a_protocol_takes_it_for(self) -> None:
        self.begin()
        tunnel = self.echoes.requests[0].channel._tunnel
        for interface in (ITransport, IConsumer, IPushProducer, ITunnelReceiver, IAnswerObserver):
            self.assertTrue(verifyObject(interface, tunnel))
        self.assertEqual(tunnel.getPeer().host, "127.0.0.1")
        self.assertEqual(tunnel.getHost().port, 2000)
        self.assertFalse(tunnel.isSecure())
        tunnel.pauseProducing()
        self.assertTrue(self.exchange.is_paused)
        tunnel.resumeProducing()
        self.assertFalse(self.exchange.is_paused)
        tunnel.writeSequence([b"a", b"b"])
        self.assertTrue(self.exchange.sent.endswith(b"ab"))
        tunnel.abortConnection()
        self.assertIsNotNone(self.exchange.fault)
        self.assertEqual(self.echoes.events[-1], "lost ConnectionAborted")

    def test_a_request_that_begins_no_tunnel(self) -> None:
        for fields in ([], self.exchange.head.fields):
            exchange = MemoryExchange(RequestHead(b"GET", b"/", list(fields)))
            respond(self.site, exchange)
            self.assertEqual(exchange.status, 400)
        self.flushLoggedErrors()
        self.assertEqual(self.echoes.events, [])

    def test_over_http_2(self) -> None:
        """What RFC 8441 leaves out is put in for the resource."""
        fields = [(b"sec-websocket-version", b"13")]
        self.exchange = MemoryExchange(RequestHead(b"GET", b"/", fields, version=20, upgrade=b"websocket"))
        respond(self.site, self.exchange)
        self.assertEqual(self.exchange.status, 101)
        self.assertIn((b"Sec-WebSocket-Accept", accept_of(made_key(self.exchange.request_id))), self.exchange.fields)

    def test_through_compression(self) -> None:
        self.site = Compress(self.site, Clock(), cast(Any, None))
        self.exchange.head.fields.append((b"Accept-Encoding", b"gzip"))
        self.begin()
        self.says(TextMessage("a" * 5000))
        self.assertEqual(self.hears()[-1], TextMessage("a" * 5000))

    def test_a_protocol_that_raises_at_once(self) -> None:
        """The resource's failure is the answer, and the protocol is told that nothing came of it."""

        class Failing(Echo):
            def negotiationFinished(self) -> None:
                raise ValueError("no")

        self.echoes.buildProtocol = lambda request: Failing(self.echoes.events)  # type: ignore[method-assign]
        respond(self.site, self.exchange)
        self.assertEqual(self.exchange.status, 500)
        self.assertEqual(self.echoes.events, ["started", "lost ConnectionLost"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class RealTests(TestCase):
    """The ``websockets`` package's client against the site on a port of ours."""

    timeout = 60

    def setUp(self) -> None:
        self.echoes = Echoes()
        root = Resource()
        root.putChild(b"echo", WebSocketResource(cast(Any, self.echoes)))
        self.outcomes: list[Any] = []
        factory = self.factory = HTTPFactory(
            Site(root), reactor, time.time, b"w", outcomes=lambda exchange, _: self.outcomes.append(exchange.record)
        )
        self.admission = Admission(100)
        self.port = Port(0, factory, "127.0.0.1", reactor, self.admission, None)
        self.port.startListening()
        self.addCleanup(lambda: self.until(lambda: self.admission.open == 0))
        self.addCleanup(self.port.stopListening)

    async def until(self, is_so: Any) -> None:
        give_up = reactor.seconds() + PATIENCE_SECONDS
        while not is_so():
            self.assertLess(reactor.seconds(), give_up, "it never came to that")
            await deferLater(reactor, 0.002)

    def client(self, use: Any, path: str = "/echo", **options: Any) -> Deferred[Any]:
        def run() -> Any:
            url = f"ws://127.0.0.1:{self.port.getHost().port}{path}"
            with connect(url, open_timeout=PATIENCE_SECONDS, max_size=None, **options) as client:
                return use(client)

        return deferToThread(run)

    async def test_echo_ping_and_close(self) -> None:
        large = "ä" * 1_000_000

        def use(client: Any) -> None:
            for message in ("text", "", "€", b"bytes", b"", large, large.encode()):
                client.send(message)
                self.assertEqual(client.recv(PATIENCE_SECONDS), message)
            self.assertTrue(client.ping("x").wait(PATIENCE_SECONDS))
            client.send([b"frag", b"ment", b"ed"])
            self.assertEqual(client.recv(PATIENCE_SECONDS), b"fragmented")
            for number in range(1000):
                client.send(str(number))
            for number in range(1000):
                self.assertEqual(client.recv(PATIENCE_SECONDS), str(number))
            client.send("ping")
            client.send("after it")
            self.assertEqual(client.recv(PATIENCE_SECONDS), "after it")
            client.close(4000, "bye")
            self.assertEqual(client.close_code, 4000)

        await self.client(use)
        await self.until(lambda: self.outcomes)
        self.assertEqual((self.outcomes[0].status, self.outcomes[0].reason), (101, ""))
        self.assertEqual([event for event in self.echoes.events if type(event) is tuple], [("pong", b"?")])
        self.assertEqual(self.echoes.events[-1], "lost ConnectionDone")

    async def test_close_by_the_server(self) -> None:
        def use(client: Any) -> int:
            client.send("close")
            with self.assertRaises(ConnectionClosed):
                client.recv(PATIENCE_SECONDS)
            return int(client.close_code)

        self.assertEqual(await self.client(use), 1001)
        await self.until(lambda: self.outcomes)

    async def test_the_listener_ends(self) -> None:
        def use(client: Any) -> int:
            client.send("x")
            self.assertEqual(client.recv(PATIENCE_SECONDS), "x")
            blockingCallFromThread(reactor, lambda: drained.append(self.factory.drain()))
            with self.assertRaises(ConnectionClosed):
                client.recv(PATIENCE_SECONDS)
            return int(client.close_code)

        drained: list[Any] = []
        self.assertEqual(await self.client(use), 1001)
        await drained[0]
        self.assertEqual(self.echoes.events[-1], "lost ConnectionDone")

    async def test_a_client_that_is_killed(self) -> None:
        def use(client: Any) -> None:
            client.send("x")
            client.recv(PATIENCE_SECONDS)
            client.socket.close()

        await self.client(use)
        await self.until(lambda: "lost ConnectionDone" in self.echoes.events)

    async def test_a_protocol_that_raises(self) -> None:
        def use(client: Any) -> int:
            client.send("raise")
            with self.assertRaises(ConnectionClosed):
                client.recv(PATIENCE_SECONDS)
            return int(client.close_code)

        self.assertEqual(await self.client(use), 1006)
        await self.until(lambda: "lost ConnectionLost" in self.echoes.events)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    async def test_no_such_resource(self) -> None:
        failure = await self.assertFailure(self.client(lambda client: None, "/nothing"), InvalidStatus)
        self.assertEqual(failure.response.status_code, 404)
