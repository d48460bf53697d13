"""
`Channel`: what a ``twisted.web`` request takes for its HTTP channel, on top of one exchange.

``twisted.web.http.Request`` asks its channel for addresses, writes a head and pieces of a body to it, registers
producers, and says when it is done; Twisted's own HTTP/2 stream plays the same part.  The rules of this file:

* what is written while the resource renders is held back (up to `_HELD` bytes), so that an answer finished in one go
  leaves as a whole: head and body in one write, with its length;
* otherwise the answer begins with the first piece and streams; a piece of the whole declared length is a whole answer;
* a WebSocket resource gets a `scalekit.web.tunnel.ProtocolTunnel` in the place of all this;
* framing is the exchange's: Content-Length becomes ``ResponseHead.length``; Transfer-Encoding, Connection are dropped.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IAddress
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import RESPONSES
from twisted.web.http_headers import Headers
from twisted.web.server import version
from zope.interface import implementer

from scalekit.errors import ClientFault, Fault, OurFault
from scalekit.http.heads import Client, ResponseHead
from scalekit.http.upgrade import handshake_fields
from scalekit.interfaces import IAnswerObserver
from scalekit.web.producing import Producing
from scalekit.web.tunnel import ProtocolTunnel

_log = Logger()

# Enough for any page; a resource that writes more during its render is streaming something.
_HELD = 64 * 1024
_FRAMING = frozenset((b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"upgrade"))
# RFC 9110 section 5.5; Headers replaces line ends already, this is for NUL and the like.
_CONTROLS = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
# What twisted.web calls itself in Server.  It is not what answers here, and its version is nobody's business (RFC 9110
# section 10.2.4); a resource may still say who it is.
_STOCK_SERVER = [version]
_VERSIONS = {10: b"HTTP/1.0", 11: b"HTTP/1.1", 20: b"HTTP/2"}


def peer_address(client: Client) -> IAddress:
    """Who asks, as Twisted says it."""
    return _address(client.address, client.port)


def local_address(client: Client) -> IAddress:
    """The address the client connected to, as Twisted says it; the wildcard address if only its port is known."""
    if client.address == "unix":
        return _address("unix", 0)
    return _address(client.local_address or ("::" if ":" in client.address else "0.0.0.0"), client.local_port)


def _address(host: str, port: int) -> IAddress:
    if host == "unix":
        return UNIXAddress(None)
    return IPv6Address("TCP", host, port) if ":" in host else IPv4Address("TCP", host, port)


@implementer(IAnswerObserver)
class Channel(Producing):
    """
    :param site: the ``twisted.web.server.Site`` that the request is to see.
    :param cooperate: `twisted.internet.task.cooperate`, or another Cooperator's.
    """

    # The site's own access log is not written: the exchange's outcome is the access log.
    factory = None

    def __init__(self, exchange: Any, site: Any, cooperate: Any) -> None:
        super().__init__(cooperate)
        self.site = site
        self._exchange = exchange
        self._request: Any = None
        self._head: ResponseHead | None = None
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._is_holding = False
        self._has_begun = False
        self._is_over = False
        self._tunnel: ProtocolTunnel | None = None

    # What the Site does.

    def run(self, content: Any) -> None:
        """Make the request, whose whole body is in this file, and let its resource answer."""
        head = self._exchange.head
        request = self._request = self.site.requestFactory(self)
        request.exchange = self._exchange
        add = request.requestHeaders.addRawHeader
        if head.host:
            add(b"Host", head.host)
        length = content.tell()
        if length:
            add(b"Content-Length", b"%d" % length)
        for name, value in head.fields:
            add(name, value)
        if head.upgrade:
            for name, value in handshake_fields(head, self._exchange.request_id):
                add(name, value)
        request.parseCookies()
        request.content = content
        self._exchange.observe(self)
        self._is_holding = True
        try:
            request.requestReceived(head.method, head.target, _VERSIONS[head.version])
        except Fault as fault:
            self.fail(fault)
        except Exception:
            _log.failure("reading {head}", head=head)
            self.fail(OurFault(500, "internal", "Something went wrong here."))
        self._release()

    def fail(self, fault: Fault) -> None:
        """Answer with this fault, or cut the answer if it has begun; the request hears that it is alone now."""
        if self._tunnel is not None:
            self._tunnel.fail(fault)
        elif not self._is_over:
            self._exchange.fail(fault)
            self.aborted(fault)

    # IAnswerObserver

    def aborted(self, fault: Exception) -> None:
        if self._is_over:
            return
        self._is_over = True
        self._stop_producing()
        request, self._request = self._request, None
        if request is not None:
            request.connectionLost(Failure(ConnectionLost(str(fault))))

    # What twisted.web.http.Request asks of its channel.

    @property
    def transport(self) -> Channel:
        """This channel is also as much of a transport as there is."""
        return self

    def getPeer(self) -> IAddress:
        return peer_address(self._exchange.client)

    def getHost(self) -> IAddress:
        return local_address(self._exchange.client)

    def isSecure(self) -> bool:
        return bool(self._exchange.client.is_secure)

    def writeHeaders(self, version: bytes, code: bytes, reason: bytes, headers: Headers) -> None:
        status = int(code)
        fields: list[tuple[bytes, bytes]] = []
        length: int | None = None
        has_date = False
        for name, values in headers.getAllRawHeaders():
            lower = name.lower()
            if lower == b"content-length":
                length = int(values[0]) if values[0].isdigit() else None
            elif lower not in _FRAMING and values != _STOCK_SERVER:
                has_date = has_date or lower == b"date"
                fields.extend([(name, value) for value in values])
        if _CONTROLS.search(b"".join([value for _, value in fields])):
            raise OurFault(500, "bad-field", "A field of the answer holds control characters.")
        if status in (204, 304):
            length = None  # resources say 0 here, and mean the body that is not sent
        if reason == RESPONSES.get(status) or _CONTROLS.search(reason):
            reason = b""
        if self._request is not None:
            self._request.chunked = 0  # chunks are the exchange's to make, if this HTTP version has them
        self._head = ResponseHead(status, fields, length, reason, has_date)
        if not self._is_holding and length is None:
            self._begin()

    def write(self, data: bytes) -> None:
        if self._is_over or not data:
            return
        head = self._head
        if self._has_begun:
            self._exchange.write(data)
        elif head is None:
            # Else written past the request: there is no answer that this could belong to.
            if self._tunnel is not None:
                self._tunnel.write(data)
        elif self._is_holding and self._held_bytes + len(data) <= _HELD:
            self._held.append(data)
            self._held_bytes += len(data)
        elif not self._held and head.length == len(data):
            self._has_begun = self._is_over = True
            self._exchange.answer(head, data)
        else:
            self._begin()
            self._exchange.write(data)

    def writeSequence(self, pieces: Iterable[bytes]) -> None:
        self.write(b"".join(pieces))

    def requestDone(self, request: Any) -> None:
        self._request = None
        head = self._head
        if self._is_over or head is None:
            return
        self._is_over = True
        if self._tunnel is not None:
            # Something went wrong before it began: this is the answer then.
            self._tunnel.aborted(OurFault(500, "no-upgrade", "The request was answered without a tunnel."))
        if self._has_begun:
            self._exchange.finish()
            return
        body = b"".join(self._held)
        is_head = self._exchange.head.method == b"HEAD"
        if (is_head and head.length is None and not body) or (body and head.length not in (None, len(body))):
            # Not known what GET would say; or declared wrong, which the exchange makes an abort.
            self._exchange.begin(head)
            self._exchange.write(body)
            self._exchange.finish()
            return
        if head.length is None and head.status not in (204, 304):
            head.length = len(body)
        self._exchange.answer(head, body)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._release()
        super().registerProducer(producer, streaming)

    def loseConnection(self) -> None:
        """The resource gives up: an answer that has begun is cut, one that has not is a 500."""
        self.fail(OurFault(500, "given-up", "The resource ended the connection."))

    abortConnection = loseConnection

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.fail(ClientFault(400, "bad-form", "The multipart form cannot be read."))

    def _protocolUpgradeForWebsockets(self, protocol: Any) -> None:
        if not self._exchange.head.upgrade or self._is_over or self._head is not None:
            raise ClientFault(400, "no-upgrade", "The request does not begin a tunnel.")
        self._tunnel = ProtocolTunnel(self._exchange, self, protocol, self._tunnel_over, self._cooperate)
        self._tunnel.connect()
        if not self._is_holding:
            self._tunnel.release()

    def _tunnel_over(self, reason: Failure) -> None:
        self._is_over = True
        request, self._request = self._request, None
        if request is not None:
            request.connectionLost(reason)

    # Inside.

    def _begin(self) -> None:
        assert self._head is not None
        self._has_begun = True
        self._is_holding = False
        self._exchange.begin(self._head)
        held, self._held = self._held, []
        for piece in held:
            self._exchange.write(piece)

    def _release(self) -> None:
        """The resource answers step by step: what was held back goes out."""
        self._is_holding = False
        if self._tunnel is not None:
            self._tunnel.release()
        elif self._head is not None and not self._has_begun and not self._is_over:
            self._begin()
