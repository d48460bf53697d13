"""Which keys are served most."""

from __future__ import annotations

from random import Random

from hypothesis import given, strategies
from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache import hottest
from scalekit.cache.hottest import KEYS, Hottest


class HottestTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.hottest = Hottest()
        self.hits = 0

    def hit(self, key: bytes) -> None:
        """As `Store.get` does."""
        self.hits += 1
        if self.hits >= self.hottest.due:
            self.hottest.note(key, self.hits)

    def test_a_few(self) -> None:
        for key in (b"a", b"b", b"a", b"c", b"a"):
            self.hit(key)
        self.assertEqual(self.hottest.top(2), [(b"a", 0.6), (b"b", 0.2)])
        self.assertEqual(Hottest().top(2), [])

    def test_the_hottest_of_many_that_come_once(self) -> None:
        random = Random(1)
        for number in range(100_000):
            self.hit(b"hot" if random.random() < 0.1 else b"%d" % number)
        (first, second) = self.hottest.top(2)
        self.assertEqual(first.key, b"hot")
        self.assertGreater(first.share, 0.08)
        self.assertLess(first.share, 0.12)
        self.assertLess(second.share, 0.01)

    def test_in_turn(self) -> None:
        """A rhythm does not hide a key from the sample."""
        for number in range(60_000):
            self.hit(b"%d" % (number % 16))
        shares = [share for _, share in self.hottest.top(99)]
        self.assertEqual(len(shares), 16)
        self.assertLess(max(shares), 2 * min(shares))

    def test_what_was_hot_cools_down(self) -> None:
        self.patch(hottest, "HALVED_AFTER", 100)
        for key in (b"old", b"new"):
            for _ in range(2000):
                self.hit(key)
        self.assertEqual(self.hottest.top(1)[0].key, b"new")

    @given(strategies.lists(strategies.integers(0, 30), max_size=300))
    def test_never_more_than_there_were(self, keys: list[int]) -> None:
        self.setUp()
        self.patch(hottest, "KEYS", 5)
        for number in keys:
            self.hit(b"%d" % number)
        found = self.hottest.top(99)
        self.assertLessEqual(len(found), 10)
        for key, share in found:
            self.assertLessEqual(share * len(keys), keys.count(int(key)) + 1e-9)
        named = {int(key) for key, _ in found}
        for number in set(keys) - named:
            self.assertLessEqual(keys.count(number), len(keys) / 5)

    def test_bounded(self) -> None:
        for number in range(9 * KEYS):
            self.hit(b"%d" % number)
        self.assertLessEqual(len(self.hottest.top(10 * KEYS)), 2 * KEYS)
