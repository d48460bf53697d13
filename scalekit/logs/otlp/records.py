"""
A LogRecord of OTLP as plain values: what both forms are read to, and written from.

An AnyValue is a str, bool, int, float, list, dict or None here.  What JSON has no form for becomes text, so that both
forms of the same data are equal: bytes are base64, and the floats that are no numbers ``NaN``, ``Infinity`` and
``-Infinity``.
"""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from scalekit.errors import ClientFault
from scalekit.logs.entry import DEPTH_LIMIT

T = TypeVar("T")

INT64 = range(-(1 << 63), 1 << 63)
UINT32 = range(1 << 32)
#: Of one list or mapping: what has more does not fit into an entry in any way that somebody could read.
MEMBERS_LIMIT = 10_000


class Scope(NamedTuple):
    """The part of a program that a record is from: an InstrumentationScope."""

    name: str = ""
    version: str = ""
    attributes: dict[str, Any] = {}


class Record(NamedTuple):
    """
    One record, with what it shares with others.

    :ivar time: nanoseconds since the epoch; 0: it says nothing.  ``observed``: when somebody first saw it, likewise.
    :ivar number: SeverityNumber, 1 to 24, or 0; ``text``: what the source calls it.
    :ivar trace_id: in hex, lower case; empty: none; ``span_id`` likewise.
    :ivar event: its event's name.
    :ivar dropped: how many attributes the sender has left out.
    :ivar resource: the attributes of what it is from.
    """

    time: int = 0
    observed: int = 0
    number: int = 0
    text: str = ""
    body: Any = None
    attributes: dict[str, Any] = {}
    trace_id: str = ""
    span_id: str = ""
    flags: int = 0
    event: str = ""
    dropped: int = 0
    resource: dict[str, Any] = {}
    scope: Scope = Scope()


class Malformed(NamedTuple):
    """A record that cannot be taken: what is wrong, and itself for people to look at."""

    error: str
    raw: bytes


def bad_value(detail: str) -> ClientFault:
    """400, of one record."""
    return ClientFault(400, "bad-value", detail)


def too_deep() -> ClientFault:
    """400, of one record."""
    return bad_value(f"A value is nested more than {DEPTH_LIMIT} deep.")


def check_width(count: int) -> None:
    """Raise `ClientFault` 400 for a list or a mapping of so many members, if they are too many to look at."""
    if count > MEMBERS_LIMIT:
        raise bad_value(f"A value has more than {MEMBERS_LIMIT} members.")


def float_value(value: float) -> float | str:
    """A double as a value."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def bytes_value(value: bytes) -> str:
    """Bytes as a value."""
    return b64encode(value).decode("ascii")


def id_value(text: str) -> str:
    """A trace's or span's id in hex as a value: all zeros mean that there is none."""
    return text.lower() if text.strip("0") else ""


class Shared(Generic[T]):
    """
    What many records have in common: read once, when the first of them wants it, good or bad.

    :param read: raises `ClientFault`.
    """

    def __init__(self, read: Callable[[], T]) -> None:
        self._read = read
        self._found: T | None = None
        self._fault: ClientFault | None = None

    def get(self) -> T:
        """It; raises `ClientFault` each time if it cannot be read."""
        if self._fault is not None:
            raise self._fault.with_traceback(None)
        if self._found is None:
            try:
                self._found = self._read()
            except ClientFault as fault:
                self._fault = fault
                raise
        return self._found
