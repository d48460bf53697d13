"""
What a receiver of OTLP/HTTP says: an ExportLogsServiceResponse, or a ``google.rpc.Status`` with an error.

Of both there is one part with a number as its field 1 and a text as its field 2, so the binary form is written and read
here: an error has to be said in it also where the extra for protobuf is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from scalekit.logs.otlp.forms import PROTOBUF

#: Of google.rpc.Code, by HTTP's status; the clients go by the latter.
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 409: 10, 413: 8, 415: 3, 429: 8, 500: 13, 503: 14}
_UNKNOWN = 2
#: Of a text that goes into logs; more of it would tell nobody more.
TEXT_LIMIT = 1000


class Told(NamedTuple):
    """
    :ivar number: of records that were rejected; of an error, its code.
    :ivar text: for people.
    """

    number: int = 0
    text: str = ""


class _PartialSuccess(msgspec.Struct):
    rejectedLogRecords: int | str | None = None
    errorMessage: str | None = None


class _Response(msgspec.Struct):
    partialSuccess: _PartialSuccess | None = None


class _Status(msgspec.Struct):
    message: str | None = None


def response(media_type: bytes, told: Told) -> bytes:
    """An ExportLogsServiceResponse; without rejected records and text it is empty, which means that all were taken."""
    if media_type == PROTOBUF:
        part = _pair(told)
        return b"\x0a" + _varint(len(part)) + part if part else b""
    if not told.number and not told.text:
        return b"{}"
    # ProtoJSON has numbers of 64 bits as text.
    return msgspec.json.encode(
        {"partialSuccess": {"rejectedLogRecords": str(told.number), "errorMessage": told.text[:TEXT_LIMIT]}}
    )


def status(media_type: bytes, http_status: int, text: str) -> bytes:
    """A google.rpc.Status."""
    code = _CODES.get(http_status, _UNKNOWN)
    if media_type == PROTOBUF:
        return _pair(Told(code, text))
    return msgspec.json.encode({"code": code, "message": text[:TEXT_LIMIT]})


def read_response(media_type: bytes, body: bytes) -> Told:
    """What an ExportLogsServiceResponse says of records that were rejected; a body that is none says nothing."""
    try:
        if media_type == PROTOBUF:
            parts = [part for field, part in _parts(body) if field == 1 and isinstance(part, bytes)]
            return _read_pair(parts[0]) if parts else Told()
        said = msgspec.json.decode(body, type=_Response).partialSuccess if body else None
        if said is None:
            return Told()
        return Told(int(said.rejectedLogRecords or 0), said.errorMessage or "")
    except (ValueError, RecursionError):
        return Told()


def read_status(media_type: bytes, body: bytes) -> str:
    """What an error says for people: of a google.rpc.Status its message, else the beginning of the body as text."""
    try:
        if media_type == PROTOBUF:
            text = _read_pair(body).text
        else:
            text = msgspec.json.decode(body, type=_Status).message or ""
    except (ValueError, RecursionError):
        text = ""
    return (text or body[:TEXT_LIMIT].decode("utf-8", "replace"))[:TEXT_LIMIT]


def _pair(told: Told) -> bytes:
    text = told.text[:TEXT_LIMIT].encode()
    number = b"\x08" + _varint(told.number) if told.number else b""
    return number + (b"\x12" + _varint(len(text)) + text if text else b"")


def _read_pair(body: bytes) -> Told:
    number, text = 0, ""
    for field, value in _parts(body):
        if field == 1 and isinstance(value, int):
            number = value
        elif field == 2 and isinstance(value, bytes):
            text = value.decode("utf-8", "replace")
    return Told(number, text)


def _varint(number: int) -> bytes:
    pieces = bytearray()
    while number > 0x7F:
        pieces.append(number & 0x7F | 0x80)
        number >>= 7
    pieces.append(number)
    return bytes(pieces)


def _parts(body: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message that are numbers or bytes; raises ValueError if it is none."""
    position = 0
    while position < len(body):
        tag, position = _read_varint(body, position)
        if tag & 7 == 0:
            number, position = _read_varint(body, position)
            yield tag >> 3, number
        elif tag & 7 == 2:
            length, position = _read_varint(body, position)
            if position + length > len(body):
                raise ValueError("it ends within a field")
            yield tag >> 3, body[position : position + length]
            position += length
        else:
            raise ValueError("a field of another kind")


def _read_varint(body: bytes, position: int) -> tuple[int, int]:
    """A number, and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        if position >= len(body):
            raise ValueError("it ends within a number")
        byte = body[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
    raise ValueError("a number of more than 64 bits")
