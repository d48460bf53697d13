"""
One log entry, and how it is read from JSON.

The fields are Level, Source, Message and (optional) Timestamp, their names in any case; other fields are let through
and not kept.  Every refusal is a `ClientFault` whose detail begins with the name of the field.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NoReturn

import msgspec

from scalekit.errors import ClientFault

# More is not a line of a log any more; Loki and Vector cut at the same size.
MESSAGE_LIMIT = 256 * 1024
# A DNS name has 253 characters at most; nothing that names a program needs more.
SOURCE_LIMIT = 256
# What people nest on purpose stays below; a guard for what later reads the fields recursively.
DEPTH_LIMIT = 16
FIELD_LIMIT = 128

LEVELS = ("DEBUG", "INFO", "WARN", "ERROR", "PANIC")
_LEVEL_NAMES = {
    # The names of syslog, Python, Go, Java and .NET.
    **dict.fromkeys(("DEBUG", "TRACE", "VERBOSE", "FINE"), "DEBUG"),
    **dict.fromkeys(("INFO", "INFORMATION", "INFORMATIONAL", "NOTICE"), "INFO"),
    **dict.fromkeys(("WARN", "WARNING"), "WARN"),
    **dict.fromkeys(("ERROR", "ERR"), "ERROR"),
    **dict.fromkeys(("PANIC", "FATAL", "CRITICAL", "CRIT", "ALERT", "EMERG", "EMERGENCY"), "PANIC"),
}
_TIMESTAMP = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]{1,30}))?"
    r"(?:[Zz]|([+-])([0-9]{2}):?([0-9]{2}))?"
)
_EPOCH_DAY = datetime.date(1970, 1, 1).toordinal()
_EARLIEST, _LATEST = -(1 << 63), (1 << 63) - 1  # what msgpack can carry
_NAMES = {"level": "Level", "timestamp": "Timestamp", "source": "Source", "message": "Message"}


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """
    One entry, as the journal keeps it.

    :ivar time: nanoseconds since the epoch, as the client said, believable or not; None if it said nothing.
    :ivar level: one of `LEVELS`.
    """

    time: int | None
    level: str
    source: str
    message: str


class _Plain(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The four fields in their usual spelling: what nearly every client sends, decoded without a dictionary."""

    Level: str
    Source: str
    Message: str
    Timestamp: str | None = None


_plain_decoder = msgspec.json.Decoder(_Plain)
_any_decoder = msgspec.json.Decoder()


def _refuse(reason: str, detail: str) -> NoReturn:
    raise ClientFault(400, reason, detail) from None


def parse_entry(document: bytes) -> Entry:
    """The entry that a JSON object holds; raises `ClientFault` 400 that names the field."""
    try:
        plain = _plain_decoder.decode(document)
    except (ValueError, RecursionError):
        return entry_of(_decode(document))
    return Entry(
        None if plain.Timestamp is None else parse_timestamp(plain.Timestamp),
        _level(plain.Level),
        _source(plain.Source),
        _message(plain.Message),
    )


def parse_entries(document: bytes, limit: int) -> list[Any]:
    """
    The members of a JSON array, not yet checked, each for `entry_of`; a single object counts as an array of one.

    Raises `ClientFault` 400, or 413 beyond ``limit`` members.
    """
    value = _decode(document)
    if isinstance(value, dict):
        return [value]
    if not isinstance(value, list):
        _refuse("bad-json", "The body is neither a JSON array nor a JSON object.")
    if len(value) > limit:
        raise ClientFault(413, "too-many-entries", f"The body has more than {limit} entries.")
    return value


def _decode(document: bytes) -> Any:
    try:
        return _any_decoder.decode(document)
    except UnicodeDecodeError:
        _refuse("bad-json", "The JSON is not UTF-8.")
    except RecursionError:
        _refuse("bad-json", f"The JSON is nested more than {DEPTH_LIMIT} deep.")
    except ValueError as error:
        _refuse("bad-json", f"This is not JSON: {error}.")


