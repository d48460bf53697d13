"""
The table of inputs sent raw over a socket: each gets its answer, and no app server sees anything of what is refused.

The clients are plain sockets in threads, so nothing of ours helps them to be right.
"""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from scalekit.balancer.instance import Endpoint
from scalekit.balancer.proxy import ReverseProxy
from scalekit.balancer.roster import Roster
from scalekit.balancer.routes import Claim, Routing
from scalekit.balancer.upstreams import Upstreams
from scalekit.http.bodies import ChunkedDecoder, LengthDecoder
from scalekit.http.forwarding import Forwarder
from scalekit.http.heads import Fields, ResponseHead
from scalekit.http.targets import normalise
from scalekit.interfaces import IBodyReceiver, IResponder
from scalekit.net.deadlines import Wheel
from scalekit.net.factory import HTTPFactory
from scalekit.net.ports import Admission, Port
from scalekit.net.server import ServerConnection
from scalekit.net.upstream import UpstreamTimeouts
from tests.http.input_table import CL, TABLE, TE, Got, Row, chunked, head, post, rows

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


class InputTableTests(ListenerTestCase):
    """Against a responder that remembers what it saw."""

    async def check(self, cut: Callable[[bytes], Iterable[bytes]], among: Iterable[Row]) -> None:
        wrong = []
        recorder = self.responder
        for row in among:
            recorder.taken.clear()
            received = await self.send(*cut(row.sent + LAST))
            expected = row.taken + [Got(target=b"/last")] * (not row.closes)
            # Whether a body that comes in pieces is asked for by a 100 depends on how much of it was there in time.
            final = [status for status in statuses(received) if status != 100]
            if final != self.expected_statuses(row) or recorder.taken != expected:
                wrong.append(f"{row.name}: {recorder.taken}, answered {received[:300]!r}")
            elif row.expected[-1:] == (400,) and b"Connection: close" not in received:
                wrong.append(f"{row.name}: the answer does not say that it is the last: {received!r}")
        if wrong:
            self.fail("\n".join(wrong))

    async def test_whole(self) -> None:
        await self.check(lambda data: [data], rows())

    async def test_byte_by_byte(self) -> None:
        await self.check(
            lambda data: [data[i : i + 1] for i in range(len(data))], (r for r in rows() if len(r.sent) < 150)
        )

    async def test_what_is_refused_by_its_head_is_seen_by_no_responder(self) -> None:
        for group, members in TABLE.items():
            for row in members:
                if row.taken or group in ("bad chunks", "trailers"):
                    continue
                await self.send(row.sent + LAST)
                self.assertEqual(0, self.responder.begun, row.name)

    async def test_each_refusal_is_a_problem_with_a_reason(self) -> None:
        for _, members in TABLE.items():
            refusal = next((row for row in members if not row.taken), None)
            if refusal is not None:
                status, lines, body = answers(await self.send(refusal.sent))[0]
                self.assertEqual(refusal.expected, (status,))
                self.assertIn(b"Content-Type: application/problem+json", lines)
                self.assertIn(b'"reason":', body)

    async def test_the_persistence_of_http_1_0_is_said_aloud(self) -> None:
        kept = answers(await self.send(head(b"Connection: keep-alive", start=b"GET / HTTP/1.0") + LAST))
        self.assertIn(b"Connection: keep-alive", kept[0][1])
        self.assertIn(b"Connection: close", answers(await self.send(head(start=b"GET / HTTP/1.0")))[0][1])


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
        upstreams = Upstreams(REACTOR, self.wheel, UpstreamTimeouts(), no_tls, "/ping")
        self.addCleanup(self.backend.close_all)
        forwarder = Forwarder(b"t", (), lambda: (1, 1))
        return ReverseProxy(roster, routing, upstreams, forwarder, REACTOR, max_body_bytes=self.max_body_bytes)


