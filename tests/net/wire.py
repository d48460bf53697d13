"""
Both ends of real connections on 127.0.0.1: a server on our ports, and clients that nobody of ours has written.

The clients block, so they run in threads (`in_thread`), the server in the test's reactor.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import trustme
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from scalekit.net.ports import Admission, Port
from scalekit.net.tls import ClientTLS, ServerTLS

#: Nothing here takes as long; a client that hangs shall fail its own test only.
PATIENCE_SECONDS = 20.0

AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("localhost", "127.0.0.1", "::1")


def in_thread(function: Callable[..., Any], *args: Any) -> Deferred[Any]:
    """Call what blocks."""
    return deferToThread(function, *args)


class Recording(Protocol):
    """Notes what happens to it."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.events: list[str] = []
        self.made: Deferred[Any] = Deferred()
        self.lost: Deferred[Any] = Deferred()  # with the reason, an exception
        self.heard: list[tuple[int, Deferred[bytes]]] = []

    def connectionMade(self) -> None:
        self.events.append("made")
        self.made.callback(self)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        for item in self.heard[:]:
            if len(self.received) >= item[0]:
                self.heard.remove(item)
                item[1].callback(bytes(self.received))

    def hears(self, count: int) -> Deferred[bytes]:
        """Fires when so many bytes have come."""
        heard: Deferred[bytes] = Deferred()
        self.heard.append((count, heard))
        self.dataReceived(b"")
        return heard

    def connectionLost(self, reason: Failure = Failure(ValueError())) -> None:  # noqa: B008
        self.events.append("lost")
        self.lost.callback(reason.value)


@implementer(IHalfCloseableProtocol)
class HalfClosing(Recording):
    """Goes on when only one direction has ended."""

    def __init__(self) -> None:
        super().__init__()
        self.read_ended: Deferred[None] = Deferred()

    def readConnectionLost(self) -> None:
        self.events.append("read ended")
        self.read_ended.callback(None)

    def writeConnectionLost(self) -> None:
        self.events.append("write ended")


class Serving(Factory):
    """Makes the protocols, and hands out each to the test that waits for it."""

    noisy = False

    def __init__(self, make: Callable[[], Recording] = Recording) -> None:
        self.make = make
        self.protocols: list[Any] = []
        self._waiting: list[Deferred[Any]] = []

    def buildProtocol(self, addr: Any) -> Any:
        protocol = self.make()
        protocol.factory = self
        self.protocols.append(protocol)
        protocol.made.addCallback(self._made)
        return protocol

    def _made(self, protocol: Any) -> Any:
        if self._waiting:
            self._waiting.pop(0).callback(protocol)
        return protocol

    def next(self) -> Deferred[Any]:
        """The next connection's protocol."""
        waiting: Deferred[Any] = Deferred()
        self._waiting.append(waiting)
        return waiting


class WireTestCase(TestCase):
    """A test with a server on our port; ``secure`` says whether over TLS."""

    timeout = 60
    secure = False

    def setUp(self) -> None:
        self.factory = Serving()
        self.admission = Admission(1000)
        folder = Path(self.mktemp())
        folder.mkdir()
        self.certificate, self.private_key, self.ca = folder / "server.pem", folder / "server.key", folder / "ca.pem"
        CERTIFICATE.cert_chain_pems[0].write_to_path(self.certificate)
        CERTIFICATE.private_key_pem.write_to_path(self.private_key)
        AUTHORITY.cert_pem.write_to_path(self.ca)
        self.client_tls = ClientTLS(self.ca) if self.secure else None
        tls = self.server_tls() if self.secure else None
        self.port = self.listen(tls)

    def server_tls(self, **settings: Any) -> ServerTLS:
        return ServerTLS(self.certificate, self.private_key, **settings)

    def listen(self, tls: ServerTLS | None = None, interface: str = "127.0.0.1") -> Port:
        port = Port(0, self.factory, interface, reactor, self.admission, tls)
        port.startListening()
        self.addCleanup(port.stopListening)
        self.addCleanup(self.end_all)
        return port

    def end_all(self) -> Any:
        """No test leaves a connection behind."""
        for protocol in self.factory.protocols:
            if "lost" not in protocol.events:
                protocol.transport.abortConnection()
        return self.until(lambda: self.admission.open == 0)

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Let the reactor turn until this is so."""
        give_up = reactor.seconds() + PATIENCE_SECONDS
        while not is_so():
            self.assertLess(reactor.seconds(), give_up, "it never came to that")
            await deferLater(reactor, 0.002)

    @property
    def address(self) -> tuple[str, int]:
        host = self.port.getHost()
        return host.host, host.port

    def dial(self) -> Any:
        """A blocking client's connection, to be made in a thread: TLS by the standard library."""
        sock = socket.create_connection(self.address, PATIENCE_SECONDS)
        if not self.secure:
            return sock
        return trusting().wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False)


def trusting() -> ssl.SSLContext:
    """A client's context that trusts the tests' authority."""
    context = ssl.create_default_context()
    AUTHORITY.configure_trust(context)
    return context


def read_slowly(sock: Any, pause: Callable[[], object] = lambda: None) -> str:
    """The hash of all that comes until the end of the stream."""
    digest = hashlib.sha256()
    while data := sock.recv(16_384):
        digest.update(data)
        pause()
    sock.close()
    return digest.hexdigest()


def bulk(size: int) -> bytes:
    """Bytes that do not repeat within a record."""
    block = hashlib.shake_256(b"scalekit").digest(1 << 20)
    return (block * (size // len(block) + 1))[:size]


class RawTLS:
    """A TLS client that keeps the very bytes which came over the socket, as they were."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.sock = socket.create_connection(address, PATIENCE_SECONDS)
        self.sock.settimeout(PATIENCE_SECONDS)
        self.captured = bytearray()
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = trusting().wrap_bio(self._in, self._out, server_hostname="localhost")

    def run(self, step: Callable[..., Any], *args: Any) -> Any:
        """Do one thing, as often as it wants to read or write."""
        while True:
            try:
                result = step(*args)
            except ssl.SSLWantReadError:
                self.flush()
                if not self.receive():
                    self._in.write_eof()
            else:
                self.flush()
                return result

    def flush(self) -> None:
        if data := self._out.read():
            self.sock.sendall(data)

    def receive(self) -> bool:
        try:
            data = self.sock.recv(65_536)
        except ConnectionResetError:
            return False
        self.captured += data
        self._in.write(data)
        return bool(data)

    def receive_rest(self) -> bytes:
        """All that still comes, whatever it is."""
        while self.receive():
            pass
        self.sock.close()
        return bytes(self.captured)
