"""Connections that begin with a PROXY header, on real sockets, in clear and before TLS."""

from __future__ import annotations

import socket
from collections.abc import Callable
from ipaddress import ip_network
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.threads import blockingCallFromThread
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from scalekit.net.greeting import GREETING_SECONDS, ProxyGreeting
from scalekit.net.ports import _proxied
from scalekit.net.proxy_protocol import Endpoint, ProxyHeader
from scalekit.net.transports import client_of
from tests.net.test_proxy_protocol import ONE, OTHER, SIGNATURE, binary
from tests.net.wire import WireTestCase, in_thread, trusting

LINE = b"PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"
LOOPBACK = (ip_network("127.0.0.0/8"),)


class GreetingTests(WireTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.port.proxies = LOOPBACK

    def talk(self, *pieces: bytes) -> None:
        """Send these, each once the server waits for more, and end."""
        with socket.create_connection(self.address, 20) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for number, piece in enumerate(pieces):
                if number:
                    self.pause()
                sock.sendall(piece)
            if not self.secure:
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(1000):
                    pass

    def pause(self) -> None:
        """Until the server has seen what was sent."""
        loop: Any = reactor
        seen: Callable[[], Deferred[Any]] = lambda: Deferred.fromCoroutine(  # noqa: E731
            self.until(lambda: any(getattr(one, "_wanted", 1) > 1 for one in loop.getReaders()))
        )
        blockingCallFromThread(loop, seen)

    async def seen(self, *pieces: bytes) -> tuple[Any, bytes]:
        server = self.factory.next()
        talked = in_thread(self.talk, *pieces)
        protocol = await server
        client = client_of(protocol.transport)
        await protocol.lost
        await talked
        return (client.address, client.port, client.local_address, client.local_port), bytes(protocol.received)

    async def test_who_is_connected(self) -> None:
        expected = ("192.0.2.1", 56324, "198.51.100.1", 443)
        for header in (LINE, binary(ONE, OTHER, 56324, 443), binary(ONE, OTHER, 56324, 443, b"\x04\0\1x")):
            self.assertEqual(await self.seen(header + b"hello"), (expected, b"hello"))
        self.assertEqual(self.admission.open, 0)

    async def test_in_pieces(self) -> None:
        expected = ("192.0.2.1", 56324, "198.51.100.1", 443)
        for header, cuts in ((LINE, (1, 5, 20)), (binary(ONE, OTHER, 56324, 443), (1, 13, 20))):
            for cut in cuts:
                self.assertEqual(await self.seen(header[:cut], header[cut:] + b"hello"), (expected, b"hello"))

    async def test_ipv6(self) -> None:
        (address, port, *_), _ = await self.seen(b"PROXY TCP6 2001:DB8::1 2001:db8::2 5 6\r\nx")
        self.assertEqual((address, port), ("2001:db8::1", 5))

    async def test_who_says_nothing_of_a_peer_is_the_peer(self) -> None:
        for header in (b"PROXY UNKNOWN\r\n", SIGNATURE + b"\x20\0\0\0"):
            (address, _, local, port), received = await self.seen(header + b"hello")
            self.assertEqual((address, local, port, received), ("127.0.0.1", *self.address, b"hello"))

    async def test_others_are_taken_by_their_word(self) -> None:
        """What begins like a header is a request of theirs, and a bad one."""
        self.port.proxies = (ip_network("10.0.0.0/8"),)
        (address, *_), received = await self.seen(LINE)
        self.assertEqual((address, received), ("127.0.0.1", LINE))

    async def test_malformed(self) -> None:
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"PROXY TCP4 a b c d\r\n", LINE[:20], b"\x16\x03\x01"):
            refused = self.admission.bad_greetings
            with capturedLogs() as events:
                try:
                    await in_thread(self.talk, data)
                except OSError:
                    pass  # cut before it was done
                await self.until(lambda before=refused: self.admission.bad_greetings == before + 1)  # type: ignore[misc]
            # A number, and no line in the log.
            self.assertEqual([event for event in events if event["log_namespace"].startswith("scalekit")], [])
        self.assertEqual((self.admission.open, self.factory.protocols), (0, []))

    async def test_a_health_check_that_only_connects(self) -> None:
        await in_thread(self.talk)
        await self.until(lambda: self.admission.open == 0)
        self.assertEqual((self.admission.bad_greetings, self.factory.protocols), (0, []))

    async def test_the_limit_of_connections_counts_them(self) -> None:
        self.admission.limit = 1
        sock = await in_thread(socket.create_connection, self.address)
        await self.until(lambda: self.admission.open == 1)
        other = await in_thread(socket.create_connection, self.address)
        await self.until(lambda: self.admission.refused == 1)
        other.close()
        sock.close()
        await self.until(lambda: self.admission.open == 0)


