"""
Connections from a load balancer that first says who is connected through it, by the PROXY protocol.

The header is looked at where it is, in the socket's buffer, and taken out to the byte: what follows it is for OpenSSL,
which reads the descriptor itself.  Until it is whole, the kernel is told how many bytes are worth waking up for.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from scalekit.net.proxy_protocol import HEADER_BYTES, BadProxyHeader, ProxyHeader, read_header

#: The header is a load balancer's first segment; after three seconds a lost one has come again (the specification).
GREETING_SECONDS = 5.0


@implementer(IReadDescriptor)
class ProxyGreeting:
    """
    Waits for the header.

    :param greeted: called with the header; the socket is the callee's from then on.
    :param failed: called with the reason when there is none; the socket is closed then.  None as the reason: the other
        side has gone without a byte, as health checks do that only connect.
    """

    def __init__(
        self,
        sock: socket.socket,
        reactor: Any,
        greeted: Callable[[ProxyHeader], object],
        failed: Callable[[str | None], object],
    ) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._reactor = reactor
        self._greeted = greeted
        self._failed = failed
        self._wanted = 1
        self._deadline: IDelayedCall | None = reactor.callLater(GREETING_SECONDS, self._end, "the header is late")
        reactor.addReader(self)

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "PROXY"

    def doRead(self) -> None:
        try:
            data = self._socket.recv(HEADER_BYTES, socket.MSG_PEEK)
        except BlockingIOError:
            return
        except OSError as why:
            self._end(str(why))
            return
        if len(data) < self._wanted:  # no more will come
            self._end("the connection has ended" if data else None)
            return
        try:
            found = read_header(data)
        except BadProxyHeader as why:
            self._end(str(why))
            return
        if isinstance(found, int):
            self._wait_for(found)
            return
        self._wait_for(1)
        try:
            self._socket.recv(found.size)
        except OSError as why:  # reset since
            self._end(str(why))
            return
        self._stop()
        self._greeted(found)

    def _wait_for(self, count: int) -> None:
        """The reactor shall hear of the socket when so many bytes are there, or its end."""
        if count != self._wanted:
            self._wanted = count
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor ends."""
        self._end(None)

    def _end(self, why: str | None) -> None:
        if self._deadline is not None:
            self._stop()
            self._socket.close()
            self._failed(why)

    def _stop(self) -> None:
        self._reactor.removeReader(self)
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()
        self._deadline = None

    def __repr__(self) -> str:
        return f"<ProxyGreeting waiting for {self._wanted} bytes>"
