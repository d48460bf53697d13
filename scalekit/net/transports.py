"""
TCP and unix transports that write at once.

Twisted queues what is written, asks to be told when the socket is writable and sends in the next turn of the loop: two
``epoll_ctl`` calls and a poll per write.  Here ``write`` sends at once if nothing is queued and queues only what the
socket did not take; the rest of the contract (producers, half-close, ``loseConnection`` after the last byte) is Twisted's.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import tcp, unix

#: What a connection may have queued before its producer is paused: two reads of 64 KiB from the other side.
QUEUE_BYTES = 128 * 1024


class WriteAtOnce:
    """Mix in before a Twisted connection class."""

    connected: Any
    disconnecting: Any
    dataBuffer: bytes
    _tempDataBuffer: list[bytes]
    _tempDataLen: int
    _writeDisconnected: bool
    offset: int
    socket: Any

    @property
    def queued_bytes(self) -> int:
        """How many bytes wait for the socket."""
        return len(self.dataBuffer) - self.offset + self._tempDataLen

    def write(self, data: bytes) -> None:
        """Send ``data`` now as far as the socket takes it, the rest when it can."""
        if (
            self.connected
            and not self.dataBuffer
            and not self._tempDataBuffer
            and not self._writeDisconnected
            and not self.disconnecting
        ):
            try:
                sent = self.socket.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                # Queued, so that the loss is reported by the reactor and not from inside the caller's write.
                super().write(data)  # type: ignore[misc]
                return
            if sent == len(data):
                return
            data = memoryview(data)[sent:].tobytes()
        super().write(data)  # type: ignore[misc]

    def writeSequence(self, pieces: Any) -> None:
        """Write the pieces as one."""
        self.write(b"".join(pieces))


def plain_address(host: str) -> str:
    """An IPv4 peer of a dual-stack listener appears as ``::ffff:a.b.c.d``: its IPv4 address; else ``host`` itself."""
    if host.startswith("::ffff:") and "." in host:
        return host[7:]
    return host


class ServerTransport(WriteAtOnce, tcp.Server):  # type: ignore[misc]
    """An accepted TCP connection."""

    is_secure = False
    server_name: str | None = None

    def __init__(self, sock: socket.socket, protocol: Any, client: Any, server: Any, sessionno: int, reactor: Any):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().__init__(sock, protocol, client, server, sessionno, reactor)
        self.bufferSize = QUEUE_BYTES


class ClientTransport(WriteAtOnce, tcp.Client):  # type: ignore[misc]
    """A TCP connection that we open."""

    is_secure = False

    def _connectDone(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.bufferSize = QUEUE_BYTES
        super()._connectDone()


class ListeningPort(tcp.Port):
    """A TCP port whose connections are `ServerTransport`."""

    transport = ServerTransport


class Connector(tcp.Connector):
    """Opens a `ClientTransport`."""

    def _makeTransport(self) -> ClientTransport:
        return ClientTransport(self.host, self.port, self.bindAddress, self, self.reactor)


class UnixServerTransport(WriteAtOnce, unix.Server):  # type: ignore[misc]
    """An accepted unix connection."""

    is_secure = False
    server_name: str | None = None


class UnixListeningPort(unix.Port):
    """A unix port whose connections are `UnixServerTransport`."""

    transport = UnixServerTransport
