"""
TCP and unix transports that write at once.

Twisted queues what is written, asks to be told when the socket is writable and sends in the next turn of the loop: two
``epoll_ctl`` calls and a poll per write.  Here ``write`` sends at once if nothing is queued and queues only what the
socket did not take; the rest of the contract (producers, half-close, ``loseConnection`` after the last byte, a loss
reported by the reactor and never from inside ``write``) is Twisted's.

`scalekit.net.tls` puts TLS on them, `scalekit.net.ports` accepts them, `scalekit.net.connecting` opens them.
"""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from collections.abc import Callable, Container, Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet import address, main, tcp
from twisted.python.failure import Failure

from scalekit.http.heads import Client, ClientCertificate

#: What a connection may have queued before its producer is paused: two reads of 64 KiB from the other side.
QUEUE_BYTES = 128 * 1024

#: What one turn reads: what Twisted reads, and four TLS records.
READ_BYTES = 64 * 1024

if TYPE_CHECKING:
    _Connection = tcp.Connection
else:
    _Connection = object


class WriteAtOnce(_Connection):
    """
    Mix in before a Twisted connection class.

    :ivar is_secure: whether this is TLS.
    :ivar negotiated_protocol: what ALPN agreed on, such as ``http/1.1``; None without.
    :ivar server_name: the name that a TLS client asked for (SNI), in lower case; None without.
    :ivar client_certificate: a TLS client's own; None without.
    :ivar hosts: what a TLS client may ask for, where its certificate or ours decides; None: anything.
    """

    is_secure = False
    negotiated_protocol: str | None = None
    server_name: str | None = None
    client_certificate: ClientCertificate | None = None
    hosts: Container[bytes] | None = None

    bufferSize = QUEUE_BYTES
    _read_ended = False

    @property
    def queued_bytes(self) -> int:
        """How many bytes wait for the socket."""
        return len(self.dataBuffer) - self.offset + self._tempDataLen

    @property
    def untaken_bytes(self) -> int:
        """How many bytes the peer's machine has not acknowledged: those that wait here, and the kernel's (tcp(7))."""
        if not self.connected:
            return 0
        (sent,) = struct.unpack("i", fcntl.ioctl(self.socket, termios.TIOCOUTQ, bytes(4)))
        return self.queued_bytes + int(sent)

    @property
    def unread_bytes(self) -> int:
        """How many bytes of the peer's the kernel has, that nobody has read (tcp(7))."""
        if not self.connected:
            return 0
        (unread,) = struct.unpack("i", fcntl.ioctl(self.socket, termios.FIONREAD, bytes(4)))
        return int(unread)

    def write(self, data: bytes) -> None:
        """Send ``data`` now as far as the socket takes it, the rest when it can."""
        if not self.connected or self._writeDisconnected or not data:
            return
        if not isinstance(data, bytes):
            raise TypeError(f"bytes are written, not {type(data).__name__}")
        # A pull producer is asked for more when the queue has been sent, so for one there must be a queue.
        if not self.dataBuffer and not self._tempDataLen and (self.producer is None or self.streamingProducer):
            try:
                sent = self.socket.send(data)
            except OSError:
                # No room, or the connection is gone: the next send, from the reactor, tells which and reports it.
                sent = 0
            if sent == len(data):
                return
            if sent:
                data = data[sent:]
        super().write(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Write the pieces as one."""
        self.write(b"".join(iovec))

    def doRead(self) -> Any:
        try:
            data = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            return main.CONNECTION_LOST
        if not data:
            return main.CONNECTION_DONE
        self.protocol.dataReceived(data)
        return None

    def readConnectionLost(self, reason: Failure) -> None:
        self._read_ended = True
        super().readConnectionLost(reason)

    def startReading(self) -> None:
        # Past the end there is nothing to read: each turn would find the same end again.
        if not self._read_ended:
            super().startReading()

    def pauseProducing(self) -> None:
        if self.connected:
            super().pauseProducing()

    def loseWriteConnection(self) -> None:
        if self.connected:
            super().loseWriteConnection()

    def startTLS(self, ctx: Any, normal: bool = True) -> None:
        """Refused: `write` would go past a TLS that Twisted puts on top."""
        raise NotImplementedError("whether a connection uses TLS is settled when it is made")

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Answers are written whole: there is nothing to wait for; on from the start on TCP, not known to unix."""
        if self.socket.family != socket.AF_UNIX:
            super().setTcpNoDelay(enabled)

    def getHost(self) -> Any:
        return address_of(self.socket.getsockname())


class ServerTransport(WriteAtOnce, tcp.Server):
    """
    An accepted connection.

    :ivar on_closed: called once when it is gone, before the protocol hears of it.
    :ivar local: the name of the socket that the client has connected to, where that is a load balancer's; None: ours.
    """

    on_closed: Callable[[], object] | None = None
    local: Any = None

    def __init__(
        self, sock: socket.socket, protocol: Any, client: Any, server: Any, sessionno: int, reactor: Any
    ) -> None:
        # Not tcp.Server's: it adapts the protocol to an interface for a log prefix, once a connection.
        tcp.Connection.__init__(self, sock, protocol, reactor)
        self.server = server
        self.client = client
        self.sessionno = sessionno
        self.hostname = client[0] if isinstance(client, tuple) else "unix"
        self.logstr = self.repstr = f"<connection {sessionno} from {self.hostname}>"
        # Also what the class has: on the instance, where every write looks, it is found in a tenth of the time.
        self._writeDisconnected = False
        self.dataBuffer = b""
        self.producer = None
        self.streamingProducer = False
        self.startReading()
        self.connected = 1

    def getPeer(self) -> Any:
        return address_of(self.client)

    def getHost(self) -> Any:
        return super().getHost() if self.local is None else address_of(self.local)

    def connectionLost(self, reason: Failure) -> None:
        if self.on_closed is not None:
            on_closed, self.on_closed = self.on_closed, None
            on_closed()
        super().connectionLost(reason)


class ClientTransport(WriteAtOnce, tcp.Connection):
    """
    A connection that we opened: `scalekit.net.connecting` makes it when the socket is connected.

    :param peer: what the socket was connected to: (host, port), an IPv6 socket's tuple, or a unix path.
    """

    def __init__(self, sock: socket.socket, peer: Any, protocol: Any, reactor: Any) -> None:
        super().__init__(sock, protocol, reactor)
        self._peer = peer
        self.logstr = f"<connection to {peer}>"
        self.connected = 1

    def getPeer(self) -> Any:
        return address_of(self._peer)

    def __repr__(self) -> str:
        return self.logstr


def client_of(transport: Any) -> Client:
    """Who is at the other end of a transport; of a foreign one that is less."""
    peer, host = transport.getPeer(), transport.getHost()
    return Client(
        plain_address(getattr(peer, "host", "unix")),
        getattr(peer, "port", 0),
        getattr(transport, "is_secure", False),
        getattr(host, "port", 0),
        getattr(transport, "server_name", None),
        plain_address(getattr(host, "host", "")),
        getattr(transport, "client_certificate", None),
        getattr(transport, "hosts", None),
    )


def address_of(name: Any) -> Any:
    """
    A socket's name as Twisted's address: of a dual-stack socket's IPv4 peer, ``::ffff:a.b.c.d``, its IPv4 address.

    :param name: from ``getsockname``, ``getpeername`` or ``accept``.
    """
    if not isinstance(name, tuple):
        return address.UNIXAddress(name or None)
    if len(name) == 2:
        return address.IPv4Address("TCP", *name)
    host = plain_address(name[0])
    if host is not name[0]:
        return address.IPv4Address("TCP", host, name[1])
    return address.IPv6Address("TCP", *name)


def plain_address(host: str) -> str:
    """An IPv4 peer of a dual-stack listener appears as ``::ffff:a.b.c.d``: its IPv4 address; else ``host`` itself."""
    if host.startswith("::ffff:") and "." in host:
        return host[7:]
    return host
