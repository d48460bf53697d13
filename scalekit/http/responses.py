"""
From the bytes of an app server's answer to a `ResponseHead`, held to the same grammar as a client's request.

Everything wrong here is an `UpstreamFault` with status 502: the connection it came on is never used again.
"""

from __future__ import annotations

from scalekit.errors import ClientFault, UpstreamFault
from scalekit.http import diagnosis
from scalekit.http.bodies import ChunkedDecoder, CloseDecoder, Decoder, LengthDecoder
from scalekit.http.grammar import CONTENT_LENGTH, FIELDS, STATUS_LINE, tokens
from scalekit.http.heads import ResponseHead
from scalekit.http.limits import FIELD_COUNT
from scalekit.http.spellings import remember

_DATE, _DROPPED, _LENGTH, _CODING, _CONNECTION, _UPGRADE = range(1, 7)
_SPECIAL = {
    b"date": _DATE,
    b"content-length": _LENGTH,
    b"transfer-encoding": _CODING,
    b"connection": _CONNECTION,
    b"keep-alive": _DROPPED,
    b"proxy-connection": _DROPPED,
    b"upgrade": _UPGRADE,
    b"te": _DROPPED,
    b"trailer": _DROPPED,
    # Ours is on every answer; an app that echoes it would double it.
    b"x-request-id": _DROPPED,
}
_kinds: dict[bytes, int] = {}


def _learn(name: bytes) -> int:
    return remember(_kinds, name, _SPECIAL.get(name.lower(), 0))


def malformed(detail: str) -> UpstreamFault:
    """The fault of an answer that breaks the grammar."""
    return UpstreamFault(502, "malformed-answer", f"The app server's answer is malformed: {detail}")


def parse_response_head(data: bytes, end: int, method: bytes) -> tuple[ResponseHead, Decoder | None, bool]:
    """
    Parse an answer's head.

    :param data: bytes that start with the status line.
    :param end: the offset of the empty line's ``CRLFCRLF``.
    :param method: the request's method: HEAD answers have no body.
    :returns: the head (status 100 to 599, without framing and hop-by-hop fields), the body's decoder or None without a
        body, and whether the connection may be used again.
    :raises UpstreamFault: 502.
    """
    line = STATUS_LINE.match(data, 0, end + 2)
    if line is None:
        raise malformed("the first line is no HTTP/1.1 status line.")
    fields = FIELDS.findall(data, line.end(), end + 2)
    if fields and not fields[-1][0]:
        raise malformed(diagnosis.of_fields(data[line.end() : end + 2]).detail)
    if len(fields) > FIELD_COUNT:
        raise malformed(f"it has over {FIELD_COUNT} fields.")
    minor, digits, reason = line.groups()
    status = int(digits)
    reusable = minor == b"1"
    length: int | None = None
    is_chunked = has_date = is_closing = False
    hop: list[bytes] = []
    upgrade = b""
    taken: list[int] = []
    for index, (name, value) in enumerate(fields):
        kind = _kinds.get(name)
        if kind is None:
            kind = _learn(name)
        if not kind:
            continue
        if kind == _DATE:
            if has_date:
                taken.append(index)
            has_date = True
            continue
        taken.append(index)
        if kind == _LENGTH:
            if length is not None or CONTENT_LENGTH.fullmatch(value) is None:
                raise malformed("Content-Length is not one decimal number.")
            length = int(value)
        elif kind == _CODING:
            if is_chunked or minor == b"0" or value.lower() != b"chunked":
                raise malformed("Transfer-Encoding is not exactly one chunked.")
            is_chunked = True
        elif kind == _CONNECTION:
            named = tokens(value)
            if named is None:
                raise malformed("Connection is not a list of field names.")
            if b"close" in named:
                is_closing = True
            elif b"keep-alive" in named:
                reusable = True
            hop += named
        elif kind == _UPGRADE:
            upgrade = upgrade + b"," + value if upgrade else value or b","
    if is_chunked and length is not None:
        raise malformed("it has both Content-Length and Transfer-Encoding.")
    if status < 200 and (is_chunked or length):
        raise malformed("it is an interim answer with a body.")
    # A server that frames a body of its 204 may send it as well, and it would be read as the next answer.
    reusable = reusable and not is_closing and not (status == 204 and (is_chunked or bool(length)))
    for index in reversed(taken):
        del fields[index]
    if hop:
        fields = [pair for pair in fields if pair[0].lower() not in hop]
        has_date = has_date and b"date" not in hop
    if status < 200 or status == 204 or status == 304 or method == b"HEAD":
        # The framing fields of these describe what is not sent (RFC 9112 section 6.3); 304 and HEAD tell the length.
        keeps_length = method == b"HEAD" or status == 304
        head = ResponseHead(status, fields, length if keeps_length else None, reason or b"", has_date)
        if status == 101 and b"upgrade" in hop:
            head.upgrade = upgrade.lower()
        return head, None, reusable
    head = ResponseHead(status, fields, length, reason or b"", has_date)
    if is_chunked:
        return head, ChunkedDecoder(), reusable
    if length is None:
        return head, CloseDecoder(), False
    return head, (LengthDecoder(length) if length else None), reusable


def as_malformed(fault: ClientFault) -> UpstreamFault:
    """A body decoder's complaint, for an answer's body."""
    return malformed(fault.detail)
