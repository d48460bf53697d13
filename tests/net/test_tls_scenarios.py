"""
Conversations over TLS on real sockets: with the standard library's client, and between ourselves.

From basic to complex: the first that fails names the most basic fault.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import trustme
from OpenSSL import SSL
from twisted.internet import reactor as real_reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from scalekit.errors import UpstreamFault
from scalekit.net.connecting import connect
from scalekit.net.pairs import ClientCA
from scalekit.net.ports import Admission, Port
from scalekit.net.tls import ClientTLS, ServerTLS

reactor: Any = real_reactor
MARK = b"in-clear-marker "
MIB = 1024 * 1024


@cache
def authority() -> trustme.CA:
    return trustme.CA()


def turn() -> Deferred[None]:
    """Fires after the reactor has looked at its descriptors."""
    waited: Deferred[None] = Deferred()
    reactor.callLater(0.005, waited.callback, None)
    return waited


class Told(Protocol):
    """Remembers what it hears; ``lost`` fires with the reason."""

    def __init__(self, made: Callable[[Told], object] = lambda told: None) -> None:
        self.made = made
        self.received = bytearray()
        self.lost: Deferred[Exception] = Deferred()
        self.connected_with: Deferred[Told] = Deferred()
        self.waiting: list[tuple[int, Deferred[bytes]]] = []

    def connectionMade(self) -> None:
        self.made(self)
        self.connected_with.callback(self)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        for size, waiter in self.waiting[:]:
            if len(self.received) >= size:
                self.waiting.remove((size, waiter))
                waiter.callback(bytes(self.received))

    def got(self, size: int) -> Deferred[bytes]:
        """Fires when so many bytes have come."""
        waiter: Deferred[bytes] = Deferred()
        self.waiting.append((size, waiter))
        self.dataReceived(b"")
        return waiter

    def connectionLost(self, reason: Failure | None = None) -> None:
        assert reason is not None
        # As a value: a Failure would be an errback.
        assert isinstance(reason.value, Exception)
        self.lost.callback(reason.value)


@implementer(IHalfCloseableProtocol)
class HalfTold(Told):
    """Goes on when one direction has ended."""

    def __init__(self, made: Callable[[Told], object] = lambda told: None) -> None:
        super().__init__(made)
        self.read_ended: Deferred[None] = Deferred()
        self.write_ended: Deferred[None] = Deferred()

    def readConnectionLost(self) -> None:
        self.read_ended.callback(None)

    def writeConnectionLost(self) -> None:
        self.write_ended.callback(None)


class Makes(Factory):
    """
    Gives out new protocols and keeps them.

    In TLS 1.3 a client's handshake is done before the server's: its protocol may be connected when ours is not made.
    """

    noisy = False

    def __init__(self, make: Callable[[], Told]) -> None:
        self.make = make
        self.made: list[Told] = []

    def buildProtocol(self, addr: Any) -> Any:
        told = self.make()
        self.made.append(told)
        return told

    async def latest(self, count: int) -> Told:
        """The protocol of that connection."""
        for _ in range(1000):
            if len(self.made) >= count:
                return self.made[count - 1]
            await turn()
        raise AssertionError(f"{len(self.made)} protocols made, not {count}")


class Tap(Protocol):
    """One side of a relay that keeps all it sees."""

    def __init__(self, seen: bytearray) -> None:
        self.seen = seen
        self.other: Tap | None = None
        self.early: list[bytes] = []

    def connectionMade(self) -> None:
        if self.other is not None:
            self.other.other = self
            for data in self.other.early:
                self.transport.write(data)  # type: ignore[union-attr]

    def dataReceived(self, data: bytes) -> None:
        self.seen += data
        if self.other is None or self.other.transport is None:
            self.early.append(data)
        else:
            self.other.transport.write(data)

    def connectionLost(self, reason: Failure | None = None) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.loseConnection()


class TLSCase(TestCase):
    timeout = 60

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.ca = self.folder / "ca.pem"
        authority().cert_pem.write_to_path(str(self.ca))
        self.tls = self.server_tls("localhost", "127.0.0.1")
        self.admission = Admission(1000)

    def server_tls(self, *names: str, handshake_seconds: float = 10.0) -> ServerTLS:
        issued = authority().issue_cert(*names)
        certificate, key = self.folder / "server.pem", self.folder / "server.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        return ServerTLS(certificate, key, handshake_seconds=handshake_seconds)

    def listen(self, make: Callable[[], Told], tls: ServerTLS | None = None) -> tuple[int, Makes]:
        factory = Makes(make)
        port = Port(0, factory, "127.0.0.1", reactor, self.admission, tls or self.tls)
        port.startListening()
        self.addCleanup(port.stopListening)
        return port.getHost().port, factory

    def open(
        self, port: int, protocol: Told, tls: ClientTLS | None = None, name: str = "localhost", timeout: float = 10.0
    ) -> Deferred[Told]:
        """Connect with our own client."""
        outcome = protocol.connected_with
        connect(
            reactor, ("127.0.0.1", port), protocol, outcome.errback, tls or ClientTLS(self.ca), name, timeout=timeout
        )
        return outcome

    def client_context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.ca))

    async def refusal(self, attempt: Deferred[Told]) -> UpstreamFault:
        """Why this attempt fails."""
        try:
            await attempt
        except UpstreamFault as fault:
            return fault
        self.fail("connected")

    async def gone(self) -> None:
        """Wait until no connection is open at the server."""
        for _ in range(1000):
            if not self.admission.open:
                return
            await turn()
        self.fail(f"{self.admission!r} after 5 s")


def exchange(port: int, context: ssl.SSLContext, sent: bytes, chunk: int = 65536) -> bytes:
    """What the standard library's client receives; raises SSLEOFError if the end comes without close_notify."""
    with (
        socket.create_connection(("127.0.0.1", port), 20) as plain,
        context.wrap_socket(plain, server_hostname="localhost", suppress_ragged_eofs=False) as secure,
    ):
        if sent:
            secure.sendall(sent)
        pieces = []
        while piece := secure.recv(chunk):
            pieces.append(piece)
        return b"".join(pieces)


