"""
Moments as text and as nanoseconds since the epoch.
"""

from __future__ import annotations

import datetime
import re
from functools import lru_cache

_TIMESTAMP = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]{1,30}))?"
    r"(?:[Zz]|([+-])([0-9]{2}):?([0-9]{2}))?"
)
_EPOCH_DAY = datetime.date(1970, 1, 1).toordinal()
_EARLIEST, _LATEST = -(1 << 63), (1 << 63) - 1  # what msgpack can carry
_BILLION = 1_000_000_000


def parse_timestamp(text: str) -> int:
    """
    Nanoseconds since the epoch of an RFC 3339 timestamp; raises ValueError with what is wrong.

    Beyond RFC 3339 section 5.6: without a zone it is UTC, a comma may stand for the point (ISO 8601) and a blank for
    the T; finer digits than nanoseconds are dropped.  A leap second is the second after it.  What 64 bits cannot hold
    (before 1677, after 2262) becomes the nearest that they can.
    """
    # Nearly every one is in UTC with a fraction, and of a second that was asked for a moment ago.
    second = _seconds.get(text[:19])
    digits = text[20:-1]
    if (
        second is not None
        and digits.isdecimal()
        and digits.isascii()
        and len(digits) < 10
        and text[19] + text[-1] == ".Z"
    ):
        return second + int(digits) * _SCALE[len(digits)]
    moment = _parse(text)
    if _EARLIEST < moment < _LATEST - _BILLION and text[-1] == "Z" and text.isascii():
        if len(_seconds) > _SECONDS_LIMIT:
            _seconds.clear()
        _seconds[text[:19]] = moment // _BILLION * _BILLION
    return moment


# What the number in one to nine digits behind the point counts in.
_SCALE: list[int] = [10**power for power in range(9, -1, -1)]
# Seconds as they are written, and what they are; clients speak of the last minutes.
_seconds: dict[str, int] = {}
_SECONDS_LIMIT = 1000


def _parse(text: str) -> int:
    match = _TIMESTAMP.fullmatch(text)
    if match is None:
        raise ValueError(f"found {text[:40]!r}, expected RFC 3339 such as 2006-01-02T15:04:05Z")
    day, hour, minute, second, fraction, sign, offset_hour, offset_minute = match.groups()
    seconds = _day_seconds(day)
    if seconds is None or hour > "23" or minute > "59" or second > "60":
        raise ValueError(f"{text[:40]!r} is not a time that exists")
    seconds += int(hour) * 3600 + int(minute) * 60 + int(second)
    if sign is not None:
        if offset_hour > "23" or offset_minute > "59":
            raise ValueError(f"{text[:40]!r} has an offset that does not exist")
        offset = int(offset_hour) * 3600 + int(offset_minute) * 60
        seconds += offset if sign == "-" else -offset
    nanoseconds = int(fraction[:9].ljust(9, "0")) if fraction else 0
    return min(max(seconds * _BILLION + nanoseconds, _EARLIEST), _LATEST)


@lru_cache(maxsize=64)  # clients speak of today
def _day_seconds(day: str) -> int | None:
    try:
        return (datetime.date.fromisoformat(day).toordinal() - _EPOCH_DAY) * 86400
    except ValueError:
        return None


@lru_cache(maxsize=64)  # lines come sorted: most share their second with the one before
def clock_time(second: int) -> tuple[str, str]:
    """A second of a year from 1000 to 9999 as log.txt shows it, and up to the point of an RFC 3339 timestamp."""
    moment = datetime.datetime.fromtimestamp(second, datetime.UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S"), moment.strftime("%Y-%m-%dT%H:%M:%S.")


def format_timestamp(time: int) -> str:
    """Nanoseconds since the epoch as an RFC 3339 timestamp with all nine digits."""
    second, nanosecond = divmod(time, _BILLION)
    return f"{clock_time(second)[1]}{nanosecond:09d}Z"