class TLSGreetingTests(WireTestCase):
    """The header is taken out to the byte: OpenSSL finds its ClientHello."""

    secure = True

    async def test_before_tls(self) -> None:
        self.port.proxies = LOOPBACK

        def talk(header: bytes) -> None:
            sock = socket.create_connection(self.address, 20)
            sock.sendall(header)
            with trusting().wrap_socket(sock, server_hostname="localhost") as secure:
                secure.sendall(b"hello")
                secure.unwrap()

        for header in (LINE, binary(ONE, OTHER, 56324, 443)):
            server = self.factory.next()
            talked = in_thread(talk, header)
            protocol = await server
            client = client_of(protocol.transport)
            self.assertEqual((client.address, client.local_port, client.is_secure), ("192.0.2.1", 443, True))
            await protocol.lost
            await talked
            self.assertEqual(bytes(protocol.received), b"hello")


class FakeReactor(Clock):
    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()
        self.addReader, self.removeReader = self.readers.add, self.readers.discard


class WaitTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.addCleanup(self.theirs.close)
        self.reactor = FakeReactor()
        self.greeted: list[ProxyHeader] = []
        self.failed: list[str | None] = []
        self.greeting = ProxyGreeting(self.ours, self.reactor, self.greeted.append, self.failed.append)

    def test_the_deadline(self) -> None:
        self.theirs.send(LINE[:10])
        self.greeting.doRead()
        self.assertEqual(repr(self.greeting), "<ProxyGreeting waiting for 11 bytes>")
        self.reactor.advance(GREETING_SECONDS)
        self.assertEqual((self.failed, self.ours.fileno()), (["the header is late"], -1))
        self.assertEqual((self.reactor.readers, self.reactor.getDelayedCalls()), (set(), []))

    def test_the_reactor_ends(self) -> None:
        self.greeting.connectionLost(None)  # type: ignore[arg-type]
        self.greeting.connectionLost(None)  # type: ignore[arg-type]
        self.assertEqual(self.failed, [None])

    def test_nothing_but_the_header_is_taken(self) -> None:
        self.greeting.doRead()  # a false alarm
        self.theirs.send(LINE + b"rest")
        self.greeting.doRead()
        self.assertEqual([header.size for header in self.greeted], [len(LINE)])
        self.assertEqual(self.ours.recv(10), b"rest")
        self.assertEqual((self.reactor.readers, self.reactor.getDelayedCalls()), (set(), []))
        self.ours.close()

    def test_reset_while_the_header_is_taken_out(self) -> None:
        class Reset:
            """The reset comes after the look at what is there."""

            def __init__(self, sock: socket.socket) -> None:
                self.setsockopt, self.close = sock.setsockopt, sock.close

            def recv(self, size: int, flags: int = 0) -> bytes:
                if flags:
                    return LINE
                raise ConnectionResetError("reset")

        self.greeting._socket = Reset(self.ours)  # type: ignore[assignment]
        self.greeting.doRead()
        self.assertEqual((self.greeted, self.failed, self.ours.fileno()), ([], ["reset"], -1))
        self.assertEqual((self.reactor.readers, self.reactor.getDelayedCalls()), (set(), []))


class TrustTests(SynchronousTestCase):
    def test_the_loopback_of_another_machine_is_not_ours(self) -> None:
        """Whoever is on loopback needs no token: a load balancer elsewhere cannot let anybody in that way."""
        header = ProxyHeader(1, Endpoint("127.0.0.1", 5), Endpoint("127.0.0.1", 6))
        self.assertEqual(_proxied(header, ("192.0.2.9", 7)), (("192.0.2.9", 7), None))
        self.assertEqual(_proxied(header, ("127.0.0.1", 7)), (("127.0.0.1", 5), ("127.0.0.1", 6)))
