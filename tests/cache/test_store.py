import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.entry import ENTRY_OVERHEAD_BYTES, charge_of
from scalekit.cache.eviction import LeastRecentlyUsed
from scalekit.cache.store import Put, Store, Window

ROOMY = 1 << 20


class StoreTests(SynchronousTestCase):
    def test_miss(self) -> None:
        store = Store(ROOMY)
        self.assertIs(store.get(b"a", 0.0), None)
        self.assertEqual((store.stats().hits, store.stats().misses), (0, 1))

    def test_hit(self) -> None:
        store = Store(ROOMY)
        self.assertIs(store.put(b"a", b"1", 5, 10.0), Put.CREATED)
        entry = store.get(b"a", 12.0)
        assert entry is not None
        self.assertEqual((entry.value, entry.stored, entry.expires), (b"1", 10.0, 15.0))
        self.assertEqual((store.stats().hits, store.stats().misses), (1, 0))

    def test_replaced(self) -> None:
        store = Store(ROOMY)
        store.put(b"a", b"1", 5, 0.0)
        self.assertIs(store.put(b"a", b"22", 50, 1.0), Put.REPLACED)
        entry = store.get(b"a", 10.0)
        assert entry is not None
        self.assertEqual(entry.value, b"22")
        self.assertEqual((store.stats().entries, store.stats().bytes), (1, charge_of(b"a", b"22")))

    def test_over_an_expired_one_is_new(self) -> None:
        store = Store(ROOMY)
        store.put(b"a", b"1", 5, 0.0)
        self.assertIs(store.put(b"a", b"2", 5, 5.0), Put.CREATED)
        self.assertEqual((store.stats().expired, store.stats().replaced), (1, 0))

    def test_expiry_is_exact(self) -> None:
        store = Store(ROOMY)
        store.put(b"a", b"1", 5, 0.25)
        self.assertIsNot(store.get(b"a", 5.2499), None)
        self.assertIs(store.get(b"a", 5.25), None)
        self.assertEqual((store.stats().expired, store.stats().bytes, len(store)), (1, 0, 0))

    def test_no_lifetime_is_never_served(self) -> None:
        store = Store(ROOMY)
        store.put(b"a", b"1", 0, 3.0)
        self.assertIs(store.get(b"a", 3.0), None)

    def test_purge(self) -> None:
        store = Store(ROOMY)
        store.put(b"a", b"1", 5, 0.0)
        self.assertTrue(store.purge_key(b"a", 1.0))
        self.assertFalse(store.purge_key(b"a", 1.0))
        self.assertIs(store.get(b"a", 1.0), None)
        self.assertEqual((store.stats().invalidated, store.stats().bytes, store.next_deadline()), (1, 0, None))

    def test_purging_what_has_expired_is_its_expiry(self) -> None:
        store = Store(ROOMY)
        store.put(b"a", b"1", 5, 0.0)
        self.assertFalse(store.purge_key(b"a", 5.0))
        self.assertEqual((store.stats().invalidated, store.stats().expired), (0, 1))

    def test_repr(self) -> None:
        store = Store(1000_000)
        store.put(b"a", b"1", 5, 0.0)
        store.get(b"a", 0.0)
        self.assertEqual(repr(store), "<Store 1 entries, 602 of 1000000 bytes, 1 hits, 0 misses>")
        self.assertEqual(repr(store.get(b"a", 0.0)), "<Entry b'a' 1 bytes, 0 to 5>")


