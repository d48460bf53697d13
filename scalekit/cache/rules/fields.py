"""
Fields that caches live by, as values: Cache-Control, Age, dates.

A Cache-Control that breaks the grammar is read in the way that keeps less: a max-age that is no number is none at all,
two that differ are stale (RFC 9111 section 4.2.1), quotes that do not close forbid storing.
"""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Iterable, Mapping
from functools import lru_cache

from scalekit.http.heads import Fields

#: The greatest number of seconds; larger ones are as large (RFC 9111 section 1.2.2).
LONGEST = 2**31

_ELEMENT = re.compile(rb'(?:[^",]|"(?:[^"\\]|\\.)*+")++', re.DOTALL)
_DIRECTIVE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]++)(?:=(.*+))?+", re.DOTALL)
_QUOTED = re.compile(rb'"((?:[^"\\]|\\.)*+)"', re.DOTALL)
_PAIR = re.compile(rb"\\(.)", re.DOTALL)
#: ``Wednesday, 01-Jan-20 00:00:00 GMT`` is as long as a date gets.
_LONGEST_DATE = 40
_SECONDS = re.compile(rb"[0-9]{1,64}")

#: What is longer is made anew each time: clients may send a thousand that no application would, of 32 KiB each.
REMEMBERED_BYTES = 256

#: The values of fields, by their names in lower case.
Values = Mapping[bytes, list[bytes]]
Directives = dict[bytes, bytes]
_NONE: Directives = {}

#: What stands for a value that differs from another of the same name.
_CONFLICT = b"?"


def values_by_name(fields: Fields, names: frozenset[bytes]) -> Values:
    """The values of the fields of these (lower-case) names, in order; a name without any is not there."""
    found: dict[bytes, list[bytes]] = {}
    for raw, value in fields:
        name = raw.lower()
        if name in names:
            found.setdefault(name, []).append(value)
    return found


def directives(value: bytes) -> Directives:
    """
    The directives of Cache-Control (RFC 9111 section 5.2), of all its fields joined by commas: names in lower case,
    values without their quotes, empty where there are none.  Treat it as immutable: it is shared.

    Of a directive that comes twice with two values the value is one that is no number.
    """
    return _directives(value) if len(value) <= REMEMBERED_BYTES else _directives.__wrapped__(value)


@lru_cache(1024)  # an application has a handful of them; the bound is for those that make them up
def _directives(value: bytes) -> Directives:
    if value.count(b'"') and not _is_closed(value):
        return {b"no-store": b""}
    found: Directives = {}
    for raw in elements(value):
        match = _DIRECTIVE.fullmatch(raw.strip(b" \t"))
        if match is None:
            # "max-age =5": nobody knows what was meant, but it was to bound something.
            name, equals, _ = raw.partition(b"=")
            if equals:
                found[name.strip(b" \t").lower()] = _CONFLICT
            continue
        name, argument = match[1].lower(), match[2] or b""
        quoted = _QUOTED.fullmatch(argument)
        if quoted is not None:
            argument = _PAIR.sub(rb"\1", quoted[1])
        if name in found and found[name] != argument:
            argument = _merged(name)
        found[name] = argument
    return found


def elements(value: bytes) -> list[bytes]:
    """What stands between the commas of a list that are in no quotes, white space included."""
    return _ELEMENT.findall(value)


def _is_closed(value: bytes) -> bool:
    return b'"' not in re.sub(rb'"(?:[^"\\]|\\.)*+"', b"", value, flags=re.DOTALL)


def _merged(name: bytes) -> bytes:
    # The form without fields forbids more than two that name some.
    return b"" if name in (b"no-cache", b"private") else _CONFLICT


def directives_of(values: Iterable[bytes]) -> Directives:
    """The same of the values of all Cache-Control fields of a head."""
    joined = b",".join(values)
    return directives(joined) if joined else _NONE


def seconds(value: bytes) -> int | None:
    """A number of seconds (RFC 9111 section 1.2.2), `LONGEST` at most; None if it is none."""
    return None if _SECONDS.fullmatch(value) is None else min(int(value), LONGEST)


def age(values: list[bytes]) -> int:
    """The Age of an answer: the first one of several; 0 without any, and if it is no number (RFC 9111 section 5.1)."""
    return seconds(values[0].partition(b",")[0].strip(b" \t")) or 0 if values else 0


_MONTHS = (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec")
_MONTH = b"(" + b"|".join(_MONTHS) + b")"
_TIME = rb"([0-9]{2}):([0-9]{2}):([0-9]{2})"
_DAY = rb"(?:mon|tue|wed|thu|fri|sat|sun)"
_IMF = re.compile(_DAY + rb", ([0-9]{2}) " + _MONTH + rb" ([0-9]{4}) " + _TIME + rb" gmt", re.IGNORECASE)
_RFC850 = re.compile(
    rb"(?:mon|tues|wednes|thurs|fri|satur|sun)day, ([0-9]{2})-" + _MONTH + rb"-([0-9]{2}) " + _TIME + rb" gmt",
    re.IGNORECASE,
)
_ASCTIME = re.compile(_DAY + b" " + _MONTH + rb" ([0-9 ][0-9]) " + _TIME + rb" ([0-9]{4})", re.IGNORECASE)


def http_date(value: bytes) -> float | None:
    """
    A date in one of its three forms as seconds since the epoch (RFC 9110 section 5.6.7); None if it is none.

    Case is not looked at (RFC 9110 wants it right, RFC 9111 section 4.2 gives in); everything else is, so that what is
    no date is stale.  Two digits of a year are one of 1969 to 2068, as with POSIX.
    """
    return _http_date(value) if len(value) <= _LONGEST_DATE else None


@lru_cache(1024)  # the dates of this second are those of most answers
def _http_date(value: bytes) -> float | None:
    match = _IMF.fullmatch(value)
    if match is not None:
        day, month, year, *time = match.groups()
        number = int(year)
    elif (match := _RFC850.fullmatch(value)) is not None:
        day, month, year, *time = match.groups()
        number = int(year) + (2000 if int(year) < 69 else 1900)
    elif (match := _ASCTIME.fullmatch(value)) is not None:
        month, day, *time, year = match.groups()
        number = int(year)
    else:
        return None
    hour, minute, second = map(int, time)
    if not 1 <= int(day) <= 31 or hour > 23 or minute > 59 or second > 60:
        return None
    return float(timegm((number, _MONTHS.index(month.lower()) + 1, int(day), hour, minute, second, 0, 0, 0)))
