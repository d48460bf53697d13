"""Purges of keys, of tags and of prefixes, and what they leave to be swept."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.store import Store, Window

ROOMY = 1 << 20


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
