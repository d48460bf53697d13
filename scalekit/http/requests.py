"""
From the bytes of a request's head to a `RequestHead`, or a `ClientFault` (RFC 9112 sections 2, 3, 5, 6).

The good path is one match of the request line and one ``findall`` over the field block; only when that fails does
`scalekit.http.diagnosis` look for the sentence to say.
"""

from __future__ import annotations

from scalekit.errors import ClientFault
from scalekit.http import diagnosis
from scalekit.http.grammar import CONTENT_LENGTH, FIELDS, PROTOCOL, REQUEST_LINE, tokens
from scalekit.http.heads import RequestHead
from scalekit.http.limits import FIELD_COUNT, HEAD_BYTES, REQUEST_LINE_BYTES
from scalekit.http.spellings import remember
from scalekit.http.targets import check_authority, normalise, split_absolute

_HOST, _LENGTH, _CODING, _CONNECTION, _EXPECT, _UPGRADE = range(1, 7)
_SPECIAL = {
    b"host": _HOST,
    b"content-length": _LENGTH,
    b"transfer-encoding": _CODING,
    b"connection": _CONNECTION,
    b"expect": _EXPECT,
    b"upgrade": _UPGRADE,
}
#: Names as they were spelt -> what they are (0: nothing special).  Saves a ``lower`` per field; bounded, see `_learn`.
_kinds: dict[bytes, int] = {}

_NOTHING: frozenset[bytes] = frozenset()
#: Nominating these in Connection would take the framing or the authority away from whoever reads next.
_NEVER_HOP = (b"host", b"content-length")
_CODINGS = frozenset((b"chunked", b"identity", b"gzip", b"x-gzip", b"compress", b"x-compress", b"deflate"))


def _learn(name: bytes) -> int:
    return remember(_kinds, name, _SPECIAL.get(name.lower(), 0))


def parse_request_head(data: bytes, end: int) -> RequestHead:
    """
    Parse a request's head.

    :param data: bytes that start with the request line.
    :param end: the offset of the empty line's ``CRLFCRLF`` in it.
    :raises ClientFault: 400, 405, 414, 417, 431, 501 or 505; all of them mean that the connection ends.
    """
    line = REQUEST_LINE.match(data, 0, end + 2)
    if line is None:
        raise diagnosis.of_request_line(data)
    if line.end() > REQUEST_LINE_BYTES:
        raise ClientFault(414, "target-too-long", f"The request line is over {REQUEST_LINE_BYTES} bytes.")
    if end > HEAD_BYTES:
        raise ClientFault(431, "head-too-large", f"The head of the request is over {HEAD_BYTES} bytes.")
    method, target, minor = line.groups()
    fields = FIELDS.findall(data, line.end(), end + 2)
    if fields and not fields[-1][0]:
        raise diagnosis.of_fields(data[line.end() : end + 2])
    if len(fields) > FIELD_COUNT:
        raise ClientFault(431, "too-many-fields", f"The request has over {FIELD_COUNT} fields.")

    version = 11 if minor == b"1" else 10
    host: bytes | None = None
    length: int | None = 0
    has_length = False
    coding: bytes | None = None
    keep_alive = version == 11
    expects_continue = False
    hop = _NOTHING
    upgrade = b""
    taken: list[int] = []
    for index, (name, value) in enumerate(fields):
        kind = _kinds.get(name)
        if kind is None:
            kind = _learn(name)
        if not kind:
            continue
        if kind == _HOST:
            if host is not None:
                raise ClientFault(400, "bad-host", "The request has two Host fields.")
            host = value
            taken.append(index)
        elif kind == _CONNECTION:
            keep_alive, hop = _connection(value, version, keep_alive, hop)
        elif kind == _LENGTH:
            if has_length or CONTENT_LENGTH.fullmatch(value) is None:
                raise ClientFault(400, "bad-content-length", "Content-Length is not one decimal number.")
            has_length = True
            length = int(value)
            taken.append(index)
        elif kind == _CODING:
            if coding is not None:
                raise ClientFault(400, "bad-transfer-encoding", "The request has two Transfer-Encoding fields.")
            coding = value
            taken.append(index)
        elif kind == _UPGRADE:
            # A second field makes a list of it, and no protocol (RFC 9110 section 5.2).
            upgrade = upgrade + b"," + value if upgrade else value or b","
        elif value.lower() != b"100-continue":
            raise ClientFault(417, "bad-expectation", "The only expectation that can be met is 100-continue.")
        else:
            expects_continue = version == 11
    for index in reversed(taken):
        del fields[index]

    if coding is not None:
        _check_coding(coding, version, has_length)
        length = None
    if host is None:
        if version == 11:
            raise ClientFault(400, "bad-host", "The request has no Host field.")
        host = b""
    elif host or version == 11:
        check_authority(host)
    if not target.startswith(b"/"):
        host, target = _other_form(method, target, host)
    elif method == b"CONNECT":
        raise ClientFault(400, "bad-target", "CONNECT takes an authority, not a path.")
    if upgrade:
        upgrade = upgrade.lower()
        # With a body it would not be clear which bytes are the tunnel's; HTTP/1.0 has none (RFC 9110 section 7.8).
        if length != 0 or version == 10 or b"upgrade" not in hop or PROTOCOL.fullmatch(upgrade) is None:
            upgrade = b""
    path, mark, query = target.partition(b"?")
    return RequestHead(
        method,
        target,
        fields,
        host,
        version,
        length,
        keep_alive,
        path,
        query if mark else None,
        normalise(path),
        expects_continue,
        hop,
        upgrade,
    )


def _connection(value: bytes, version: int, keep_alive: bool, hop: frozenset[bytes]) -> tuple[bool, frozenset[bytes]]:
    if value == b"keep-alive":
        return keep_alive or (version == 10 and b"close" not in hop), hop
    named = tokens(value)
    if named is None:
        raise ClientFault(400, "bad-connection", "Connection is not a list of field names.")
    if any(name in _NEVER_HOP for name in named):
        raise ClientFault(400, "bad-connection", "Connection names a field that is not for one hop.")
    if b"close" in named:
        # Once seen, no keep-alive beside or after it brings the connection back (RFC 9112 section 9.3).
        return False, hop | frozenset(named)
    return (keep_alive or (version == 10 and b"keep-alive" in named and b"close" not in hop)), hop | frozenset(named)


def _check_coding(coding: bytes, version: int, has_length: bool) -> None:
    if has_length:
        raise ClientFault(400, "ambiguous-framing", "The request has both Content-Length and Transfer-Encoding.")
    if version == 10:
        raise ClientFault(400, "bad-transfer-encoding", "HTTP/1.0 has no Transfer-Encoding.")
    if coding.lower() == b"chunked":
        return
    named = tokens(coding)
    if named and not _CODINGS.issuperset(named):
        raise ClientFault(501, "unknown-transfer-encoding", "The transfer coding is not known here.")
    raise ClientFault(400, "bad-transfer-encoding", "Transfer-Encoding is not exactly one chunked.")


def _other_form(method: bytes, target: bytes, host: bytes) -> tuple[bytes, bytes]:
    if method == b"CONNECT":
        raise ClientFault(405, "method-not-allowed", "CONNECT is not allowed here.")
    if target == b"*":
        if method != b"OPTIONS":
            raise ClientFault(400, "bad-target", "The target * is for OPTIONS only.")
        return host, target
    return split_absolute(target, method)
