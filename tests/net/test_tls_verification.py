"""Whom our TLS clients take for whom, and how their attempts to connect fail."""

from __future__ import annotations

import socket
from typing import Any

import trustme
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock

from scalekit.errors import UpstreamFault
from scalekit.net.connecting import connect
from scalekit.net.pairs import ClientCA
from scalekit.net.tls import ClientTLS, ServerTLS
from tests.net.tls_peers import (
    TLSCase,
    Told,
    answer_and_close,
    reactor,
)


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
