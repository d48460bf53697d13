"""
Timestamps of BSD syslog (RFC 3164 section 4.1.2): ``Nov  3 22:14:15``, without a year and without a zone.

The year is the last one in which they are not of the future, but for two days: zones are up to 26 hours apart, and
clocks are wrong.  So December's are last year's in January, and January's next year's in the last hours of December.
The zone is that of this machine, as no other is known.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from functools import lru_cache

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
#: Beyond the RFC: a year (Cisco ASA), a fraction (IOS, rsyslog's high precision), and a blank or a zero before the day.
STAMP = (
    r"(?P<month>Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) (?P<day>[ 0-3]?[0-9]) (?:(?P<year>[0-9]{4}) )?"
    r"(?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.(?P<fraction>[0-9]{1,9}))?"
)
_BILLION = 1_000_000_000
_EPOCH_DAY = datetime.date(1970, 1, 1).toordinal()
_AHEAD_SECONDS = 2 * 86400
# Leap years are eight years apart around 1900 and 2100, else four: nobody keeps 29 February for longer.
_YEARS_BACK = 4
_LATEST = 1 << 63  # nanoseconds that 64 bits hold

#: Seconds that clocks of this machine are ahead of UTC at this many seconds since the epoch.
OffsetAt = Callable[[float], int]


def resolve(match: re.Match[str], now: int, offset_at: OffsetAt) -> int | None:
    """
    Nanoseconds since the epoch of what `STAMP` has matched; None for a time that does not exist.

    :param now: nanoseconds since the epoch.
    """
    # Its hour decides about the year; and of most stamps the second has been asked for a moment ago.
    hour = now // _BILLION // 3600
    seconds = _seconds(match["month"], match["day"], match["year"], match["time"], hour, offset_at)
    if seconds is None:
        return None
    moment = seconds * _BILLION + int((match["fraction"] or "").ljust(9, "0"))
    return moment if -_LATEST <= moment < _LATEST else None


@lru_cache(maxsize=256)
def _seconds(month: str, day: str, year: str | None, time: str, hour: int, offset_at: OffsetAt) -> int | None:
    latest = hour * 3600 + _AHEAD_SECONDS
    present = datetime.date.fromordinal(max(1, latest // 86400 + _EPOCH_DAY)).year
    number = _MONTHS.index(month) + 1
    if year is not None:
        return _moment(int(year), number, int(day), time, offset_at)
    for each in range(present, present - _YEARS_BACK - 1, -1):
        seconds = _moment(each, number, int(day), time, offset_at)
        if seconds is not None and seconds <= latest:
            return seconds
    return None


def _moment(year: int, month: int, day: int, time: str, offset_at: OffsetAt) -> int | None:
    hour, minute, second = map(int, time.split(":"))
    # A leap second is the second after it, as in RFC 3339 timestamps.
    if hour > 23 or minute > 59 or second > 60:
        return None
    try:
        days = datetime.date(year, month, day).toordinal() - _EPOCH_DAY
    except ValueError:
        return None
    seconds = ((days * 24 + hour) * 60 + minute) * 60 + second
    # The offset of then, not of now: the clocks may have been changed in between.
    return seconds - offset_at(seconds - offset_at(seconds))
