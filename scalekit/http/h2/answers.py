"""
An app server's answer, a field list, as a `ResponseHead` (RFC 9113 sections 8.1 and 8.3.2).

libnghttp2 has checked before: exactly one three-digit :status and no other pseudo field, names and values by the
grammar, no connection fields, content-length against DATA, no body of HEAD, 204 and 304, no 101.  What is checked here
is what it leaves open, so that an answer is held to the rules of HTTP/1.1's (`scalekit.http.responses`).
"""

from __future__ import annotations

from scalekit.http.h2.owner import FieldList
from scalekit.http.heads import Fields, ResponseHead
from scalekit.http.limits import FIELD_COUNT, HEAD_BYTES
from scalekit.http.responses import malformed

#: As of HTTP/1.1's answers: ``trailer`` announces what may be dropped, and the request's id is ours to say.
_DROPPED = frozenset((b"te", b"trailer", b"x-request-id"))


def answer_head(fields: FieldList) -> ResponseHead:
    """
    The head of a final answer; of HEAD and 304 it tells the length of a body that is not sent.

    :raises UpstreamFault: 502.
    """
    status = _status(fields)
    length: int | None = None
    has_date = False
    kept: Fields = []
    for name, value in fields[1:]:
        if name == b"content-length":
            length = int(value)
        elif name == b"date":
            if not has_date:
                kept.append((name, value))
            has_date = True
        elif name not in _DROPPED:
            kept.append((name, value))
    if status == 204:
        length = None
    return ResponseHead(status, kept, length, b"", has_date)


def interim_head(fields: FieldList) -> tuple[int, Fields]:
    """
    Status and fields of an interim answer (RFC 9110 section 15.2).

    :raises UpstreamFault: 502.
    """
    return _status(fields), [field for field in fields[1:] if field[0] not in _DROPPED]


def _status(fields: FieldList) -> int:
    if len(fields) > FIELD_COUNT + 1:
        raise malformed(f"it has over {FIELD_COUNT} fields.")
    if sum([len(name) + len(value) for name, value in fields]) > HEAD_BYTES:
        raise malformed(f"its head is over {HEAD_BYTES} bytes.")
    status = int(fields[0][1])
    if status > 599:
        raise malformed("its status is none.")
    return status
