"""An entry is everywhere or nowhere; what that is good for, `test_store_machine` holds against a model."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.entry import Entry
from scalekit.cache.eviction import LeastRecentlyUsed
from scalekit.cache.holding import Holding, removals


def entry(key: bytes, leaves: float = 20.0, charge: int = 100, value: bytes = b"1") -> Entry:
    return Entry(key, value, 0.0, 10.0, 15.0, leaves, charge, 0)


class HoldingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.held = Holding(LeastRecentlyUsed())
        self.one, self.other = entry(b"a"), entry(b"b", 30.0, 50)
        self.held.put(self.one, None, (b"x", b"y"), 0.0)
        self.held.put(self.other, None, (b"x",), 0.0)

    def sums(self) -> tuple[int, int, int, int, int]:
        held = self.held
        return held.count, held.bytes, len(held.wheel), len(held.eviction), len(held.tags)

    def test_everywhere(self) -> None:
        self.assertEqual(self.sums(), (2, 150, 2, 2, 2))
        self.assertIs(self.held.find(b"a"), self.one)
        newer = entry(b"a", charge=70)
        self.held.put(newer, self.one, (), 0.0)
        self.assertIs(self.held.find(b"a"), newer)
        self.assertEqual(self.sums(), (2, 120, 2, 2, 1))
        self.assertEqual(repr(self.held), "<Holding 2 entries, 120 bytes>")

    def test_nowhere(self) -> None:
        self.held.drop(self.one)
        self.assertIsNone(self.held.find(b"a"))
        self.assertEqual(self.sums(), (1, 50, 1, 1, 1))
        self.assertIs(self.held.give_up(), self.other)
        self.assertEqual(self.sums(), (0, 0, 0, 0, 0))

    def test_by_time(self) -> None:
        self.assertIsNone(self.held.take_due(19.0))
        self.assertIs(self.held.take_due(22.0), self.one)
        self.held.drop_due(self.one)
        self.assertEqual(self.sums(), (1, 50, 1, 1, 1))
        self.other.leaves = 60.0
        self.assertIs(self.held.take_due(32.0), self.other)
        self.held.put_off(self.other, 32.0)
        self.assertIsNone(self.held.take_due(59.0))
        self.assertIs(self.held.take_due(62.0), self.other)

    def test_made_stale(self) -> None:
        self.held.soften(self.one, 12.0, 12.0)
        self.assertEqual((self.one.expires, self.one.leaves), (10.0, 20.0))
        self.held.soften(self.one, 4.0, 4.0)
        self.assertEqual((self.one.expires, self.one.revalidates, self.one.leaves), (4.0, 9.0, 14.0))
        self.assertIs(self.held.take_due(16.0), self.one)

    def test_tags_of_which_no_purge_knows(self) -> None:
        taken = self.held.tags.take(b"x")
        self.held.renew_tags(self.one)
        renewed = self.held.tags.get(b"x")
        assert taken is not None and renewed is not None
        self.assertEqual((taken.keys, renewed.keys), ({b"b"}, {b"a"}))

    def test_large_ones_take_longer_to_remove(self) -> None:
        self.assertEqual([removals(entry(b"a", value=bytes(size))) for size in (10, 100_000)], [1, 4])
