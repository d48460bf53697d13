"""
A request's field list as a `RequestHead` that can be sent on over HTTP/1.1 (RFC 9113 sections 8.2 and 8.3).

libnghttp2 has checked before: pseudo fields (which, how often, first), lower-case names, no connection fields, no
control characters but HTAB, no white space around values, content-length against DATA.  What is checked here is what it
leaves open: that the host is one host and said once, and that method, target and values are what the strict grammar of
HTTP/1.1 takes.
"""

from __future__ import annotations

import re
from itertools import chain

from scalekit.errors import ClientFault
from scalekit.http.grammar import CONTENT_LENGTH, FIELD_NAME, FIELD_VALUE, METHOD, TARGET
from scalekit.http.h2.owner import FieldList
from scalekit.http.heads import Fields, RequestHead
from scalekit.http.limits import FIELD_COUNT, HEAD_BYTES, REQUEST_LINE_BYTES
from scalekit.http.spellings import remember
from scalekit.http.targets import check_authority, normalise

_METHOD = re.compile(METHOD)
_TARGET = re.compile(TARGET)
_NAME = re.compile(FIELD_NAME)
_VALUE = re.compile(FIELD_VALUE)
#: Fields of one connection (RFC 9113 section 8.2.2); libnghttp2 refuses them as well.
_CONNECTION_FIELDS = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade", b"http2-settings")
)


