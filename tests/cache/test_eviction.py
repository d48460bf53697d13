from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.entry import Entry
from scalekit.cache.eviction import PATIENCE, Eviction, LeastRecentlyUsed, Sieve
from scalekit.cache.s3fifo import S3FIFO, Ghosts


def entry(key: bytes, charge: int = 600) -> Entry:
    return Entry(key, b"", 0.0, 1.0, 1.0, 1.0, charge, 1)


class EvictionTests:
    """What every policy must keep to; a subclass says how to make one."""

    assertEqual: Any
    assertIs: Any
    assertTrue: Any
    assertRaises: Any

    def make(self) -> Eviction:
        raise NotImplementedError

    def test_nothing_to_evict(self) -> None:
        policy = self.make()
        self.assertRaises(LookupError, policy.evict)
        self.assertEqual(len(policy), 0)

    def test_every_entry_is_given_up_once(self) -> None:
        policy = self.make()
        entries = [entry(b"%d" % number) for number in range(20)]
        for one in entries:
            policy.add(one)
        for one in entries[::3]:
            policy.use(one)
        given_up = []
        while len(policy):
            given_up.append(policy.evict())
        self.assertEqual(sorted(one.key for one in given_up), sorted(one.key for one in entries))

    def test_what_is_removed_is_not_given_up(self) -> None:
        policy = self.make()
        first, second = entry(b"a"), entry(b"b")
        policy.add(first)
        policy.add(second)
        policy.remove(first)
        self.assertEqual(len(policy), 1)
        self.assertIs(policy.evict(), second)

    def test_comes_again(self) -> None:
        policy = self.make()
        policy.add(entry(b"a"))
        policy.remove(self.taken(policy))
        again = entry(b"a")
        policy.add(again)
        self.assertEqual(len(policy), 1)
        self.assertIs(policy.evict(), again)

    def taken(self, policy: Eviction) -> Entry:
        """The only entry of it, still there."""
        only = policy.evict()
        policy.add(only)
        return only

    def test_the_new_one_takes_the_place_of_the_old_one(self) -> None:
        policy = self.make()
        old, other = entry(b"a"), entry(b"b")
        policy.add(old)
        policy.add(other)
        new = entry(b"a", 700)
        policy.replace(old, new)
        self.assertEqual(len(policy), 2)
        self.assertEqual({id(policy.evict()), id(policy.evict())}, {id(new), id(other)})

    def test_however_many_were_used_one_is_given_up_soon(self) -> None:
        policy = self.make()
        entries = [entry(b"%d" % number) for number in range(4 * PATIENCE)]
        for one in entries:
            policy.add(one)
        for one in entries * 3:
            policy.use(one)
        before = sum(one.uses for one in entries)
        policy.evict()
        self.assertTrue(before - sum(one.uses for one in entries) <= 3 * (PATIENCE + 1))
        self.assertEqual(len(policy), 4 * PATIENCE - 1)


class LeastRecentlyUsedTests(EvictionTests, SynchronousTestCase):
    def make(self) -> Eviction:
        return LeastRecentlyUsed()

    def test_use_makes_young(self) -> None:
        policy = LeastRecentlyUsed()
        a, b, c = entry(b"a"), entry(b"b"), entry(b"c")
        for one in (a, b, c):
            policy.add(one)
        policy.use(a)
        self.assertEqual([policy.evict().key for _ in range(3)], [b"b", b"c", b"a"])

    def test_repr(self) -> None:
        self.assertEqual(repr(LeastRecentlyUsed()), "<LeastRecentlyUsed 0 entries>")


class SieveTests(EvictionTests, SynchronousTestCase):
    def make(self) -> Eviction:
        return Sieve()

    def test_the_hand_goes_on_from_where_it_was(self) -> None:
        """The example of the paper's figure 5, in small."""
        policy = Sieve()
        entries = {key: entry(key) for key in (b"a", b"b", b"c", b"d")}
        for one in entries.values():
            policy.add(one)
        policy.use(entries[b"a"])
        policy.use(entries[b"c"])
        self.assertEqual(policy.evict().key, b"b")
        policy.add(entry(b"e"))
        self.assertEqual([policy.evict().key for _ in range(4)], [b"d", b"e", b"a", b"c"])

    def test_repr(self) -> None:
        self.assertEqual(repr(Sieve()), "<Sieve 0 entries ahead of the hand, 0 behind it>")


class S3FIFOTests(EvictionTests, SynchronousTestCase):
    """A budget for ten entries, so the small queue has room for one."""

    def make(self) -> Eviction:
        return S3FIFO(6000)

    def test_what_was_never_used_leaves_first(self) -> None:
        policy = self.make()
        entries = [entry(b"%d" % number) for number in range(10)]
        for one in entries:
            policy.add(one)
        for one in entries[:5]:
            policy.use(one)
        self.assertEqual([policy.evict().key for _ in range(4)], [b"5", b"6", b"7", b"8"])

    def test_what_comes_back_soon_goes_to_the_main_queue(self) -> None:
        policy = self.make()
        policy.add(entry(b"a"))
        policy.evict()
        policy.add(entry(b"a"))
        self.assertEqual(repr(policy), "<S3FIFO 0 entries in the small queue, 1 in the main one>")

    def test_bytes_count_not_entries(self) -> None:
        policy = self.make()
        used = [entry(b"large", 3000), entry(b"small", 100)]
        for one in used:
            policy.add(one)
            policy.use(one)
        new = [entry(b"%d" % number, 250) for number in range(3)]
        for one in new:
            policy.add(one)
        self.assertIs(policy.evict(), new[0])
        self.assertEqual(repr(policy), "<S3FIFO 2 entries in the small queue, 2 in the main one>")
        self.assertEqual([policy.evict().key for _ in range(4)], [b"large", b"small", b"1", b"2"])


class GhostsTests(SynchronousTestCase):
    def test_taken_once(self) -> None:
        ghosts = Ghosts(60_000)
        self.assertFalse(ghosts.take(b"a"))
        ghosts.add(b"a", 600)
        self.assertTrue(ghosts.take(b"a"))
        self.assertFalse(ghosts.take(b"a"))

    def test_forgotten_after_so_many_bytes(self) -> None:
        ghosts = Ghosts(60_000)
        ghosts.add(b"a", 600)
        ghosts.add(b"b", 70_000)
        self.assertFalse(ghosts.take(b"a"))
        self.assertTrue(ghosts.take(b"b"))

    def test_most_are_found(self) -> None:
        ghosts = Ghosts(600_000)
        for number in range(1000):
            ghosts.add(b"%d" % number, 600)
        self.assertTrue(sum(ghosts.take(b"%d" % number) for number in range(1000)) > 650)
