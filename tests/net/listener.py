"""A listener of ours on a port, with an app server behind it or none, and what plain sockets say to it and hear."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from scalekit.balancer.instance import Endpoint
from scalekit.balancer.per_service import PerService
from scalekit.balancer.picking.turns import RoundRobin
from scalekit.balancer.proxy import ReverseProxy
from scalekit.balancer.roster import Roster
from scalekit.balancer.routes import Claim, Routing
from scalekit.balancer.traffic import Traffic
from scalekit.balancer.tunnels import Tunnels
from scalekit.balancer.upstreams import Upstreams
from scalekit.http.bodies import ChunkedDecoder, LengthDecoder
from scalekit.http.forwarding import Forwarder
from scalekit.http.heads import Fields, ResponseHead
from scalekit.interfaces import IBodyReceiver, IResponder
from scalekit.net.deadlines import Wheel
from scalekit.net.factory import HTTPFactory
from scalekit.net.pooled import UpstreamTimeouts
from scalekit.net.ports import Admission, Port
from tests.http.input_table import Got, Row

REACTOR: Any = _reactor

#: Nothing here takes as long; a hang shall fail its own test only.
PATIENCE_SECONDS = 20.0

#: Sent behind each input: answered where the connection goes on, and not where it ends.
LAST = b"GET /last HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"


@implementer(IResponder)
class Recorder:
    """Answers every request with the length of its body, once that is complete, and remembers what it saw."""

    def __init__(self) -> None:
        self.begun = 0
        self.taken: list[Got] = []

    def respond(self, exchange: Any) -> None:
        self.begun += 1
        exchange.receive(_Collected(self, exchange))


@implementer(IBodyReceiver)
class _Collected:
    def __init__(self, recorder: Recorder, exchange: Any) -> None:
        self.recorder = recorder
        self.exchange = exchange
        self.body = b""

    def data(self, piece: bytes) -> None:
        self.body += piece

    def end(self, trailers: Fields) -> None:
        request = self.exchange.head
        self.recorder.taken.append(Got(request.method, request.target, request.host, self.body, tuple(trailers)))
        self.exchange.answer(ResponseHead(200, [(b"X-Target", request.target[:100])]), b"%d" % len(self.body))


class Backend(Protocol):
    """An app server that takes whatever comes, however long its head, and answers each whole request."""

    factory: BackendFactory

    def connectionMade(self) -> None:
        self.held = b""
        self.target = b""
        self.decoder: Any = None
        self.factory.open.add(self)

    def dataReceived(self, data: bytes) -> None:
        self.factory.received += data
        self.held += data
        while self.held:
            if self.decoder is None:
                head, end, rest = self.held.partition(b"\r\n\r\n")
                if not end:
                    return
                self.target = head.split(b" ")[1]
                lengths = [int(line[16:]) for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")]
                is_chunked = b"\r\nTransfer-Encoding: chunked" in head
                if len(lengths) + is_chunked > 1:
                    raise AssertionError(f"more than one framing: {head!r}")
                self.held = rest
                self.decoder = ChunkedDecoder() if is_chunked else LengthDecoder(sum(lengths))
            held, self.held = self.held, b""
            if not self.decoder.is_complete:
                self.decoder.decode(held)
            else:
                self.decoder.rest = held
            if self.decoder.is_complete:
                self.held, self.decoder = self.decoder.rest, None
                self.factory.complete.append(self.target)
                assert self.transport is not None
                self.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def connectionLost(self, reason: Any = None) -> None:
        self.factory.open.discard(self)


class BackendFactory(Factory):
    noisy = False
    protocol: Any = Backend

    def __init__(self) -> None:
        self.received = bytearray()
        self.complete: list[bytes] = []
        self.open: set[Any] = set()

    def close_all(self) -> None:
        for connection in list(self.open):
            connection.transport.abortConnection()


def send(address: tuple[str, int], *pieces: bytes, ends: bool = False) -> bytes:
    """
    What a server says to these bytes, until it ends the connection.

    :param ends: whether to close the sending direction afterwards.
    """
    with socket.create_connection(address, PATIENCE_SECONDS) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for piece in pieces:
                sock.sendall(piece)
            if ends:
                sock.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            pass  # Refused before all of it was sent; the answer is there to read.
        return receive_all(sock)


def no_tls() -> Any:
    """For app servers in clear."""


def receive_all(sock: socket.socket) -> bytes:
    """All that comes until the end of the stream."""
    received = bytearray()
    while data := sock.recv(65_536):
        received += data
    return bytes(received)


def receive_until(sock: socket.socket, expected: bytes) -> bytes:
    """What comes, up to and including these bytes."""
    received = b""
    while expected not in received:
        data = sock.recv(65_536)
        if not data:
            raise AssertionError(f"the connection ended after {received!r}")
        received += data
    return received


def answers(data: bytes) -> list[tuple[int, list[bytes], bytes]]:
    """Status, lines and body of each answer in a stream; all of them have a Content-Length or no body."""
    found = []
    while data:
        start, _, data = data.partition(b"\r\n\r\n")
        first, *lines = start.split(b"\r\n")
        length = 0
        for line in lines:
            if line.startswith(b"Content-Length: "):
                length = int(line[16:])
        found.append((int(first[9:12]), lines, data[:length]))
        data = data[length:]
    return found


def statuses(data: bytes) -> list[int]:
    """The status of each answer in a stream."""
    return [status for status, _, _ in answers(data)]


class ListenerTestCase(TestCase):
    """A listener of ours on a port."""

    timeout = 120

    def setUp(self) -> None:
        self.wheel = Wheel(REACTOR)
        self.wheel.start()
        self.addCleanup(self.wheel.stop)
        self.responder = self.make_responder()
        self.factory = HTTPFactory(self.responder, REACTOR, time.time, b"t", self.wheel, h2=None)
        self.port = Port(0, self.factory, "127.0.0.1", REACTOR, Admission(1000))
        self.port.startListening()
        host = self.port.getHost()
        self.address = (host.host, host.port)
        self.addCleanup(self.factory.drain)
        self.addCleanup(self.port.stopListening)

    def make_responder(self) -> Any:
        return Recorder()

    def send(self, *pieces: bytes, ends: bool = False) -> Deferred[bytes]:
        return deferToThread(send, self.address, *pieces, ends=ends)

    def talk(self, conversation: Callable[[socket.socket], Any]) -> Deferred[Any]:
        """Let a client with a socket of its own speak, in a thread."""

        def run() -> Any:
            with socket.create_connection(self.address, PATIENCE_SECONDS) as sock:
                return conversation(sock)

        return deferToThread(run)

    def expected_statuses(self, row: Row) -> list[int]:
        return [200 if isinstance(item, Got) else item for item in row.expected] + [200] * (not row.closes)


class ProxyTestCase(ListenerTestCase):
    """A reverse proxy and an app server behind it."""

    max_body_bytes: int | None = None

    def make_responder(self) -> ReverseProxy:
        self.backend = BackendFactory()
        port = REACTOR.listenTCP(0, self.backend, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        roster = Roster(random.random)
        routing = Routing([Claim.of("default", [], "/"), Claim.of("admin", [], "/admin")])
        roster.observe_claims(routing.settle)
        for service in ("default", "admin"):
            roster.settle_static(service, [Endpoint("http", "127.0.0.1", port.getHost().port)], REACTOR.seconds())
        upstreams = Upstreams(REACTOR, self.wheel, PerService(UpstreamTimeouts()), no_tls)
        self.addCleanup(self.backend.close_all)
        forwarder = Forwarder(b"t", (), lambda: 1 << 64 | 1)
        tunnels = Tunnels(self.wheel, lambda: 0.5)

        def new_traffic(service: str) -> Traffic:
            return Traffic(RoundRobin(), max_body_bytes=self.max_body_bytes)

        return ReverseProxy(roster, routing, upstreams, tunnels, forwarder, REACTOR, new_traffic)
