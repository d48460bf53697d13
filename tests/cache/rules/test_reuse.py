from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.rules.reuse import Verdict, fresh_hit, plan_reuse
from scalekit.cache.rules.stored import Stored
from tests.cache.rules.asking import NOW, get, kept


class ReuseTests(SynchronousTestCase):
    def check(self, stored: list[Stored], request: list[str], after: float, verdict: Verdict, why: bytes = b"") -> None:
        reuse = plan_reuse(stored, get(*request), NOW + after)
        self.assertEqual((reuse.verdict, reuse.forwarded), (verdict, why), (request, after))

    def test_fresh_until_its_lifetime_is_over(self) -> None:
        """RFC 9111 section 4.2: fresh while the lifetime is greater than the age."""
        stored = kept("Cache-Control: max-age=10")
        self.check([stored], [], 9.9, Verdict.FRESH)
        self.check([stored], [], 10, Verdict.VALIDATE, b"stale")
        self.assertIs(fresh_hit([stored], get(), NOW + 9.9), stored)
        self.assertIsNone(fresh_hit([stored], get(), NOW + 10))

    def test_nothing_there(self) -> None:
        self.check([], [], 0, Verdict.MISS, b"uri-miss")

    def test_other_variants_only(self) -> None:
        english = kept("Cache-Control: max-age=10", "Vary: Accept-Language", asked=get("Accept-Language: en"))
        self.check([english], ["Accept-Language: de"], 0, Verdict.MISS, b"vary-miss")

    def test_newest_of_those_that_suit(self) -> None:
        """Section 4.1."""
        older = kept("Cache-Control: max-age=99", "Vary: Foo", asked=get("Foo: 1"))
        newer = kept("Cache-Control: max-age=9", at=NOW + 1)
        self.assertIs(plan_reuse([newer, older], get("Foo: 1"), NOW + 2).stored, newer)

    def test_other_methods_and_bodies(self) -> None:
        stored = kept("Cache-Control: max-age=10")
        for request in (get(method="POST"), get(length=3), get(length=None), get(method="OPTIONS")):
            self.assertEqual(plan_reuse([stored], request, NOW).verdict, Verdict.MISS)
        self.assertEqual(plan_reuse([stored], get(method="HEAD"), NOW).verdict, Verdict.FRESH)

    def test_what_the_request_wants(self) -> None:
        """Section 5.2.1."""
        stored = [kept("Cache-Control: max-age=100")]
        for said, after, verdict, why in (
            ("no-cache", 1, Verdict.VALIDATE, b"request"),
            ("NO-CACHE", 1, Verdict.VALIDATE, b"request"),
            ("max-age=5", 5, Verdict.FRESH, b""),
            ("max-age=5", 6, Verdict.VALIDATE, b"request"),
            ("max-age=x", 1, Verdict.VALIDATE, b"request"),
            ("max-age=5, max-stale=3", 8, Verdict.FRESH, b""),
            ("min-fresh=10", 90, Verdict.FRESH, b""),
            ("min-fresh=10", 91, Verdict.VALIDATE, b"request"),
            ("max-stale=5", 104, Verdict.FRESH, b""),
            ("max-stale=5", 105, Verdict.VALIDATE, b"stale"),
            ("max-stale", 10_000, Verdict.FRESH, b""),
            ("max-stale=x", 101, Verdict.VALIDATE, b"stale"),
            ("only-if-cached", 1, Verdict.FRESH, b""),
            ("only-if-cached", 101, Verdict.UNAVAILABLE, b""),
            ("no-store", 1, Verdict.FRESH, b""),
            ("nothing-known", 1, Verdict.FRESH, b""),
        ):
            self.check(stored, ["Cache-Control: " + said], after, verdict, why)

    def test_pragma_where_there_is_no_cache_control(self) -> None:
        """Section 5.4."""
        stored = [kept("Cache-Control: max-age=100")]
        self.check(stored, ["Pragma: no-cache"], 1, Verdict.VALIDATE, b"request")
        self.check(stored, ["Pragma: no-cache", "Cache-Control: max-age=9"], 1, Verdict.FRESH)
        self.check(stored, ["Pragma: else"], 1, Verdict.FRESH)

    def test_only_if_cached_asks_nobody(self) -> None:
        """Section 5.2.1.7."""
        self.check([], ["Cache-Control: only-if-cached"], 0, Verdict.UNAVAILABLE)

    def test_conditions_that_only_the_origin_judges(self) -> None:
        """Section 4.3.2: a cache never evaluates If-Match and If-Unmodified-Since."""
        stored = [kept("Cache-Control: max-age=100", 'ETag: "a"')]
        self.check(stored, ['If-Match: "b"'], 1, Verdict.MISS, b"request")
        self.check(stored, ["If-Unmodified-Since: Sun, 06 Nov 1994 08:49:37 GMT"], 1, Verdict.MISS, b"request")

    def test_no_cache_is_validated_each_time(self) -> None:
        """Section 5.2.2.4."""
        stored = [kept("Cache-Control: no-cache, max-age=100", 'ETag: "a"')]
        self.check(stored, [], 1, Verdict.VALIDATE, b"stale")
        self.check(stored, ["Cache-Control: max-stale"], 1, Verdict.VALIDATE, b"stale")

    def test_stale_while_it_is_refreshed(self) -> None:
        """RFC 5861 section 3."""
        stored = [kept("Cache-Control: max-age=10, stale-while-revalidate=5")]
        self.check(stored, [], 14.9, Verdict.STALE, b"stale")
        self.check(stored, [], 15, Verdict.VALIDATE, b"stale")
        self.check(stored, ["Cache-Control: max-age=60"], 12, Verdict.VALIDATE, b"stale")

    def test_what_forbids_stale(self) -> None:
        """RFC 9111 section 4.2.4."""
        for forbids in ("must-revalidate", "proxy-revalidate", "s-maxage=10", "no-cache"):
            stored = [kept(f"Cache-Control: max-age=10, stale-while-revalidate=50, {forbids}", 'ETag: "a"')]
            self.check(stored, [], 11, Verdict.VALIDATE, b"stale")
            self.check(stored, ["Cache-Control: max-stale"], 11, Verdict.VALIDATE, b"stale")

    def test_what_says_nothing_is_not_for_users_that_the_app_knows(self) -> None:
        stored = [kept("Last-Modified: Sun, 06 Nov 1994 07:49:37 GMT", 'ETag: "a"')]
        self.check(stored, [], 1, Verdict.FRESH)
        self.check(stored, ["Cookie: session=1"], 1, Verdict.MISS, b"vary-miss")
        self.assertIsNone(fresh_hit(stored, get("Cookie: session=1"), NOW + 1))

    def test_a_head_request_does_not_refresh(self) -> None:
        stored = [kept("Cache-Control: max-age=10, stale-while-revalidate=5")]
        self.assertEqual(plan_reuse(stored, get(method="HEAD"), NOW + 12).verdict, Verdict.VALIDATE)

    def test_conditions_are_no_plain_request(self) -> None:
        stored = [kept("Cache-Control: max-age=10")]
        self.assertIsNone(fresh_hit(stored, get("Range: bytes=0-1"), NOW))
        self.assertIsNone(fresh_hit(stored, get(method="POST"), NOW))