def entry_of(value: object) -> Entry:
    """The entry that a decoded JSON value is; raises `ClientFault` 400 that names the field."""
    if not isinstance(value, dict):
        _refuse("bad-entry", "An entry has to be a JSON object.")
    if len(value) > FIELD_LIMIT:
        _refuse("bad-entry", f"The entry has more than {FIELD_LIMIT} fields.")
    found: dict[str, Any] = {}
    for key, field in value.items():
        name = _NAMES.get(key.lower())
        if name is not None:
            if name in found:
                _refuse("bad-field", f"{name}: given twice.")
            found[name] = field
        elif _is_deeper(field, DEPTH_LIMIT - 1):
            _refuse("bad-field", f"{key[:64]!r}: nested more than {DEPTH_LIMIT} deep.")
    timestamp = found.get("Timestamp")
    return Entry(
        None if timestamp is None else parse_timestamp(_text(found, "Timestamp")),
        _level(_text(found, "Level")),
        _source(_text(found, "Source")),
        _message(_text(found, "Message")),
    )


def _is_deeper(value: object, depth: int) -> bool:
    """Whether lists and objects are nested more than ``depth`` deep here; looks no deeper than that."""
    layer = [value]
    for _ in range(depth):
        layer = [member for outer in layer if isinstance(outer, dict | list) for member in _members(outer)]
    return any(isinstance(member, dict | list) for member in layer)


def _members(container: dict[str, object] | list[object]) -> Iterable[object]:
    return container.values() if isinstance(container, dict) else container


def _text(fields: dict[str, Any], name: str) -> str:
    if name not in fields:
        _refuse("bad-field", f"{name}: missing.")
    value = fields[name]
    if not isinstance(value, str):
        found = msgspec.json.encode(value).decode()
        _refuse("bad-field", f"{name}: found {found[:40]}, expected a string.")
    return value


def _level(text: str) -> str:
    level = _LEVEL_NAMES.get(text) or _LEVEL_NAMES.get(text.upper())
    if level is None:
        _refuse("bad-field", f"Level: found {text[:40]!r}, expected one of {', '.join(LEVELS)}.")
    return level


def nearest_level(text: str) -> str:
    """The level of this name; INFO for a name that nobody uses."""
    return _LEVEL_NAMES.get(text.upper(), "INFO")


def _source(text: str) -> str:
    if len(text) > SOURCE_LIMIT:
        _refuse("bad-field", f"Source: longer than {SOURCE_LIMIT} characters.")
    return text


def _message(text: str) -> str:
    return text if len(text) <= MESSAGE_LIMIT // 4 else cut(text, MESSAGE_LIMIT)


def cut(text: str, limit: int) -> str:
    """The text; if its UTF-8 is longer than ``limit`` bytes, the whole characters that fit and a note of the rest."""
    coded = text.encode()
    if len(coded) <= limit:
        return text
    kept = coded[:limit].decode(errors="ignore")
    return f"{kept} [cut: {len(coded) - len(kept.encode())} bytes more]"


def parse_timestamp(text: str) -> int:
    """
    Nanoseconds since the epoch of an RFC 3339 timestamp; raises `ClientFault` 400.

    Beyond RFC 3339 section 5.6: without a zone it is UTC, a comma may stand for the point (ISO 8601) and a blank for
    the T; finer digits than nanoseconds are dropped.  A leap second is the second after it.  What 64 bits cannot hold
    (before 1677, after 2262) becomes the nearest that they can.
    """
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        _refuse("bad-field", f"Timestamp: found {text[:40]!r}, expected RFC 3339 such as 2006-01-02T15:04:05Z.")
    day, hour, minute, second, fraction, sign, offset_hour, offset_minute = match.groups()
    seconds = _day_seconds(day)
    if seconds is None or hour > "23" or minute > "59" or second > "60":
        _refuse("bad-field", f"Timestamp: {text[:40]!r} is not a time that exists.")
    seconds += int(hour) * 3600 + int(minute) * 60 + int(second)
    if sign is not None:
        if offset_hour > "23" or offset_minute > "59":
            _refuse("bad-field", f"Timestamp: {text[:40]!r} has an offset that does not exist.")
        offset = int(offset_hour) * 3600 + int(offset_minute) * 60
        seconds += offset if sign == "-" else -offset
    nanoseconds = int(fraction[:9].ljust(9, "0")) if fraction else 0
    return min(max(seconds * 1_000_000_000 + nanoseconds, _EARLIEST), _LATEST)


@lru_cache(maxsize=64)  # clients speak of today
def _day_seconds(day: str) -> int | None:
    try:
        return (datetime.date.fromisoformat(day).toordinal() - _EPOCH_DAY) * 86400
    except ValueError:
        return None
