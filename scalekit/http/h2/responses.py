"""An answer's head as a field list (RFC 9113 section 8.3.2)."""

from __future__ import annotations

from scalekit.errors import OurFault
from scalekit.http.h2.session import Unindexed
from scalekit.http.heads import Fields, ResponseHead

#: Fields of one connection: dropped, as what they say is not said in HTTP/2 (RFC 9113 section 8.2.2).
_DROPPED = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"))

#: What a named tuple's own constructor calls, in a third of its time.
_made = tuple.__new__


def response_fields(head: ResponseHead, length: int | None, date: bytes, request_id: bytes) -> Fields:
    """
    The field list of a final answer.

    :param length: for content-length; None: left out.
    :param date: used if the head has none.
    :raises OurFault: 500 if a field would break out of its line wherever it is sent on over HTTP/1.1.
    """
    made = head.field_list
    if made is None or made[0] != length:
        made = head.field_list = length, [(b":status", b"%d" % head.status), *plain_fields(head.fields)]
        if length is not None:
            made[1].append((b"content-length", b"%d" % length))
    fields = [*made[1], _made(Unindexed, (b"x-request-id", request_id))]
    if not head.has_date:
        fields.append((b"date", date))
    return fields


def plain_fields(fields: Fields) -> Fields:
    """
    The same with lower-case names, without those of a connection.

    :raises OurFault: 500 if a name or value holds CR, LF or NUL.
    """
    plain: Fields = []
    for name, value in fields:
        lower = name.lower()
        if lower not in _DROPPED:
            plain.append((lower, value))
    block = b"\1".join([part for field in plain for part in field])
    if b"\n" in block or b"\r" in block or b"\0" in block:
        raise OurFault(500, "bad-field", "A field of the answer holds a line break.")
    return plain