class ShortWayTests(SynchronousTestCase):
    @given(
        st.lists(
            st.tuples(
                st.sampled_from(
                    ["max-age=0", "max-age=10", "s-maxage=5, max-age=20", "no-cache", "max-age=10, no-cache"]
                ),
                st.sampled_from([None, "Foo", "Foo, Bar"]),
                st.sampled_from(["", "Foo: 1", "Foo: 2"]),
                st.integers(0, 9),
            ),
            max_size=3,
        ),
        st.lists(
            st.sampled_from(["Foo: 1", "Foo: 2", "Bar: 1", "Cache-Control: max-age=7", "Pragma: no-cache"]), max_size=2
        ),
        st.sampled_from(["GET", "HEAD", "POST"]),
        st.integers(0, 40),
    )
    def test_it_says_what_the_long_one_says(
        self, answers: list[tuple[str, str | None, str, int]], lines: list[str], method: str, after: int
    ) -> None:
        """A plain request that the short way answers is fresh by all rules, and it answers all that are."""
        variants = [
            kept(
                f"Cache-Control: {said}",
                'ETag: "a"',
                *([f"Vary: {vary}"] if vary else []),
                asked=get(*([line] if line else [])),
                at=NOW + at,
            )
            for said, vary, line, at in answers
        ]
        asked = get(*lines, method=method)
        found, reuse = fresh_hit(variants, asked, NOW + after), plan_reuse(variants, asked, NOW + after)
        if found is not None:
            self.assertEqual((reuse.verdict, reuse.stored), (Verdict.FRESH, found))
        elif asked.is_plain:
            self.assertNotEqual(reuse.verdict, Verdict.FRESH)
