"""
Heads as bytes.  The framing is chosen here, once: exactly one of Content-Length, chunked, or until the close.

A field is written only from a name and a value; a value that would break out of its line is refused.
"""

from __future__ import annotations

from http import HTTPStatus

from scalekit.errors import OurFault
from scalekit.http.heads import Fields, RequestHead, ResponseHead

_STATUS_LINES = {int(s): b"HTTP/1.1 %d %s\r\n" % (s, s.phrase.encode()) for s in HTTPStatus}

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


def status_line(status: int, reason: bytes = b"") -> bytes:
    """
    The status line; always HTTP/1.1, our own version (RFC 9110 section 2.5).

    :raises OurFault: 500 if the reason phrase holds CR, LF or NUL.
    """
    if not reason:
        usual = _STATUS_LINES.get(status)
        if usual is not None:
            return usual
    elif b"\n" in reason or b"\r" in reason or b"\0" in reason:
        raise OurFault(500, "bad-field", "The answer's reason phrase holds a line break.")
    return b"HTTP/1.1 %d %s\r\n" % (status, reason)


def field_lines(fields: Fields) -> bytes:
    """
    The lines of these fields.

    :raises OurFault: 500 if a name or value holds CR, LF or NUL: it would become another line.
    """
    block = b"".join([name + b": " + value + b"\r\n" for name, value in fields])
    count = len(fields)
    if block.count(b"\n") != count or block.count(b"\r") != count or b"\0" in block:
        raise OurFault(500, "bad-field", "A field of the answer holds a line break.")
    return block


def response_head(head: ResponseHead, framing: bytes, connection: bytes, date: bytes, request_id: bytes) -> bytes:
    """
    A final answer's head.

    :param framing: one whole line (see `content_length`, `CHUNKED`), or nothing.
    :param connection: a whole Connection line, or nothing.
    :param date: a whole Date line, used if the head has none.
    :param request_id: for X-Request-ID.
    :raises OurFault: see `field_lines`.
    """
    return b"%b%bX-Request-ID: %b\r\n%b%b\r\n" % (
        head.lines or _lines(head),
        b"" if head.has_date else date,
        request_id,
        framing,
        connection,
    )


def whole_answer(head: ResponseHead, connection: bytes, date: bytes, request_id: bytes, body: bytes) -> bytes:
    """
    A final answer that is all there, its Content-Length the body's; the rest as in `response_head`.

    :raises OurFault: see `field_lines`.
    """
    return b"%b%bX-Request-ID: %b\r\nContent-Length: %d\r\n%b\r\n%b" % (
        head.lines or _lines(head),
        b"" if head.has_date else date,
        request_id,
        len(body),
        connection,
        body,
    )


def _lines(head: ResponseHead) -> bytes:
    """The status line and the fields, made once."""
    lines = head.lines = status_line(head.status, head.reason) + field_lines(head.fields)
    return lines


def request_head(head: RequestHead) -> bytes:
    """The head of a request of our own, without a body."""
    return b"".join(
        (
            head.method,
            b" ",
            head.target,
            b" HTTP/1.1\r\nHost: ",
            head.host,
            b"\r\n",
            field_lines(head.fields),
            b"" if head.keep_alive else CLOSE,
            b"\r\n",
        )
    )


CHUNKED = b"Transfer-Encoding: chunked\r\n"
CLOSE = b"Connection: close\r\n"
KEEP_ALIVE = b"Connection: keep-alive\r\n"


def upgrade_lines(protocol: bytes) -> bytes:
    """The lines that ask for a protocol, or agree to it (RFC 9110 section 7.8)."""
    return b"Connection: Upgrade\r\nUpgrade: %b\r\n" % protocol


def content_length(length: int) -> bytes:
    """The Content-Length line."""
    return b"Content-Length: %d\r\n" % length


def interim_head(status: int, fields: Fields) -> bytes:
    """A 1xx answer."""
    return status_line(status) + field_lines(fields) + b"\r\n"


def chunk(data: bytes) -> bytes:
    """One chunk; ``data`` is not empty (an empty chunk would end the body)."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def last_chunk(trailers: Fields) -> bytes:
    """The end of a chunked body."""
    if not trailers:
        return LAST_CHUNK
    return b"0\r\n" + field_lines(trailers) + b"\r\n"
