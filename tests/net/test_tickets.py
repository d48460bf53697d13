"""Sessions that are resumed: after a rotation of the keys, after another certificate, and not too late."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trustme
from cryptography.hazmat.bindings.openssl.binding import Binding
from OpenSSL import SSL
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread

from scalekit.net.contexts import SESSION_SECONDS, session_context
from scalekit.net.pairs import ClientCA, Pair
from scalekit.net.tickets import HELLO_BYTES, TicketContexts, key_name
from scalekit.net.tls import ServerTLS
from tests.net.test_tls import Files
from tests.net.wire import AUTHORITY, Recording, WireTestCase, in_thread, trusting

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


class Visitor:
    """A client of the standard library, in memory, that comes again."""

    def __init__(
        self,
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        ca: Path | None = None,
        check: bool = True,
        **chain: Any,
    ) -> None:
        """
        :param ca: what is trusted; None: the tests' authority; ``check``: whether it looks at all.
        :param chain: as of ``load_cert_chain``.
        """
        self.context = trusting() if ca is None else ssl.create_default_context(cafile=ca)
        if not check:
            self.context.check_hostname, self.context.verify_mode = False, ssl.CERT_NONE
        self.context.maximum_version = version
        self.session: Any = None
        self.shown = b""
        if chain:
            self.context.load_cert_chain(**chain)

    def visit(self, tls: ServerTLS, server_name: str = "localhost") -> bool:
        """One connection from beginning to end; whether the session of the last one was resumed."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = self.context.wrap_bio(incoming, outgoing, server_hostname=server_name, session=self.session)
        server: SSL.Connection | None = None
        while True:
            try:
                client.do_handshake()
                is_done = True
            except ssl.SSLWantReadError:
                is_done = False
            data = outgoing.read()
            if server is None:
                server = tls.connection(None, data if tls.wants_hello else b"")
            if data:
                server.bio_write(data)
            try:
                server.do_handshake()
            except SSL.WantReadError:
                pass
            try:
                incoming.write(server.bio_read(1 << 16))
            except SSL.WantReadError:
                if is_done:
                    break
        try:
            client.read(1)  # the ticket of TLS 1.3
        except ssl.SSLWantReadError:
            pass
        self.shown = client.getpeercert(binary_form=True) or b""
        self.connection = server
        self.session = client.session
        return bool(client.session_reused)


class RotationTests(Files):
    def setUp(self) -> None:
        super().setUp()
        self.tls = ServerTLS(self.certificate, self.key)

    def test_a_session_is_resumed(self) -> None:
        for version in VERSIONS:
            visitor = Visitor(version)
            self.assertEqual([visitor.visit(self.tls) for _ in range(3)], [False, True, True])

    def test_the_lifetime_is_told(self) -> None:
        for version in VERSIONS:
            visitor = Visitor(version)
            visitor.visit(self.tls)
            self.assertEqual(visitor.session.ticket_lifetime_hint, SESSION_SECONDS)

    def test_across_a_rotation(self) -> None:
        """And not across two: whoever steals a key then has that of nobody's session."""
        for version in VERSIONS:
            visitor, late = Visitor(version), Visitor(version)
            visitor.visit(self.tls)
            late.visit(self.tls)
            self.tls.rotate()
            self.assertTrue(visitor.visit(self.tls))
            self.assertTrue(visitor.visit(self.tls))
            newcomer = Visitor(version)
            self.assertEqual([newcomer.visit(self.tls) for _ in range(2)], [False, True])
            self.tls.rotate()
            self.assertFalse(late.visit(self.tls))
            self.assertTrue(newcomer.visit(self.tls))

    def test_across_another_certificate(self) -> None:
        """Also with a rotation in between."""
        other = AUTHORITY.issue_cert("localhost")
        for version in VERSIONS:
            visitor = Visitor(version)
            visitor.visit(self.tls)
            self.tls.rotate()
            self.certificate.write_bytes(other.cert_chain_pems[0].bytes())
            self.key.write_bytes(other.private_key_pem.bytes())
            self.tls.reload()
            self.assertTrue(visitor.visit(self.tls))
            stranger = Visitor(version)
            stranger.visit(self.tls)
            self.assertEqual(stranger.shown, ssl.PEM_cert_to_DER_cert(other.cert_chain_pems[0].bytes().decode()))

    def test_not_with_another_process(self) -> None:
        visitor = Visitor()
        visitor.visit(self.tls)
        self.assertFalse(visitor.visit(ServerTLS(self.certificate, self.key)))

    def test_not_across_another_authority_of_clients(self) -> None:
        """A resumed session is not verified again: it would carry the trust of yesterday."""
        whole = self.folder / "client.pem"
        AUTHORITY.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(whole)
        self.tls.load([Pair(self.certificate, self.key)], ClientCA(self.ca))
        for version in VERSIONS:
            visitor = Visitor(version, certfile=whole)
            self.assertEqual([visitor.visit(self.tls) for _ in range(2)], [False, True])
            self.tls.reload()  # the same authority
            self.tls.rotate()
            self.assertTrue(visitor.visit(self.tls))
            self.assertIsNotNone(visitor.connection.get_peer_certificate())  # out of the ticket
            self.tls.load([Pair(self.certificate, self.key)], ClientCA(self.ca, is_required=False))
            self.assertFalse(visitor.visit(self.tls))
            self.tls.load([Pair(self.certificate, self.key)], ClientCA(self.ca))

    def test_each_context_has_a_key_of_its_own(self) -> None:
        certified = self.server_context()
        first, second = session_context(), session_context()
        names = [key_name(context, certified) for context in (first, first, second)]
        self.assertEqual([len(name) for name in names], [16] * 3)
        self.assertEqual((names[0] == names[1], names[0] == names[2]), (True, False))

    def test_with_another_kind_of_key(self) -> None:
        issued = AUTHORITY.issue_cert("localhost", key_type=trustme.KeyType.RSA)
        self.certificate.write_bytes(issued.cert_chain_pems[0].bytes())
        self.key.write_bytes(issued.private_key_pem.bytes())
        tls = ServerTLS(self.certificate, self.key)
        visitor = Visitor()
        visitor.visit(tls)
        tls.rotate()
        self.assertTrue(visitor.visit(tls))

    def test_without_tickets_there_is_nothing_to_keep(self) -> None:
        def make() -> SSL.Context:
            context = session_context()
            context.set_options(Binding.lib.SSL_OP_NO_TICKET)
            return context

        contexts = TicketContexts(make)
        contexts.rotate(self.server_context())
        self.assertIsNone(contexts.former)
        self.assertIs(contexts.context_for(b""), contexts.current)