class ProxiedTableTests(ProxyTestCase):
    """Of what is refused nothing whole arrives at an app server."""

    async def test_whole(self) -> None:
        wrong = []
        for group, members in TABLE.items():
            for row in members:
                self.backend.received.clear()
                self.backend.complete.clear()
                received = await self.send(row.sent + LAST)
                expected = [item.target for item in row.taken] + [b"/last"] * (not row.closes)
                if statuses(received) != self.expected_statuses(row) or self.backend.complete != expected:
                    wrong.append(f"{row.name}: {self.backend.complete}, answered {received[:300]!r}")
                elif not expected and self.backend.received and group not in ("bad chunks", "trailers"):
                    wrong.append(f"{row.name}: the app server saw {bytes(self.backend.received)!r}")
        if wrong:
            self.fail("\n".join(wrong))

    async def test_paths_that_mean_two_routes(self) -> None:
        for path in (
            b"/x/..%2fadmin",
            b"/x/..%2Fadmin/y",
            b"/x%2f..%2fadmin",
            b"/x\\..\\admin",
            b"/\\admin",
            b"//admin",
            b"/x/%2e%2e%2fadmin",
            b"/..;/admin",
            b"/;/admin",
            b"/x/..;a=b/admin",
            b"/admin/..%2fx",
            b"/admin%2fx",
            b"/admin;x",
            b"/./%2fadmin",
            b"/admin/../x",
            b"/x/%2e%2e/admin",
        ):
            received = await self.send(head(b"Connection: close", start=b"GET %b HTTP/1.1" % path))
            self.assertEqual([400], statuses(received), path)
            self.assertEqual(b"", bytes(self.backend.received), path)

    async def test_paths_that_look_odd_and_mean_one_route(self) -> None:
        for path in (
            b"/a%2fb",
            b"/a//b",
            b"/a/./b",
            b"/a/../b",
            b"/100%",
            b"/a;b=c",
            b"/%2e",
            b"/admin/%2e/x",
            b"/a?../admin",
        ):
            self.backend.complete.clear()
            received = await self.send(head(b"Connection: close", start=b"GET %b HTTP/1.1" % path))
            self.assertEqual(([200], [path]), (statuses(received), self.backend.complete), normalise(path))


class SmallBodiesTests(ProxyTestCase):
    """A limit on bodies: 413 as soon as it is known."""

    max_body_bytes = 100_000

    async def test_declared(self) -> None:
        received = await self.send(post(b"Content-Length: 100001"))
        self.assertEqual([413], statuses(received))
        self.assertEqual(b"", bytes(self.backend.received))

    async def test_counted(self) -> None:
        received = await self.send(
            chunked(b"8000\r\n" + b"x" * 0x8000 + b"\r\n"), *[b"8000\r\n" + b"x" * 0x8000 + b"\r\n"] * 20
        )
        self.assertEqual([413], statuses(received))
        self.assertEqual([], self.backend.complete)

    async def test_just_so(self) -> None:
        received = await self.send(post(b"Content-Length: 100000", body=b"x" * 100_000) + LAST)
        self.assertEqual([200, 200], statuses(received))


