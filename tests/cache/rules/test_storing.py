from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.rules.stored import Stored
from scalekit.cache.rules.storing import Policy, Refusal
from tests.cache.rules.asking import NOW, fields, get, kept, planned

FRESH = "Cache-Control: max-age=9"
VALIDATORS = ('ETag: "a"', "Last-Modified: Sun, 06 Nov 1994 07:49:37 GMT")


class RefusalTests(SynchronousTestCase):
    """RFC 9111 section 3."""

    def test_methods(self) -> None:
        for asked in (get(method="POST"), get(method="HEAD"), get(length=5), get(length=None), get(method="PUT")):
            self.assertEqual(planned(FRESH, asked=asked), Refusal.METHOD)

    def test_directives(self) -> None:
        for said, refusal in (
            ("no-store, max-age=9", Refusal.NO_STORE),
            ("nO-StOrE", Refusal.NO_STORE),
            ("private, max-age=9", Refusal.PRIVATE),
            ('private="set-cookie", max-age=9', Refusal.PRIVATE),
            ('x="a, max-age=9', Refusal.NO_STORE),
            ("max-age=0", Refusal.NO_FRESHNESS),
            ("max-age=-9", Refusal.NO_FRESHNESS),
            ("no-cache, max-age=9", Refusal.NO_FRESHNESS),
            ("public", Refusal.NO_FRESHNESS),
            ("", Refusal.NO_FRESHNESS),
        ):
            self.assertEqual(planned("Cache-Control: " + said), refusal, said)

    def test_the_request_forbids_it(self) -> None:
        """Section 5.2.1.5."""
        self.assertEqual(planned(FRESH, asked=get("Cache-Control: no-store")), Refusal.REQUEST)

    def test_any_status_with_explicit_freshness(self) -> None:
        for status in (200, 203, 204, 299, 301, 302, 303, 307, 308, 400, 404, 410, 499, 500, 502, 503, 504, 599):
            self.assertIsInstance(planned(FRESH, status=status), Stored, status)

    def test_parts_and_what_conditions_made(self) -> None:
        for status, refusal in (
            (206, Refusal.PARTIAL),
            (416, Refusal.PARTIAL),
            (304, Refusal.STATUS),
            (412, Refusal.STATUS),
        ):
            self.assertEqual(planned(FRESH, status=status), refusal)

    def test_must_understand(self) -> None:
        """Section 5.2.2.3: it is there for caches that know the status, and takes no-store's place for them."""
        self.assertEqual(planned("Cache-Control: max-age=9, must-understand", status=599), Refusal.UNDERSTOOD)
        self.assertIsInstance(planned("Cache-Control: max-age=9, must-understand, no-store"), Stored)

    def test_authorization(self) -> None:
        """Section 3.5."""
        asked = get("Authorization: Basic YTpi")
        self.assertEqual(planned(FRESH, asked=asked), Refusal.AUTHORIZATION)
        self.assertEqual(planned("Cache-Control: max-age=9, proxy-revalidate", asked=asked), Refusal.AUTHORIZATION)
        for said in ("public", "s-maxage=9", "must-revalidate"):
            self.assertIsInstance(planned(f"Cache-Control: max-age=9, {said}", asked=asked), Stored)

    def test_cookies(self) -> None:
        """Section 7.3 leaves it to us."""
        cookie = "Set-Cookie: a=b"
        self.assertEqual(planned(FRESH, cookie), Refusal.COOKIE)
        self.assertIsInstance(planned("Cache-Control: s-maxage=9", cookie), Stored)
        self.assertIsInstance(planned("Cache-Control: max-age=9, public", cookie), Stored)
        self.assertIsInstance(planned(FRESH, cookie, policy=Policy(stores_cookies=True)), Stored)

    def test_users_that_the_app_knows(self) -> None:
        """Without a word on it their answers are not kept, and nobody else's are for them."""
        known = get("Cookie: session=1")
        for validator in VALIDATORS:
            self.assertEqual(planned(validator, asked=known), Refusal.KNOWN)
            self.assertFalse(kept(validator).serves(known))
            for said in ("max-age=9", "public", "no-cache", "must-revalidate"):
                self.assertTrue(kept(validator, f"Cache-Control: {said}", asked=known).serves(known))
        self.assertTrue(kept(FRESH, asked=known).serves(get()))

    def test_no_guesses(self) -> None:
        stored = kept(VALIDATORS[1], policy=Policy(guesses=False))
        self.assertEqual(stored.fresh_until, NOW)

    def test_neither_freshness_nor_validator(self) -> None:
        self.assertEqual(planned(), Refusal.NO_FRESHNESS)
        self.assertEqual(planned("Cache-Control: max-age=9", "Age: 9"), Refusal.NO_FRESHNESS)
        self.assertEqual(planned('ETag: "a"', status=503), Refusal.NO_FRESHNESS)
        for validator in VALIDATORS:
            self.assertIsInstance(planned(validator), Stored)
            self.assertIsInstance(planned(validator, "Cache-Control: no-cache"), Stored)

    def test_stale_windows_are_freshness_enough(self) -> None:
        self.assertIsInstance(planned("Cache-Control: max-age=0, stale-while-revalidate=9"), Stored)
        self.assertEqual(
            planned("Cache-Control: max-age=0, stale-while-revalidate=9, must-revalidate"), Refusal.NO_FRESHNESS
        )


