from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.wheel import Wheel

TEN_YEARS = 10 * 365 * 24 * 3600


class WheelTests(SynchronousTestCase):
    def test_empty(self) -> None:
        wheel = Wheel()
        self.assertEqual((wheel.take(1e9), wheel.next_tick(), len(wheel)), (None, None, 0))

    def test_due_once_its_second_has_passed(self) -> None:
        wheel = Wheel()
        wheel.add(b"a", 10.3, 0.0)
        self.assertIs(wheel.take(10.9), None)
        self.assertEqual((wheel.take(11.0), wheel.take(11.0), len(wheel)), (b"a", None, 0))

    def test_earliest_first(self) -> None:
        wheel = Wheel()
        for key, moment in ((b"c", 30.0), (b"a", 10.0), (b"b", 20.0)):
            wheel.add(key, moment, 0.0)
        self.assertEqual([wheel.take(100.0) for _ in range(4)], [b"a", b"b", b"c", None])

    def test_removed_is_not_taken(self) -> None:
        wheel = Wheel()
        tick = wheel.add(b"a", 10.0, 0.0)
        wheel.add(b"b", 10.0, 0.0)
        wheel.remove(b"a", tick)
        self.assertEqual((wheel.take(10.0), wheel.take(10.0)), (b"b", None))

    def test_next_tick_skips_what_has_been_removed(self) -> None:
        wheel = Wheel()
        tick = wheel.add(b"a", 10.0, 0.0)
        wheel.add(b"b", 20.0, 0.0)
        wheel.remove(b"a", tick)
        self.assertEqual(wheel.next_tick(), 20)

    def test_add_and_remove_for_ever_leaves_nothing_behind(self) -> None:
        """The same key, stored again every second for long lifetimes, must not grow anything."""
        wheel = Wheel()
        tick = wheel.add(b"a", 60.0, 0.0)
        for now in range(20_000):
            wheel.remove(b"a", tick)
            tick = wheel.add(b"a", now + 60.0 + (now * 7919) % TEN_YEARS, float(now))
            wheel.next_tick()
        self.assertEqual(len(wheel._buckets), 1)
        self.assertTrue(len(wheel._ticks) < 9_000, f"{len(wheel._ticks)} ticks")

    def test_few_buckets_whatever_the_lifetimes(self) -> None:
        wheel = Wheel()
        for number in range(50_000):
            wheel.add(b"%d" % number, number * (TEN_YEARS / 50_000), 0.0)
        self.assertTrue(len(wheel._buckets) < 8_300, f"{len(wheel._buckets)} buckets")

    def test_repr(self) -> None:
        wheel = Wheel()
        wheel.add(b"a", 10.0, 0.0)
        self.assertEqual(repr(wheel), "<Wheel 1 keys in 1 buckets, next at 10>")

    @given(st.floats(0, 1e6), st.lists(st.floats(0, TEN_YEARS), max_size=30))
    def test_taken_at_its_second_after_two_moves_at_most(self, now: float, lifetimes: list[float]) -> None:
        """Jump from tick to tick and file again what is not due yet, as the store does."""
        wheel = Wheel()
        moments = {b"%d" % number: now + lifetime for number, lifetime in enumerate(lifetimes)}
        moves = dict.fromkeys(moments, 0)
        for each, moment in moments.items():
            wheel.add(each, moment, now)
        while (tick := wheel.next_tick()) is not None:
            now = max(now, float(tick))
            key = wheel.take(now)
            assert key is not None
            if moments[key] <= now:
                self.assertTrue(now <= moments[key] + 1, f"{key!r} was late")
                continue
            moves[key] += 1
            wheel.add(key, moments[key], now)
        self.assertEqual(len(wheel), 0)
        self.assertTrue(all(count <= 2 for count in moves.values()), moves)
