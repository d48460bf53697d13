"""What a store holds is there again in the next one, but nothing that was purged, replaced or is over."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.entry import Entry
from scalekit.cache.keeping import TURN_SECONDS, SnapshotKeeper
from scalekit.cache.store import Store, Window

ROOMY = 10_000_000


class _PassingClock(Clock):
    """Time passes each time that somebody asks for it, if there is a ``step``."""

    step = 0.0

    def seconds(self) -> float:
        self.rightNow: float = self.rightNow + self.step
        return self.rightNow


class SnapshotKeeperTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute() / "state" / "cache.snapshot"
        self.clock = _PassingClock()
        self.clock.advance(1000.0)
        self.store = Store(ROOMY)
        self.wall = 1e9

    def keeper(self, boot: str = "boot", is_wanted: bool = True) -> SnapshotKeeper:
        return SnapshotKeeper(self.store, self.path, self.clock, boot, lambda: self.wall, os.urandom, is_wanted)

    def save(self) -> None:
        stopped = self.keeper().stopService()
        self.finish()
        self.successResultOf(stopped)

    def finish(self) -> None:
        """Until nothing is to be done any more."""
        while self.clock.getDelayedCalls():
            self.clock.advance(0)

    def restart(self, seconds: float = 0.0, boot: str = "boot", max_bytes: int = ROOMY) -> SnapshotKeeper:
        """Save and start again, so many seconds later."""
        self.save()
        return self.load(seconds, boot, max_bytes)

    def load(self, seconds: float = 0.0, boot: str = "boot", max_bytes: int = ROOMY) -> SnapshotKeeper:
        self.clock.advance(seconds)
        self.wall += seconds
        self.store = Store(max_bytes)
        keeper = self.keeper(boot)
        keeper.startService()
        self.finish()
        return keeper

    def get(self, key: bytes, window: Window = Window.FAILING) -> Entry | None:
        return self.store.get(key, self.clock.seconds(), window)

    def test_an_entry(self) -> None:
        now = self.clock.seconds()
        self.store.put(b"k\0", b"v\xff", 60, now, tags=(b"a", b"b"), while_revalidating=10, if_error=20)
        keeper = self.restart(5.0)
        entry = self.get(b"k\0")
        assert entry is not None
        self.assertEqual((entry.value, [tag.name for tag in entry.tags]), (b"v\xff", [b"a", b"b"]))
        self.assertEqual((entry.stored, entry.expires), (now, now + 60))
        self.assertEqual((entry.revalidates, entry.leaves), (now + 70, now + 80))
        self.assertEqual((keeper.restored, keeper.damaged), (1, 0))
        self.store.purge_tag(b"b", self.clock.seconds())
        self.assertIsNone(self.get(b"k\0"))
        self.assertEqual(self.path.parent.stat().st_mode & 0o777, 0o700)

    def test_stale_and_over(self) -> None:
        """What is stale comes back as that, what is over does not; the time between the two counts."""
        self.store.put(b"stale", b"v", 5, 1000.0, if_error=60)
        self.store.put(b"over", b"v", 5, 1000.0)
        self.store.put(b"soon", b"v", 12, 1000.0)
        keeper = self.restart(10.0)
        self.assertIsNone(self.get(b"stale", Window.REVALIDATING))
        self.assertIsNotNone(self.get(b"stale"))
        self.assertEqual((keeper.restored, len(self.store)), (2, 2))
        self.clock.advance(2.0)
        self.assertIsNone(self.get(b"soon"))

    def test_another_run_of_the_machine(self) -> None:
        """The seconds of the store began anew; the wall's clock tells."""
        self.store.put(b"k", b"v", 60, 1000.0)
        self.save()
        self.clock = _PassingClock()
        self.load(50.0, "another")
        self.assertIsNotNone(self.get(b"k"))
        self.clock.advance(10.0)
        self.assertIsNone(self.get(b"k"))

    def test_a_clock_that_was_set_back(self) -> None:
        self.store.put(b"k", b"v", 60, 1000.0)
        self.save()
        self.wall -= 3600
        with capturedLogs() as events:
            self.load(boot="another")
        self.assertIn("from the future", str(events[0]["why"]))
        self.assertEqual((len(self.store), self.path.exists()), (0, False))

    def test_it_is_used_once(self) -> None:
        """A cache that is killed leaves nothing: what it began with may have been purged since."""
        self.store.put(b"k", b"v", 60, 1000.0)
        self.restart()
        self.assertEqual((len(self.store), self.path.exists()), (1, False))
        self.load()
        self.assertEqual(len(self.store), 0)

    def test_where_none_is_wanted_an_old_one_goes(self) -> None:
        self.store.put(b"k", b"v", 60, 1000.0)
        self.save()
        self.store = Store(ROOMY)
        keeper = self.keeper(is_wanted=False)
        keeper.startService()
        self.assertFalse(self.path.exists())
        self.successResultOf(keeper.stopService())
        self.assertFalse(self.path.exists())

    def test_purges_that_are_not_swept_yet(self) -> None:
        for key in (b"tagged", b"px", b"soft", b"kept"):
            self.store.put(key, b"v", 60, 1000.0, tags=(b"t",) if key == b"tagged" else (), if_error=60)
        self.store.purge_tag(b"t", 1000.0)
        self.store.purge_prefix(b"p", 1000.0)
        self.store.purge_prefix(b"so", 1000.0, is_soft=True)
        self.restart()
        self.assertEqual(sorted(entry.key for entry in self.store.entries()), [b"kept", b"soft"])
        self.assertIsNone(self.get(b"soft", Window.REVALIDATING))

    def test_while_it_is_restored(self) -> None:
        """Requests are served already: a newer value stays, what is purged or was newer does not come back."""
        for key in (b"new", b"brief", b"purged", b"tagged", b"soft", b"stale", b"kept"):
            seconds = 1 if key == b"stale" else 60
            self.store.put(key, b"old", seconds, 1000.0, tags=(b"t",) if key == b"tagged" else (), if_error=90)
        self.save()
        self.clock.advance(2.0)
        self.store = Store(ROOMY)
        self.keeper().startService()
        self.store.put(b"new", b"new", 60, 1002.0)
        self.store.put(b"brief", b"new", 0, 1002.0)
        self.store.purge_key(b"purged", 1002.0)
        self.store.purge_tag(b"t", 1002.0)
        self.store.purge_prefix(b"s", 1002.0, is_soft=True)
        self.finish()
        keys = (b"new", b"brief", b"purged", b"tagged", b"soft", b"stale", b"kept")
        self.assertEqual([key for key in keys if self.get(key)], [b"new", b"soft", b"stale", b"kept"])
        (new, soft, stale) = (self.get(key) for key in (b"new", b"soft", b"stale"))
        assert new and soft and stale
        self.assertEqual((new.value, soft.value, soft.expires, stale.expires), (b"new", b"old", 1002.0, 1001.0))
        self.assertEqual(self.store.stats().fills, 0)

    def test_room(self) -> None:
        """A smaller cache takes what is worth most, and nothing is given up for what comes back."""
        for number in range(100):
            self.store.put(b"%d" % number, b"v" * 100, 60, 1000.0)
        keeper = self.restart(max_bytes=50_000)
        self.assertEqual((keeper.restored, self.store.stats().evicted), (len(self.store), 0))
        self.assertGreater(len(self.store), 50)
        self.assertLessEqual(self.store.stats().bytes, 50_000)

    def test_what_was_used_is_worth_more(self) -> None:
        for key in (b"a", b"b"):
            self.store.put(key, b"v", 60, 1000.0)
        self.get(b"a")
        self.restart()
        (a, b) = (next(entry for entry in self.store.entries() if entry.key == key) for key in (b"a", b"b"))
        self.assertEqual((a.uses, b.uses), (1, 0))

    def test_a_damaged_record(self) -> None:
        for number in range(10):
            self.store.put(b"key-%d" % number, b"v" * 100, 60, 1000.0)
        self.save()
        data = self.path.read_bytes()
        self.path.write_bytes(data.replace(b"key-4", b"key-x"))
        with capturedLogs() as events:
            keeper = self.load()
        self.assertEqual((keeper.restored, keeper.damaged, len(self.store)), (9, 1, 9))
        self.assertEqual([(event["restored"], event["damaged"]) for event in events], [(9, 1)])

    def test_no_snapshot(self) -> None:
        self.path.parent.mkdir(parents=True)
        self.path.write_bytes(b"what is this?")
        with capturedLogs() as events:
            self.load()
        self.assertEqual((len(events), len(self.store)), (1, 0))

    def test_requests_while_it_is_saved(self) -> None:
        """The time for draining was over; what was written may be purged by now."""
        for key in (b"a", b"b"):
            self.store.put(key, b"v", 60, 1000.0)
        self.clock.step = TURN_SECONDS
        stopped = self.keeper().stopService()
        self.clock.callLater(0, self.store.purge_key, b"a", 1000.0)
        with capturedLogs() as events:
            self.finish()
        self.successResultOf(stopped)
        self.assertEqual((len(events), list(self.path.parent.iterdir())), (1, []))

    def test_in_turns(self) -> None:
        """Each ends after 2 ms; a stop waits for what is still to be restored."""
        for number in range(8):
            self.store.put(b"%d" % number, b"v", 60, 1000.0)
        self.save()
        self.store = Store(ROOMY)
        keeper = self.keeper()
        keeper.startService()
        self.clock.step = TURN_SECONDS / 3
        stopped = keeper.stopService()
        lengths: list[int] = []

        def look() -> None:
            lengths.append(len(self.store))
            if len(self.store) < 8:
                self.clock.callLater(0, look)

        self.clock.callLater(0, look)
        self.finish()
        self.successResultOf(stopped)
        self.assertGreater(len(lengths), 2)
        self.assertEqual((lengths[0] < 8, lengths[-1]), (True, 8))
        self.load()
        self.assertEqual(len(self.store), 8)

    def test_a_directory_that_cannot_be_written(self) -> None:
        self.path.parent.parent.mkdir()
        self.path.parent.touch()
        self.store.put(b"k", b"v", 60, 1000.0)
        with capturedLogs() as events:
            self.save()
            keeper = self.keeper()
            keeper.startService()
        self.assertEqual(len(events), 2)
        self.assertIn("cannot be read", events[1]["log_format"])
