"""
The head of a request as it goes on to an app server.

In this order: fields named in Connection and the standard hop-by-hop ones are dropped, then whatever a client could
forge, then ours are added (RFC 9110 section 7.6, RFC 7239).  Nothing of the client's bytes is copied: the lines are
made from the parsed names and values, with one framing of our choosing.
"""

from __future__ import annotations

import re
from binascii import hexlify
from collections.abc import Callable
from functools import lru_cache

from scalekit.errors import ClientFault
from scalekit.http.cookies import SESSION_COOKIE, without_cookie
from scalekit.http.grammar import TOKEN_LIST_ITEM
from scalekit.http.heads import Client, Fields, RequestHead
from scalekit.http.origin import (
    Network,
    is_told_otherwise,
    is_within,
    origin_address,
    origin_is_secure,
    origin_lines,
)
from scalekit.http.serializer import CHUNKED, content_length
from scalekit.http.spellings import remember
from scalekit.http.upgrade import WEBSOCKET

_KEEP, _DROP, _CHAIN, _ID, _TRACE, _STATE, _VIA, _TE, _LIMIT, _PINNED = range(10)
_KINDS = {
    b"connection": _DROP,
    b"keep-alive": _DROP,
    b"proxy-connection": _DROP,
    b"proxy-authenticate": _DROP,
    b"proxy-authorization": _DROP,
    b"transfer-encoding": _DROP,
    b"content-length": _DROP,
    b"host": _DROP,
    b"upgrade": _DROP,
    # Asks us; see scalekit.balancer.explained.
    b"x-scalekit-explain": _DROP,
    # No field of HTTP; CGI makes HTTP_PROXY of it, which libraries obey (CVE-2016-5385).
    b"proxy": _DROP,
    b"expect": _DROP,
    b"trailer": _DROP,
    b"http2-settings": _DROP,
    b"te": _TE,
    b"via": _VIA,
    b"max-forwards": _LIMIT,
    b"forwarded": _CHAIN,
    b"x-real-ip": _DROP,
    b"x-forwarded-for": _CHAIN,
    b"x-forwarded-host": _CHAIN,
    b"x-forwarded-port": _CHAIN,
    b"x-forwarded-proto": _CHAIN,
    b"x-request-id": _ID,
    b"traceparent": _TRACE,
    b"tracestate": _STATE,
    # Connection may not take these away from the app (RFC 9110 section 7.6.1 leaves it to the recipient).
    b"cookie": _PINNED,
    b"authorization": _PINNED,
}
_kinds: dict[bytes, int] = {}

_VERSIONS = {10: b"1.0 ", 11: b"1.1 ", 20: b"2.0 "}

#: Who we are in Via; with the process' own token a request that comes round again is known (RFC 9110 section 7.6.3).
_VIA_NAME = b"scalekit-"

_TRACEPARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_TRAILERS = re.compile(rb"(?:^|,)[ \t]*+trailers[ \t]*+(?:[,;]|$)", re.IGNORECASE)
_SEPARATOR = re.compile(rb"[^0-9a-z]")

#: A request id worth keeping: short, printable, harmless in logs.
_LONGEST_ID = 128


def _learn(name: bytes) -> int:
    lower = name.lower()
    kind = _KINDS.get(lower)
    if kind is None:
        folded = _folded(lower)
        kind = _DROP if folded in _KINDS or folded.startswith(b"x-forwarded-") else _KEEP
    return remember(_kinds, name, kind)


def _folded(lower: bytes) -> bytes:
    """WSGI merges `-` and `_`, some CGI every such character: X_Forwarded_For would be taken for X-Forwarded-For."""
    return _SEPARATOR.sub(b"-", lower)


