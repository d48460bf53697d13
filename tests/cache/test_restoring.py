"""What is put back, and what is not."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.restoring import Restoring
from scalekit.cache.store import Store, Window

NOW = 100.0


class RestoringTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.store = Store(1 << 20)
        self.restoring = Restoring(self.store)

    def back(self, key: bytes, leaves: float = 150.0, is_used: bool = False, length: int = 1) -> bool:
        times = 90.0, 120.0, 130.0, leaves
        return self.restoring.put_back(key, b"1" * length, times, NOW, tags=(b"t",), is_used=is_used)

    def test_as_it_was(self) -> None:
        self.assertTrue(self.back(b"a"))
        entry = self.store.get(b"a", 119.0)
        assert entry is not None
        self.assertEqual((entry.stored, entry.expires, entry.revalidates, entry.leaves), (90.0, 120.0, 130.0, 150.0))
        self.store.purge_tag(b"t", NOW)
        self.assertIsNone(self.store.get(b"a", 119.0, Window.FAILING))

    def test_what_is_newer_stays(self) -> None:
        """Also where it is gone again already."""
        self.store.put(b"a", b"new", 60, NOW)
        self.store.put(b"b", b"new", 1, NOW - 2)
        self.store.purge_key(b"c", NOW)
        self.assertEqual([self.back(key) for key in (b"a", b"b", b"c", b"d")], [False, False, False, True])
        entry = self.store.get(b"a", NOW)
        self.assertEqual(entry and entry.value, b"new")

    def test_what_is_over_or_has_no_room_stays_away(self) -> None:
        self.assertFalse(self.back(b"a", leaves=NOW))
        backs = [self.back(b"%d" % number, length=100_000) for number in range(20)]
        self.assertEqual((sorted(backs, reverse=True), self.store.stats().evicted), (backs, 0))
        self.assertEqual(len(self.store), sum(backs))

    def test_what_was_served_lately_counts_as_that(self) -> None:
        self.back(b"a", is_used=True)
        self.back(b"b")
        self.assertEqual([entry.uses for entry in self.store.by_worth()], [1, 0])

    def test_the_end(self) -> None:
        self.restoring.end()
        self.assertEqual(self.store.stats().fills, 0)
        self.store.put(b"a", b"1", 60, NOW)
        self.assertEqual(repr(self.restoring), f"<Restoring into {self.store!r}>")