class HelloTests(WireTestCase):
    """On a socket: the transport looks at the ClientHello before OpenSSL does, in however many pieces it comes."""

    secure = True

    def setUp(self) -> None:
        super().setUp()
        self.tls = self.port.tls
        assert self.tls is not None

    def talk(self, context: ssl.SSLContext, session: Any, cut: int = 0) -> tuple[bool, Any]:
        """One connection; whether it was resumed, and its session. ``cut``: the first bytes come alone."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = context.wrap_bio(incoming, outgoing, server_hostname="localhost", session=session)
        with socket.create_connection(self.address, 20) as sock:
            while True:
                try:
                    client.do_handshake()
                    client.write(b"x")
                    sock.sendall(outgoing.read())
                    client.read(1)
                except ssl.SSLWantReadError:
                    data = outgoing.read()
                    if cut and data:
                        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        sock.sendall(data[:cut])
                        self.pause()
                        data, cut = data[cut:], 0
                    sock.sendall(data)
                    incoming.write(sock.recv(1 << 16))
                else:
                    return bool(client.session_reused), client.session

    def pause(self) -> None:
        """Until the server has seen the first bytes, and waits."""
        any_reactor: Any = reactor

        def is_seen() -> bool:
            transports = [one for one in any_reactor.getReaders() if hasattr(one, "_awaits_hello")]
            return any(one._awaits_hello or one._tls is not None for one in transports)

        seen: Callable[[], Deferred[Any]] = lambda: Deferred.fromCoroutine(self.until(is_seen))  # noqa: E731
        blockingCallFromThread(any_reactor, seen)

    async def test_in_pieces(self) -> None:
        class Answering(Recording):
            def dataReceived(self, data: bytes) -> None:
                super().dataReceived(data)
                assert self.transport is not None
                self.transport.write(b"y")

        self.factory.make = Answering
        assert self.tls is not None
        context = trusting()
        resumed, session = await in_thread(self.talk, context, None)
        self.assertFalse(resumed)
        self.tls.rotate()
        for cut in (0, 5, 200, 1):
            resumed, _ = await in_thread(self.talk, context, session, cut)
            # Of one byte nobody can tell how much is to come.
            self.assertEqual(resumed, cut != 1, cut)

    async def test_what_is_no_hello_is_not_waited_for(self) -> None:
        assert self.tls is not None
        self.tls.rotate()

        def talk(data: bytes) -> None:
            with socket.create_connection(self.address, 20) as sock:
                sock.sendall(data)
                try:
                    while sock.recv(1000):
                        pass
                except ConnectionResetError:
                    pass

        for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * HELLO_BYTES):
            await in_thread(talk, data)
        self.assertEqual(self.admission.failed_handshakes, 2)

    async def test_a_client_that_leaves_half_way(self) -> None:
        assert self.tls is not None
        self.tls.rotate()

        def talk() -> None:
            with socket.create_connection(self.address, 20) as sock:
                sock.sendall(b"\x16\x03\x01\x02\x00" + b"\x01" * 100)
                self.pause()

        await in_thread(talk)
        await self.until(lambda: self.admission.failed_handshakes == 1 and self.admission.open == 0)