class BodiesAndOrderTests(ListenerTestCase):
    """What takes more than one step."""

    async def test_continue_when_the_body_is_wanted(self) -> None:
        def client(sock: socket.socket) -> bytes:
            sock.sendall(post(CL, b"Expect: 100-continue"))
            interim = receive_until(sock, b"\r\n\r\n")
            sock.sendall(b"hello" + LAST)
            return interim + receive_all(sock)

        self.assertEqual([100, 200, 200], statuses(await self.talk(client)))

    async def test_no_continue_for_http_1_0(self) -> None:
        received = await self.send(post(CL, b"Expect: 100-continue", start=b"POST / HTTP/1.0"), b"hello")
        self.assertEqual([200], statuses(received))

    async def test_a_final_answer_instead_of_continue_ends_the_connection(self) -> None:
        self.factory.respond = lambda exchange: exchange.answer(ResponseHead(403, []), b"no")
        received = await self.send(post(CL, b"Expect: 100-continue"))
        self.assertEqual([403], statuses(received))
        self.assertIn(b"Connection: close", received)

    async def test_pipelined_requests_are_answered_in_order(self) -> None:
        waiting: list[Any] = []
        came: Deferred[None] = Deferred()

        def respond(exchange: Any) -> None:
            waiting.append(exchange)
            if len(waiting) == 1:
                came.callback(None)
            else:
                exchange.answer(ResponseHead(200, []), exchange.head.target)

        self.factory.respond = respond
        received = self.send(*[head(start=b"GET /%d HTTP/1.1" % n) for n in range(9)], LAST)
        await came
        self.assertEqual([b"/0"], [exchange.head.target for exchange in waiting])  # one at a time
        waiting[0].answer(ResponseHead(200, []), b"/0")
        self.assertEqual([b"/%d" % n for n in range(9)] + [b"/last"], [body for _, _, body in answers(await received)])

    async def test_while_one_request_waits_no_more_than_a_read_is_held(self) -> None:
        waiting: list[Any] = []

        def respond(exchange: Any) -> None:
            waiting.append(exchange)
            if len(waiting) > 1:
                exchange.answer(ResponseHead(204, []))

        self.factory.respond = respond
        count = 40_000
        held: list[int] = []

        def go_on() -> None:
            if not waiting:
                REACTOR.callLater(0, go_on)
                return
            (connection,) = self.factory.connections
            assert isinstance(connection, ServerConnection)
            held.append(connection._reader.held_bytes)
            waiting[0].answer(ResponseHead(204, []))

        def client(sock: socket.socket) -> bytes:
            sock.setblocking(False)
            data, sent = head() * count + LAST, 0
            try:
                while sent < len(data):
                    sent += sock.send(data[sent : sent + 65_536])
            except BlockingIOError:
                pass  # As much as the server and the two kernels take.
            REACTOR.callFromThread(go_on)
            sock.settimeout(PATIENCE_SECONDS)
            sock.shutdown(socket.SHUT_WR)
            return receive_all(sock)

        received = await self.talk(client)
        self.assertGreater(held[0], 0)
        self.assertLessEqual(held[0], 256 * 1024)
        self.assertGreater(received.count(b"HTTP/1.1 204"), 10_000)

    async def test_half_close(self) -> None:
        for sent in (head(), post(CL, body=b"hello"), chunked(b"1\r\na\r\n0\r\n\r\n")):
            self.assertEqual([200], statuses(await self.send(sent, ends=True)))

    async def test_half_close_while_the_answer_is_made(self) -> None:
        exchanges: list[Any] = []
        came: Deferred[None] = Deferred()

        def respond(exchange: Any) -> None:
            exchanges.append(exchange)
            if len(exchanges) == 1:
                came.callback(None)
            else:
                exchange.answer(ResponseHead(200, []), b"later")

        self.factory.respond = respond
        received = self.send(head() + head(start=b"GET /2 HTTP/1.1"), ends=True)
        await came
        (connection,) = self.factory.connections
        assert isinstance(connection, ServerConnection)
        # Until the end of what the client sends has been seen.
        give_up = REACTOR.seconds() + PATIENCE_SECONDS
        while not connection._is_read_closed and connection._is_reading and REACTOR.seconds() < give_up:
            await deferToThread(lambda: None)
        exchanges[0].answer(ResponseHead(200, []), b"first")
        self.assertEqual([b"first", b"later"], [body for _, _, body in answers(await received)])

    async def test_half_close_in_a_request(self) -> None:
        """Of half a head nothing can be said; half a body is a bad request."""
        self.assertEqual([], statuses(await self.send(head()[:-2], ends=True)))
        for sent in (post(CL, body=b"hell"), chunked(b"5\r\nhello\r\n")):
            self.assertEqual([400], statuses(await self.send(sent, ends=True)))
        self.assertEqual([], self.responder.taken)

    async def test_an_early_answer_drains_a_short_rest(self) -> None:
        self.factory.respond = lambda exchange: exchange.answer(ResponseHead(200, []), exchange.head.target)
        for sent in (
            post(b"Content-Length: 65536", body=b"x" * 65_536),
            chunked(b"8000\r\n" + b"x" * 0x8000 + b"\r\n0\r\n\r\n"),
            post(b"Content-Length: 0"),
        ):
            self.assertEqual([b"/", b"/last"], [body for _, _, body in answers(await self.send(sent, LAST))])

    async def test_an_early_answer_ends_the_connection_for_a_long_rest(self) -> None:
        self.factory.respond = lambda exchange: exchange.answer(ResponseHead(200, []), exchange.head.target)
        for sent in (
            post(b"Content-Length: 65537", body=b"x" * 65_537),
            chunked((b"8000\r\n" + b"x" * 0x8000 + b"\r\n") * 4 + b"0\r\n\r\n"),
        ):
            self.assertEqual([b"/"], [body for _, _, body in answers(await self.send(sent + LAST))])

    async def test_bad_bytes_in_a_rest_end_the_connection(self) -> None:
        self.factory.respond = lambda exchange: exchange.answer(ResponseHead(200, []), exchange.head.target)
        received = await self.send(chunked(b"x\r\n"), LAST)
        self.assertEqual([b"/"], [body for _, _, body in answers(received)])

    async def test_both_framings_never_reach_the_second_request(self) -> None:
        smuggled = b"GET /admin HTTP/1.1\r\nHost: a.example\r\n\r\n"
        for first in (
            post(b"Content-Length: %d" % len(smuggled), TE, body=b"0\r\n\r\n"),
            post(TE, b"Content-Length: 4", body=b"0\r\n\r\n"),
        ):
            self.assertEqual([400], statuses(await self.send(first + smuggled)))
        self.assertEqual(0, self.responder.begun)