def records(seen: bytes) -> list[int]:
    """The content types of the TLS records that ``seen`` is made of; the last may be cut (RFC 8446 section 5.1)."""
    types = []
    at = 0
    while at + 5 <= len(seen):
        kind, version, length = struct.unpack_from("!BHH", seen, at)
        if kind not in (20, 21, 22, 23) or version not in (0x0301, 0x0303) or length > 16384 + 256:
            raise AssertionError(f"no TLS record at {at} of {len(seen)}: {seen[at : at + 40]!r}")
        types.append(kind)
        at += 5 + length
    return types


def answer_and_close(told: Told) -> None:
    assert told.transport is not None
    told.transport.write(b"hello")
    told.transport.loseConnection()


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


class VerificationTests(TLSCase):
    """An app server is believed only with a certificate for its name, or its address, from the authority we trust."""

    async def fault(self, tls: ClientTLS, name: str, server: ServerTLS | None = None) -> UpstreamFault:
        port, factory = self.listen(Told, server)
        client = Told()
        fault = await self.refusal(self.open(port, client, tls, name))
        await self.gone()
        self.assertIsNone(client.transport)
        self.assertEqual(b"".join(bytes(told.received) for told in factory.made), b"")
        return fault

    async def test_a_name_and_an_address_that_the_certificate_is_for(self) -> None:
        port, factory = self.listen(Told)
        for count, (name, asked) in enumerate((("localhost", "localhost"), ("127.0.0.1", None)), 1):
            client = Told()
            await self.open(port, client, name=name)
            client.transport.write(b"x")  # type: ignore[union-attr]
            server = await factory.latest(count)
            await server.got(1)
            self.assertEqual(server.transport.server_name, asked)  # type: ignore[union-attr]
            client.transport.loseConnection()  # type: ignore[union-attr]
            await client.lost
        await self.gone()

    async def test_another_authority(self) -> None:
        other = self.folder / "other.pem"
        trustme.CA().cert_pem.write_to_path(str(other))
        fault = await self.fault(ClientTLS(other), "localhost")
        self.assertEqual((fault.status, fault.reason), (502, "tls-verify"))
        self.assertIn("certificate verify failed", fault.detail)

    async def test_another_name_or_address(self) -> None:
        for name in ("other.test", "127.0.0.2", "::1", "localhost.other.test"):
            fault = await self.fault(ClientTLS(self.ca), name)
            self.assertEqual((fault.status, fault.reason), (502, "tls-verify"), name)
            self.assertIn(name, fault.detail)

    async def test_a_name_that_none_can_have(self) -> None:
        fault = await self.fault(ClientTLS(self.ca), "a" * 70 + ".test")
        self.assertEqual((fault.status, fault.reason), (502, "tls-verify"))

    async def test_a_name_in_place_of_an_address_does_not_count(self) -> None:
        fault = await self.fault(ClientTLS(self.ca), "127.0.0.1", self.server_tls("localhost"))
        self.assertEqual(fault.reason, "tls-verify")

    async def test_unverified_it_is_never_the_certificate_that_is_wrong(self) -> None:
        server = self.server_tls("localhost")
        # With TLS 1.3 the client's handshake would be done before the server refuses it.
        client = ClientTLS(verify=False)
        client.context.set_max_proto_version(SSL.TLS1_2_VERSION)
        server.load([served.pair for served in server.everything()], ClientCA(self.ca))
        fault = await self.fault(client, "localhost", server)
        self.assertEqual((fault.status, fault.reason), (502, "tls-handshake"))

    async def test_unverified_means_any(self) -> None:
        port, _ = self.listen(lambda: Told(answer_and_close))
        client = Told()
        await self.open(port, client, ClientTLS(verify=False), "whatever.test")
        await client.lost
        self.assertEqual(bytes(client.received), b"hello")


