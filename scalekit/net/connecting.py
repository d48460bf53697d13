"""
Opening a connection: TCP, unix or TLS, within one deadline.

Addresses are literal: names are resolved elsewhere.  What fails is an `UpstreamFault` whose reason is one of

``connect-refused``, ``connect-unreachable``, ``connect-timeout`` (504), ``tls-verify``, ``tls-handshake``.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from scalekit.errors import UpstreamFault
from scalekit.net.gathering import GatheringTransport
from scalekit.net.tls import ClientTLS
from scalekit.net.tls_descriptor import TLSFault
from scalekit.net.tls_transports import TLSClientTransport
from scalekit.net.transports import ClientTransport

#: Until the connection, with TLS, stands: one lost SYN is sent again after 1 s, a second one is not waited for.
CONNECT_SECONDS = 2.0

# unix: no such file, or one that nobody listens on.
_REFUSED = frozenset((errno.ECONNREFUSED, errno.ECONNRESET, errno.ENOENT))

Target = tuple[str, int] | str


def connect(
    reactor: Any,
    target: Target,
    protocol: Any,
    failed: Callable[[UpstreamFault], object],
    tls: ClientTLS | None = None,
    server_name: str = "",
    timeout: float = CONNECT_SECONDS,
) -> Callable[[], None]:
    """
    Open a connection for ``protocol``; its ``makeConnection`` is called when the connection, with TLS, stands.

    :param target: an IP literal and a port, or the path of a unix socket.
    :param failed: called once instead, with why.  Neither is called before this returns.
    :param tls: how the server's certificate is checked; None: in clear.
    :param server_name: whom it must be for; the address, if empty.
    :param timeout: seconds for all of it.
    :returns: a callable that gives the attempt up: neither is called any more.  After either it does nothing.
    """
    return Attempt(reactor, target, protocol, failed, tls, server_name, timeout).cancel


@implementer(IReadWriteDescriptor)
class Attempt:
    """
    A connection that does not stand yet.

    ``_transport`` is None until TCP stands, then in its TLS handshake; the deadline covers both; ``_is_over`` is set by
    whichever comes first: success, failure, deadline or `cancel`.
    """

    def __init__(
        self,
        reactor: Any,
        target: Target,
        protocol: Any,
        failed: Callable[[UpstreamFault], object],
        tls: ClientTLS | None,
        server_name: str,
        timeout: float,
    ) -> None:
        self._reactor = reactor
        self._target = target
        self._protocol = protocol
        self._failed = failed
        self._tls = tls
        self._server_name = server_name or (target if isinstance(target, str) else target[0])
        self._timeout = timeout
        self._transport: ClientTransport | None = None
        self._socket: socket.socket | None = None
        self._is_over = False
        self._deadline = reactor.callLater(timeout, self._overdue)
        try:
            self._start(_family(target))
        except (OSError, ValueError, OverflowError) as why:
            reactor.callLater(0, self._fail, fault_of(self._name(), why))

    def _start(self, family: int) -> None:
        sock = self._socket = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = sock.connect_ex(self._target)
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, os.strerror(code))
        self._reactor.addWriter(self)

    # What the reactor asks and tells.

    def fileno(self) -> int:
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        return "connecting"

    def doWrite(self) -> None:
        self._reactor.removeWriter(self)
        assert self._socket is not None
        code = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._fail(fault_of(self._name(), OSError(code, os.strerror(code))))
        else:
            self._connected()

    doRead = doWrite

    def connectionLost(self, reason: Failure) -> None:
        """The reactor saw the socket hang up: what went wrong is told by the socket."""
        if self._socket is not None:
            self.doWrite()

    # TCP stands.

    def _connected(self) -> None:
        sock, self._socket = self._socket, None
        assert sock is not None
        if self._tls is None:
            self._transport = GatheringTransport(sock, self._target, self._protocol, self._reactor)
            self._succeed(self._transport)
            return
        try:
            transport = TLSClientTransport(
                sock, self._target, self._reactor, self._tls, self._server_name, self._succeed, self._lost
            )
        except ValueError:
            # A name that cannot be one (IDNA) is nobody's.
            sock.close()
            self._fail(UpstreamFault(502, "tls-verify", f"{self._server_name!r} cannot be the name of a server."))
            return
        self._transport = transport
        transport.begin()

    def _succeed(self, transport: ClientTransport) -> None:
        if self._end():
            transport.protocol = self._protocol
            transport.startReading()
            self._protocol.makeConnection(transport)

    def _lost(self, reason: Failure) -> None:
        """The TLS handshake has failed."""
        fault = reason.value
        token, detail = "tls-handshake", "the connection was closed in the TLS handshake"
        if isinstance(fault, TLSFault):
            token, detail = fault.token, fault.detail
        self._fail(UpstreamFault(502, token, f"{self._name()}: {detail}"))

    # The end of the attempt.

    def cancel(self) -> None:
        """Give up; does nothing once it is over."""
        if self._end():
            self._drop()

    def _overdue(self) -> None:
        if self._transport is None:
            fault = UpstreamFault(504, "connect-timeout", f"{self._name()}: no connection within {self._timeout:g} s")
        else:
            fault = UpstreamFault(502, "tls-handshake", f"{self._name()}: no TLS handshake within {self._timeout:g} s")
        self._fail(fault)

    def _fail(self, fault: UpstreamFault) -> None:
        if self._end():
            self._drop()
            self._failed(fault)

    def _end(self) -> bool:
        """Whether it was still under way."""
        if self._is_over:
            return False
        self._is_over = True
        if self._deadline.active():
            self._deadline.cancel()
        return True

    def _drop(self) -> None:
        if self._transport is not None:
            self._transport.abortConnection()
        elif self._socket is not None:
            self._reactor.removeWriter(self)
            sock, self._socket = self._socket, None
            sock.close()

    def _name(self) -> str:
        if isinstance(self._target, str):
            return self._target
        host, port = self._target
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def __repr__(self) -> str:
        return f"<Attempt {self._name()}{' over' if self._is_over else ''}>"


def fault_of(name: str, why: Exception) -> UpstreamFault:
    """What a failed connect is reported as."""
    number = getattr(why, "errno", None)
    detail = f"{name}: {getattr(why, 'strerror', None) or why}"
    if number == errno.ETIMEDOUT:
        return UpstreamFault(504, "connect-timeout", detail)
    return UpstreamFault(502, "connect-refused" if number in _REFUSED else "connect-unreachable", detail)


def _family(target: Target) -> int:
    if isinstance(target, str):
        return socket.AF_UNIX
    host = target[0]
    if isIPv6Address(host.partition("%")[0]):
        return socket.AF_INET6
    if not isIPAddress(host):
        raise ValueError("not an IP address")  # The socket would ask a name server, and everything would wait for it.
    return socket.AF_INET
