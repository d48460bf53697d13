"""Writes, closes and half-closes over real sockets: in clear here, over TLS in test_tls_transports.py."""

from __future__ import annotations

import hashlib
import socket
import threading
from typing import Any

from twisted.internet import reactor
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IPullProducer, IPushProducer
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from scalekit.net.transports import QUEUE_BYTES, ServerTransport, address_of, plain_address
from tests.net.wire import PATIENCE_SECONDS, HalfClosing, Recording, WireTestCase, bulk, in_thread, read_slowly

# More than the kernel's buffers of both ends take together (net.ipv4.tcp_wmem and tcp_rmem: 4 + 6 MiB).
MUCH = bulk(64 << 20)
MUCH_HASH = hashlib.sha256(MUCH).hexdigest()


@implementer(IPushProducer)
class Pushing:
    """Writes piece after piece until it is paused."""

    def __init__(self, transport: Any, pieces: list[bytes]) -> None:
        self.transport = transport
        self.pieces = pieces
        self.is_paused = False
        self.pauses = 0
        self.longest_queue = 0

    def resumeProducing(self) -> None:
        self.is_paused = False
        while self.pieces and not self.is_paused:
            self.transport.write(self.pieces.pop(0))
            self.longest_queue = max(self.longest_queue, self.transport.queued_bytes)
        if not self.pieces:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def pauseProducing(self) -> None:
        self.is_paused = True
        self.pauses += 1

    def stopProducing(self) -> None:
        self.pieces = []


@implementer(IPullProducer)
class Pulled:
    """Writes one piece each time it is asked."""

    def __init__(self, transport: Any, pieces: list[bytes]) -> None:
        self.transport = transport
        self.pieces = pieces

    def resumeProducing(self) -> None:
        if self.pieces:
            self.transport.write(self.pieces.pop(0))
        else:
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    def stopProducing(self) -> None:
        self.pieces = []