class AttemptTests(TLSCase):
    async def test_a_server_that_speaks_no_tls(self) -> None:
        class Plain(Protocol):
            def dataReceived(self, data: bytes) -> None:
                self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")  # type: ignore[union-attr]

        class Leaves(Protocol):
            def dataReceived(self, data: bytes) -> None:
                self.transport.loseConnection()  # type: ignore[union-attr]

        for protocol in (Plain, Leaves):
            port = reactor.listenTCP(0, Factory.forProtocol(protocol), interface="127.0.0.1")
            fault = await self.refusal(self.open(port.getHost().port, Told()))
            self.assertEqual((fault.status, fault.reason), (502, "tls-handshake"))
            await port.stopListening()

    async def test_a_server_that_never_answers_the_handshake(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            fault = await self.refusal(self.open(listener.getsockname()[1], Told(), timeout=0.1))
        self.assertEqual((fault.status, fault.reason), (502, "tls-handshake"))

    async def test_nobody_listens(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        fault = await self.refusal(self.open(port, Told()))
        self.assertEqual((fault.status, fault.reason), (502, "connect-refused"))

    async def test_what_is_no_address_and_no_way_there(self) -> None:
        for host in ("no-address.test", "::1%no-such-interface", "300.1.1.1"):
            failed: Deferred[UpstreamFault] = Deferred()
            connect(reactor, (host, 80), Told(), failed.callback)
            self.assertFalse(failed.called, "before connect returned")
            fault = await failed
            self.assertEqual((fault.status, fault.reason), (502, "connect-unreachable"))

    def test_no_answer_to_the_connect(self) -> None:
        clock: Any = MemoryReactorClock()
        faults: list[UpstreamFault] = []
        with socket.create_server(("127.0.0.1", 0)) as listener:
            connect(clock, ("127.0.0.1", listener.getsockname()[1]), Told(), faults.append, timeout=2.0)
            clock.advance(1.9)
            self.assertEqual(faults, [])
            clock.advance(0.2)
            clock.advance(10)
        self.assertEqual([(fault.status, fault.reason) for fault in faults], [(504, "connect-timeout")])
        self.assertEqual(clock.getDelayedCalls(), [])

    async def test_given_up_it_says_nothing_more(self) -> None:
        port, _ = self.listen(lambda: Told(answer_and_close))
        faults: list[UpstreamFault] = []
        told = Told()
        give_up = connect(reactor, ("127.0.0.1", port), told, faults.append, ClientTLS(self.ca), "localhost")
        give_up()
        give_up()
        other = Told()
        await self.open(port, other)
        await other.lost
        self.assertEqual((faults, told.connected_with.called), ([], False))
        await self.gone()
