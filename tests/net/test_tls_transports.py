"""
TLS on the descriptor: the contract of test_transports.py again; OpenSSL's waits are in test_tls_waits.py.

What clients see is in test_tls_scenarios.py.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import struct
from typing import Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.logger import capturedLogs

from scalekit.net.pairs import ClientCA
from scalekit.net.transports import client_of
from tests.net import test_transports
from tests.net.wire import (
    AUTHORITY,
    RawTLS,
    WireTestCase,
    bulk,
    in_thread,
    trusting,
)


class ContractTests(test_transports.ContractTests):
    secure = True


class TLSTestCase(WireTestCase):
    secure = True


class EndTests(TLSTestCase):
    """How a connection ends, and what each side can tell of it."""

    async def test_orderly(self) -> None:
        """A client's close_notify is the end, and is answered by ours (RFC 8446 section 6.1)."""

        def talk() -> Any:
            sock = self.dial()
            raw = sock.unwrap()  # returns once the server's close_notify is there
            raw.close()

        server = self.factory.next()
        talked = in_thread(talk)
        protocol = await server
        self.assertIsInstance(await protocol.lost, ConnectionDone)
        await talked

    async def test_reset(self) -> None:
        server = self.factory.next()
        sock = await in_thread(self.dial)
        protocol = await server
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()
        self.assertIsInstance(await protocol.lost, ConnectionLost)

    async def test_data_and_end_in_one_turn(self) -> None:
        """What stands before close_notify is delivered before the end, also if OpenSSL has found both in one turn."""

        def talk() -> None:
            client = RawTLS(self.address)
            client.run(client.tls.do_handshake)
            client.tls.write(bulk(40_000))
            with self.assertRaises(ssl.SSLWantReadError):
                client.tls.unwrap()
            client.flush()
            client.receive_rest()

        server = self.factory.next()
        talked = in_thread(talk)
        protocol = await server
        self.assertIsInstance(await protocol.lost, ConnectionDone)
        self.assertEqual(bytes(protocol.received), bulk(40_000))
        await talked


class FactsTests(TLSTestCase):
    """What a responder may know of a client."""

    async def test_its_certificate(self) -> None:
        whole = self.certificate.with_name("client.pem")
        issued = AUTHORITY.issue_cert("app.example", common_name="app")
        issued.private_key_and_cert_chain_pem.write_to_path(whole)
        tls: Any = self.port.tls
        tls.load([served.pair for served in tls.everything()], ClientCA(self.ca, is_required=False))

        def talk(chain: Any) -> None:
            context = trusting()
            if chain:
                context.load_cert_chain(chain)
            with context.wrap_socket(socket.create_connection(self.address, 20), server_hostname="localhost") as sock:
                sock.sendall(b"x")
                sock.unwrap()

        clients: list[Any] = []
        for chain in (whole, None):
            server = self.factory.next()
            talked = in_thread(talk, chain)
            clients.append(client_of((await server).transport))
            await talked
        known, unknown = clients
        self.assertIsNone(unknown.certificate)
        self.assertIn("CN=app", known.certificate.subject)
        der = ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())
        self.assertEqual(known.certificate.fingerprint, hashlib.sha256(der).hexdigest())
        for client in clients:
            self.assertIn(b"localhost", client.hosts)
            self.assertNotIn(b"other.example", client.hosts)

    async def test_one_certificate_decides_nothing(self) -> None:
        server = self.factory.next()
        sock = await in_thread(self.dial)
        self.assertIsNone(client_of((await server).transport).hosts)
        sock.close()


class HandshakeTests(TLSTestCase):
    """Who never gets through a handshake costs no protocol, and no line in the log."""

    async def failed(self, count: int = 1) -> None:
        await self.until(lambda: self.admission.failed_handshakes == count and self.admission.open == 0)
        self.assertEqual(self.factory.protocols, [])

    async def test_plain_http(self) -> None:
        def talk() -> bytes:
            with socket.create_connection(self.address) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
                answer = b""
                while data := sock.recv(1000):
                    answer += data
                return answer

        try:
            answer = await in_thread(talk)
        except ConnectionResetError:
            answer = b""
        self.assertNotIn(b"HTTP", answer)
        await self.failed()

    async def test_nothing_is_logged(self) -> None:
        with capturedLogs() as events:
            for number in range(3):
                with await in_thread(socket.create_connection, self.address) as sock:
                    sock.sendall(b"\x05garbage")
                await self.failed(number + 1)
        self.assertEqual([event for event in events if event.get("log_namespace", "").startswith("scalekit")], [])

    async def test_a_health_check_that_only_connects(self) -> None:
        """By an end or by a reset; also where a ClientHello is looked at before OpenSSL does."""
        tls = self.port.tls
        assert tls is not None
        for linger in (None, struct.pack("ii", 1, 0)):
            for _ in range(2):
                sock = await in_thread(socket.create_connection, self.address)
                await self.until(lambda: self.admission.open == 1)
                if linger:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                sock.close()
                await self.failed(0)
                tls.rotate()

    async def test_half_a_hello(self) -> None:
        client = await in_thread(RawTLS, self.address)
        with self.assertRaises(ssl.SSLWantReadError):
            client.tls.do_handshake()
        client.sock.sendall(client._out.read()[:100])
        client.sock.close()
        await self.failed()

    async def test_byte_by_byte(self) -> None:
        """A handshake and a request in pieces of one byte."""

        def talk() -> bytes:
            client = RawTLS(self.address)
            client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            send = client.sock.sendall

            def flush() -> None:
                for byte in client._out.read():
                    send(bytes((byte,)))

            client.flush = flush  # type: ignore[method-assign]
            client.run(client.tls.do_handshake)
            client.run(client.tls.write, b"request")
            answer: bytes = client.run(client.tls.read, 100)
            client.sock.close()
            return answer

        server = self.factory.next()
        talked = in_thread(talk)
        protocol = await server
        self.assertEqual(await protocol.hears(7), b"request")
        protocol.transport.write(b"answer")
        self.assertEqual(await talked, b"answer")
        await protocol.lost

    async def test_a_fault_does_not_reach_the_next_connection(self) -> None:
        """OpenSSL's errors are the thread's: a hundred failures beside a connection leave it alone."""
        server = self.factory.next()
        sock = await in_thread(self.dial)
        protocol = await server
        self.factory.protocols.remove(protocol)
        for number in range(20):
            with socket.create_connection(self.address) as garbage:
                garbage.sendall(b"\x16\x03\x01garbage" * 10)
                await self.until(lambda number=number: self.admission.failed_handshakes == number + 1)  # type: ignore[misc]
            sock.sendall(b"x")
            await protocol.hears(number + 1)
        sock.close()
        await protocol.lost