class ContractTests(WireTestCase):
    """What holds in clear and over TLS alike."""

    async def test_small_write_is_sent_at_once(self) -> None:
        def ask() -> bytes:
            with self.dial() as sock:
                sock.sendall(b"hello")
                answer: bytes = sock.recv(100)
                return answer

        server = self.factory.next()
        asked = in_thread(ask)
        protocol = await server
        await protocol.hears(5)
        protocol.transport.write(b"answer")
        self.assertEqual(protocol.transport.queued_bytes, 0)
        self.assertEqual(await asked, b"answer")
        await protocol.lost

    async def test_slow_reader_gets_every_byte(self) -> None:
        written = threading.Event()

        def read() -> str:
            sock = self.dial()
            written.wait(PATIENCE_SECONDS)  # the server's kernel buffer fills meanwhile
            return read_slowly(sock)

        server = self.factory.next()
        hashed = in_thread(read)
        protocol = await server
        protocol.transport.write(MUCH[:-1])
        self.assertGreater(protocol.transport.queued_bytes, 0)
        written.set()
        protocol.transport.write(MUCH[-1:])
        protocol.transport.loseConnection()
        self.assertEqual(await hashed, MUCH_HASH)
        self.assertIsInstance(await protocol.lost, ConnectionDone)

    async def test_push_producer(self) -> None:
        """It is paused when more than the limit waits, and resumed until it has no more."""
        server = self.factory.next()
        hashed = in_thread(lambda: read_slowly(self.dial()))
        protocol = await server
        size = 100_000
        producer = Pushing(protocol.transport, [MUCH[i : i + size] for i in range(0, len(MUCH), size)])
        protocol.transport.registerProducer(producer, True)
        producer.resumeProducing()
        self.assertEqual(await hashed, MUCH_HASH)
        self.assertGreater(producer.pauses, 0)
        self.assertLessEqual(producer.longest_queue, QUEUE_BYTES + size)
        await protocol.lost

    async def test_pull_producer(self) -> None:
        """It is asked for the next piece although each was sent at once."""
        server = self.factory.next()
        hashed = in_thread(lambda: read_slowly(self.dial()))
        protocol = await server
        pieces = [b"one", b"two", bulk(300_000), b"three"]
        expected = hashlib.sha256(b"".join(pieces)).hexdigest()
        protocol.transport.registerProducer(Pulled(protocol.transport, pieces), False)
        self.assertEqual(await hashed, expected)
        await protocol.lost

    async def test_write_sequence(self) -> None:
        server = self.factory.next()
        hashed = in_thread(lambda: read_slowly(self.dial()))
        protocol = await server
        protocol.transport.writeSequence([b"a", b"", b"bc"])
        protocol.transport.writeSequence(iter([b"d"]))
        protocol.transport.writeSequence([])
        protocol.transport.loseConnection()
        self.assertEqual(await hashed, hashlib.sha256(b"abcd").hexdigest())
        await protocol.lost

    async def test_only_bytes_are_written(self) -> None:
        server = self.factory.next()
        hashed = in_thread(lambda: read_slowly(self.dial()))
        protocol = await server
        for wrong in ("text", bytearray(b"x"), memoryview(b"x")):
            self.assertRaises(TypeError, protocol.transport.write, wrong)
        protocol.transport.loseConnection()
        self.assertEqual(await hashed, hashlib.sha256(b"").hexdigest())
        await protocol.lost

    async def test_loss_is_not_reported_from_inside_write(self) -> None:
        """The peer resets while bytes are waiting: the protocol hears it once, from the reactor."""
        server = self.factory.next()
        dialled = in_thread(self.dial)
        protocol = await server
        sock = await dialled
        protocol.transport.pauseProducing()  # so that only writing can find out
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
        for _ in range(100):
            protocol.transport.write(b"x" * 100_000)
        self.assertEqual(protocol.events, ["made"])
        self.assertIsInstance(await protocol.lost, ConnectionLost)
        protocol.transport.write(b"after the end")
        protocol.transport.writeSequence([b"after", b"the end"])
        protocol.transport.loseConnection()
        protocol.transport.loseWriteConnection()
        protocol.transport.pauseProducing()
        protocol.transport.resumeProducing()
        self.assertEqual(protocol.events, ["made", "lost"])

    async def test_server_ends_its_direction(self) -> None:
        """``loseWriteConnection``: the client sees the end of the answer, and can still send."""

        def talk() -> bytes:
            sock = self.dial()
            answer = b""
            while data := sock.recv(65_536):
                answer += data
            sock.sendall(b"still here")
            sock.close()
            return answer

        self.factory.make = HalfClosing
        server = self.factory.next()
        talked = in_thread(talk)
        protocol = await server
        protocol.transport.write(bulk(3_000_000))
        protocol.transport.loseWriteConnection()
        self.assertEqual(await talked, bulk(3_000_000))
        self.assertEqual(await protocol.hears(10), b"still here")
        protocol.transport.write(b"too late")
        self.assertEqual(protocol.events[:2], ["made", "write ended"])
        await self.until(lambda: len(protocol.events) > 2)
        self.assertEqual(protocol.events[:3], ["made", "write ended", "read ended" if not self.secure else "lost"])

    async def test_abort_drops_what_waits(self) -> None:
        server = self.factory.next()
        dialled = in_thread(self.dial)
        protocol = await server
        sock = await dialled
        protocol.transport.write(MUCH)
        protocol.transport.abortConnection()
        self.assertEqual(protocol.events, ["made"])
        await protocol.lost
        with self.assertRaises(OSError):
            await in_thread(read_slowly, sock)
        sock.close()

    async def test_paused_reading(self) -> None:
        """What comes while the protocol has paused waits, and comes after ``resumeProducing``."""

        def send() -> None:
            with self.dial() as sock:
                sock.sendall(bulk(200_000))
                sock.recv(1)

        server = self.factory.next()
        sent = in_thread(send)
        protocol = await server
        await protocol.hears(1)
        protocol.transport.pauseProducing()
        before = len(protocol.received)
        self.assertLess(before, 200_000)
        for _ in range(5):
            await self.until(lambda: True)
        self.assertEqual(len(protocol.received), before)
        protocol.transport.resumeProducing()
        self.assertEqual(await protocol.hears(200_000), bulk(200_000))
        protocol.transport.loseConnection()
        await sent

    async def test_transport_is_chosen_once(self) -> None:
        server = self.factory.next()
        sock = await in_thread(self.dial)
        protocol = await server
        self.assertRaises(NotImplementedError, protocol.transport.startTLS, None)
        self.assertEqual(protocol.transport.is_secure, self.secure)
        self.assertTrue(protocol.transport.getTcpNoDelay())
        sock.close()


