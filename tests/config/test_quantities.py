"""Durations and sizes: text <-> value."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.config.quantities import (
    GIB,
    LONGEST_SECONDS,
    format_duration,
    format_size,
    parse_duration,
    parse_size,
    size_for_people,
)


class DurationTests(SynchronousTestCase):
    def test_every_unit(self) -> None:
        expected = {
            "250ms": 0.25,
            "9ms": 0.009,
            "5s": 5.0,
            "2m": 120.0,
            "1h": 3600.0,
            "1d": 86400.0,
            "1.5s": 1.5,
            "0.5m": 30.0,
            "0s": 0.0,
        }
        self.assertEqual({text: parse_duration(text) for text in expected}, expected)

    def test_what_is_no_duration(self) -> None:
        wrong = ["", "5", "s", "-1s", "+1s", "1 s", "1S", "1m30s", "1e3s", ".5s", "1.s", "٣s", "5s\n", "3651d", "1_0s"]
        for text in wrong:
            with self.assertRaises(ValueError, msg=text):
                parse_duration(text)

    def test_the_shortest_text_is_chosen(self) -> None:
        expected = {0.25: "250ms", 5.0: "5s", 90.0: "90s", 120.0: "2m", 7200.0: "2h", 172800.0: "2d", 0.0: "0s"}
        self.assertEqual({value: format_duration(value) for value in expected}, expected)

    @given(st.floats(0.0, LONGEST_SECONDS, allow_subnormal=False).filter(lambda value: value == 0 or value > 1e-9))
    def test_every_duration_comes_back(self, seconds: float) -> None:
        self.assertEqual(parse_duration(format_duration(seconds)), seconds)

    @given(st.integers(0, 10**10))
    def test_every_millisecond_comes_back(self, milliseconds: int) -> None:
        self.assertEqual(parse_duration(format_duration(milliseconds / 1000)), milliseconds / 1000)


class SizeTests(SynchronousTestCase):
    def test_every_unit(self) -> None:
        expected = {"7": 7, "7B": 7, "64KiB": 65536, "1MiB": 1 << 20, "1GiB": 1 << 30, "2TiB": 2 << 40, "0": 0}
        self.assertEqual({text: parse_size(text) for text in expected}, expected)

    def test_what_is_no_size(self) -> None:
        for text in ["", "KiB", "-1", "1KB", "1K", "1kib", "1.5GiB", "1 MiB", "0x10", "1_000", "٣", "7\n"]:
            with self.assertRaises(ValueError, msg=text):
                parse_size(text)

    @given(st.integers(0, 1 << 59))
    def test_every_size_comes_back(self, size: int) -> None:
        self.assertEqual(parse_size(format_size(size)), size)

    def test_for_people(self) -> None:
        """One digit behind the point where there is only one before it."""
        sizes = [0, 1023, 1024, 20_000, 3 << 20, 2047 * GIB, 5000 * GIB]
        shown = ["0 B", "1023 B", "1.0 KiB", "20 KiB", "3.0 MiB", "2.0 TiB", "4.9 TiB"]
        self.assertEqual([size_for_people(size).replace("\u00a0", " ") for size in sizes], shown)
