from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.entry import Entry
from scalekit.cache.eviction import Eviction, LeastRecentlyUsed


def entry(key: bytes) -> Entry:
    return Entry(key, b"", 0.0, 1.0, 600, 1)


class EvictionTests:
    """What every policy must keep to; a subclass says how to make one."""

    assertEqual: Any
    assertIn: Any
    assertRaises: Any

    def make(self) -> Eviction:
        raise NotImplementedError

    def test_nothing_to_evict(self) -> None:
        policy = self.make()
        self.assertRaises(LookupError, policy.victim)
        self.assertEqual(len(policy), 0)

    def test_victim_stays_until_it_is_removed(self) -> None:
        policy = self.make()
        for key in (b"a", b"b", b"c"):
            policy.add(entry(key))
        self.assertIn(policy.victim(), (b"a", b"b", b"c"))
        self.assertEqual(len(policy), 3)

    def test_every_key_is_a_victim_once(self) -> None:
        policy = self.make()
        keys = [b"%d" % number for number in range(20)]
        for key in keys:
            policy.add(entry(key))
        for key in keys[::3]:
            policy.use(entry(key))
        victims = []
        while len(policy):
            victims.append(policy.victim())
            policy.remove(entry(victims[-1]))
        self.assertEqual(sorted(victims), sorted(keys))

    def test_what_is_removed_is_no_victim(self) -> None:
        policy = self.make()
        policy.add(entry(b"a"))
        policy.add(entry(b"b"))
        policy.remove(entry(b"a"))
        self.assertEqual((policy.victim(), len(policy)), (b"b", 1))

    def test_comes_again(self) -> None:
        policy = self.make()
        policy.add(entry(b"a"))
        policy.remove(entry(b"a"))
        policy.add(entry(b"a"))
        self.assertEqual((policy.victim(), len(policy)), (b"a", 1))


class LeastRecentlyUsedTests(EvictionTests, SynchronousTestCase):
    def make(self) -> Eviction:
        return LeastRecentlyUsed()

    def test_oldest_first(self) -> None:
        policy = LeastRecentlyUsed()
        for key in (b"a", b"b", b"c"):
            policy.add(entry(key))
        self.assertEqual(policy.victim(), b"a")

    def test_use_makes_young(self) -> None:
        policy = LeastRecentlyUsed()
        for key in (b"a", b"b", b"c"):
            policy.add(entry(key))
        policy.use(entry(b"a"))
        self.assertEqual(policy.victim(), b"b")

    def test_repr(self) -> None:
        self.assertEqual(repr(LeastRecentlyUsed()), "<LeastRecentlyUsed 0 entries>")
