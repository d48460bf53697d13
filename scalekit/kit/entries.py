"""
Log entries as the collector takes them: one line of JSON each.  Pure.

Whatever an application logs becomes a line that the collector keeps: what JSON cannot say becomes text, what is longer,
deeper or more than the collector's limits is cut here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import msgspec

# The collector cuts at 256 KiB; a line stays below that also when every character becomes six bytes (\\u0000).
MESSAGE_LENGTH = 40_000
# The collector keeps 64 KiB of fields, 128 of them and 16 deep: what is in them is told by their beginnings.
MOST_FIELDS = 100
MOST_FIELD_BYTES = 60_000
DEPTH = 8
CUT_LENGTH = 500
# The innermost frames come last, and are what one looks for; a recursion has thousands of others.
TRACEBACK_LENGTH = 30_000
# The collector refuses more.
SOURCE_LENGTH = 256

LOW_LEVELS = frozenset({"DEBUG", "INFO"})
#: How the line of such an entry begins.
_LOW_BEGINNINGS = tuple(b'{"Level":"%b",' % level.encode() for level in sorted(LOW_LEVELS))
_LEVEL_BEGINS = len(b'{"Level":"')

_NESTING = frozenset({dict, list, tuple})
# Of these, and of texts, the line says the same whenever it is made.
_UNCHANGING = frozenset({int, float, bool, type(None)})
# Nearly all entries are shorter, and most with a traceback too; so many characters need not be counted in bytes before
# their line is made.
LIGHT_LENGTH = 2000

#: The fields of an entry, or the JSON that was made of them.
Kept = Mapping[str, Any] | msgspec.Raw

_encode = msgspec.json.Encoder(enc_hook=str).encode


def entry_line(level: str, timestamp: float, source: str, message: str, fields: Kept | None = None) -> bytes:
    """
    The line of an entry, without its newline.

    :param timestamp: seconds since the epoch.
    :param fields: a mapping, or what `kept_fields` has made of one.
    :raises Exception: whatever the conversion of what it was given to text raises.
    """
    if len(message) > MESSAGE_LENGTH:
        message = message[:MESSAGE_LENGTH] + " … (cut)"
    second = int(timestamp // 1)
    entry: dict[str, Any] = {
        "Level": level,
        "Timestamp": f"{_second(second)}.{int((timestamp - second) * 1_000_000):06}Z",
        "Source": source,
        "Message": message,
    }
    if isinstance(fields, msgspec.Raw):
        entry["Fields"], fields = fields, None  # there is nothing to be seen to
    elif fields:
        # Nearly always plain values, which are taken as they are.
        is_plain = len(fields) <= MOST_FIELDS and _NESTING.isdisjoint(map(type, fields.values()))
        entry["Fields"] = fields if is_plain else _fitting(fields)
    try:
        line = _encode(entry)
    except (ValueError, TypeError, OverflowError, RecursionError):  # the first for lone surrogates, as of file names
        entry["Message"], entry["Source"] = _clean(message), _clean(source)
        if fields:
            entry["Fields"] = {_clean(str(key)): _clean(str(value)[:CUT_LENGTH]) for key, value in fields.items()}
        line = _encode(entry)
    if fields and len(line) > MOST_FIELD_BYTES and len(_encode(entry["Fields"])) > MOST_FIELD_BYTES:
        entry["Fields"] = {str(key): _clean(str(value)[:CUT_LENGTH]) for key, value in entry["Fields"].items()}
        line = _encode(entry)
    return line


def kept_fields(message: str, fields: Mapping[str, Any]) -> Kept | None:
    """
    The fields of an entry whose line is made later, as they are now.

    :return: for `entry_line`; None: the entry is long, or strange, and its line is to be made now.
    """
    length = len(message)
    if len(fields) > MOST_FIELDS:
        return None
    for value in fields.values():
        kind = type(value)
        if kind is str:
            length += len(value)
        elif kind not in _UNCHANGING:
            break
    else:
        return dict(fields) if length <= LIGHT_LENGTH else None
    try:
        line = _encode(_fitting(fields))
    except (ValueError, TypeError, OverflowError, RecursionError):
        return None
    return msgspec.Raw(line) if len(message) + len(line) <= LIGHT_LENGTH else None


def level_of(line: bytes) -> str:
    """The level of a line that `entry_line` has made."""
    return line[_LEVEL_BEGINS : line.index(b'"', _LEVEL_BEGINS)].decode("ascii", "replace")


def is_low(line: bytes) -> bool:
    """Whether an entry is one of those that are given up first."""
    return line.startswith(_LOW_BEGINNINGS)


@lru_cache(maxsize=16)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()[:19]


def _fitting(fields: Mapping[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in fields.items():
        if len(kept) == MOST_FIELDS:
            break
        if isinstance(value, dict | list | tuple) and _is_deeper(value, DEPTH):
            value = f"nested more than {DEPTH} deep"
        kept[str(key)] = value
    return kept


def _is_deeper(value: object, depth: int) -> bool:
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple):
        return False
    return depth == 0 or any(_is_deeper(member, depth - 1) for member in value)


def _clean(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode()