class Forwarder:
    """
    Makes outgoing heads; one per balancer.

    :param name: our own token in Via; differs between processes.
    :param trusted: peers whose forwarding fields are believed.
    :param trace_ids: gives 192 random bits as an integer: a trace id's 128, and a span id's 64.
    """

    def __init__(self, name: bytes, trusted: tuple[Network, ...], trace_ids: Callable[[], int]) -> None:
        self.via = _VIA_NAME + name
        self._own_via = re.compile(rb"(?:^|[ \t,])" + re.escape(self.via) + rb"(?:[ \t,(]|$)")
        self._trusted = trusted
        self._trace_ids = trace_ids
        # Trusted peers are a few proxies, and parsing an address costs as much as all the rest that is asked of it.
        self._is_within = lru_cache(1024)(lambda address: is_within(address, trusted))

    def is_trusted(self, client: Client) -> bool:
        """Whether the peer's forwarding fields are believed."""
        return bool(self._trusted) and self._is_within(client.address)

    def client_address(self, head: RequestHead, client: Client) -> str:
        """Who has asked in the first place: the peer, or whom a trusted peer names."""
        if not self.is_trusted(client):
            return client.address
        told = [(name.lower(), value) for name, value in head.fields]
        return origin_address(client, told, self._trusted)

    def is_secure(self, head: RequestHead, client: Client) -> bool:
        """Whether a request came over TLS, to us or to a trusted peer."""
        if not self.is_trusted(client):
            return client.is_secure
        return origin_is_secure(client, [(name.lower(), value) for name, value in head.fields])

    def is_told_otherwise(self, head: RequestHead, client: Client) -> bool:
        """Whether a trusted peer says another host, port or scheme than those by which a cache knows the request."""
        if not self.is_trusted(client):
            return False
        told = [(name.lower(), value) for name, value in head.fields]
        return is_told_otherwise(head.host, client, told, self._trusted)

    def head(
        self, head: RequestHead, client: Client, request_id: bytes, fallback_host: bytes, upgrade: bytes = b""
    ) -> bytes:
        """
        The outgoing head, framing included: Content-Length where the length is known, else chunked.

        :param fallback_host: Host for an HTTP/1.0 request that has none.
        :param upgrade: the lines that ask for another protocol, see `scalekit.http.upgrade`; without them none is.
        :raises ClientFault: 508 if the request has been here before.
        """
        made = head.made
        if made is None or made[0] is not client:
            made = self._make(head, client, fallback_host)
            if head.host:
                head.made = made
        _, before, trace, after = made
        if not trace:
            # 16 bytes and 8, in half of the time that padded numbers take.
            trace_ids = self._trace_ids
            ids = hexlify(trace_ids().to_bytes(24, "big"), b"-", -16)
            return b"".join((before, request_id, b"\r\ntraceparent: 00-", ids, b"-00\r\n", upgrade, after))
        return b"%b%b\r\ntraceparent: %b\r\n%b%b" % (before, request_id, trace, upgrade, after)

    def _make(self, head: RequestHead, client: Client, fallback_host: bytes) -> tuple[Client, bytes, bytes, bytes]:
        """Whose head it is, what stands before the request id, the client's traceparent, and what stands after it."""
        out = [head.method, b" ", head.target, b" HTTP/1.1\r\nHost: ", head.host or fallback_host, b"\r\n"]
        hop = head.hop
        chain: Fields = []
        trace = state = via = b""
        traces = 0
        wants_trailers = False
        kinds = _kinds
        for name, value in head.fields:
            kind = kinds.get(name)
            if kind is None:
                kind = _learn(name)
            if kind == _KEEP:
                if not hop or name.lower() not in hop:
                    out += (name, b": ", value, b"\r\n")
            elif kind == _PINNED:
                if SESSION_COOKIE in value:  # of the registration port, which is another port of this host
                    value = without_cookie(value, SESSION_COOKIE)
                    if not value:
                        continue
                out += (name, b": ", value, b"\r\n")
            elif kind == _CHAIN:
                chain.append((name.lower(), value))
            elif kind == _VIA:
                if self._own_via.search(value):
                    raise ClientFault(508, "loop", "The request has come back to the balancer that sent it on.")
                via += value + b", "
            elif kind == _TRACE:
                # Two are none (W3C Trace Context section 3.2): a new trace begins.
                trace = value if not traces and _TRACEPARENT.fullmatch(value) else b""
                traces += 1
            elif kind == _STATE:
                if name.lower() not in hop:
                    state += name + b": " + value + b"\r\n"
            elif kind == _TE:
                wants_trailers = wants_trailers or _TRAILERS.search(value) is not None
            elif kind == _LIMIT:
                out += (name, b": ", _decremented(value, head.method), b"\r\n")
        version = _VERSIONS[head.version]
        told = chain if chain and self.is_trusted(client) else []
        out += (origin_lines(head.host, client, told, self._trusted), b"Via: ", via, version, self.via)
        out.append(b"\r\n")
        if trace:
            out.append(state)  # it belongs to this trace, and not to one that begins here
        out.append(b"X-Request-ID: ")
        after = []
        # Two Connection fields are one list, but not to every server that answers handshakes; a tunnel has no trailers.
        if wants_trailers and head.upgrade != WEBSOCKET:
            after.append(b"TE: trailers\r\nConnection: TE\r\n")
        length = head.length
        if length is None:
            after.append(CHUNKED)
        elif length or head.method in _EXPECT_BODY:
            after.append(content_length(length))
        if head.expects_continue and length != 0:
            after.append(b"Expect: 100-continue\r\n")
        after.append(b"\r\n")
        return client, b"".join(out), trace, b"".join(after)

    def request_id(self, head: RequestHead, client: Client) -> bytes | None:
        """The request id a trusted peer sent, if it is well-formed."""
        if not self._trusted or not self.is_trusted(client):
            return None
        given = head.get(b"x-request-id")
        if given and len(given) <= _LONGEST_ID and TOKEN_LIST_ITEM.fullmatch(given):
            return given
        return None


#: Methods whose requests say so when they have no body (RFC 9110 section 8.6).
_EXPECT_BODY = frozenset((b"POST", b"PUT", b"PATCH"))


def _decremented(value: bytes, method: bytes) -> bytes:
    if method in (b"OPTIONS", b"TRACE") and value.isdigit() and len(value) < 10:
        return b"%d" % max(0, int(value) - 1)
    return value


def is_last_hop(head: RequestHead) -> bool:
    """Whether Max-Forwards says that the request ends here (RFC 9110 section 7.6.2)."""
    if head.method not in (b"OPTIONS", b"TRACE"):
        return False
    limit = head.get(b"max-forwards")
    return limit is not None and limit.isdigit() and int(limit[:9]) == 0


_NEVER_TRAILERS = frozenset(
    (
        *_KINDS,
        b"set-cookie",
        b"content-encoding",
        b"content-type",
        b"content-range",
        b"cache-control",
        b"www-authenticate",
        b"age",
        b"date",
        b"expires",
        b"location",
        b"retry-after",
        b"vary",
        b"range",
        b"authentication-info",
        b"proxy-authentication-info",
        b"pragma",
        b"warning",
        b"content-location",
    )
)


def safe_trailers(trailers: Fields) -> Fields:
    """Trailer fields without those for framing, routing, authentication and forwarding (RFC 9110 section 6.5.1)."""
    return [
        (name, value)
        for name, value in trailers
        if (lower := _folded(name.lower())) not in _NEVER_TRAILERS and not lower.startswith(b"x-forwarded-")
    ]
