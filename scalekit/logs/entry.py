"""
One log entry, and how it is read from JSON.

The fields are Level, Source, Message and (optional) Timestamp, their names in any case; all others are kept beside them
as the entry's fields, and so is what an object called Fields holds.  Every refusal is a `ClientFault` whose detail
begins with the name of the field.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NoReturn

import msgspec
from msgspec import UNSET, UnsetType

from scalekit.errors import ClientFault
from scalekit.logs.moments import Beyond, parse_timestamp

# More is not a line of a log any more; Loki and Vector cut at the same size.
MESSAGE_LIMIT = 256 * 1024
# A DNS name has 253 characters at most; nothing that names a program needs more.
SOURCE_LIMIT = 256
# Of all other fields together, as JSON: with the message, an entry stays near the same 256 KiB.
FIELDS_LIMIT = 64 * 1024
# What people nest on purpose stays below; a guard for what later reads the fields recursively.
DEPTH_LIMIT = 16
FIELD_LIMIT = 128

#: The field that has a Timestamp as it was sent, if `Entry.time` cannot hold it: of year 1 or 9999, which programs say
#: that know none.
SAID = "Said"

#: Characters that are within the message's limit, and the fields', whichever they are.
SURELY_SHORT = MESSAGE_LIMIT // 4
SURELY_FEW = FIELDS_LIMIT // 4

LEVELS = ("DEBUG", "INFO", "WARN", "ERROR", "PANIC")
_LEVEL_NAMES = {
    # The names of syslog, Python, Go, Java and .NET.
    **dict.fromkeys(("DEBUG", "TRACE", "VERBOSE", "FINE"), "DEBUG"),
    **dict.fromkeys(("INFO", "INFORMATION", "INFORMATIONAL", "NOTICE"), "INFO"),
    **dict.fromkeys(("WARN", "WARNING"), "WARN"),
    **dict.fromkeys(("ERROR", "ERR"), "ERROR"),
    **dict.fromkeys(("PANIC", "FATAL", "CRITICAL", "CRIT", "ALERT", "EMERG", "EMERGENCY"), "PANIC"),
}
_NAMES = {"level": "Level", "timestamp": "Timestamp", "source": "Source", "message": "Message"}


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """
    One entry, as the journal keeps it.

    :ivar time: nanoseconds since the epoch, as the client said, believable or not; None if it said nothing.
    :ivar level: one of `LEVELS`.
    :ivar fields: a JSON object of all else that the client sent; None if there was nothing.
    """

    time: int | None
    level: str
    source: str
    message: str
    fields: str | None = None


class Plain(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """
    The four fields in their usual spelling, and Fields without anything nested: what nearly every client sends.

    Fields that are null are a field of that name, as is everything else that is no object: not for here.
    """

    Level: str
    Source: str
    Message: str
    Timestamp: str | None = None
    Fields: dict[str, str | int | float | bool | None] | UnsetType = UNSET


_plain_decoder = msgspec.json.Decoder(Plain)
_any_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder()


def _refuse(reason: str, detail: str) -> NoReturn:
    raise ClientFault(400, reason, detail) from None


def parse_entry(document: bytes) -> Entry:
    """The entry that a JSON object holds; raises `ClientFault` 400 that names the field."""
    try:
        plain = _plain_decoder.decode(document)
        return Entry(
            None if plain.Timestamp is None else parse_timestamp(plain.Timestamp),
            level_named(plain.Level),
            checked_source(plain.Source),
            short_message(plain.Message),
            fields_of(plain.Fields) if plain.Fields else None,
        )
    except (ValueError, RecursionError, ClientFault):
        return entry_of(_decode(document))


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
    found: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for key, field in value.items():
        name = _NAMES.get(key.lower())
        if name is None:
            others[key] = field
        elif name in found:
            _refuse("bad-field", f"{name}: given twice.")
        else:
            found[name] = field
    time = None if found.get("Timestamp") is None else _time(_text(found, "Timestamp"))
    fields = fields_of(others)
    if isinstance(time, Beyond):
        time, fields = time.nearest, _with_said(fields, found["Timestamp"])
    return Entry(
        time,
        level_named(_text(found, "Level")),
        checked_source(_text(found, "Source")),
        short_message(_text(found, "Message")),
        fields,
    )


def _with_said(fields: str | None, text: str) -> str:
    """An entry's fields with the time that it says, which its own `Entry.time` cannot hold."""
    said = _encoder.encode({SAID: text}).decode()
    return said if fields is None else f"{fields[:-1]},{said[1:]}"


