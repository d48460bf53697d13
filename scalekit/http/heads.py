"""
The values that an exchange is made of: request head, response head, who asks, and what came of it.

A field is a pair of bytes ``(name, value)`` as it came, the value without surrounding white space.  Lists of fields
keep the order and the repetition of the wire.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

Fields = list[tuple[bytes, bytes]]
#: Changes the head of an answer whose body has so many bytes; None: it is not known how many.
Amend = Callable[["ResponseHead", int | None], "ResponseHead"]


def values_of(fields: Fields, lower_name: bytes) -> list[bytes]:
    """All values of the fields of this (lower-case) name, in order."""
    return [value for name, value in fields if name.lower() == lower_name]


class RequestHead:
    """
    A request's head after strict parsing (RFC 9112 section 3, RFC 9110 section 7).

    :ivar method: as it came, such as ``b"GET"``.
    :ivar target: in origin form (``b"/path?query"``), or ``b"*"``; an absolute-form target has been taken apart.
    :ivar path: the target's path as it came.
    :ivar query: what follows the first ``?``; None without one.
    :ivar normal_path: the path that routes are matched with: unreserved octets decoded, no ``.`` and ``..`` segments.
    :ivar host: the authority that counts, as it came, port included; empty only for HTTP/1.0 without Host.
    :ivar version: 10, 11 or 20.
    :ivar fields: every field but Host and the framing (Content-Length, Transfer-Encoding).
    :ivar length: the body's length in bytes; 0 without a body; None when it is chunked.
    :ivar keep_alive: whether the client wants the connection kept.
    :ivar expects_continue: whether it waits for ``100 Continue``.
    :ivar hop: lower-case names that Connection nominated.
    :ivar upgrade: the protocol, in lower case, that the client would rather speak (``b"websocket"``): of an HTTP/1.1
        request without a body that nominates Upgrade and names exactly one, or of an extended CONNECT over HTTP/2
        (RFC 8441), whose method is GET here; else empty.  Who answers may ``switch`` then, and need not.
    :ivar made: what `scalekit.http.forwarding` has made of this head, for the next time that it comes (see `reader`).
    :ivar picked: the same of `scalekit.web.compress`; ``routed``: of `scalekit.balancer.proxy`; ``logged``: of
        `scalekit.ops.access_log`; ``sought``: of `scalekit.cache.front` and `scalekit.cache.values`;
        ``passed``: of `scalekit.web.guard`.

    A head is shared between requests that came with the same bytes: treat it as immutable.
    """

    __slots__ = (
        "expects_continue",
        "fields",
        "hop",
        "host",
        "keep_alive",
        "length",
        "logged",
        "made",
        "method",
        "normal_path",
        "passed",
        "path",
        "picked",
        "query",
        "routed",
        "sought",
        "target",
        "upgrade",
        "version",
    )

    logged: Any
    made: Any
    passed: Any
    picked: Any
    routed: Any
    sought: Any

    def __init__(
        self,
        method: bytes,
        target: bytes,
        fields: Fields,
        host: bytes = b"localhost",
        version: int = 11,
        length: int | None = 0,
        keep_alive: bool = True,
        path: bytes | None = None,
        query: bytes | None = None,
        normal_path: bytes | None = None,
        expects_continue: bool = False,
        hop: frozenset[bytes] = frozenset(),
        upgrade: bytes = b"",
    ) -> None:
        if path is None:
            path, mark, rest = target.partition(b"?")
            query = rest if mark else None
        self.method = method
        self.target = target
        self.fields = fields
        self.host = host
        self.version = version
        self.length = length
        self.keep_alive = keep_alive
        self.path = path
        self.query = query
        self.normal_path = path if normal_path is None else normal_path
        self.expects_continue = expects_continue
        self.hop = hop
        self.upgrade = upgrade
        self.made = self.picked = self.routed = self.sought = self.logged = self.passed = None

    def get(self, lower_name: bytes) -> bytes | None:
        """The values of this field joined by ``, `` (RFC 9110 section 5.3); None if it is absent."""
        found = values_of(self.fields, lower_name)
        return b", ".join(found) if found else None

    def with_fields(self, fields: Fields, method: bytes | None = None) -> RequestHead:
        """The same request with other fields, and perhaps another method."""
        return RequestHead(
            self.method if method is None else method,
            self.target,
            fields,
            self.host,
            self.version,
            self.length,
            self.keep_alive,
            self.path,
            self.query,
            self.normal_path,
            self.expects_continue,
            self.hop,
            self.upgrade,
        )

    def __repr__(self) -> str:
        return f"<{self.method.decode('latin-1')} {self.target.decode('latin-1')} at {self.host.decode('latin-1')}>"


class ResponseHead:
    """
    A response's head.

    :ivar status: 200 to 599, or 101 of a tunnel (interim answers have a call of their own).
    :ivar fields: every field but the framing and connection ones: no Content-Length, Transfer-Encoding, Connection.
    :ivar length: the body's length in bytes; None when it is not known before its end.
    :ivar reason: the reason phrase; empty: the usual one.
    :ivar has_date: whether fields hold a Date; one is added if not.
    :ivar upgrade: of a 101 from an app server: the protocol it switches to, in lower case; else empty.
    :ivar lines: what `scalekit.http.serializer` has made of status and fields, and ``field_list`` what
        `scalekit.http.h2.responses` has, for a body of so many bytes; a head that is being answered with may not change
        any more.
    """

    __slots__ = ("field_list", "fields", "has_date", "length", "lines", "reason", "status", "upgrade")

    def __init__(
        self, status: int, fields: Fields, length: int | None = None, reason: bytes = b"", has_date: bool = False
    ) -> None:
        self.status = status
        self.fields = fields
        self.length = length
        self.reason = reason
        self.has_date = has_date
        self.upgrade = b""
        self.lines = b""
        self.field_list: tuple[int | None, Fields] | None = None

    def get(self, lower_name: bytes) -> bytes | None:
        """The values of this field joined by ``, ``; None if it is absent."""
        found = values_of(self.fields, lower_name)
        return b", ".join(found) if found else None

    def with_fields(self, fields: Fields) -> ResponseHead:
        """The same with other fields; this one may be shared with other answers."""
        changed = ResponseHead(self.status, fields, self.length, self.reason, self.has_date)
        changed.upgrade = self.upgrade
        return changed

    def __repr__(self) -> str:
        return f"<{self.status} length={self.length}>"


class ClientCertificate:
    """
    What a client has shown of itself, verified against the listener's ``client_ca``.

    :ivar subject: such as ``CN=shop,O=Example`` (RFC 4514).
    :ivar fingerprint: SHA-256 of the certificate, in lower-case hexadecimal.
    """

    __slots__ = ("fingerprint", "subject")

    def __init__(self, subject: str, fingerprint: str) -> None:
        self.subject = subject
        self.fingerprint = fingerprint

    def __repr__(self) -> str:
        return f"<ClientCertificate {self.subject} {self.fingerprint[:16]}>"


class Client:
    """
    Who asks: one per connection.

    :ivar address: the peer's address as text, v4-mapped forms already normalised; ``unix`` for a unix socket.
    :ivar port: the peer's port.
    :ivar is_secure: whether the connection is TLS.
    :ivar local_port: the port the client connected to.
    :ivar server_name: the SNI name it asked for, lower case; None without TLS or SNI.
    :ivar local_address: the address the client connected to; empty if that is not known.
    :ivar certificate: its own; None without one.
    :ivar hosts: what may stand in Host, as the certificate that it was shown is for these; None: anything.
    """

    __slots__ = (
        "address",
        "certificate",
        "hosts",
        "is_secure",
        "local_address",
        "local_port",
        "port",
        "server_name",
    )

    def __init__(
        self,
        address: str,
        port: int,
        is_secure: bool,
        local_port: int,
        server_name: str | None = None,
        local_address: str = "",
        certificate: ClientCertificate | None = None,
        hosts: Container[bytes] | None = None,
    ) -> None:
        self.address = address
        self.port = port
        self.is_secure = is_secure
        self.local_port = local_port
        self.server_name = server_name
        self.local_address = local_address
        self.certificate = certificate
        self.hosts = hosts

    def __repr__(self) -> str:
        return f"<Client {self.address}:{self.port}{' over TLS' if self.is_secure else ''}>"


class Outcome:
    """
    What came of an exchange, filled in as it goes; one access-log line, one metrics update.

    :ivar status: what the client was answered; 0 if it left before an answer began; 101 of a tunnel, over HTTP/2 too.
    :ivar sent: body bytes sent to the client, or what went through a tunnel towards it.
    :ivar service: the service that answered, empty if none.
    :ivar instance: the instance that answered last, such as ``127.0.0.1:3000``.
    :ivar attempts: how many instances were tried.
    :ivar reason: the reason token of the fault, empty if there was none.
    :ivar retry: why what had failed was not sent again, see `scalekit.balancer.retrying.Refusal`; else empty.
    :ivar cache: what the HTTP cache made of it, see `scalekit.cache.front.metrics`; empty where there is none.
    """

    # Not slots: what most exchanges never change stands here once, and is not stored a thousand times a second.
    status = 0
    sent = 0
    service = ""
    instance = ""
    attempts = 0
    reason = ""
    retry = ""
    cache = ""

    def __repr__(self) -> str:
        return f"<Outcome {self.status} sent={self.sent} {self.service}@{self.instance} {self.reason}>"
