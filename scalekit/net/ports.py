"""
Listening sockets, and what is accepted from them.

A port takes the connections that its `Admission` allows; over the limit they are closed at once and counted.  When the
process has no descriptor left it stops accepting for a moment: the clients wait in the kernel's queue.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
import sys
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any

from twisted.internet import tcp
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from scalekit.net.greeting import ProxyGreeting
from scalekit.net.proxy_protocol import Endpoint, ProxyHeader
from scalekit.net.tls import ServerTLS
from scalekit.net.tls_transports import TLSServerTransport
from scalekit.net.transports import ServerTransport, address_of, plain_address

#: Connections that wait to be accepted; more than Linux's 4,096 (net.core.somaxconn) would be cut to that silently.
BACKLOG = 1024
#: Accepted in one turn, so that a storm of new clients does not starve those that are served.
ACCEPTS_PER_TURN = 64
#: How long a port rests when there is no descriptor or memory for a connection (nginx: accept_mutex_delay, 500 ms).
REST_SECONDS = 0.5

#: socket(7), a number of Linux; Python does not name it.
_SO_ATTACH_FILTER = 26
#: BPF: drop the packet if of SYN and ACK, in byte 13 of the TCP header, SYN alone is set; else take all of it.
_NO_SYN = b"".join(
    struct.pack("HBBI", *instruction)
    for instruction in (
        (0x30, 0, 0, 13),
        (0x54, 0, 0, 0x12),
        (0x15, 0, 1, 0x02),
        (0x06, 0, 0, 0),
        (0x06, 0, 0, 0xFFFFFFFF),
    )
)

Network = IPv4Network | IPv6Network

_EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_log = Logger()


class Admission:
    """
    How many connections the ports of one service have open together.

    :ivar limit: over it, new ones are refused.
    :ivar open: those open now; ``refused``: those closed for the limit, ``failed_handshakes``: those that never got
        through TLS, ``bad_greetings``: those that did not begin with the PROXY header they should, since the start.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.open = 0
        self.refused = 0
        self.failed_handshakes = 0
        self.bad_greetings = 0
        self._waiting: list[Deferred[None]] = []

    def when_empty(self) -> Deferred[None]:
        """Fires once none is open, those in their handshake included; may be cancelled."""
        empty: Deferred[None] = Deferred(lambda cancelled: self._waiting.remove(cancelled))
        if self.open:
            self._waiting.append(empty)
        else:
            empty.callback(None)
        return empty

    def leave(self) -> None:
        """One has closed."""
        self.open -= 1
        if not self.open:
            waiting, self._waiting = self._waiting, []
            for empty in waiting:
                empty.callback(None)

    def handshake_failed(self, why: Exception) -> None:
        """One never got through TLS: port scanners and plain HTTP are worth a number, not a line in the log."""
        self.failed_handshakes += 1

    def greeting_failed(self, why: str | None) -> None:
        """One never said for whom it is; None: it has gone before that was to be known."""
        self.leave()
        if why is not None:
            self.bad_greetings += 1

    def __repr__(self) -> str:
        return f"<Admission {self.open} of {self.limit}, {self.refused} refused>"