class KeptTests(SynchronousTestCase):
    def test_fields(self) -> None:
        """Section 3.1: those of one hop, and those that no-cache names, are not."""
        stored = kept(
            'Cache-Control: max-age=9, no-cache="X-A, x-b"',
            "Date: Sun, 06 Nov 1994 08:49:37 GMT",
            "X-A: 1",
            "X-B: 2",
            "X-C: 3",
            "Age: 4",
            "Keep-Alive: timeout=5",
            "Proxy-Authenticate: Basic",
            "Proxy-Authentication-Info: x",
            "Proxy-Authorization: x",
            "Proxy-Connection: close",
            "TE: trailers",
            "Upgrade: h2c",
            "Cache-Status: other; hit",
            "WWW-Authenticate: Basic",
        )
        self.assertEqual([name for name, _ in stored.fields], [b"Cache-Control", b"Date", b"X-C", b"WWW-Authenticate"])
        self.assertEqual(stored.fresh_until, NOW + 5)

    def test_date_is_made_where_there_is_none(self) -> None:
        """RFC 9110 section 6.6.1."""
        self.assertEqual(kept(FRESH).date, b"Sun, 06 Nov 1994 08:49:37 GMT")
        self.assertEqual(kept(FRESH, "Date: foo").date, b"foo")

    def test_moments(self) -> None:
        stored = kept("Cache-Control: max-age=10, stale-while-revalidate=5, stale-if-error=7", "Age: 4", *VALIDATORS)
        self.assertEqual(
            [
                moment - NOW
                for moment in (
                    stored.born,
                    stored.fresh_until,
                    stored.revalidates_until,
                    stored.fails_until,
                    stored.lost_until,
                    stored.leaves,
                )
            ],
            [-4, 6, 11, 13, 3606, 3606],
        )
        self.assertEqual((stored.etag, stored.last_modified), (b'"a"', VALIDATORS[1][15:].encode()))
        self.assertEqual(stored.age(NOW + 2.9), 6)

    def test_what_must_be_validated_has_no_windows(self) -> None:
        for said in ("no-cache", "must-revalidate", "proxy-revalidate", "s-maxage=10"):
            stored = kept(f"Cache-Control: max-age=10, stale-while-revalidate=5, stale-if-error=7, {said}", *VALIDATORS)
            windows = {stored.revalidates_until, stored.fails_until, stored.lost_until}
            self.assertEqual(windows, {stored.fresh_until}, said)
            self.assertEqual(stored.leaves, NOW + 3600)

    def test_pragma_of_an_answer(self) -> None:
        """Section 5.4 gives it no meaning; who sends it and nothing else does not mean "cache this"."""
        self.assertTrue(kept(VALIDATORS[1], "Pragma: no-cache").must_validate)
        self.assertFalse(kept(FRESH, "Pragma: no-cache").must_validate)

    def test_tags(self) -> None:
        """RFC 9875 section 2, and Surrogate-Key."""
        self.assertEqual(
            kept(FRESH, 'Cache-Groups: "a", "b"', "Surrogate-Key: c d").tags,
            (b"a", b"b", b"c", b"d", b"https://h a", b"https://h b"),
        )
        self.assertEqual(kept(FRESH, "Cache-Groups: a", "Surrogate-Key: c").tags, (b"c",))

    def test_what_could_not_be_purged_by_its_tags_is_not_kept(self) -> None:
        many = " ".join(f"t{number}" for number in range(200))
        groups = ", ".join(f'"t{number}"' for number in range(200))
        for line in (f"Surrogate-Key: {many}", "Surrogate-Key: \xe9", f"Cache-Groups: {groups}"):
            self.assertEqual(planned(FRESH, line), Refusal.TAGS)

    def test_repr(self) -> None:
        stored = kept(FRESH, "Vary: Foo", asked=get("Foo: 1"))
        self.assertEqual(repr(stored), "<Stored 200 born 7.84112e+08, fresh until 7.84112e+08 for (b'1',)>")

    def test_fields_of_the_answer_are_left_alone(self) -> None:
        lines = (FRESH, "Age: 1", "X: y")
        before = fields(*lines)
        kept(*lines)
        self.assertEqual(fields(*lines), before)
