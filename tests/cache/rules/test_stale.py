from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.rules.stale import covers_error, covers_refresh
from scalekit.cache.rules.storing import Policy
from tests.cache.rules.asking import NOW, get, kept


class ErrorTests(SynchronousTestCase):
    """RFC 5861 section 4, RFC 9111 section 4.2.4."""

    def test_an_error_of_the_origin(self) -> None:
        stored = kept("Cache-Control: max-age=10, stale-if-error=5")
        for status, after, covered in (
            (500, 14, True),
            (502, 14, True),
            (503, 14, True),
            (504, 14, True),
            (503, 15, False),
            (404, 14, False),
            (501, 14, False),
            (200, 14, False),
        ):
            self.assertEqual(covers_error(stored, get(), status, NOW + after), covered, (status, after))

    def test_an_error_without_a_word_on_it(self) -> None:
        self.assertFalse(covers_error(kept("Cache-Control: max-age=10"), get(), 503, NOW + 11))
        stored = kept("Cache-Control: max-age=10", policy=Policy(if_error=5))
        self.assertTrue(covers_error(stored, get(), 503, NOW + 14))

    def test_no_answer(self) -> None:
        stored = kept("Cache-Control: max-age=10")
        self.assertTrue(covers_error(stored, get(), None, NOW + 3609))
        self.assertFalse(covers_error(stored, get(), None, NOW + 3610))

    def test_what_forbids_it(self) -> None:
        for said in ("must-revalidate", "proxy-revalidate", "no-cache", "s-maxage=10"):
            stored = kept(f"Cache-Control: max-age=10, stale-if-error=9, {said}", 'ETag: "a"')
            for status in (503, None):
                self.assertFalse(covers_error(stored, get(), status, NOW + 11), said)
            self.assertFalse(covers_error(stored, get("Cache-Control: stale-if-error=99"), 503, NOW + 11), said)

    def test_the_request_wants_none(self) -> None:
        stored = kept("Cache-Control: max-age=10")
        self.assertFalse(covers_error(stored, get("Cache-Control: no-cache"), None, NOW + 1))

    def test_it_is_for_somebody_else(self) -> None:
        stored = kept('ETag: "a"')
        self.assertTrue(covers_error(stored, get(), None, NOW + 1))
        self.assertFalse(covers_error(stored, get("Cookie: a=b"), None, NOW + 1))

    def test_the_request_takes_it(self) -> None:
        stored = kept("Cache-Control: max-age=10")
        asked = get("Cache-Control: stale-if-error=5")
        self.assertTrue(covers_error(stored, asked, 503, NOW + 14))
        self.assertFalse(covers_error(stored, asked, 503, NOW + 15))

    def test_refresh(self) -> None:
        stored = kept("Cache-Control: max-age=10, stale-while-revalidate=5")
        self.assertTrue(covers_refresh(stored, NOW + 14))
        self.assertFalse(covers_refresh(stored, NOW + 15))