def take_said(fields: str | None) -> tuple[str | None, str | None]:
    """The fields without that time, and the time; None: there is none."""
    found = {} if fields is None else _any_decoder.decode(fields)
    said = found.pop(SAID, None)
    if not isinstance(said, str):
        return fields, None
    return (_encoder.encode(found).decode() if found else None), said


def fields_of(others: dict[str, Any]) -> str | None:
    """
    An entry's fields as JSON; what an object called Fields holds is among them; None if there are none.

    Raises `ClientFault` 400 for more than `FIELD_LIMIT`, or nested deeper than `DEPTH_LIMIT`; what is longer than
    `FIELDS_LIMIT` is replaced by a note of how long it was.
    """
    inner = others.get("Fields")
    if isinstance(inner, dict):
        others = {**inner, **{name: field for name, field in others.items() if name != "Fields"}}
    if not others:
        return None
    if len(others) > FIELD_LIMIT:
        refuse_width()
    for key, field in others.items():
        if isinstance(field, dict | list) and _is_deeper(field, DEPTH_LIMIT - 1):
            _refuse("bad-field", f"{key[:64]!r}: nested more than {DEPTH_LIMIT} deep.")
    return short_fields(_encoder.encode(others))


def short_fields(coded: bytes) -> str:
    """Fields as JSON; if that is longer than `FIELDS_LIMIT`, a note of how long it was."""
    if len(coded) > FIELDS_LIMIT:
        coded = _encoder.encode({"cut": f"{len(coded)} bytes of fields"})
    return coded.decode()


def refuse_width() -> NoReturn:
    """An entry has more than `FIELD_LIMIT` fields: a `ClientFault` 400."""
    _refuse("bad-entry", f"The entry has more than {FIELD_LIMIT} fields.")


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


def level_named(text: str) -> str:
    """The level of this name; raises `ClientFault` 400 for a name that nobody uses."""
    level = _LEVEL_NAMES.get(text) or _LEVEL_NAMES.get(text.upper())
    if level is None:
        _refuse("bad-field", f"Level: found {text[:40]!r}, expected one of {', '.join(LEVELS)}.")
    return level


def _time(text: str) -> int | Beyond:
    try:
        return parse_timestamp(text)
    except Beyond as beyond:
        return beyond
    except ValueError as error:
        _refuse("bad-field", f"Timestamp: {error}.")


def level_of(text: str) -> str | None:
    """The level of this name; None for a name that nobody uses."""
    return _LEVEL_NAMES.get(text.upper())


def nearest_level(text: str) -> str:
    """The level of this name; INFO for a name that nobody uses."""
    return level_of(text) or "INFO"


def checked_source(text: str) -> str:
    """The source; raises `ClientFault` 400 if it is longer than `SOURCE_LIMIT`."""
    if len(text) > SOURCE_LIMIT:
        _refuse("bad-field", f"Source: longer than {SOURCE_LIMIT} characters.")
    return text


def short_message(text: str) -> str:
    """The message, cut at `MESSAGE_LIMIT`."""
    return text if len(text) <= SURELY_SHORT else cut(text, MESSAGE_LIMIT)


def cut(text: str, limit: int) -> str:
    """The text; if its UTF-8 is longer than ``limit`` bytes, the whole characters that fit and a note of the rest."""
    coded = text.encode()
    if len(coded) <= limit:
        return text
    kept = coded[:limit].decode(errors="ignore")
    return f"{kept} [cut: {len(coded) - len(kept.encode())} bytes more]"