class StaleTests(SynchronousTestCase):
    """Fresh to 5, stale while it is made anew to 15, where that has failed to 25."""

    def setUp(self) -> None:
        self.store = Store(ROOMY)
        self.store.put(b"a", b"1", 5, 0.0, while_revalidating=10, if_error=20)

    def served(self, now: float) -> list[str]:
        return [window.name for window in Window if self.store.get(b"a", now, window) is not None]

    def test_windows(self) -> None:
        for now, served in (
            (4.75, ["FRESH", "REVALIDATING", "FAILING"]),
            (5.0, ["REVALIDATING", "FAILING"]),
            (14.75, ["REVALIDATING", "FAILING"]),
            (15.0, ["FAILING"]),
            (24.75, ["FAILING"]),
            (25.0, []),
        ):
            self.assertEqual(self.served(now), served, now)
        self.assertEqual((len(self.store), self.store.stats().expired, self.store.stats().stale), (0, 1, 6))

    def test_it_leaves_at_the_end_of_its_windows(self) -> None:
        self.assertEqual(self.store.expire(24.0, 10), 0)
        self.assertEqual(self.store.next_deadline(), 25)
        self.assertEqual(self.store.expire(25.0, 10), 1)

    def test_a_soft_purge_begins_them(self) -> None:
        self.assertTrue(self.store.purge_key(b"a", 2.0, is_soft=True))
        self.assertEqual(self.served(2.0), ["REVALIDATING", "FAILING"])
        self.assertEqual(self.served(12.0), ["FAILING"])
        self.assertEqual(self.store.next_deadline(), 22)
        self.assertEqual(self.served(22.0), [])

    def test_a_soft_purge_of_what_is_stale_changes_nothing(self) -> None:
        self.store.purge_key(b"a", 7.0, is_soft=True)
        self.assertEqual(self.served(14.75), ["REVALIDATING", "FAILING"])
        self.assertEqual(self.served(15.0), ["FAILING"])

    def test_a_soft_purge_removes_what_has_no_windows(self) -> None:
        self.store.put(b"b", b"1", 60, 0.0)
        self.assertTrue(self.store.purge_key(b"b", 1.0, is_soft=True))
        self.assertIs(self.store.get(b"b", 1.0, Window.FAILING), None)
        self.assertEqual(self.store.stats().invalidated, 1)

    def test_over_a_stale_one_is_no_new_one(self) -> None:
        self.assertIs(self.store.put(b"a", b"2", 5, 20.0), Put.REPLACED)

    def test_repr(self) -> None:
        self.assertEqual(repr(self.store.peek(b"a", 0.0)), "<Entry b'a' 1 bytes, 0 to 5, stale to 25>")


class PurgeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.store = Store(ROOMY)
        self.store.put(b"/a", b"1", 60, 0.0, tags=(b"posts", b"news", b"posts"), while_revalidating=60)
        self.store.put(b"/b", b"2", 60, 0.0, tags=(b"posts",))
        self.store.put(b"/c", b"3", 60, 0.0)

    def served(self, now: float, window: Window = Window.FRESH) -> list[bytes]:
        return [key for key in (b"/a", b"/b", b"/c") if self.store.get(key, now, window) is not None]

    def swept(self) -> int:
        while not self.store.is_swept:
            self.store.sweep(1.0, 1)
        return len(self.store)

    def test_by_tag(self) -> None:
        self.store.purge_tag(b"posts", 1.0)
        self.assertEqual(self.served(1.0), [b"/c"])
        self.assertEqual((self.swept(), self.store.stats().tags, self.store.stats().invalidated), (1, 0, 2))

    def test_swept_without_a_reader(self) -> None:
        for purge in (lambda: self.store.purge_tag(b"posts", 1.0), lambda: self.store.purge_prefix(b"/", 1.0)):
            self.setUp()
            purge()
            self.assertFalse(self.store.is_swept)
            self.assertEqual(len(self.store), 3)
            self.assertEqual(self.swept(), len(self.served(1.0)))
            self.assertEqual(self.store.stats().bytes, sum(one.charge for one in self.store.entries()))

    def test_by_a_tag_that_nobody_bears(self) -> None:
        self.store.purge_tag(b"other", 1.0)
        self.assertTrue(self.store.is_swept)
        self.assertEqual(len(self.served(1.0)), 3)

    def test_softly_by_tag(self) -> None:
        self.store.purge_tag(b"posts", 1.0, is_soft=True)
        self.assertEqual(self.served(1.0), [b"/c"])
        self.assertEqual(self.served(1.0, Window.REVALIDATING), [b"/a", b"/c"])
        self.assertEqual(self.swept(), 2)
        self.assertEqual(self.served(60.75, Window.REVALIDATING), [b"/a"])
        self.assertEqual(self.served(61.0, Window.REVALIDATING), [])

    def test_softly_then_hard_by_tag(self) -> None:
        self.store.purge_tag(b"posts", 1.0, is_soft=True)
        self.store.purge_tag(b"posts", 1.0)
        self.assertEqual(self.served(1.0, Window.FAILING), [b"/c"])
        self.assertEqual(self.swept(), 1)

    def test_what_is_put_after_a_purge_stays(self) -> None:
        self.store.purge_tag(b"posts", 1.0)
        self.store.purge_prefix(b"/", 1.0)
        self.store.put(b"/b", b"22", 60, 1.0, tags=(b"posts",))
        self.assertEqual(self.swept(), 1)
        self.assertEqual(self.served(1.0), [b"/b"])
        self.store.purge_tag(b"posts", 2.0)
        self.assertEqual(self.served(2.0), [])

    def test_by_prefix(self) -> None:
        self.store.put(b"posts/1", b"1", 60, 0.0)
        self.assertTrue(self.store.purge_prefix(b"/", 1.0))
        self.assertEqual(self.served(1.0), [])
        self.assertEqual(self.swept(), 1)

    def test_softly_by_prefix(self) -> None:
        self.store.purge_prefix(b"", 1.0, is_soft=True)
        self.assertEqual(self.swept(), 1)
        self.assertEqual(self.served(1.0), [])
        self.assertEqual(self.served(1.0, Window.REVALIDATING), [b"/a"])

    def test_so_many_prefixes_wait_and_no_more(self) -> None:
        for number in range(64):
            self.assertTrue(self.store.purge_prefix(b"%d" % number, 1.0))
        self.assertFalse(self.store.purge_prefix(b"/", 1.0))
        self.assertEqual(len(self.served(1.0)), 3)
        self.swept()
        self.assertTrue(self.store.purge_prefix(b"/", 1.0))

    def test_a_budget_is_kept(self) -> None:
        for number in range(100):
            self.store.put(b"%d" % number, b"1", 60, 0.0, tags=(b"many",))
        self.store.purge_tag(b"many", 1.0)
        self.store.sweep(1.0, 30)
        self.assertEqual(len(self.store), 73)


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


