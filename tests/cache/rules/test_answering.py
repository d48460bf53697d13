from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.rules.answering import Answer, answer
from scalekit.cache.rules.stored import Stored
from tests.cache.rules.asking import NOW, get, kept

DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
CHANGED = "Sun, 06 Nov 1994 07:49:37 GMT"
FRESH = "Cache-Control: max-age=99"
TAGGED = (FRESH, 'ETag: "a"', f"Last-Modified: {CHANGED}", f"Date: {DATE}", "Content-Type: text/plain", "X: y")


def answered(stored: Stored, *lines: str, method: str = "GET", after: float = 2) -> Answer:
    return answer(stored, get(*lines, method=method), 10, NOW + after)


class AnswerTests(SynchronousTestCase):
    def test_whole(self) -> None:
        """RFC 9111 section 4: Age is said anew, all else is as it was stored."""
        stored = kept(*TAGGED, "Age: 30")
        head, first, last = answered(stored, after=2.5)
        self.assertEqual((head.status, head.length, first, last), (200, 10, 0, 9))
        self.assertEqual(head.fields, [*stored.fields, (b"Age", b"32")])
        self.assertTrue(head.has_date)

    def test_head(self) -> None:
        head, *_ = answered(kept(*TAGGED), method="HEAD")
        self.assertEqual((head.status, head.length), (200, 10))

    def test_not_modified(self) -> None:
        """RFC 9110 section 13.2.2: If-None-Match wins."""
        stored = kept(*TAGGED)
        for lines, status in (
            (['If-None-Match: "a"'], 304),
            (['If-None-Match: W/"a"'], 304),
            (['If-None-Match: "b", "a", "c"'], 304),
            (['If-None-Match: "b"', 'If-None-Match: "a"'], 304),
            (["If-None-Match: *"], 304),
            (['If-None-Match: "b"'], 200),
            (["If-None-Match: a"], 200),
            ([f"If-Modified-Since: {CHANGED}"], 304),
            (["If-Modified-Since: Sunday, 06-Nov-94 07:49:37 GMT"], 304),
            ([f"If-Modified-Since: {DATE}"], 304),
            (["If-Modified-Since: Sun, 06 Nov 1994 07:49:36 GMT"], 200),
            (["If-Modified-Since: foo"], 200),
            (['If-None-Match: "b"', f"If-Modified-Since: {DATE}"], 200),
            (['If-None-Match: "a"', "If-Modified-Since: foo"], 304),
            (['If-None-Match: "a"', "Range: bytes=0-1"], 304),
        ):
            for method in ("GET", "HEAD"):
                self.assertEqual(answered(stored, *lines, method=method).head.status, status, lines)

    def test_fields_of_a_304(self) -> None:
        """Section 15.4.5."""
        head, first, last = answered(kept(*TAGGED), 'If-None-Match: "a"')
        self.assertEqual((head.length, last < first), (None, True))
        self.assertEqual(
            [name for name, _ in head.fields], [b"Cache-Control", b"ETag", b"Last-Modified", b"Date", b"X", b"Age"]
        )

    def test_without_last_modified_its_date_counts(self) -> None:
        """RFC 9111 section 4.3.2."""
        stored = kept(FRESH, f"Date: {DATE}")
        self.assertEqual(answered(stored, f"If-Modified-Since: {DATE}").head.status, 304)
        self.assertEqual(answered(stored, f"If-Modified-Since: {CHANGED}").head.status, 200)
        self.assertEqual(answered(stored, 'If-None-Match: "a"').head.status, 200)

    def test_conditions_are_for_successes(self) -> None:
        """RFC 9110 section 13.2.1."""
        stored = kept(*TAGGED, status=404)
        self.assertEqual(answered(stored, 'If-None-Match: "a"').head.status, 404)
        self.assertEqual(answered(stored, "Range: bytes=0-1").head.status, 404)

    def test_ranges(self) -> None:
        """Section 14."""
        stored = kept(*TAGGED)
        for value, expected in (
            ("bytes=0-1", (206, 0, 1)),
            ("bytes=1-", (206, 1, 9)),
            ("bytes=-1", (206, 9, 9)),
            ("bytes=5-99", (206, 5, 9)),
            ("bytes=0-1, 3-4", (200, 0, 9)),
            ("lines=0-1", (200, 0, 9)),
            ("bytes=10-", (416, 0, -1)),
        ):
            head, first, last = answered(stored, "Range: " + value)
            self.assertEqual((head.status, first, last), expected, value)
            self.assertEqual(head.length, last - first + 1)
        self.assertEqual(answered(stored, "Range: bytes=0-1").head.get(b"content-range"), b"bytes 0-1/10")
        self.assertEqual(answered(stored, "Range: bytes=10-").head.get(b"content-range"), b"bytes */10")
        self.assertEqual(answered(stored, "Range: bytes=0-1", method="HEAD").head.status, 200)

    def test_if_range(self) -> None:
        """Section 13.1.5: a strong tag, or a date that is strong."""
        stored = kept(*TAGGED)
        weak = kept(FRESH, 'ETag: W/"a"', f"Last-Modified: {DATE}", f"Date: {DATE}")
        for one, condition, status in (
            (stored, '"a"', 206),
            (stored, '"b"', 200),
            (stored, 'W/"a"', 200),
            (weak, 'W/"a"', 200),
            (stored, CHANGED, 206),
            (stored, DATE, 200),
            (stored, "foo", 200),
            (weak, DATE, 200),
        ):
            head, *_ = answered(one, "Range: bytes=0-1", f"If-Range: {condition}")
            self.assertEqual(head.status, status, condition)
