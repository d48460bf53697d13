from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.service import SLICE, CacheService
from scalekit.cache.store import Store


class PurgeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.store = Store(16 << 20)
        self.service = CacheService(self.store, 5.0, self.clock)
        self.service.startService()

    def tearDown(self) -> None:
        if self.service.running:
            self.service.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def turn(self) -> None:
        """One turn of the reactor with one call in it (`Clock.advance` also runs what is added meanwhile)."""
        call = self.clock.calls.pop(0)
        self.clock.rightNow = call.getTime()
        call.called = 1
        call.func(*call.args, **call.kw)

    def test_every_interval(self) -> None:
        self.store.put(b"a", b"1", 4, 0.0)
        self.store.put(b"b", b"1", 6, 0.0)
        self.clock.advance(4.9)
        self.assertEqual(len(self.store), 2)
        self.clock.advance(0.1)
        self.assertEqual(len(self.store), 1)
        self.clock.advance(5)
        self.assertEqual(len(self.store), 0)
        self.assertEqual(self.store.stats().expired, 2)

    def test_in_slices(self) -> None:
        """Much to do is done in turns of the reactor, one after the other, not in one."""
        for number in range(2 * SLICE + 100):
            self.store.put(b"%d" % number, b"1", 4, 0.0)
        self.turn()
        self.assertEqual((len(self.store), self.clock.seconds()), (SLICE + 100, 5))
        self.turn()
        self.assertEqual((len(self.store), self.clock.seconds()), (100, 5))
        self.turn()
        self.assertEqual((len(self.store), self.clock.seconds(), len(self.clock.getDelayedCalls())), (0, 5, 1))

    def test_a_purge_under_way_is_not_joined_by_another(self) -> None:
        for number in range(2 * SLICE):
            self.store.put(b"%d" % number, b"1", 4, 0.0)
        self.turn()
        self.service._tick()
        self.assertEqual((len(self.store), len(self.clock.getDelayedCalls())), (SLICE, 2))

    def test_stopped_in_the_middle(self) -> None:
        for number in range(2 * SLICE):
            self.store.put(b"%d" % number, b"1", 4, 0.0)
        self.turn()
        self.assertEqual(len(self.clock.getDelayedCalls()), 2)
        self.service.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_goes_on_after_an_exception(self) -> None:
        self.store.put(b"a", b"1", 4, 0.0)
        real = self.store.expire
        raised = []

        def broken(*args: Any) -> int:
            raised.append(args)
            raise RuntimeError("once")

        self.patch(self.store, "expire", broken)
        self.clock.advance(5)
        self.assertEqual(len(raised), 1)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.patch(self.store, "expire", real)
        self.clock.advance(5)
        self.assertEqual(len(self.store), 0)

    def test_after_a_purge_at_once(self) -> None:
        for number in range(SLICE + 100):
            self.store.put(b"%d" % number, b"1", 60, 0.0, tags=(b"t",))
        self.service.hurry()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)  # there is nothing to do
        self.store.purge_tag(b"t", 0.0)
        self.service.hurry()
        self.service.hurry()
        self.turn()
        self.assertEqual((len(self.store), self.clock.seconds()), (100, 0))
        self.turn()
        self.assertEqual((len(self.store), len(self.clock.getDelayedCalls())), (0, 1))

    def test_a_purge_is_swept_at_the_next_interval_too(self) -> None:
        self.store.put(b"a", b"1", 60, 0.0)
        self.store.purge_prefix(b"", 0.0)
        self.clock.advance(5)
        self.assertEqual((len(self.store), self.store.is_swept), (0, True))

    def test_starts_again(self) -> None:
        self.service.stopService()
        self.service.startService()
        self.store.put(b"a", b"1", 4, 0.0)
        self.clock.advance(5)
        self.assertEqual(len(self.store), 0)

    def test_repr(self) -> None:
        self.assertEqual(repr(self.service), f"<CacheService every 5 s: {self.store!r}>")
