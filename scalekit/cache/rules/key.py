"""
Under what an answer lies: the primary key (RFC 9111 section 2), as bytes like ``https://shop.example/cart?item=1``.

Scheme and host are normalised (RFC 9110 section 4.2.3): lower case, no default port.  Path and query are as they came:
two spellings of one path are two keys, since an app server may tell them apart.
"""

from __future__ import annotations

from scalekit.errors import ClientFault
from scalekit.http.grammar import ABSOLUTE_FORM
from scalekit.http.heads import RequestHead
from scalekit.http.targets import check_authority

_DEFAULT_PORTS = {b"http": b":80", b"https": b":443"}


def primary_key(head: RequestHead, is_secure: bool) -> bytes:
    """The key of what this request asks for."""
    return _origin(b"https" if is_secure else b"http", head.host) + head.target


def _origin(scheme: bytes, host: bytes) -> bytes:
    host = host.lower()
    return scheme + b"://" + host.removesuffix(_DEFAULT_PORTS[scheme])


def origin_of(key: bytes) -> bytes:
    """Scheme and host of a key: what ``same origin`` compares (RFC 9110 section 4.3.1)."""
    return key[: key.index(b"/", key.index(b"://") + 3)]


def key_of_url(url: bytes) -> bytes | None:
    """The key of an absolute http(s) URL; None if it is none.  A fragment is left aside."""
    match = ABSOLUTE_FORM.fullmatch(url.partition(b"#")[0])
    if match is None:
        return None
    scheme, authority, rest = match[1].lower(), match[2], match[3] or b""
    try:
        check_authority(authority)
    except ClientFault:
        return None
    return _origin(scheme, authority) + (rest if rest.startswith(b"/") else b"/" + rest)


def scoped(groups: tuple[bytes, ...], key: bytes) -> tuple[bytes, ...]:
    """Cache groups as tags that hold for the origin of this key only (RFC 9875 section 2.1)."""
    return tuple(b"%b %b" % (origin_of(key), group) for group in groups) if groups else ()
