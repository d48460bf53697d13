"""
The log's truth: one entry a line as JSON, with nanoseconds and everything that is known of it.

::

    {"Sequence":7,"Timestamp":"2006-01-02T15:04:05.000000001Z","Level":"INFO","Source":"shop","Message":"sold"}

and, where there is something to say, ``Fields`` (what the client sent beside the four), ``Received`` (when it came, of
entries that were late or are sorted by it), and ``Said`` (the time that was not believed).  The names are those that
entries are sent with, so that what is read here can be sent again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from scalekit.logs.line import format_line, format_text, is_harmless, shown_source
from scalekit.logs.moments import clock_time, format_timestamp, parse_timestamp
from scalekit.logs.order import Row


class Record(msgspec.Struct, gc=False):
    """A line of the truth, see the module."""

    Sequence: int
    Timestamp: str
    Level: str
    Source: str
    Message: str
    Fields: msgspec.Raw | UnsetType = UNSET
    Received: str | UnsetType = UNSET
    Said: str | UnsetType = UNSET

    @property
    def time(self) -> int:
        """Nanoseconds since the epoch."""
        return parse_timestamp(self.Timestamp)

    def text(self) -> str:
        """Its line in ``log.txt``."""
        return format_line(self.time, self.Level, self.Source, self.Message)


class _Usual(msgspec.Struct, gc=False):
    """A `Record` of which nothing more is to be said: made and encoded in half the time."""

    Sequence: int
    Timestamp: str
    Level: str
    Source: str
    Message: str


class Key(NamedTuple):
    """What a record is sorted by: read from its line in half the time; ``time`` is nanoseconds since the epoch."""

    time: int
    Sequence: int


class _Stamp(msgspec.Struct, gc=False):
    Sequence: int
    Timestamp: str


_BILLION = 1_000_000_000
# What is made of so many fits into a core's cache.
_AT_ONCE = 500
_encoder = msgspec.json.Encoder()
_decode_record = msgspec.json.Decoder(Record).decode
_decode_stamp = msgspec.json.Decoder(_Stamp).decode


def parse_record(line: bytes) -> Record | None:
    """The record of a line; None if the line is damaged."""
    try:
        record = _decode_record(line)
        parse_timestamp(record.Timestamp)
    except ValueError:
        return None
    return record


def parse_key(line: bytes) -> Key | None:
    """The key of a line; None if the line is damaged."""
    try:
        stamp = _decode_stamp(line)
        return Key(parse_timestamp(stamp.Timestamp), stamp.Sequence)
    except ValueError:
        return None


def format_rows(rows: Sequence[Row], is_late: bool = False) -> tuple[bytes, bytes]:
    """The lines of the truth and those of the readable log."""
    parts = [_format_some(rows[start : start + _AT_ONCE], is_late) for start in range(0, len(rows), _AT_ONCE)]
    return b"".join([truth for truth, _ in parts]), b"".join([text for _, text in parts])


def _format_some(rows: Sequence[Row], is_late: bool) -> tuple[bytes, bytes]:
    second = rows[0][0] // _BILLION
    # With many entries a second, they are nearly all like this: three quarters of the time.
    if (
        not is_late
        and rows[-1][0] // _BILLION == second
        and all(entry.fields is None and entry.time == time for time, _, entry, _ in rows)
        and is_harmless("".join([entry.message for _, _, entry, _ in rows]))
    ):
        return _format_usual(rows, second)
    return _format_any(rows, is_late)


def _format_usual(rows: Sequence[Row], second: int) -> tuple[bytes, bytes]:
    """Entries of one second of which nothing more is to be said, and whose messages stand in a line as they are."""
    clock, stamp = clock_time(second)
    whole = (second - 1) * _BILLION
    truth = [
        _Usual(sequence, f"{stamp}{str(time - whole)[1:]}Z", entry.level, entry.source, entry.message)
        for time, sequence, entry, _ in rows
    ]
    text = [f"{clock};{entry.level};{shown_source(entry.source)};{entry.message}\n" for _, _, entry, _ in rows]
    return _encoder.encode_lines(truth), "".join(text).encode()


def _format_any(rows: Sequence[Row], is_late: bool) -> tuple[bytes, bytes]:
    truth: list[Record | _Usual] = []
    text: list[str] = []
    second = None
    clock = stamp = ""
    whole = 0
    for time, sequence, entry, received in rows:
        if time // _BILLION != second:  # rows come sorted
            second = time // _BILLION
            clock, stamp = clock_time(second)
            whole = (second - 1) * _BILLION
        # Between one and two billion: the digits behind the first are the nanoseconds.
        timestamp = f"{stamp}{str(time - whole)[1:]}Z"
        level, source, message = entry.level, entry.source, entry.message
        text.append(format_text(clock, level, source, message))
        if entry.fields is None and entry.time == time and not is_late:
            truth.append(_Usual(sequence, timestamp, level, source, message))
            continue
        record = Record(sequence, timestamp, level, source, message)
        if entry.fields is not None:
            record.Fields = msgspec.Raw(entry.fields.encode())
        if is_late or entry.time != time:
            record.Received = format_timestamp(received)
            if entry.time is not None and entry.time != time:
                record.Said = format_timestamp(entry.time)
        truth.append(record)
    return _encoder.encode_lines(truth), "".join(text).encode()
