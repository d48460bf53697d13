"""
The transports of `scalekit.net.transports` over TLS: connections that were accepted, and those that we opened.

A connection's protocol is made when its handshake is complete, so a port scan or plain HTTP costs no protocol.  Where
the bytes go is in `scalekit.net.tls_descriptor`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives.hashes import SHA256
from OpenSSL import SSL
from twisted.internet import main
from twisted.internet.interfaces import IDelayedCall, ISSLTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from scalekit.http.heads import ClientCertificate
from scalekit.net.contexts import error_text, failure_reason
from scalekit.net.tickets import HELLO_BYTES
from scalekit.net.tls import ClientTLS, ServerTLS
from scalekit.net.tls_descriptor import TLSFault, TLSOnDescriptor
from scalekit.net.transports import ClientTransport, ServerTransport


class _Unmade:
    """Stands for the protocol until there is one."""

    def __init__(self, lost: Callable[[Failure], object] | None = None) -> None:
        self._lost = lost

    def connectionLost(self, reason: Failure) -> None:
        if self._lost is not None:
            self._lost(reason)


@implementer(ISSLTransport)
class TLSServerTransport(TLSOnDescriptor, ServerTransport):
    """
    An accepted connection, its handshake first.

    :param factory: makes the protocol when the handshake is complete: by its ``build_negotiated(transport)`` if it has
        that, as our `HTTPFactory` may answer in several, else by ``buildProtocol(address)``.
    :param failed: called with the `TLSFault` of a handshake that fails.
    """

    _deadline: IDelayedCall | None = None
    _awaits_hello = False

    def __init__(
        self,
        sock: socket.socket,
        client: Any,
        server: Any,
        sessionno: int,
        reactor: Any,
        tls: ServerTLS,
        factory: Any,
        failed: Callable[[Exception], object],
    ) -> None:
        super().__init__(sock, _Unmade(), client, server, sessionno, reactor)
        self._factory = factory
        self._failed = failed
        self._server_tls = tls
        self._deadline = reactor.callLater(tls.handshake_seconds, self._overdue)

    def _shake(self) -> Any:
        if self._tls is None:
            wants_hello = self._server_tls.wants_hello
            try:
                hello = self.socket.recv(HELLO_BYTES if wants_hello else 1, socket.MSG_PEEK)
            except BlockingIOError:
                return None
            except OSError:
                hello = b""
            if not hello and not self._awaits_hello:
                # Gone without a byte, as health checks do that only connect: that is no handshake.
                self._fault = main.CONNECTION_LOST
                return self._fault
            if wants_hello and not self._is_whole(hello):
                return None
            self._tls = self._server_tls.connection(self.socket, hello if wants_hello else b"")
        return super()._shake()

    def _is_whole(self, hello: bytes) -> bool:
        """
        Whether what has come of the ClientHello is all that is to be waited for; it stays where it is, for OpenSSL.

        A ticket stands at its end, and with a post-quantum key share it comes in two segments.
        """
        record = 5 + int.from_bytes(hello[3:5], "big")
        if self._awaits_hello:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        elif hello[:2] == b"\x16\x03" and 5 <= len(hello) < record <= HELLO_BYTES:
            # The reactor hears of the socket again when so much is there, or its end.
            self._awaits_hello = True
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, record)
            return False
        return True

    def _overdue(self) -> None:
        self._deadline = None
        self._failed(TLSFault("tls-handshake", "the TLS handshake took too long"))
        self.abortConnection()

    def _fault_of(self, why: SSL.Error) -> Exception:
        fault = TLSFault("tls-handshake", f"TLS handshake failed: {error_text(why)}")
        self._failed(fault)
        return fault

    def _established(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        name = self._tls.get_servername()
        if name:
            self.server_name = name.decode("latin-1").lower()
        if self._server_tls.is_name_decisive:
            self.hosts = self._server_tls.covered(self._tls)
            self.client_certificate = _shown_by(self._tls)
        protocol = self._protocol()
        if protocol is None:
            self.loseConnection()
            return
        self.protocol = protocol
        protocol.makeConnection(self)

    def _protocol(self) -> Any:
        """What the factory has for the protocol that ALPN agreed on; of a stock factory the only one it makes."""
        build = getattr(self._factory, "build_negotiated", None)
        return self._factory.buildProtocol(self.getPeer()) if build is None else build(self)

    def connectionLost(self, reason: Failure) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        super().connectionLost(reason)


def _shown_by(connection: SSL.Connection) -> ClientCertificate | None:
    certificate = connection.get_peer_certificate(as_cryptography=True)
    if certificate is None:
        return None
    return ClientCertificate(certificate.subject.rfc4514_string(), certificate.fingerprint(SHA256()).hex())


@implementer(ISSLTransport)
class TLSClientTransport(TLSOnDescriptor, ClientTransport):
    """
    A connection that we opened, its handshake first.

    :param server_name: the name or address that the server's certificate must be for.
    :param established: called when it has been verified; its caller sets ``protocol``.
    :param failed: called with the Failure of a handshake that fails.
    """

    def __init__(
        self,
        sock: socket.socket,
        peer: Any,
        reactor: Any,
        tls: ClientTLS,
        server_name: str,
        established: Callable[[TLSClientTransport], object],
        failed: Callable[[Failure], object],
    ) -> None:
        super().__init__(sock, peer, _Unmade(failed), reactor)
        self._client_tls = tls
        self._server_name = server_name
        self._on_established = established
        self._tls = tls.connection(sock, server_name)

    def begin(self) -> None:
        """Say hello."""
        self.startReading()
        fault = self._shake()
        if fault is not None:
            self.connectionLost(Failure(fault))

    def _fault_of(self, why: SSL.Error) -> Exception:
        return TLSFault(*failure_reason(self._tls, why))

    def _established(self) -> None:
        wrong = self._client_tls.check_identity(self._tls, self._server_name)
        if wrong:
            self._fault = TLSFault("tls-verify", wrong)
            self.connectionLost(Failure(self._fault))
        else:
            self._on_established(self)
