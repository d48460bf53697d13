"""
Moments as text and as nanoseconds since the epoch.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from functools import lru_cache

import msgspec

_TIMESTAMP = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:[.,]([0-9]{1,30}))?"
    r"(?:[Zz]|([+-])([0-9]{2}):?([0-9]{2}))?"
)
_EPOCH_DAY = datetime.date(1970, 1, 1).toordinal()
#: What msgpack can carry: moments in 1677 and in 2262.
EARLIEST, LATEST = -(1 << 63), (1 << 63) - 1
_BILLION = 1_000_000_000


class Beyond(ValueError):
    """A moment that 64 bits cannot hold; ``nearest``: the nearest that they can, `EARLIEST` or `LATEST`."""

    def __init__(self, text: str, nearest: int) -> None:
        super().__init__(f"{text[:40]!r} is before 1678 or after 2261")
        self.nearest = nearest


def parse_timestamp(text: str) -> int:
    """
    Nanoseconds since the epoch of an RFC 3339 timestamp; raises ValueError with what is wrong.

    Beyond RFC 3339 section 5.6: without a zone it is UTC, a comma may stand for the point (ISO 8601) and a blank for
    the T; finer digits than nanoseconds are dropped.  A leap second is the second after it.  What 64 bits cannot hold
    (before 1677, after 2262) raises `Beyond`.
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
    if EARLIEST + _BILLION < moment < LATEST - _BILLION and text[-1] == "Z" and text.isascii():
        if len(_seconds) > _SECONDS_LIMIT:
            _seconds.clear()
        _seconds[text[:19]] = moment // _BILLION * _BILLION
    return moment


def nearest_timestamp(text: str) -> int:
    """`parse_timestamp`, and for `Beyond` the nearest."""
    try:
        return parse_timestamp(text)
    except Beyond as beyond:
        return beyond.nearest


def parse_timestamps(texts: Sequence[str]) -> list[int]:
    """`parse_timestamp` of each of at least one; of a client's batch, whose are alike, in a third of the time."""
    moments = _parse_alike(texts)
    return [parse_timestamp(text) for text in texts] if moments is None else moments


def _parse_alike(texts: Sequence[str]) -> list[int] | None:
    """Of texts in UTC that are equally long, have a fraction, and are of a few seconds; None for others."""
    digits = len(texts[0]) - len("2006-01-02T15:04:05.Z")
    if not 0 < digits < 10 or len(set(map(len, texts))) > 1:
        return None
    # Each becomes its nanoseconds, by a few replacements in all of them together; what else there was is no digit.
    numbers = f",{','.join(texts)},".replace("Z,", "0" * (9 - digits) + ",")
    for _ in range(_DIFFERENT_SECONDS):
        place = numbers.find("T")
        if place < 0:
            break
        second = numbers[place - 10 : place + 9]
        moment = _parse(second + "Z") // _BILLION
        if not 10**9 <= moment < LATEST // _BILLION:  # ten digits: from 2001 on
            return None
        numbers = numbers.replace(f",{second}.", f",{moment}")
    is_plain = numbers.isascii() and not numbers.encode().translate(None, b"0123456789,")
    if not is_plain or len(numbers) - numbers.count(",") != len(texts) * 19:
        return None
    return _numbers_decoder.decode(f"[{numbers[1:-1]}]")


# A batch is mostly of the last second or two.
_DIFFERENT_SECONDS = 4
_numbers_decoder = msgspec.json.Decoder(list[int])
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
    moment = seconds * _BILLION + nanoseconds
    if not EARLIEST < moment < LATEST:
        raise Beyond(text, EARLIEST if moment < 0 else LATEST)
    return moment


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
