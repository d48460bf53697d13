"""An answer's head as a field list (RFC 9113 section 8.3.2)."""

from __future__ import annotations

from http import HTTPStatus
from itertools import chain

from scalekit.errors import OurFault
from scalekit.http.h2.session import Unindexed
from scalekit.http.heads import Fields, ResponseHead
from scalekit.http.spellings import remember

#: Fields of one connection: dropped, as what they say is not said in HTTP/2 (RFC 9113 section 8.2.2).
_DROPPED = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"))

_STATUSES = {int(status): (b":status", b"%d" % status) for status in HTTPStatus}
#: What names are here; empty: they are dropped.
_names: dict[bytes, bytes] = {}

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
        status = _STATUSES.get(head.status) or (b":status", b"%d" % head.status)
        made = head.field_list = length, [status, *plain_fields(head.fields)]
        if length is not None:
            made[1].append((b"content-length", b"%d" % length))
    fields = [*made[1], _made(Unindexed, (b"x-request-id", request_id))]
    if not head.has_date:
        fields.append((b"date", date))
    return fields


def _learn(name: bytes) -> bytes:
    lower = name.lower()
    return remember(_names, name, b"" if lower in _DROPPED else lower)


def plain_fields(fields: Fields) -> Fields:
    """
    The same with lower-case names, without those of a connection.

    :raises OurFault: 500 if a name or value holds CR, LF or NUL.
    """
    plain: Fields = []
    names = _names
    for name, value in fields:
        lower = names.get(name)
        if lower is None:
            lower = _learn(name)
        if lower:
            plain.append((lower, value))
    block = b"\1".join(chain(*plain))
    if b"\n" in block or b"\r" in block or b"\0" in block:
        raise OurFault(500, "bad-field", "A field of the answer holds a line break.")
    return plain
