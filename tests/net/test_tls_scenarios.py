"""
Conversations over TLS on real sockets: with the standard library's client, and between ourselves.

From basic to complex: the first that fails names the most basic fault.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure

from scalekit.net.connecting import connect
from tests.net.tls_peers import (
    MARK,
    MIB,
    HalfTold,
    Tap,
    TLSCase,
    Told,
    answer_and_close,
    exchange,
    reactor,
    records,
    turn,
)


class OpenTests(TLSCase):
    async def test_the_standard_library_reads_an_answer_and_sees_its_end(self) -> None:
        port, _ = self.listen(lambda: Told(answer_and_close))
        self.assertEqual(await deferToThread(exchange, port, self.client_context(), b""), b"hello")
        await self.gone()

    async def test_what_was_negotiated_is_known_when_the_protocol_is_connected(self) -> None:
        facts = []

        def made(told: Told) -> None:
            transport: Any = told.transport
            facts.append((transport.is_secure, transport.negotiated_protocol, transport.server_name))
            answer_and_close(told)

        port, _ = self.listen(lambda: Told(made))
        context = self.client_context()
        await deferToThread(exchange, port, context, b"")
        context.set_alpn_protocols(["h2", "http/1.1"])
        await deferToThread(exchange, port, context, b"")
        self.assertEqual(facts, [(True, None, "localhost"), (True, "h2", "localhost")])

    async def test_a_session_is_resumed_until_its_key_is_gone(self) -> None:
        port, _ = self.listen(lambda: Told(answer_and_close))
        context = self.client_context()

        def visit(session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool | None]:
            with (
                socket.create_connection(("127.0.0.1", port), 20) as plain,
                context.wrap_socket(plain, server_hostname="localhost", session=session) as secure,
            ):
                # TLS 1.3's tickets come with the first bytes.
                while secure.recv(100):
                    pass
                return secure.session, secure.session_reused

        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context.maximum_version = context.minimum_version = version
            session, _ = await deferToThread(visit, None)
            session, resumed = await deferToThread(visit, session)
            self.assertTrue(resumed)
            self.tls.reload()
            self.tls.rotate()
            _, resumed = await deferToThread(visit, session)
            self.assertTrue(resumed)
            self.tls.rotate()
            _, resumed = await deferToThread(visit, session)
            self.assertFalse(resumed)

    async def test_a_certificate_read_anew_is_for_new_connections(self) -> None:
        port, factory = self.listen(Told)
        before, after = Told(), Told()
        await self.open(port, before)
        self.server_tls("other.test")
        self.tls.reload()
        await self.open(port, after, name="other.test")
        before.transport.write(b"still here")  # type: ignore[union-attr]
        self.assertEqual(await (await factory.latest(1)).got(10), b"still here")
        for told in (before, after):
            told.transport.loseConnection()  # type: ignore[union-attr]
            await told.lost


class EndTests(TLSCase):
    async def test_our_client_tells_a_cut_answer_from_a_whole_one(self) -> None:
        ends: list[Callable[[Any], None]] = [
            lambda transport: transport.loseConnection(),
            lambda transport: transport.abortConnection(),
            lambda transport: transport.socket.shutdown(socket.SHUT_RDWR),
        ]
        port, factory = self.listen(lambda: Told(lambda told: told.transport.write(b"half")))  # type: ignore[union-attr]
        kinds = []
        for end in ends:
            client = Told()
            await self.open(port, client)
            await client.got(4)
            end(factory.made[-1].transport)
            reason = await client.lost
            kinds.append(isinstance(reason, ConnectionDone))
        self.assertEqual(kinds, [True, False, False])
        await self.gone()

    async def test_each_direction_ends_by_itself(self) -> None:
        port, factory = self.listen(HalfTold)
        client = HalfTold()
        await self.open(port, client)
        transport: Any = client.transport
        transport.write(b"request")
        transport.loseWriteConnection()
        await client.write_ended
        server = await factory.latest(1)
        assert isinstance(server, HalfTold)
        await server.read_ended
        self.assertEqual(bytes(server.received), b"request")
        transport.write(b"too late")
        reply: Any = server.transport
        # Reading on after the end must not report the end again.
        reply.pauseProducing()
        reply.resumeProducing()
        reply.write(b"a" * MIB)
        await client.got(MIB)
        reply.loseConnection()
        await client.read_ended
        transport.loseConnection()
        reason = await client.lost
        self.assertIsInstance(reason, ConnectionDone)
        self.assertEqual(bytes(server.received), b"request")
        await self.gone()


class Acts(Told):
    """Does something once all of the request has come: closed with bytes unread, TCP would reset what is on its way."""

    def __init__(self, act: Callable[[Any], None]) -> None:
        super().__init__()
        self.got(len(MARK) * 10).addCallback(lambda _: act(self.transport))


class ClearTests(TLSCase):
    """Nothing of what is written ever stands in clear on the wire."""

    later: Deferred[None] | None = None

    async def through_a_relay(
        self, act: Callable[[Any], None], make: Callable[[], Told] | None = None
    ) -> tuple[bytes, Told]:
        """What the server sent while it did this, and the client that received it."""
        port, _ = self.listen(make or (lambda: Acts(act)))
        seen_from_client, seen_from_server = bytearray(), bytearray()

        class Relay(Factory):
            noisy = False

            def buildProtocol(self, addr: Any) -> Any:
                near, far = Tap(seen_from_client), Tap(seen_from_server)
                far.other = near
                connect(reactor, ("127.0.0.1", port), far, lambda fault: None)
                return near

        relay = reactor.listenTCP(0, Relay(), interface="127.0.0.1")
        self.addCleanup(relay.stopListening)
        client = Told(lambda told: told.transport.write(MARK * 10))  # type: ignore[union-attr]
        await self.open(relay.getHost().port, client)
        await client.lost
        if self.later is not None:
            await self.later
        await self.gone()
        for seen in (seen_from_client, seen_from_server):
            self.assertNotIn(MARK, seen)
            self.assertIn(23, records(bytes(seen)))
        return bytes(seen_from_server), client

    async def test_a_close_with_data_queued(self) -> None:
        def act(transport: Any) -> None:
            for _ in range(64):
                transport.write(MARK * 4096)
            transport.writeSequence([MARK, MARK])
            transport.loseConnection()
            transport.write(MARK)

        _, client = await self.through_a_relay(act)
        self.assertEqual(set(bytes(client.received).split(b" ")), {MARK.strip(), b""})
        self.assertGreaterEqual(len(client.received), 64 * 4096 * len(MARK))

    async def test_an_abort_with_data_queued(self) -> None:
        def act(transport: Any) -> None:
            transport.write(MARK * 500_000)
            transport.abortConnection()
            transport.write(MARK)
            transport.writeSequence([MARK])

        await self.through_a_relay(act)

    async def test_a_half_close(self) -> None:
        def act(transport: Any) -> None:
            transport.write(MARK * 10_000)
            transport.loseWriteConnection()
            transport.write(MARK)

            def later(_: None) -> None:
                transport.write(MARK)
                transport.loseConnection()
                transport.write(MARK)

            self.later = turn().addCallback(later)

        await self.through_a_relay(act)

    async def test_what_is_written_when_the_connection_is_lost(self) -> None:
        class Late(Told):
            def dataReceived(self, data: bytes) -> None:
                self.transport.write(MARK)  # type: ignore[union-attr]
                self.transport.loseConnection()  # type: ignore[union-attr]

            def connectionLost(self, reason: Failure | None = None) -> None:
                self.transport.write(MARK)  # type: ignore[union-attr]
                self.transport.loseConnection()  # type: ignore[union-attr]

        await self.through_a_relay(lambda transport: None, Late)


class BulkTests(TLSCase):
    async def test_a_slow_reader_gets_every_byte(self) -> None:
        block = hashlib.sha256(b"block").digest() * 2048  # 64 KiB
        whole = hashlib.sha256()

        def made(told: Told) -> None:
            for number in range(1024):
                piece = number.to_bytes(4, "big") + block[4:]
                whole.update(piece)
                told.transport.write(piece)  # type: ignore[union-attr]
            told.transport.loseConnection()  # type: ignore[union-attr]

        port, _ = self.listen(lambda: Told(made))

        def read_slowly() -> tuple[int, bytes]:
            plain = socket.socket()
            plain.settimeout(20)
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            plain.connect(("127.0.0.1", port))
            size, digest = 0, hashlib.sha256()
            with self.client_context().wrap_socket(
                plain, server_hostname="localhost", suppress_ragged_eofs=False
            ) as secure:
                while piece := secure.recv(5000):
                    size += len(piece)
                    digest.update(piece)
            return size, digest.digest()

        size, digest = await deferToThread(read_slowly)
        self.assertEqual(size, 64 * MIB)
        self.assertEqual(digest, whole.digest())
        await self.gone()

    async def test_an_upload_is_read_whole_though_it_is_paused_often(self) -> None:
        class Pauses(Told):
            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                transport: Any = self.transport
                transport.pauseProducing()
                reactor.callLater(0, transport.resumeProducing)

        sent = hashlib.sha256(b"upload").digest() * (8 * MIB // 32)
        port, factory = self.listen(Pauses)

        def send() -> None:
            plain = socket.create_connection(("127.0.0.1", port), 20)
            with self.client_context().wrap_socket(plain, server_hostname="localhost") as secure:
                at = 0
                # Records of many sizes, so that reads end within, at and beyond them.
                while at < len(sent):
                    step = (1, 100, 8191, 8192, 16383, 16384, 50_000)[at % 7]
                    secure.sendall(sent[at : at + step])
                    at += step
                secure.unwrap()

        done = deferToThread(send)
        server = await factory.latest(1)
        reason = await server.lost
        self.assertIsInstance(reason, ConnectionDone)
        self.assertEqual(hashlib.sha256(server.received).digest(), hashlib.sha256(sent).digest())
        await done
        await self.gone()
