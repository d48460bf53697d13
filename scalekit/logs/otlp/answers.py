"""
What a receiver of OTLP/HTTP says: an ExportLogsServiceResponse, or a ``google.rpc.Status`` with an error.

Of both there is one part with a number as its field 1 and a text as its field 2, so the binary form is written and read
here: an error has to be said in it also where the extra for protobuf is missing.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from scalekit.logs.otlp.forms import PROTOBUF
from scalekit.logs.otlp.wire import parts, varint

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
        return b"\x0a" + varint(len(part)) + part if part else b""
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
            told = [part for field, part in parts(body) if field == 1 and isinstance(part, bytes)]
            return _read_pair(told[0]) if told else Told()
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
    number = b"\x08" + varint(told.number) if told.number else b""
    return number + (b"\x12" + varint(len(text)) + text if text else b"")


def _read_pair(body: bytes) -> Told:
    number, text = 0, ""
    for field, value in parts(body):
        if field == 1 and isinstance(value, int):
            number = value
        elif field == 2 and isinstance(value, bytes):
            text = value.decode("utf-8", "replace")
    return Told(number, text)
