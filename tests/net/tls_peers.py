"""Both ends of TLS connections on real sockets, that tell what happens to them, and a tap on the wire between."""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import trustme
from twisted.internet import reactor as real_reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from scalekit.errors import UpstreamFault
from scalekit.net.connecting import connect
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
