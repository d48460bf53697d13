"""Variants of one URL as one value of the store."""

from __future__ import annotations

import tracemalloc

from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.front.bodies import Body
from scalekit.cache.front.shelf import MOST_VARIANTS, Kept, Shelf, Variant
from scalekit.cache.front.telling import make_ready
from scalekit.cache.rules.stored import Stored
from scalekit.cache.store import Put, Store
from scalekit.http.serializer import response_head

KEY = b"http://a/x"


def variant(
    value: bytes = b"", body: bytes = b"x", received: float = 0.0, lifetime: float = 60.0, keeps: float = 0.0
) -> Variant:
    names = (b"foo",) if value else ()
    stored = Stored(
        200, b"", [], received, lifetime=lifetime, keeps=keeps, names=names, variant=(value,) if value else ()
    )
    return Variant(stored, Body([body], True), "web")


class ShelfTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.shelf = Shelf(Store(1_000_000))

    def keep(self, one: Variant, now: float = 0.0) -> Put:
        return self.shelf.keep(self.shelf.begin(KEY), one, now)

    def found(self, now: float) -> list[Variant]:
        kept = self.shelf.find(KEY, now)
        return [] if kept is None else list(kept.variants)

    def test_the_newest_first_in_the_place_of_its_like(self) -> None:
        a, b, other = variant(b"a"), variant(b"b"), variant(b"a")
        for one in (a, b, other):
            self.keep(one)
        self.assertEqual(self.found(1), [other, b])

    def test_what_is_over_goes_with_the_next(self) -> None:
        short, long = variant(b"a", lifetime=5), variant(b"b", lifetime=50)
        self.keep(short)
        self.keep(long)
        self.assertEqual(self.found(6), [long, short])
        self.keep(variant(b"c"), 6)
        self.assertNotIn(short, self.found(6))
        self.assertEqual(self.found(100), [])

    def test_so_many(self) -> None:
        self.shelf = Shelf(Store(10_000_000))
        for number in range(MOST_VARIANTS + 5):
            self.keep(variant(b"%d" % number))
        self.assertEqual(len(self.found(0)), MOST_VARIANTS)

    def test_so_large(self) -> None:
        self.keep(variant(b"small"))
        self.assertEqual(self.keep(variant(b"big", b"x" * 60_000)), Put.REPLACED)
        self.assertEqual(len(self.found(0)), 1)
        self.assertEqual(self.keep(variant(b"bigger", b"x" * 200_000)), Put.TOO_BIG)

    def test_the_store_counts_all_of_it(self) -> None:
        self.keep(variant(b"a", b"x" * 1000))
        before = self.shelf.store.stats().bytes
        self.keep(variant(b"b", b"x" * 1000))
        self.assertGreater(self.shelf.store.stats().bytes - before, 2500)
        self.assertEqual(len(Kept((variant(b"a"),))), variant(b"a").charge)

    def test_softly_purged_it_is_stale_and_its_like_takes_its_place(self) -> None:
        self.keep(variant(b"a", keeps=100))
        self.keep(variant(b"b", keeps=100))
        self.shelf.store.purge_key(KEY, 10, True)
        self.assertEqual([one.stored.fresh_until for one in self.found(11)], [10, 10])
        self.keep(variant(b"b", received=12), 12)
        self.assertEqual([one.stored.fresh_until for one in self.found(13)], [72, 10])

    def test_the_rules_clock_is_another(self) -> None:
        self.shelf.skew = 1_000_000.0
        self.keep(variant(received=1_000_000.0))
        self.assertEqual(len(self.found(59)), 1)
        self.assertEqual(self.found(60), [])

    def test_what_a_variant_costs_is_not_more_than_it_is_charged(self) -> None:
        def made(number: int) -> Variant:
            fields = [(b"X-Field-%d" % n, b"%d" % number * 10) for n in range(10)]
            one = Variant(Stored(200, b"", fields, 0.0, lifetime=60.0), Body([b"x%d" % number], True), "web")
            self.assertTrue(make_ready(one, 1.0))
            response_head(one.head, b"", b"", b"", b"")
            return one

        made(0)
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            kept = [Kept((made(1_000_000 + number),)) for number in range(200)]
            each = (tracemalloc.get_traced_memory()[0] - before) / len(kept)
        finally:
            tracemalloc.stop()
        self.assertLess(each, kept[0].charge, (each, kept[0].charge))
        self.assertGreater(each * 1.6, kept[0].charge, "or it is charged for far too much")
