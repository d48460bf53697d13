"""What TLS on the descriptor waits for, by a script: the table in `scalekit.net.tls_descriptor`."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

from OpenSSL import SSL
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from scalekit.net.tls import ServerTLS
from scalekit.net.tls_descriptor import ConnectionCut, TLSFault
from scalekit.net.tls_transports import TLSServerTransport
from tests.net.wire import (
    AUTHORITY,
    HalfClosing,
    Recording,
    bulk,
)


class FakeReactor(Clock):
    """Notes who wants to read and write."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()
        self.addReader, self.removeReader = self.readers.add, self.readers.discard
        self.addWriter, self.removeWriter = self.writers.add, self.writers.discard


class ScriptedTLS:
    """OpenSSL, by a script: a list of (method, what it returns or raises)."""

    def __init__(self, *script: tuple[str, Any]) -> None:
        self.script = list(script)
        self.sent: list[bytes] = []

    def _step(self, method: str) -> Any:
        expected, result = self.script.pop(0)
        if expected != method:
            raise AssertionError(f"{method} was called, expected {expected}")
        if isinstance(result, Exception):
            raise result
        return result

    def do_handshake(self) -> Any:
        return self._step("do_handshake")

    def recv(self, size: int) -> Any:
        return self._step("recv")

    def send(self, data: bytes) -> Any:
        self.sent.append(bytes(data))
        return self._step("send")

    def shutdown(self) -> Any:
        return self._step("shutdown")

    def get_alpn_proto_negotiated(self) -> bytes:
        return b""

    def get_servername(self) -> None:
        return None

    def get_shutdown(self) -> int:
        return int(SSL.RECEIVED_SHUTDOWN)


WANT_READ, WANT_WRITE = SSL.WantReadError(), SSL.WantWriteError()
SHAKEN = ("do_handshake", None)


