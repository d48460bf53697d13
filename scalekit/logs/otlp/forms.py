"""The two forms of OTLP over HTTP, by their media types."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from scalekit.errors import ClientFault
from scalekit.logs.otlp import json_form
from scalekit.logs.otlp.records import Malformed, Record

JSON = b"application/json"
PROTOBUF = b"application/x-protobuf"
#: Its name in pip: ``pip install scalekit[otlp]``.
EXTRA = "scalekit[otlp]"


class Form(NamedTuple):
    """
    :ivar read: the records of a request; raises `ClientFault` 400 if it is none.
    :ivar write: a request of these records.
    """

    media_type: bytes
    read: Callable[[bytes], Iterator[Record | Malformed]]
    write: Callable[[Iterable[Record]], bytes]


_JSON = Form(JSON, json_form.read_request, json_form.write_request)


def form_of(media_type: bytes) -> Form:
    """The form of this type; raises `ClientFault` 415 for protobuf where the extra is not installed."""
    if media_type != PROTOBUF:
        return _JSON
    try:
        from scalekit.logs.otlp import protobuf_form
    except ImportError:
        detail = f"This log takes OTLP in JSON only: for protobuf it needs the extra, pip install '{EXTRA}'."
        raise ClientFault(415, "no-protobuf", detail) from None
    return Form(PROTOBUF, protobuf_form.read_request, protobuf_form.write_request)
