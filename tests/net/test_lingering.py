"""Clients that still take their answer when their connection is at its end: in memory, and on sockets."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.error import ConnectionAborted
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.net import h2_patience, server_waits
from scalekit.net.factory import HTTPFactory
from scalekit.net.lingering import Lingering
from scalekit.net.ports import Admission, Port
from tests.http.h2.frames import DATA, PREFACE, SETTINGS, WINDOW_UPDATE, frame, request, split
from tests.net import conversation
from tests.net.conversation import Conversation, Listener, MemoryTransport
from tests.net.h2_conversation import H2Conversation, say_hello
from tests.net.listener import receive_all
from tests.net.messages import GET, get, ok, post
from tests.net.wire import PATIENCE_SECONDS, WireTestCase, in_thread, trusting

PATIENCE = 60.0


class Looks(SynchronousTestCase):
    def setUp(self) -> None:
        self.wire = MemoryTransport(Clock())
        self.wire.unacknowledged = 500
        self.lingering = Lingering(self.wire, 0.0, PATIENCE)

    def look(self, now: float, untaken: int) -> bool:
        self.wire.unacknowledged = untaken
        return self.lingering.goes_on(now)

    def test_all_is_taken(self) -> None:
        self.assertTrue(self.look(2, 0), "just now, perhaps")
        self.assertFalse(self.look(4, 0))

    def test_nothing_was_left(self) -> None:
        self.wire.unacknowledged = 0
        self.assertFalse(Lingering(self.wire, 0.0, PATIENCE).goes_on(2.0))

    def test_without_patience(self) -> None:
        self.lingering = Lingering(self.wire, 0.0, 0.0)
        self.assertEqual([self.look(2, 400), self.look(4, 400)], [True, False])

    def test_as_long_as_it_takes_some_and_once_more_at_the_end(self) -> None:
        looks = ((2, 500), (50, 400), (109, 400), (111, 0), (113, 0))
        self.assertEqual([self.look(*look) for look in looks], [True, True, True, True, False])

    def test_it_stalls(self) -> None:
        self.assertEqual([self.look(now, 500) for now in (2, 59, 60)], [True, True, False])
        self.assertEqual(repr(self.lingering), "<Lingering 500 bytes untaken>")


class InMemory(SynchronousTestCase):
    """What the kernel has counts as much as what waits here."""

    def check(self, it: Listener) -> None:
        """It is at its end, and all that it was sent lies in the kernel."""
        self.assertTrue(it.wire.has_shut)
        for left in (900, 800, 700):
            it.wire.unacknowledged = left
            it.waits(50)
            self.assertIsNone(it.wire.loss)
        it.waits(15)
        self.assertIs(it.wire.loss, ConnectionAborted)

    def test_http_1(self) -> None:
        it = Conversation(say_hello)
        it.wire.unacknowledged = 1000
        it.says(post(1_000_000))
        self.check(it)

    def test_http_2(self) -> None:
        it = H2Conversation(say_hello)
        it.asks()
        it.wire.unacknowledged = 1000
        it.factory.drain()
        it.waits(1.5)
        self.check(it)

    def test_an_idle_connection_of_http_2(self) -> None:
        """Of its answer some waits here: GOAWAY comes when that is taken."""
        self.patch(conversation, "QUEUE_BYTES", 20_000)
        it = H2Conversation(lambda seen: seen.exchange.answer(*ok(b"x" * 60_000)))
        it.takes(10_000)
        it.asks()
        it.waits(60)
        for _ in range(3):
            it.waits(50)
            it.takes(10_000)
            self.assertIsNone(it.wire.loss)
        it.takes(None)
        it.waits(1)
        self.assertIn(("going away", 1, 0), it.hears())

    def test_progress_of_an_answer(self) -> None:
        """The queue moves by a third of what the kernel has, and that may take a slow client minutes."""
        it = Conversation(lambda seen: seen.exchange.answer(*ok(b"x" * 300_000)))
        it.takes(10)
        it.wire.unacknowledged = 4000
        it.says(GET)
        for left in (3000, 2000, 1000):
            it.wire.unacknowledged = left
            it.waits(59)
            self.assertFalse(it.is_over)
        it.waits(62)
        self.assertTrue(it.was_cut)


class OnSockets(WireTestCase):
    """A client that has read nothing by the first look gets all of it."""

    body = b"x" * 150_000

    def setUp(self) -> None:
        super().setUp()
        for module in (server_waits, h2_patience):
            self.patch(module, "LINGER_SECONDS", 0.0)
        self.looks = 0
        self.is_holding, self.held = False, list[Any]()
        real = Lingering.goes_on

        def looked(lingering: Lingering, now: float) -> bool:
            self.looks += 1
            return real(lingering, now)

        self.patch(Lingering, "goes_on", looked)
        self.http = HTTPFactory(self, reactor, reactor.seconds, b"t")
        open_ones = Admission(10)
        self.port = Port(0, self.http, "127.0.0.1", reactor, open_ones, self.server_tls() if self.secure else None)
        self.port.startListening()
        # All of it in the kernel, and nearly all of it in ours.
        self.port.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self.addCleanup(self.until, lambda: open_ones.open == 0)
        self.addCleanup(self.http.drain)
        self.addCleanup(self.port.stopListening)

    def respond(self, exchange: Any) -> None:
        if self.is_holding:
            self.held.append(exchange)
        else:
            exchange.answer(*ok(self.body))

    def dial(self) -> Any:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        sock.settimeout(PATIENCE_SECONDS)
        sock.connect(self.address)
        if not self.secure:
            return sock
        return trusting().wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False)

    def untaken(self) -> int:
        return sum(one.transport.untaken_bytes for one in self.http.connections)

    async def answered(self, *said: bytes) -> bytes:
        """All that a client hears that says this, and reads once its connection was looked at."""
        sock = await in_thread(self.dial)
        for piece in said:
            await in_thread(sock.sendall, piece)
        await self.until(lambda: self.untaken() > len(self.body) // 2)
        self.http.drain()
        await self.until(lambda: self.looks > 0)
        heard = bytes(await in_thread(receive_all, sock))
        sock.close()
        return heard

    async def test_http_1(self) -> None:
        heard = await self.answered(post(100_000_000))
        self.assertTrue(heard.endswith(b"\r\n\r\n" + self.body))

    async def test_what_has_come_since_the_request_was_read(self) -> None:
        """It lies in the kernel when the answer is given: closed over it, the connection would be reset."""
        sock = await in_thread(self.dial)
        self.is_holding = True
        await in_thread(sock.sendall, get(b"/", b"Connection: close"))
        await self.until(lambda: bool(self.held))
        sock.sendall(GET * 50)
        self.held[0].answer(*ok(self.body))
        await self.until(lambda: self.looks > 0)
        heard = bytes(await in_thread(receive_all, sock))
        sock.close()
        self.assertTrue(heard.endswith(b"\r\n\r\n" + self.body))


class OnSocketsOverTLS(OnSockets):
    secure = True


class OnSocketsOverHTTP2(OnSockets):
    async def test_http_1(self) -> None:
        window = frame(SETTINGS, 0, 0, b"\0\4\x3f\xff\xff\xff") + frame(WINDOW_UPDATE, 0, 0, b"\x3f\xff\0\0")
        heard = await self.answered(PREFACE + window + request(1))
        pieces = [payload for kind, _, stream, payload in split(heard) if (kind, stream) == (DATA, 1)]
        self.assertEqual(b"".join(pieces), self.body)
