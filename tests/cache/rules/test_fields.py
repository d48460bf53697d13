from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.rules.fields import LONGEST, age, directives, directives_of, http_date, seconds
from tests.cache.rules.asking import NOW


class DirectivesTests(SynchronousTestCase):
    """RFC 9111 section 5.2."""

    def test_values(self) -> None:
        for value, expected in (
            (b"", {}),
            (b"max-age=5", {b"max-age": b"5"}),
            (b" MaX-aGe=5 ,\tPublic ", {b"max-age": b"5", b"public": b""}),
            (b'max-age="5"', {b"max-age": b"5"}),
            (b"max-age='5'", {b"max-age": b"'5'"}),
            (b'x="max-age=5", max-age=1', {b"x": b"max-age=5", b"max-age": b"1"}),
            (b'x="a\\", no-store", max-age=1', {b"x": b'a", no-store', b"max-age": b"1"}),
            (b",,no-store,,", {b"no-store": b""}),
            (b'no-cache="a, B"', {b"no-cache": b"a, B"}),
        ):
            self.assertEqual(directives(value), expected, value)

    def test_several_fields_are_one_list(self) -> None:
        self.assertEqual(directives_of([b"a", b"b=1"]), {b"a": b"", b"b": b"1"})
        self.assertEqual(directives_of([]), {})

    def test_twice(self) -> None:
        """Section 4.2.1: what differs is stale; of two no-cache, the one holds that is for all fields."""
        self.assertEqual(directives(b"max-age=5, max-age=5"), {b"max-age": b"5"})
        self.assertIsNone(seconds(directives(b"max-age=5, max-age=6")[b"max-age"]))
        self.assertEqual(directives(b'no-cache="a", no-cache'), {b"no-cache": b""})
        self.assertEqual(directives(b'no-cache, no-cache="a"'), {b"no-cache": b""})
        self.assertEqual(directives(b'no-cache="a", no-cache="b"'), {b"no-cache": b""})

    def test_long_ones_are_not_remembered(self) -> None:
        long = b"x" * 300 + b"=1, max-age=5"
        self.assertEqual(directives(long)[b"max-age"], b"5")
        self.assertIsNot(directives(long), directives(long))
        self.assertIs(directives(b"max-age=5"), directives(b"max-age=5"))

    def test_space_around_the_equals_sign_is_no_number(self) -> None:
        for value in (b"max-age =5", b"max-age= 5"):
            self.assertIsNone(seconds(directives(value)[b"max-age"]), value)

    def test_quotes_that_stay_open_forbid_storing(self) -> None:
        for value in (b'x="a, max-age=5', b'max-age=5, x="', b'x="a\\"'):
            self.assertIn(b"no-store", directives(value), value)

    @given(st.text("nos-tre,= \t\"'\\;x0", max_size=40))
    def test_anything_has_directives(self, value: str) -> None:
        for name in directives(value.encode()):
            self.assertEqual(name, name.lower())


class SecondsTests(SynchronousTestCase):
    def test_numbers(self) -> None:
        """Section 1.2.2: leading zeros are nothing, what is too large is the largest."""
        for value, expected in (
            (b"0", 0),
            (b"003600", 3600),
            (b"2147483647", 2**31 - 1),
            (b"2147483648", LONGEST),
            (b"99999999999", LONGEST),
            (b"9" * 64, LONGEST),
        ):
            self.assertEqual(seconds(value), expected, value)

    def test_what_is_none(self) -> None:
        for value in (b"", b"-1", b"+1", b"1.0", b"1a", b"a1", b" 1", b"1_0", b"\xb2", b"9" * 65):
            self.assertIsNone(seconds(value), value)

    def test_age(self) -> None:
        """Section 5.1: the first of a list; what is no number is not there."""
        for values, expected in (
            ([], 0),
            ([b"7"], 7),
            ([b"7, 0"], 7),
            ([b"0,7200"], 0),
            ([b"0", b"7"], 0),
            ([b"abc"], 0),
            ([b"-7"], 0),
            ([b"7.0"], 0),
            ([b"7;x=1"], 0),
            ([b"99999999999"], LONGEST),
        ):
            self.assertEqual(age(values), expected, values)


class DateTests(SynchronousTestCase):
    """RFC 9110 section 5.6.7."""

    def test_three_forms(self) -> None:
        for value in (
            b"Sun, 06 Nov 1994 08:49:37 GMT",
            b"Sunday, 06-Nov-94 08:49:37 GMT",
            b"Sun Nov  6 08:49:37 1994",
            b"sun, 06 NOV 1994 08:49:37 gmt",
        ):
            self.assertEqual(http_date(value), NOW, value)

    def test_two_digits_of_a_year(self) -> None:
        self.assertEqual(http_date(b"Thursday, 18-Aug-50 02:01:18 GMT"), http_date(b"Thu, 18 Aug 2050 02:01:18 GMT"))

    def test_what_is_none(self) -> None:
        for value in (
            b"",
            b"0",
            b"-1",
            b"784111777",
            b"Sun, 06 Nov 1994 08:49:37",
            b"Sun, 06 Nov 1994 08:49:37 UTC",
            b"Sun, 06 Nov 1994 08:49:37 +0000",
            b"Sun 06 Nov 1994 08:49:37 GMT",
            b"Sun, 06  Nov 1994 08:49:37 GMT",
            b"Sun, 06-Nov-1994 08:49:37 GMT",
            b"Sun, 06 Nov 94 08:49:37 GMT",
            b"Sun, 06 Nov 1994 8:49:37 GMT",
            b"Sun, 06 Nov 1994 08.49.37 GMT",
            b"Sun, 06 Nov 1994 24:49:37 GMT",
            b"Sun, 00 Nov 1994 08:49:37 GMT",
            b"Sun, 32 Nov 1994 08:49:37 GMT",
            b"Sun, 06 Nov 1994 08:60:37 GMT",
        ):
            self.assertIsNone(http_date(value), value)

    @given(st.binary(max_size=40))
    def test_anything_is_a_date_or_none(self, value: bytes) -> None:
        http_date(value)