#: Tokens for sure.
_METHODS = frozenset((b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS"))
_SCHEMES = frozenset((b"http", b"https"))
_KEPT, _PSEUDO, _COOKIE, _HOST, _LENGTH, _CONNECTION, _EXPECT = range(7)
_SPECIAL = {
    **dict.fromkeys(_CONNECTION_FIELDS, _CONNECTION),
    b"cookie": _COOKIE,
    b"host": _HOST,
    b"content-length": _LENGTH,
    b"expect": _EXPECT,
}
#: Of names that have come, and are good ones.
_kinds: dict[bytes, int] = {}
#: What values are made of (`FIELD_VALUE`), and names too.
_TEXT = bytes((9, 32, *range(0x21, 0x7F), *range(0x80, 0x100)))


def _learn(name: bytes) -> int:
    if name.startswith(b":"):
        kind = _PSEUDO
    elif _NAME.fullmatch(name) is None or name != name.lower():
        raise Malformed("bad-field", "A field's name is no lower-case token.")
    else:
        kind = _SPECIAL.get(name, _KEPT)
    return remember(_kinds, name, kind)


class Malformed(ClientFault):
    """A request that breaks a rule of HTTP/2: a stream error PROTOCOL_ERROR (RFC 9113 section 8.1.1)."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(400, reason, detail)


def request_head(fields: FieldList, has_ended: bool) -> RequestHead:
    """
    The head of a request.

    :param has_ended: whether no body follows.
    :raises Malformed: the stream is to be reset.
    :raises ClientFault: 405, 414, 417 or 431: the stream is to be answered.
    """
    # One look at all names and values, a line each, takes a quarter of what a match of each takes.
    text = b"\n".join(chain(*fields, (b"",)))
    if text.translate(None, _TEXT) != b"\n" * (2 * len(fields)):  # ours, and nothing of the client's
        raise Malformed("bad-field", "A field's value holds control characters.")
    if b"\n " in text or b" \n" in text or b"\n\t" in text or b"\t\n" in text:
        raise Malformed("bad-field", "A field's value has white space around it.")
    pseudo: dict[bytes, bytes] = {}
    kept: Fields = []
    cookies: list[bytes] = []
    host: bytes | None = None
    length: int | None = 0 if has_ended else None
    expects_continue = False
    kinds = _kinds
    for name, value in fields:
        kind = kinds.get(name)
        if kind is None:
            kind = _learn(name)
        if kind == _KEPT:
            kept.append((name, value))
        elif kind == _PSEUDO:
            pseudo[name] = value
        elif kind == _COOKIE:
            # One field again, for whoever takes the first one only (RFC 9113 section 8.2.3).
            if not cookies:
                kept.append((name, b""))
            cookies.append(value)
        elif kind == _HOST:
            if host is not None:
                raise Malformed("bad-host", "The request has two Host fields.")
            host = value
        elif kind == _LENGTH:
            if CONTENT_LENGTH.fullmatch(value) is None:
                raise Malformed("bad-content-length", "Content-Length is not one decimal number.")
            length = int(value)
        elif kind == _CONNECTION:
            raise Malformed("connection-field", "A field of HTTP/1 connections has no place in HTTP/2.")
        else:
            if value.lower() != b"100-continue":
                raise ClientFault(417, "bad-expectation", "The only expectation that can be met is 100-continue.")
            expects_continue = not has_ended
            kept.append((name, value))
    if len(fields) - len(pseudo) > FIELD_COUNT:
        raise ClientFault(431, "too-many-fields", f"The request has over {FIELD_COUNT} fields.")
    if len(text) - 2 * len(fields) > HEAD_BYTES:
        raise ClientFault(431, "head-too-large", f"The head of the request is over {HEAD_BYTES} bytes.")
    if cookies:
        kept = [(name, b"; ".join(cookies) if name == b"cookie" else value) for name, value in kept]
    method, protocol = pseudo.get(b":method", b""), pseudo.get(b":protocol")
    if method not in _METHODS and _METHOD.fullmatch(method) is None:
        raise Malformed("bad-method", "The method is no token.")
    if method == b"CONNECT":
        if protocol is None:
            raise ClientFault(405, "method-not-allowed", "CONNECT is not allowed here.")
        # As HTTP/1.1 would say it (RFC 8441 section 5.1).
        method, length, expects_continue = b"GET", 0, False
    if pseudo.get(b":scheme", b"").lower() not in _SCHEMES:
        raise Malformed("bad-scheme", "The scheme is neither http nor https.")
    target = pseudo.get(b":path", b"")
    if len(target) > REQUEST_LINE_BYTES:
        raise ClientFault(414, "target-too-long", f"The path is over {REQUEST_LINE_BYTES} bytes.")
    if not (target.startswith(b"/") or (target == b"*" and method == b"OPTIONS")) or not _TARGET.fullmatch(target):
        raise Malformed("bad-target", "The path does not start with a slash, or holds what no path may hold.")
    path, mark, query = target.partition(b"?")
    head = RequestHead(
        method,
        target,
        kept,
        _authority(pseudo.get(b":authority"), host),
        20,
        length,
        True,
        path,
        query if mark else None,
        normalise(path),
        expects_continue,
    )
    if protocol is not None:
        head.upgrade = protocol.lower()
    return head


def _authority(authority: bytes | None, host: bytes | None) -> bytes:
    """The one host (RFC 9113 section 8.3.1): two that differ would be routed by one and served by the other."""
    if authority is not None and host is not None and authority.lower() != host.lower():
        raise Malformed("bad-host", "The Host field is not :authority.")
    authority = authority if authority is not None else host
    try:
        check_authority(authority or b"")
    except ClientFault as fault:
        raise Malformed(fault.reason, fault.detail) from None
    return authority or b""


def trailer_fields(fields: FieldList) -> Fields:
    """
    The trailers of a request or an answer.

    :raises Malformed: a pseudo field, a connection field, or what is no field of HTTP/1.1.
    """
    for name, value in fields:
        if name in _CONNECTION_FIELDS or _NAME.fullmatch(name) is None or _VALUE.fullmatch(value) is None:
            raise Malformed("bad-trailer", "A trailer is no field that may stand there.")
    if len(fields) > FIELD_COUNT:
        raise Malformed("bad-trailer", f"There are over {FIELD_COUNT} trailer fields.")
    return [(name, value) for name, value in fields]
