"""Cookies of a request."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.http.cookies import cookie_value, without_cookie


class CookieTests(SynchronousTestCase):
    def test_values(self) -> None:
        for line, expected in (
            (b"a=1", b"1"),
            (b"b=2; a=1", b"1"),
            (b"b=2;a=1;a=3", b"1"),
            (b"a=x=y", b"x=y"),
            (b"a=", b""),
            (b"a", None),
            (b"aa=1", None),
            (b"A=1", None),
            (b"", None),
        ):
            self.assertEqual(cookie_value([(b"Host", b"a=9"), (b"Cookie", line)], b"a"), expected, line)

    def test_several_fields(self) -> None:
        """HTTP/2 may bring each cookie in a field of its own (RFC 9113 section 8.2.3)."""
        self.assertEqual(cookie_value([(b"cookie", b"a=1"), (b"cookie", b"b=2")], b"b"), b"2")

    def test_without_one(self) -> None:
        for line, expected in (
            (b"a=1", b""),
            (b"a=1; b=2", b"b=2"),
            (b"b=2; a=1; c=3; a=4", b"b=2; c=3"),
            (b"b=2;  aa=1 ;a", b"b=2;  aa=1"),
            (b"b=a=1", b"b=a=1"),
        ):
            self.assertEqual(without_cookie(line, b"a"), expected, line)

    @given(st.lists(st.binary(max_size=40), max_size=3))
    def test_whatever_comes(self, lines: list[bytes]) -> None:
        """No cookie field breaks it, and what is found has been sent."""
        found = cookie_value([(b"Cookie", line) for line in lines], b"a")
        self.assertTrue(found is None or any(found in line for line in lines))
