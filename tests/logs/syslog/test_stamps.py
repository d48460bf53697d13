"""Timestamps without a year and a zone."""

from __future__ import annotations

import datetime
import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.moments import parse_timestamp
from scalekit.logs.syslog.stamps import STAMP, OffsetAt, resolve

SECOND = 1_000_000_000
_STAMP = re.compile(STAMP)


def utc(seconds: float) -> int:
    return 0


def summer_time(seconds: float) -> int:
    """An hour ahead, in the summer of 2026 two, as in Berlin."""
    begin, end = (parse_timestamp(f"2026-{day}T01:00:00Z") // SECOND for day in ("03-29", "10-25"))
    return 7200 if begin <= seconds < end else 3600


def resolved(text: str, now: str, offset_at: OffsetAt = utc) -> int | None:
    match = _STAMP.fullmatch(text)
    assert match is not None, text
    return resolve(match, parse_timestamp(now), offset_at)


class ResolveTests(SynchronousTestCase):
    """`resolve`."""

    def test_years(self) -> None:
        """The last one that is not of the future, but for two days."""
        for text, now, expected in (
            ("Nov 23 22:14:15", "2026-11-23T22:14:15Z", "2026-11-23T22:14:15Z"),
            ("Dec 31 23:59:59", "2027-01-01T00:00:05Z", "2026-12-31T23:59:59Z"),
            ("Jan  1 00:00:05", "2026-12-31T23:59:59Z", "2027-01-01T00:00:05Z"),
            ("Jan 01 13:00:00", "2026-12-31T23:00:00Z", "2027-01-01T13:00:00Z"),
            ("Jan 5 13:00:00", "2026-12-31T23:00:00Z", "2026-01-05T13:00:00Z"),
            ("Feb 29 12:00:00", "2027-01-01T00:00:00Z", "2024-02-29T12:00:00Z"),
            ("Dec 31 23:59:60", "2017-01-01T00:00:00Z", "2017-01-01T00:00:00Z"),
            ("Nov 23 22:14:15.25", "2026-11-23T22:14:15Z", "2026-11-23T22:14:15.25Z"),
            ("Oct 11 2003 22:14:15", "2026-11-23T22:14:15Z", "2003-10-11T22:14:15Z"),
        ):
            self.assertEqual(resolved(text, now), parse_timestamp(expected), text)

    def test_zones(self) -> None:
        """The offset is that of then."""
        for text, expected in (
            ("Jul  1 12:00:00", "2026-07-01T10:00:00Z"),
            ("Nov 23 12:00:00", "2026-11-23T11:00:00Z"),
            ("Mar 29 03:30:00", "2026-03-29T01:30:00Z"),
            ("Mar 29 01:30:00", "2026-03-29T00:30:00Z"),
        ):
            self.assertEqual(resolved(text, "2026-11-23T22:00:00Z", summer_time), parse_timestamp(expected), text)

    def test_what_does_not_exist(self) -> None:
        for text in ("Feb 30 00:00:00", "Jan  0 00:00:00", "Jan 1 24:00:00", "Jan 1 00:60:00", "Jan 1 00:00:61"):
            self.assertIsNone(resolved(text, "2026-11-23T22:00:00Z"), text)
        self.assertIsNone(resolved("Jan 1 9999 00:00:00", "2026-11-23T22:00:00Z"))
        self.assertIsNone(resolved("Jan 1 0000 00:00:00", "2026-11-23T22:00:00Z"))

    @given(
        st.datetimes(datetime.datetime(1980, 1, 1), datetime.datetime(2200, 1, 1)),
        st.timedeltas(datetime.timedelta(days=-1), datetime.timedelta(days=360)),
    )
    def test_what_is_sent_is_resolved(self, sent: datetime.datetime, ago: datetime.timedelta) -> None:
        """Whatever has been under way for up to a year, or is a day ahead of us."""
        sent = sent.replace(microsecond=0)
        stamp = f"{sent:%b} {sent.day:2} {sent:%H:%M:%S}"
        expected = parse_timestamp(f"{sent:%Y-%m-%dT%H:%M:%S}Z")
        match = _STAMP.fullmatch(stamp)
        assert match is not None
        self.assertEqual(resolve(match, expected + ago // datetime.timedelta(microseconds=1) * 1000, utc), expected)