class ClearTests(WireTestCase):
    """What can be seen in clear only."""

    async def test_client_ends_its_direction(self) -> None:
        """A request and FIN: the answer is still sent."""

        def talk() -> bytes:
            with self.dial() as sock:
                sock.sendall(b"request")
                sock.shutdown(socket.SHUT_WR)
                answer: bytes = sock.recv(100)
                return answer

        self.factory.make = HalfClosing
        server = self.factory.next()
        talked = in_thread(talk)
        protocol = await server
        await protocol.read_ended
        # Reading again finds no second end.
        protocol.transport.resumeProducing()
        await self.until(lambda: True)
        protocol.transport.write(b"answer")
        protocol.transport.loseConnection()
        self.assertEqual(await talked, b"answer")
        await protocol.lost
        self.assertEqual(protocol.events, ["made", "read ended", "lost"])

    async def test_peers_of_a_dual_stack_port(self) -> None:
        """An IPv4 client of ``[::]`` has an IPv4 address, as has our end of its connection."""
        port = self.listen(interface="::")
        server = self.factory.next()
        number = port.getHost().port
        sock = await in_thread(socket.create_connection, ("127.0.0.1", number))
        protocol = await server
        self.assertEqual(protocol.transport.getPeer(), address_of(sock.getsockname()))
        self.assertEqual(protocol.transport.getHost(), address_of(("127.0.0.1", number)))
        sock.close()
        await protocol.lost

    async def test_protocol_that_fails_in_data_received(self) -> None:
        def fail(data: bytes) -> None:
            raise RuntimeError("a fault in the protocol")

        server = self.factory.next()
        sock = await in_thread(self.dial)
        protocol = await server
        protocol.dataReceived = fail
        sock.sendall(b"x")
        self.assertIsInstance(await protocol.lost, RuntimeError)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        sock.close()


class AddressTests(SynchronousTestCase):
    def test_plain_address(self) -> None:
        self.assertEqual(plain_address("::ffff:192.0.2.1"), "192.0.2.1")
        for same in ("::1", "127.0.0.1", "::ffff:1", "fe80::1%eth0"):
            self.assertEqual(plain_address(same), same)

    def test_address_of(self) -> None:
        self.assertEqual(
            repr(address_of(("::ffff:192.0.2.1", 5, 0, 0))), "IPv4Address(type='TCP', host='192.0.2.1', port=5)"
        )
        self.assertEqual(address_of(("::1", 5, 0, 0)).host, "::1")
        self.assertEqual(address_of("/run/x").name, b"/run/x")
        self.assertIsNone(address_of("").name)

    def test_repr(self) -> None:
        ours, theirs = socket.socketpair()
        transport = ServerTransport(ours, Recording(), ("192.0.2.1", 5), None, 7, reactor)
        self.addCleanup(theirs.close)
        self.addCleanup(ours.close)
        transport.stopReading()
        self.assertEqual(repr(transport), "<connection 7 from 192.0.2.1>")