class WaitTests(SynchronousTestCase):
    """Reads that wait for room, writes that wait for data: the table at the top of the module."""

    def make(self, *script: tuple[str, Any], protocol: Any = None) -> tuple[TLSServerTransport, FakeReactor, Recording]:
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        self.addCleanup(ours.close)
        folder = Path(self.mktemp())
        folder.mkdir()
        certificate = folder / "both.pem"
        issued = AUTHORITY.issue_cert("localhost")
        issued.private_key_and_cert_chain_pem.write_to_path(certificate)

        class Factory:
            def buildProtocol(self, addr: Any) -> Any:
                return protocol

        protocol = protocol or Recording()
        fake = FakeReactor()
        self.failures: list[Exception] = []
        tls = ServerTLS(certificate, certificate)
        transport = TLSServerTransport(ours, ("192.0.2.1", 5), None, 1, fake, tls, Factory(), self.failures.append)
        transport._tls = ScriptedTLS(*script)
        return transport, fake, protocol

    def wants(self, fake: FakeReactor) -> str:
        return "r" * len(fake.readers) + "w" * len(fake.writers)

    def test_handshake_waits_both_ways(self) -> None:
        script = [("do_handshake", WANT_READ), ("do_handshake", WANT_WRITE), ("do_handshake", WANT_READ), SHAKEN]
        transport, fake, protocol = self.make(*script)
        self.assertEqual(self.wants(fake), "r")
        transport.doRead()
        self.assertEqual(self.wants(fake), "r")
        transport.doRead()
        self.assertEqual(self.wants(fake), "w")
        transport.doWrite()
        self.assertEqual(self.wants(fake), "r")
        self.assertEqual(protocol.events, [])
        transport.doRead()
        self.assertEqual(protocol.events, ["made"])
        self.assertEqual(self.wants(fake), "r")
        self.assertEqual(fake.getDelayedCalls(), [])

    def test_handshake_deadline(self) -> None:
        transport, fake, protocol = self.make(("do_handshake", WANT_READ))
        transport.doRead()
        fake.advance(9.9)
        self.assertTrue(transport.connected)
        fake.advance(0.2)
        fake.advance(0)
        self.assertFalse(transport.connected)
        self.assertEqual(self.wants(fake), "")
        self.assertEqual([str(failure) for failure in self.failures], ["the TLS handshake took too long"])
        self.assertEqual(protocol.events, [])
        self.assertEqual(fake.getDelayedCalls(), [])

    def test_lost_in_the_handshake(self) -> None:
        transport, fake, protocol = self.make(("do_handshake", SSL.SysCallError(-1, "Unexpected EOF")))
        fault = transport.doRead()
        self.assertIsInstance(fault, TLSFault)
        transport.connectionLost(Failure(fault))
        self.assertEqual(fake.getDelayedCalls(), [])
        self.assertEqual(protocol.events, [])

    def test_writes_before_the_handshake_wait(self) -> None:
        transport, fake, _ = self.make(SHAKEN, ("send", 5))
        transport.write(b"early")
        self.assertEqual(transport.queued_bytes, 5)
        transport.doRead()
        self.assertEqual(self.wants(fake), "rw")
        transport.doWrite()
        self.assertEqual(transport._tls.sent, [b"early"])
        self.assertEqual(self.wants(fake), "r")

    def test_lose_connection_before_the_handshake(self) -> None:
        transport, fake, protocol = self.make(("do_handshake", WANT_READ))
        transport.doRead()
        transport.loseConnection()
        fake.advance(0)
        self.assertFalse(transport.connected)
        self.assertEqual(protocol.events, [])
        self.assertEqual(fake.getDelayedCalls(), [])

    def test_read_waits_for_room(self) -> None:
        transport, fake, protocol = self.make(SHAKEN, ("recv", WANT_WRITE), ("recv", b"data"))
        transport.doRead()
        transport.doRead()
        self.assertEqual(self.wants(fake), "w")
        transport.resumeProducing()
        self.assertEqual(self.wants(fake), "w", "data that waits would wake us for nothing")
        transport.doWrite()
        self.assertEqual(bytes(protocol.received), b"data")
        self.assertEqual(self.wants(fake), "r")

    def test_paused_read_waits_for_room(self) -> None:
        transport, fake, protocol = self.make(SHAKEN, ("recv", WANT_WRITE), ("recv", b"data"))
        transport.doRead()
        transport.doRead()
        transport.pauseProducing()
        transport.doWrite()
        self.assertEqual(self.wants(fake), "")
        transport.resumeProducing()
        self.assertEqual(self.wants(fake), "r")
        transport.doRead()
        self.assertEqual(bytes(protocol.received), b"data")

    def test_end_found_by_a_read_that_waited(self) -> None:
        protocol = HalfClosing()
        transport, fake, _ = self.make(SHAKEN, ("recv", WANT_WRITE), ("recv", SSL.ZeroReturnError()), protocol=protocol)
        transport.doRead()
        transport.doRead()
        self.assertIsNone(transport.doWrite())
        self.assertEqual(protocol.events, ["made", "read ended"])
        self.assertEqual(self.wants(fake), "")

    def test_write_waits_for_data(self) -> None:
        transport, fake, protocol = self.make(
            SHAKEN, ("send", WANT_READ), ("recv", b"data"), ("send", 9), protocol=HalfClosing()
        )
        transport.doRead()
        transport.write(b"first")
        self.assertEqual(self.wants(fake), "r")
        transport.write(b"then")
        self.assertEqual(self.wants(fake), "r", "that the socket has room would wake us for nothing")
        transport.doRead()
        self.assertEqual(bytes(protocol.received), b"data")
        self.assertEqual(self.wants(fake), "rw")
        transport.doWrite()
        self.assertEqual(transport._tls.sent, [b"first", b"firstthen"])
        self.assertEqual(self.wants(fake), "r")

    def test_write_of_a_paused_connection_waits_for_data(self) -> None:
        transport, fake, protocol = self.make(SHAKEN, ("send", WANT_READ), ("send", 5))
        transport.doRead()
        transport.pauseProducing()
        transport.write(b"first")
        self.assertEqual(self.wants(fake), "r")
        transport.pauseProducing()
        self.assertEqual(self.wants(fake), "r")
        transport.doRead()
        self.assertEqual(self.wants(fake), "w")
        transport.doWrite()
        self.assertEqual(self.wants(fake), "")
        self.assertEqual(bytes(protocol.received), b"")

    def test_retried_write(self) -> None:
        """It begins as the failed one did and is no shorter, whatever was written in between."""
        transport, _, _ = self.make(
            SHAKEN, ("send", 16_384), ("send", WANT_WRITE), ("send", 16_384), ("send", 16_384), ("send", 7235)
        )
        transport.doRead()
        data = bulk(40_000)
        transport.write(data)
        transport.write(b"abc")
        sent = transport._tls.sent
        self.assertEqual(sent, [data, data[16_384:]])
        transport.doWrite()
        self.assertEqual(sent[2], data[16_384:] + b"abc")
        self.assertTrue(sent[2].startswith(sent[1]))

    def test_close_notify_waits_for_room(self) -> None:
        transport, fake, _ = self.make(SHAKEN, ("shutdown", WANT_WRITE), ("shutdown", False))
        transport.doRead()
        transport.loseConnection()
        self.assertIsNone(transport.doWrite())
        self.assertEqual(self.wants(fake), "w")
        transport.write(b"too late")
        self.assertIsInstance(transport.doWrite(), ConnectionDone)
        self.assertEqual(transport._tls.sent, [])
        self.assertEqual(transport._tls.script, [])

    def test_half_close_waits_for_room(self) -> None:
        protocol = HalfClosing()
        transport, fake, _ = self.make(SHAKEN, ("shutdown", WANT_WRITE), ("shutdown", False), protocol=protocol)
        transport.doRead()
        transport.loseWriteConnection()
        transport.doWrite()
        self.assertEqual(protocol.events, ["made"])
        self.assertEqual(self.wants(fake), "rw")
        transport.doWrite()
        self.assertEqual(protocol.events, ["made", "write ended"])
        self.assertEqual(self.wants(fake), "r")
        transport.write(b"too late")
        self.assertEqual(transport.queued_bytes, 0)
        transport.loseConnection()
        self.assertEqual(protocol.events, ["made", "write ended", "lost"])

    def test_half_close_that_fails_in_the_protocol(self) -> None:
        protocol = HalfClosing()
        protocol.writeConnectionLost = lambda: 1 // 0  # type: ignore[assignment,method-assign]
        transport, _, _ = self.make(SHAKEN, ("shutdown", False), protocol=protocol)
        transport.doRead()
        transport.loseWriteConnection()
        transport.doWrite()
        self.assertEqual(protocol.events, ["made", "lost"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_no_close_notify_after_a_fault(self) -> None:
        fault = SSL.Error([("SSL routines", "", "bad record mac")])
        transport, _, protocol = self.make(SHAKEN, ("recv", fault))
        transport.doRead()
        why = transport.doRead()
        self.assertIsInstance(why, TLSFault)
        self.assertEqual(transport.writeSomeData(b"x"), why)
        transport.connectionLost(Failure(why))
        self.assertEqual(protocol.events, ["made", "lost"])

    def test_no_close_notify_with_bytes_unsent(self) -> None:
        transport, _, protocol = self.make(SHAKEN, ("send", WANT_WRITE))
        transport.doRead()
        transport.write(b"waits")
        transport.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(protocol.events, ["made", "lost"])

    def test_failed_write_is_reported_by_the_reactor(self) -> None:
        transport, fake, protocol = self.make(SHAKEN, ("send", SSL.SysCallError(32, "EPIPE")))
        transport.doRead()
        transport.write(b"x")
        self.assertEqual(protocol.events, ["made"])
        self.assertEqual(self.wants(fake), "rw")
        self.assertIsInstance(transport.doWrite(), ConnectionLost)

    def test_hang_up_is_no_orderly_end(self) -> None:
        transport, _, protocol = self.make(SHAKEN, protocol=HalfClosing())
        transport.doRead()
        transport._tls.get_shutdown = lambda: 0
        transport.readConnectionLost(Failure(ConnectionDone()))
        self.assertEqual(protocol.events, ["made", "lost"])
        self.assertIsInstance(self.successResultOf(protocol.lost), ConnectionCut)

    def test_abort_sends_nothing(self) -> None:
        transport, fake, protocol = self.make(SHAKEN)
        transport.doRead()
        transport.abortConnection()
        fake.advance(0)
        self.assertIsInstance(self.successResultOf(protocol.lost), ConnectionAborted)

    def test_refused_by_the_factory(self) -> None:
        transport, fake, _ = self.make(SHAKEN, ("shutdown", False))
        transport._factory.buildProtocol = lambda addr: None
        transport.doRead()
        end = transport.doWrite()
        self.assertIsInstance(end, ConnectionDone)
        transport.connectionLost(Failure(end))
        self.assertEqual(self.wants(fake), "")

    def test_the_protocol_that_was_agreed_on(self) -> None:
        """A factory that knows several is asked for the one of ALPN."""
        transport, _, protocol = self.make(SHAKEN)
        transport._factory.build_negotiated = lambda asked: protocol if asked is transport else None
        transport._factory.buildProtocol = lambda addr: None
        transport.doRead()
        self.assertIs(transport.protocol, protocol)
        self.assertEqual(protocol.events, ["made"])
