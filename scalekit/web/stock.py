"""
What a stock ``twisted.web`` request asked, held to the rules of our own listeners.

`twisted.web.http.HTTPChannel` accepts requests without Host, with two, with targets in any form, and with
``Transfer-Encoding: identity``; a responder that trusts its head must not be given those.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from scalekit.errors import ClientFault
from scalekit.http.heads import Fields, RequestHead

_VERSIONS = {b"HTTP/1.0": 10, b"HTTP/1.1": 11, b"HTTP/2": 20}
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_TARGET = re.compile(rb"[\x21\x22\x24-\x7e]+\Z")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*\Z")
# A name, an IPv4 address, or a bracketed IPv6 address, and a port (RFC 3986 section 3.2.2, without user information).
_AUTHORITY = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]+|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?\Z")
_FRAMING = (b"host", b"content-length", b"transfer-encoding")
# Spellings under which one path would mean two places: dot segments, encoded slashes, backslashes (http.md).
_AMBIGUOUS = re.compile(rb"/(?:\.|%2e){1,2}(?:/|\Z)|%2f|%5c|\\", re.IGNORECASE)
_ENCODED = re.compile(rb"%([0-9A-Fa-f]{2})")
_UNRESERVED = re.compile(rb"[A-Za-z0-9._~-]")


def request_head(request: Any) -> RequestHead:
    """The head of a ``twisted.web`` request; raises `ClientFault` 400, 405 or 505 where HTTP does not allow it."""
    own = getattr(request, "exchange", None)
    if own is not None:
        return own.head  # type: ignore[no-any-return]
    version = _VERSIONS.get(request.clientproto)
    if version is None:
        raise ClientFault(505, "bad-version", "This is HTTP/1.1 only.")
    method, uri = request.method, request.uri
    if request.method == b"GET" and getattr(request, "_inFakeHead", False):
        method = b"HEAD"
    if not _TOKEN.match(method) or not _TARGET.match(uri):
        raise ClientFault(400, "bad-request-line", "The request line is malformed.")
    fields: Fields = []
    hosts: list[bytes] = []
    codings: list[bytes] = []
    lengths = 0
    for name, values in request.requestHeaders.getAllRawHeaders():
        lower = name.lower()
        for value in values:
            if not _TOKEN.match(name) or not _VALUE.match(value):
                raise ClientFault(400, "bad-field", "A field of the request is malformed.")
        if lower == b"host":
            hosts = values
        elif lower == b"transfer-encoding":
            codings = values
        elif lower == b"content-length":
            lengths = len(values)
        else:
            fields.extend((name, value) for value in values)
    if codings and (version == 10 or lengths or [coding.lower() for coding in codings] != [b"chunked"]):
        raise ClientFault(400, "bad-framing", "The request's framing is ambiguous.")
    if len(hosts) > 1 or (not hosts and version != 10):
        raise ClientFault(400, "bad-host", "A request has exactly one Host.")
    host, target = _host_and_target(method, uri, hosts[0] if hosts else b"")
    path, mark, query = target.partition(b"?")
    named = [
        token.strip(b" \t").lower()
        for name, value in fields
        if name.lower() == b"connection"
        for token in value.split(b",")
    ]
    content = request.content
    length = content.seek(0, 2)
    content.seek(0)
    return RequestHead(
        method,
        target,
        fields,
        host,
        version,
        length,
        (version == 11 and b"close" not in named) or (version == 10 and b"keep-alive" in named),
        path,
        query if mark else None,
        normal_path(path),
        False,  # the stock site has sent 100 Continue
        frozenset(named) - {b"", b"close", b"keep-alive"},
    )


def _host_and_target(method: bytes, uri: bytes, host: bytes) -> tuple[bytes, bytes]:
    """The authority that counts and the target in origin or asterisk form (RFC 9112 section 3.2)."""
    target = uri
    if method == b"CONNECT":
        raise ClientFault(405, "method", "There are no tunnels here.")
    if uri[:7].lower() == b"http://" or uri[:8].lower() == b"https://":
        parts = urlsplit(uri)
        host = parts.netloc
        target = uri[uri.index(b"//") + 2 + len(host) :] or b"/"
        if target.startswith(b"?"):
            target = b"/" + target
    elif not uri.startswith(b"/") and not (uri == b"*" and method == b"OPTIONS"):
        raise ClientFault(400, "bad-target", "The request target is malformed.")
    authority = _AUTHORITY.match(host)
    if host and (authority is None or int(authority.group(1) or 0) > 65535):
        raise ClientFault(400, "bad-host", "The Host is malformed.")
    return host, target


def normal_path(path: bytes) -> bytes:
    """The path with unreserved octets decoded; raises `ClientFault` 400 for spellings that could mean two places."""
    if _AMBIGUOUS.search(path):
        raise ClientFault(400, "ambiguous-path", "The path has dot segments or encoded slashes.")
    if b"%" not in path:
        return path

    def decode(found: re.Match[bytes]) -> bytes:
        octet = bytes([int(found.group(1), 16)])
        return octet if _UNRESERVED.match(octet) else found.group().upper()

    return _ENCODED.sub(decode, path)