class RoomTests(SynchronousTestCase):
    def test_least_recently_used_leaves(self) -> None:
        store = Store(10 * (ENTRY_OVERHEAD_BYTES + 2), LeastRecentlyUsed())
        for key in b"abcdefghij":
            store.put(bytes((key,)), b"1", 60, 0.0)
        store.get(b"a", 1.0)
        store.put(b"k", b"1", 60, 2.0)
        self.assertIsNot(store.get(b"a", 3.0), None)
        self.assertIs(store.get(b"b", 3.0), None)
        self.assertEqual((store.stats().evicted, len(store)), (1, 10))

    def test_replacing_needs_only_the_difference(self) -> None:
        store = Store(10 * (ENTRY_OVERHEAD_BYTES + 2))
        for key in b"abcdefghij":
            store.put(bytes((key,)), b"1", 60, 0.0)
        store.put(b"e", b"2", 60, 1.0)
        self.assertEqual((store.stats().evicted, len(store)), (0, 10))

    def test_the_one_that_is_replaced_may_be_what_leaves(self) -> None:
        store = Store(10 * (ENTRY_OVERHEAD_BYTES + 2), LeastRecentlyUsed())
        for key in b"abcdefghij":
            store.put(bytes((key,)), b"1", 60, 0.0)
        self.assertIs(store.put(b"a", b"1" * 100, 60, 1.0), Put.REPLACED)
        self.assertEqual((store.get(b"b", 1.0), len(store), store.stats().evicted), (None, 9, 2))
        self.assertEqual(store.stats().bytes, sum(entry.charge for entry in store.entries()))
        self.assertEqual(store.expire(100.0, 100), 9)

    def test_giving_up_what_has_expired_is_no_eviction(self) -> None:
        store = Store(10 * (ENTRY_OVERHEAD_BYTES + 2))
        for key in b"abcdefghij":
            store.put(bytes((key,)), b"1", 5, 0.0)
        store.put(b"k", b"1", 60, 5.0)
        self.assertEqual((store.stats().evicted, store.stats().expired), (0, 1))

    def test_an_eighth_is_admitted_and_no_more(self) -> None:
        store = Store(8 * charge_of(b"a", b"x" * 4000))
        self.assertIs(store.put(b"a", b"x" * 4000, 60, 0.0), Put.CREATED)
        self.assertIs(store.put(b"a", b"x" * 4001, 60, 0.0), Put.TOO_BIG)
        entry = store.get(b"a", 0.0)
        assert entry is not None
        self.assertEqual((len(entry.value), store.stats().refused), (4000, 1))

    def test_resident_memory(self) -> None:
        """The bound is the process' memory: under 1.3 x the budget, here with sizes from 1 byte to 100 kB."""
        script = """if True:
            import random
            from scalekit.cache.store import Store

            def resident():
                with open("/proc/self/statm") as file:
                    return int(file.read().split()[1]) * 4096

            chance, budget = random.Random(1), 32 << 20
            store = Store(budget)
            before = resident()
            largest = 0
            for number in range(60_000):
                size = int(10 ** chance.uniform(0, 5))
                key = b"/posts/%d" % chance.randrange(10**6)
                store.put(key, b"x" * size, chance.choice((5, 60, 86400)), number / 100)
                if number % 100 == 0:
                    store.expire(number / 100, 500)
                    largest = max(largest, resident() - before)
            assert store.stats().evicted, "it was never full"
            print(largest / budget)
        """
        ratio = float(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout)
        self.assertTrue(0.7 < ratio < 1.3, f"grew by {ratio:.2f} x the budget")


class ExpireTests(SynchronousTestCase):
    def test_removes_what_is_expired_and_only_that(self) -> None:
        store = Store(ROOMY)
        for number in range(10):
            store.put(b"%d" % number, b"1", number, 0.0)
        self.assertEqual(store.expire(4.0, 100), 5)
        self.assertEqual([store.get(b"%d" % number, 4.0) is None for number in range(10)], [True] * 5 + [False] * 5)

    def test_long_lifetimes(self) -> None:
        """They are filed coarsely and again more finely; that must not cost or prolong anybody's life."""
        for lifetime in (3600, 4095, 4096, 86_400, 1 << 24, 315_360_000):
            store = Store(ROOMY)
            store.put(b"a", b"1", lifetime, 100.0)
            while (deadline := store.next_deadline()) is not None and deadline < 100.0 + lifetime:
                self.assertEqual(store.expire(deadline, 100), 0)
            self.assertEqual(store.expire(99.5 + lifetime, 100), 0)
            self.assertEqual(store.expire(100.0 + lifetime, 100), 1)

    def test_budget(self) -> None:
        store = Store(ROOMY)
        for number in range(25):
            store.put(b"%d" % number, b"1", 5, 0.0)
        self.assertEqual([store.expire(10.0, 10) for _ in range(4)], [10, 10, 5, 0])

    def test_large_values_take_more_of_the_budget(self) -> None:
        store = Store(16 << 20)
        for number in range(10):
            store.put(b"%d" % number, b"x" * 320 * 1024, 5, 0.0)
        self.assertEqual(store.expire(10.0, 33), 3)

    def test_next_deadline(self) -> None:
        store = Store(ROOMY)
        self.assertIs(store.next_deadline(), None)
        store.put(b"a", b"1", 7, 1.5)
        store.put(b"b", b"1", 5, 1.5)
        self.assertEqual(store.next_deadline(), 7)
        store.expire(7.0, 10)
        self.assertEqual(store.next_deadline(), 9)