class Port(tcp.Port):
    """
    A TCP port, in clear or with TLS.

    :param interface: an IP literal; ``::`` takes IPv4 as well, and only that where there is no IPv6.
    :param tls: None for clear.
    :param proxies: whose connections begin with a PROXY protocol header; nobody else's do.
    """

    _rest: IDelayedCall | None = None
    _is_exhausted = False
    reactor: Any

    def __init__(
        self,
        port: int,
        factory: Any,
        interface: str,
        reactor: Any,
        admission: Admission,
        tls: ServerTLS | None = None,
        proxies: Sequence[Network] = (),
    ) -> None:
        super().__init__(port, factory, BACKLOG, interface, reactor)
        self.admission = admission
        self.tls = tls
        self.proxies = proxies

    def createInternetSocket(self) -> socket.socket:
        sock: socket.socket = super().createInternetSocket()
        if self.addressFamily == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        if self.addressFamily != socket.AF_UNIX:
            # Linux and the BSDs hand it down to what is accepted: no call for each connection.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def startListening(self) -> None:
        """
        :raises CannotListenError: with the reason.
        """
        try:
            sock = self._bound()
        except OSError as why:
            if self.interface != "::" or why.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                raise CannotListenError(self.interface, self.port, why) from None
            _log.warn("no IPv6 here: listening on 0.0.0.0:{port} instead of [::]:{port}", port=self.port)
            self.interface = "0.0.0.0"
            self.addressFamily = socket.AF_INET
            try:
                sock = self._bound()
            except OSError as still:
                raise CannotListenError(self.interface, self.port, still) from None
        self._realPortNumber = sock.getsockname()[1]
        self._listen_on(sock)

    def _bound(self) -> socket.socket:
        sock = self.createInternetSocket()
        try:
            self._bind(sock)
            sock.listen(self.backlog)
        except OSError:
            sock.close()
            raise
        return sock

    def _bind(self, sock: socket.socket) -> None:
        sock.bind(socket.getaddrinfo(self.interface, self.port, flags=socket.AI_NUMERICHOST)[0][4])

    def _listen_on(self, sock: socket.socket) -> None:
        # Not Twisted's own start, which says on which number "HTTPFactory" starts: `listening` says it in URLs.
        self.socket = sock
        self.fileno = sock.fileno  # type: ignore[method-assign]
        self.connected = True
        self.factory.doStart()  # type: ignore[union-attr]
        self.startReading()

    def doRead(self) -> None:
        admission = self.admission
        for _ in range(ACCEPTS_PER_TURN):
            try:
                sock, client = self.socket.accept()
            except BlockingIOError:
                return
            except OSError as why:
                if why.errno in _EXHAUSTED:
                    self._exhausted(why)
                    return
                continue  # That one client is gone (ECONNABORTED) or filtered (EPERM): accept(2).
            if admission.open >= admission.limit:
                admission.refused += 1
                sock.close()
                continue
            self._is_exhausted = False
            try:
                self._accepted(sock, client)
            except Exception:
                _log.failure("a connection from {client} could not be taken", client=client)
                sock.close()

    def _accepted(self, sock: socket.socket, client: Any) -> None:
        if self.addressFamily == socket.AF_INET6:
            client = _canonical(client)
        if not self.proxies or not self._is_proxy(client[0]):
            self._taken(sock, client)
            return
        admission = self.admission

        def greeted(header: ProxyHeader) -> None:
            admission.open -= 1
            try:
                self._taken(sock, *_proxied(header, client))
            except Exception:
                _log.failure("a connection from {client} could not be taken", client=client)
                sock.close()

        ProxyGreeting(sock, self.reactor, greeted, admission.greeting_failed)
        admission.open += 1

    def _is_proxy(self, host: str) -> bool:
        address = ip_address(host)
        return any(address in network for network in self.proxies)

    def _taken(self, sock: socket.socket, client: Any, local: Any = None) -> None:
        """
        :param local: what the client has connected to, if that is not us; a socket's name, as ``client``.
        """
        session = self.sessionno = self.sessionno + 1
        admission = self.admission
        transport: ServerTransport
        protocol: Any = None
        if self.tls is not None:
            transport = TLSServerTransport(
                sock, client, self, session, self.reactor, self.tls, self.factory, admission.handshake_failed
            )
        else:
            protocol = self.factory.buildProtocol(address_of(client))  # type: ignore[union-attr]
            if protocol is None:
                sock.close()
                return
            transport = ServerTransport(sock, protocol, client, self, session, self.reactor)
        if local is not None:
            transport.local = local
        admission.open += 1
        transport.on_closed = admission.leave
        if self.tls is None:
            try:
                protocol.makeConnection(transport)
            except Exception:
                _log.failure("connectionMade of {protocol!r}", protocol=protocol)
                transport.abortConnection()

    def take_last(self) -> None:
        """
        Accept all who have connected, and nobody who connects from now on: a listening socket that is closed resets
        those who wait in its queue, who may have sent a request already.

        Between the last accept and the close nobody can come either, on Linux.  Whoever tries is not refused but tries
        again after a second: our successor may listen then.
        """
        if self.addressFamily != socket.AF_UNIX and sys.platform == "linux":
            instructions = ctypes.create_string_buffer(_NO_SYN)
            program = struct.pack("HP", len(_NO_SYN) // 8, ctypes.addressof(instructions))
            try:
                self.socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
            except OSError:
                pass  # A sandbox without it: what comes in that moment is reset.
        for _ in range(BACKLOG // ACCEPTS_PER_TURN):
            if self._rest is None:
                self.doRead()

    def _exhausted(self, why: OSError) -> None:
        if not self._is_exhausted:
            self._is_exhausted = True
            _log.error("cannot accept a connection: {why}; {open} are open", why=why.strerror, open=self.admission.open)
        self.stopReading()
        self._rest = self.reactor.callLater(REST_SECONDS, self._rested)

    def _rested(self) -> None:
        self._rest = None
        self.startReading()

    def loseConnection(self, connDone: Failure | None = None) -> Any:
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None
        return super().loseConnection() if connDone is None else super().loseConnection(connDone)

    stopListening = loseConnection

    def _logConnectionLostMsg(self) -> None:
        pass  # as for the start

    def getHost(self) -> Any:
        return address_of(self.socket.getsockname())


def _proxied(header: ProxyHeader, proxy: tuple[Any, ...]) -> tuple[Any, Any]:
    """Who is connected and what he has connected to, by what a load balancer says; the latter None for "us"."""
    source = header.source
    # Loopback is trusted here and there: another machine's is not ours.
    if source is None or (ip_address(source.host).is_loopback and not ip_address(proxy[0]).is_loopback):
        return proxy, None
    return _socket_name(source), header.destination and _socket_name(header.destination)


def _socket_name(endpoint: Endpoint) -> tuple[Any, ...]:
    return (*endpoint, 0, 0) if ":" in endpoint.host else tuple(endpoint)


def _canonical(client: tuple[Any, ...]) -> tuple[Any, ...]:
    """The peer of an IPv6 socket: an IPv4 one as such, a link-local one with its interface."""
    host, port, _, scope = client
    plain = plain_address(host)
    if plain is not host:
        return plain, port
    if scope:
        host = socket.getnameinfo(client, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
        return host, port, *client[2:]
    return client
