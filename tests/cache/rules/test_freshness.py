from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.rules.fields import LONGEST
from scalekit.cache.rules.freshness import age_on_arrival, guess, lifetime
from scalekit.cache.rules.targeted import controls
from tests.cache.rules.asking import NOW, values

DATE = "Date: Sun, 06 Nov 1994 08:49:37 GMT"
HOUR_AGO = "Sun, 06 Nov 1994 07:49:37 GMT"
IN_AN_HOUR = "Sun, 06 Nov 1994 09:49:37 GMT"


class LifetimeTests(SynchronousTestCase):
    """RFC 9111 section 4.2.1."""

    def check(self, expected: float | None, *lines: str, status: int = 200) -> None:
        found = values(*lines)
        said = controls(found)
        fresh = lifetime(found, *said, NOW)
        self.assertEqual(guess(status, found, *said, NOW) if fresh is None else fresh, expected, lines)

    def test_the_first_of_these(self) -> None:
        self.check(5, "Cache-Control: s-maxage=5, max-age=9", "Expires: " + IN_AN_HOUR)
        self.check(5, "Cache-Control: max-age=9", "Cache-Control: s-maxage=5")
        self.check(9, "Cache-Control: max-age=9", "Expires: " + IN_AN_HOUR, DATE)
        self.check(3600, "Expires: " + IN_AN_HOUR, DATE)
        self.check(0, "Cache-Control: max-age=0", "Expires: " + IN_AN_HOUR)
        self.check(9, "Cache-Control: max-age=9", "Expires: 0")

    def test_what_cannot_be_read_is_stale(self) -> None:
        for value in ("-1", "1.5", "x", "", "'9'", "9, max-age=8"):
            self.check(0, f"Cache-Control: max-age={value}", "Expires: " + IN_AN_HOUR)
        for value in ("0", "", "tomorrow", HOUR_AGO):
            self.check(0, "Expires: " + value, DATE)
        self.check(0, "Expires: " + IN_AN_HOUR, "Expires: " + HOUR_AGO, DATE)

    def test_expires_without_a_date(self) -> None:
        """The moment it came stands in for it."""
        self.check(3600, "Expires: " + IN_AN_HOUR)
        self.check(3600, "Expires: " + IN_AN_HOUR, "Date: foo")

    def test_far_away(self) -> None:
        self.check(LONGEST, "Cache-Control: max-age=99999999999")
        self.check(LONGEST, "Expires: Sun, 21 Nov 2286 04:46:39 GMT", DATE)

    def test_guesses(self) -> None:
        """Section 4.2.2: a tenth of the time since the last change, a day at most, for the codes that allow it."""
        changed = "Last-Modified: " + HOUR_AGO
        for status in (200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501):
            self.check(360, changed, DATE, status=status)
        for status in (201, 202, 302, 303, 307, 403, 500, 502, 503, 504, 599):
            self.check(None, changed, DATE, status=status)
            self.check(360, changed, DATE, "Cache-Control: public", status=status)
        self.check(86_400, "Last-Modified: Sun, 06 Nov 1970 07:49:37 GMT", DATE)

    def test_no_guess(self) -> None:
        self.check(None, DATE)
        self.check(None, DATE, "Last-Modified: foo")
        self.check(None, DATE, "Last-Modified: " + IN_AN_HOUR)

    def test_targeted_without_an_age(self) -> None:
        self.check(None, "CDN-Cache-Control: foo", "Expires: " + IN_AN_HOUR)


class AgeTests(SynchronousTestCase):
    """Section 4.2.3."""

    def test_the_greater(self) -> None:
        for lines, age in (
            ((), 2),
            (("Age: 30",), 32),
            ((DATE,), 5),
            ((DATE, "Age: 1"), 5),
            ((DATE, "Age: 30"), 32),
            (("Date: foo", "Age: foo"), 2),
            (("Date: " + IN_AN_HOUR,), 2),
        ):
            self.assertEqual(age_on_arrival(values(*lines), NOW + 3, NOW + 5), age, lines)
