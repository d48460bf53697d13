"""Moments: RFC 3339 and what is near it, to the nanosecond."""

from __future__ import annotations

import contextlib
import datetime

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.moments import (
    EARLIEST,
    LATEST,
    Beyond,
    format_timestamp,
    nearest_timestamp,
    parse_timestamp,
    parse_timestamps,
)

SECOND = 1_000_000_000
AT = 1_136_214_245 * SECOND


#: Texts that are alike, and now and then one that is not.
_likely = st.builds(
    "{}{}{}".format,
    st.sampled_from(["2006-01-02T15:04:0", "2006-01-02T15:04:0", "2262-04-11T23:47:1", "1970-01-01T00:00:0"]),
    st.sampled_from(["5.1234", "6.0000", "5.9999"]),
    st.sampled_from(["Z", "Z", "Z", "z", "5", "e", ",", ""]),
)
_unlikely = st.text(st.sampled_from("0123456789-:TZ.,e٣"), min_size=22, max_size=26)


class TimestampTests(SynchronousTestCase):
    """`parse_timestamp`."""

    def test_forms(self) -> None:
        """RFC 3339, and what is near it."""
        for text, time in (
            ("2006-01-02T15:04:05Z", AT),
            ("2006-01-02t15:04:05z", AT),
            ("2006-01-02 15:04:05", AT),
            ("2006-01-02T15:04:05", AT),
            ("2006-01-02T16:34:05+01:30", AT),
            ("2006-01-02T08:04:05-0700", AT),
            ("2006-01-02T15:04:05.123456789Z", AT + 123_456_789),
            ("2006-01-02T15:04:05,5Z", AT + 500_000_000),
            ("2006-01-02T15:04:05.1234567899Z", AT + 123_456_789),
            ("2006-01-02T15:04:05.٣Z", None),
            ("2006-01-02T15:04:05.1z", AT + 100_000_000),
            ("2016-12-31T23:59:60Z", 1_483_228_800 * SECOND),
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59.5Z", -SECOND // 2),
        ):
            for _ in range(2):  # the second time, its second is known
                if time is None:
                    self.assertRaises(ValueError, parse_timestamp, text)
                else:
                    self.assertEqual(parse_timestamp(text), time, text)

    def test_beyond(self) -> None:
        """What 64 bits cannot hold is an error that has the nearest that they can."""
        for text, nearest in (
            ("0001-01-01T00:00:00Z", EARLIEST),
            ("1677-09-21T00:12:43Z", EARLIEST),
            ("2262-04-11T23:47:17.5Z", LATEST),
            ("9999-12-31T23:59:59.999-23:59", LATEST),
        ):
            self.assertEqual(self.assertRaises(Beyond, parse_timestamp, text).nearest, nearest)
            self.assertRaises(Beyond, parse_timestamps, [text])
            self.assertEqual(nearest_timestamp(text), nearest)
        self.assertEqual(nearest_timestamp("2006-01-02T15:04:05Z"), AT)

    @given(
        st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2260, 1, 1)),
        st.integers(-23 * 60, 23 * 60),
    )
    def test_agrees_with_datetime(self, moment: datetime.datetime, offset: int) -> None:
        """Any time in any zone."""
        zone = datetime.timezone(datetime.timedelta(minutes=offset))
        moment = moment.replace(tzinfo=zone)
        elapsed = moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
        expected = elapsed // datetime.timedelta(microseconds=1) * 1000
        self.assertEqual(parse_timestamp(moment.isoformat()), expected)

    @given(st.text(st.sampled_from("0123456789-:TZ+. ٣"), max_size=40))
    def test_any_text(self, text: str) -> None:
        """A time or a ValueError."""
        with contextlib.suppress(ValueError):
            parse_timestamp(text)

    @given(st.lists(_likely | _likely | _likely | _unlikely, min_size=1, max_size=5))
    def test_many(self, texts: list[str]) -> None:
        """As one by one."""
        try:
            expected = [parse_timestamp(text) for text in texts]
        except ValueError:
            self.assertRaises(ValueError, parse_timestamps, texts)
        else:
            self.assertEqual(parse_timestamps(texts), expected)

    @given(st.lists(st.datetimes(datetime.datetime(2001, 9, 9, 2), datetime.datetime(2262, 1, 1)), min_size=1))
    def test_many_that_are_alike(self, moments: list[datetime.datetime]) -> None:
        """Of few seconds and of many."""
        texts = [moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ") for moment in moments]
        self.assertEqual(parse_timestamps(texts), [parse_timestamp(text) for text in texts])

    @given(st.integers(-1_000_000_000 * SECOND, 9_000_000_000 * SECOND))
    def test_round_trip(self, time: int) -> None:
        """What is written is read, to the nanosecond."""
        self.assertEqual(parse_timestamp(format_timestamp(time)), time)
