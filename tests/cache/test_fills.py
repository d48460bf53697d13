"""Values that are being made, as the store sees them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.entry import ENTRY_OVERHEAD_BYTES, charge_of
from scalekit.cache.fills import Fills
from scalekit.cache.store import Put, Store, Window

ROOMY = 1 << 20


class FillTests(SynchronousTestCase):
    """What is purged while it is being made is not stored."""

    def setUp(self) -> None:
        self.store = Store(ROOMY)

    def test_nothing_came_meanwhile(self) -> None:
        fill = self.store.begin(b"a")
        self.store.purge_key(b"b", 1.0)
        self.store.purge_tag(b"other", 1.0)
        self.store.purge_prefix(b"b", 1.0)
        self.assertIs(self.store.put(b"a", b"1", 60, 2.0, tags=(b"t",), fill=fill), Put.CREATED)

    def test_purged_meanwhile(self) -> None:
        for purge in (
            lambda: self.store.purge_key(b"a", 1.0),
            lambda: self.store.purge_tag(b"t", 1.0),
            lambda: self.store.purge_prefix(b"", 1.0),
        ):
            fill, late = self.store.begin(b"a"), self.store.begin(b"a")
            purge()
            self.assertIs(self.store.put(b"a", b"1", 60, 2.0, tags=(b"t",), fill=fill), Put.PURGED)
            self.assertIs(self.store.get(b"a", 2.0), None)
            later = self.store.begin(b"a")
            self.assertIs(self.store.put(b"a", b"2", 60, 2.0, tags=(b"t",), fill=later), Put.CREATED)
            self.assertIs(self.store.put(b"a", b"1", 60, 2.0, tags=(b"t",), fill=late), Put.PURGED)
            self.store.purge_key(b"a", 3.0)
        self.assertEqual((self.store.stats().voided, self.store.stats().fills), (6, 0))

    def test_softly_purged_meanwhile_is_stored_as_stale(self) -> None:
        fill = self.store.begin(b"a")
        self.store.purge_tag(b"t", 1.0, is_soft=True)
        self.assertIs(self.store.put(b"a", b"1", 60, 2.0, tags=(b"t",), while_revalidating=5, fill=fill), Put.CREATED)
        self.assertIs(self.store.get(b"a", 2.0), None)
        self.assertIsNot(self.store.get(b"a", 2.0, Window.REVALIDATING), None)
        fill = self.store.begin(b"b")
        self.store.purge_key(b"b", 1.0, is_soft=True)
        self.assertIs(self.store.put(b"b", b"1", 60, 2.0, fill=fill), Put.PURGED)

    def test_is_void(self) -> None:
        fill = self.store.begin(b"a")
        self.store.purge_key(b"a", 1.0, is_soft=True)
        self.assertFalse(self.store.is_void(fill))
        self.store.purge_prefix(b"a", 1.0)
        self.assertTrue(self.store.is_void(fill))

    def test_reserved(self) -> None:
        """Eight fills of an eighth have all; others are refused, and get it when these are over."""
        store = Store(80_000)
        for number in range(20):
            store.put(b"%d" % number, bytes(1000), 60, 0.0)
        fills = [store.begin(b"%d" % number) for number in range(9)]
        length = 8 * (10_000 - ENTRY_OVERHEAD_BYTES - 8) // 9
        self.assertFalse(store.reserve(fills[0], length + 100))
        self.assertEqual([store.reserve(fill, length) for fill in fills], [True] * 8 + [False])
        stats = store.stats()
        self.assertTrue(79_000 < stats.reserved_bytes <= 80_000, stats)
        self.assertEqual((stats.entries, stats.fills), (0, 9))
        self.assertIs(store.put(b"x", b"1" * 300, 60, 0.0), Put.NO_ROOM)
        self.assertIs(store.put(b"0", bytes(length), 60, 0.0, fill=fills[0]), Put.CREATED)
        store.abandon(fills[1])
        store.abandon(fills[1])
        self.assertTrue(store.reserve(fills[8], length))
        for fill in fills:
            store.abandon(fill)
        self.assertEqual(store.stats().reserved_bytes, 0)

    def test_reserved_little_by_little(self) -> None:
        fill = self.store.begin(b"a")
        for length in (0, 1000, 5000):
            self.assertTrue(self.store.reserve(fill, length))
            self.assertEqual(self.store.stats().reserved_bytes, charge_of(b"a", bytes(length)))

    def test_reserved_from_the_head_on(self) -> None:
        """What of a value has come by now takes nothing from the room that its head has asked for."""
        fill = self.store.begin(b"a")
        for length in (5000, 100, 4000):
            self.assertTrue(self.store.reserve(fill, length))
            self.assertEqual(self.store.stats().reserved_bytes, charge_of(b"a", bytes(5000)))


class FillsTests(SynchronousTestCase):
    def test_room_and_who_began_first(self) -> None:
        fills = Fills()
        first, second = fills.begin(b"a", 3), fills.begin(b"b", 5)
        fills.reserve(first, 100)
        fills.reserve(second, 10)
        fills.reserve(second, 30)
        self.assertEqual((fills.reserved, first.reserved, second.reserved, fills.earliest(9)), (130, 100, 30, 3))
        self.assertTrue(fills.end(first))
        self.assertFalse(fills.end(first))
        self.assertEqual((fills.reserved, fills.earliest(9), repr(fills)), (30, 5, "<Fills 1, 30 bytes reserved>"))
        self.assertTrue(fills.end(second))
        self.assertEqual((fills.reserved, fills.earliest(9), len(fills)), (0, 9, 0))
