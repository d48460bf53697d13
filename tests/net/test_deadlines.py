"""The wheel, against a clock and against a model."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.net.deadlines import AT_ONCE, FAR, MOST_TURNS, TICK_SECONDS, Wheel


class Item:
    def __init__(self, clock: Clock) -> None:
        self.deadline = self.scheduled = FAR
        self.fired: list[float] = []
        self._clock = clock

    def deadline_passed(self) -> None:
        self.fired.append(self._clock.seconds())


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.wheel = Wheel(self.clock)
        self.wheel.start()
        self.item = Item(self.clock)

    def wait(self, seconds: float) -> None:
        self.clock.pump([TICK_SECONDS / 2] * round(seconds / TICK_SECONDS * 2))


class OneItem(Case):
    def test_it_fires_once_and_not_early(self) -> None:
        self.wheel.arm(self.item, 10)
        self.wait(60)
        (fired,) = self.item.fired
        self.assertTrue(10 <= fired <= 10.75, fired)

    def test_a_later_arm_counts_instead(self) -> None:
        self.wheel.arm(self.item, 10)
        self.wait(8)
        self.wheel.arm(self.item, 10)
        self.wait(60)
        (fired,) = self.item.fired
        self.assertTrue(18 <= fired <= 18.75, fired)

    def test_so_does_an_earlier_one(self) -> None:
        self.wheel.arm(self.item, 60)
        self.wheel.arm(self.item, 1)
        self.wait(90)
        (fired,) = self.item.fired
        self.assertTrue(1 <= fired <= 1.75, fired)

    def test_disarmed_it_does_not_fire(self) -> None:
        self.wheel.arm(self.item, 10)
        self.wheel.disarm(self.item)
        self.wait(60)
        self.assertEqual(self.item.fired, [])

    def test_it_can_be_armed_again_when_it_fires(self) -> None:
        class Again(Item):
            def deadline_passed(this) -> None:  # noqa: N805
                super().deadline_passed()
                self.wheel.arm(this, 1)

        item = Again(self.clock)
        self.wheel.arm(item, 1)
        self.wait(10)
        self.assertGreaterEqual(len(item.fired), 5)

    def test_forgotten_it_is_held_no_longer(self) -> None:
        self.wheel.arm(self.item, 10)
        self.wheel.arm(self.item, 60)
        self.wheel.forget(self.item)
        self.assertEqual(repr(self.wheel), "<Wheel 0 waiting>")
        self.wheel.forget(self.item)
        self.wheel.arm(self.item, 1)
        self.wait(2)
        self.assertEqual(len(self.item.fired), 1)

    def test_it_lies_in_one_slot_however_often_it_is_armed(self) -> None:
        for _ in range(100):
            self.wheel.arm(self.item, 30)
            self.wheel.arm(self.item, 4)
            self.wait(1)
        self.assertEqual(repr(self.wheel), "<Wheel 1 waiting>")

    def test_what_one_forgets_in_the_same_slot_does_not_fire(self) -> None:
        class Killer(Item):
            def deadline_passed(this) -> None:  # noqa: N805
                self.wheel.forget(self.item)

        killer = Killer(self.clock)
        self.wheel.arm(killer, 1)
        self.wheel.arm(self.item, 1)
        self.wait(5)
        self.assertEqual(self.item.fired, [])


class TheTick(Case):
    def test_what_fails_stops_neither_the_others_nor_the_next_tick(self) -> None:
        class Failing(Item):
            def deadline_passed(self) -> None:
                raise ZeroDivisionError

        ticks: list[float] = []

        def fail_once() -> None:
            ticks.append(self.clock.seconds())
            if len(ticks) == 1:
                raise ZeroDivisionError

        self.wheel.every_tick(fail_once)
        self.wheel.arm(Failing(self.clock), 1)
        self.wheel.arm(self.item, 1)
        self.wait(5)
        self.assertEqual(len(self.item.fired), 1)
        self.assertEqual(len(ticks), 20)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_at_the_next_tick_and_not_again(self) -> None:
        ticks: list[float] = []
        self.wheel.at_next_tick(lambda: ticks.append(self.clock.seconds()))
        self.wait(2)
        self.assertEqual(ticks, [0.25])

    def test_a_reactor_that_stood_still_is_made_up_for(self) -> None:
        self.wheel.arm(self.item, 10)
        self.clock.advance(1000)
        self.assertEqual(self.item.fired, [1000])

    def test_a_wheel_started_late_counts_from_then(self) -> None:
        clock = Clock()
        wheel = Wheel(clock)
        clock.advance(1000)
        wheel.start()
        wheel.start()
        item = Item(clock)
        wheel.arm(item, 10)
        clock.pump([0.25] * 30)
        self.assertEqual(item.fired, [])
        clock.pump([0.25] * 20)
        self.assertEqual(len(item.fired), 1)
        wheel.stop()
        wheel.stop()
        self.assertEqual(clock.getDelayedCalls(), [])


class Telling(Item):
    """Has something else done as soon as may be."""

    def __init__(self, clock: Clock, tell: Callable[[], None]) -> None:
        super().__init__(clock)
        self._tell = tell

    def deadline_passed(self) -> None:
        super().deadline_passed()
        self._clock.callLater(0, self._tell)


class ManyAtOnce(Case):
    """More than pass in one turn."""

    meanwhile: Callable[[], None]

    def setUp(self) -> None:
        super().setUp()
        self.meanwhile = lambda: None
        self.items = [Item(self.clock) for _ in range(3 * AT_ONCE)]
        self.items[0] = Telling(self.clock, self.between)
        for item in self.items:
            self.wheel.arm(item, 1.0)

    def fired(self) -> int:
        return sum(bool(item.fired) for item in self.items)

    def between(self) -> None:
        self.fired_before = self.fired()
        self.meanwhile()

    def test_others_have_their_turn(self) -> None:
        self.clock.pump([0.25] * 6)
        self.assertEqual((self.fired_before, self.fired()), (AT_ONCE, 3 * AT_ONCE))
        self.assertEqual(repr(self.wheel), "<Wheel 0 waiting>")

    def test_what_is_said_meanwhile_counts(self) -> None:
        forgotten, again = self.items[-2:]

        def meanwhile() -> None:
            self.wheel.forget(forgotten)
            self.wheel.arm(again, 5.0)

        self.meanwhile = meanwhile
        self.clock.pump([0.25] * 6)
        self.assertEqual(self.fired(), 3 * AT_ONCE - 2)
        self.clock.pump([0.25] * 24)
        self.assertEqual((forgotten.fired, len(again.fired)), ([], 1))

    def test_a_wheel_that_is_stopped_meanwhile_goes_on_when_it_is_started(self) -> None:
        self.meanwhile = self.wheel.stop
        self.clock.pump([0.25] * 6)
        self.assertEqual((self.fired(), self.clock.getDelayedCalls()), (AT_ONCE, []))
        self.meanwhile = lambda: None
        self.wheel.start()
        self.clock.pump([0.25])
        self.assertEqual(self.fired(), 3 * AT_ONCE)


class Turns(Clock):
    """A clock that does what is due in one turn of the reactor, and what that puts off in the next."""

    def turn(self, seconds: float = 0.0) -> None:
        self.rightNow += seconds
        for call in [call for call in self.calls if call.getTime() <= self.rightNow]:
            self.calls.remove(call)
            call.called = 1
            call.func(*call.args, **call.kw)


class Bursts(SynchronousTestCase):
    """How late the last one is, and for how many at a time others wait."""

    def made(self) -> tuple[Wheel, Turns]:
        clock = Turns()
        wheel = Wheel(clock)
        wheel.start()
        return wheel, clock

    def pass_next(self, wheel: Wheel, clock: Clock, size: int) -> list[Item]:
        """So many pass at the next tick."""
        items = [Item(clock) for _ in range(size)]
        for item in items:
            wheel.arm(item, -TICK_SECONDS)
        return items

    def told(self, clock: Turns, items: list[Item]) -> list[int]:
        """How many are told in each turn from the next tick on."""
        clock.turn(TICK_SECONDS)
        counts = [sum(bool(item.fired) for item in items)]
        while counts[-1] < len(items):
            clock.turn()
            counts.append(sum(bool(item.fired) for item in items))
        return [after - before for before, after in zip([0, *counts], counts, strict=False)]

    @given(st.integers(1, 20 * MOST_TURNS))
    def test_however_many_they_are(self, size: int) -> None:
        wheel, clock = self.made()
        turns = self.told(clock, self.pass_next(wheel, clock, size))
        assert len(turns) <= MOST_TURNS
        assert max(turns) <= max(AT_ONCE, -(-size // MOST_TURNS))
        # After it, a few are spread again.
        assert self.told(clock, self.pass_next(wheel, clock, 3 * AT_ONCE)) == [AT_ONCE] * 3

    @given(st.lists(st.integers(0, 300), min_size=1, max_size=4), st.integers(0, MOST_TURNS))
    def test_more_of_them_before_all_are_told(self, sizes: list[int], turns: int) -> None:
        """Those of one tick are told in as many turns, whatever comes with the next."""
        wheel, clock = self.made()
        waves: list[list[Item]] = []
        took = [0] * len(sizes)

        def turn(seconds: float = 0.0) -> None:
            for number, wave in enumerate(waves):
                took[number] += not all(item.fired for item in wave)
            clock.turn(seconds)

        for size in sizes:
            waves.append(self.pass_next(wheel, clock, size))
            turn(TICK_SECONDS)
            for _ in range(turns):
                turn()
        for _ in range(MOST_TURNS):
            turn()
        assert all(item.fired for wave in waves for item in wave)
        # In the turn of the tick itself others may have been told.
        assert max(took) <= 1 + MOST_TURNS, took

    def test_those_that_were_armed_anew_do_not_count(self) -> None:
        """A thousand clients that have said something since: the few that have not are spread as ever."""
        wheel, clock = self.made()
        others = self.pass_next(wheel, clock, 50 * MOST_TURNS)
        for item in others:
            wheel.arm(item, 60)
        self.assertEqual(self.told(clock, self.pass_next(wheel, clock, 5 * AT_ONCE)), [AT_ONCE] * 5)
        self.assertEqual([item for item in others if item.fired], [])


class AgainstAModel(SynchronousTestCase):
    @given(
        st.lists(
            st.tuples(
                st.integers(0, 3), st.sampled_from(["arm", "disarm", "forget"]), st.floats(0, 20), st.floats(0, 3)
            )
        )
    )
    def test_every_item_fires_in_its_window_and_only_then(self, steps: list[tuple[int, str, float, float]]) -> None:
        clock = Clock()
        wheel = Wheel(clock)
        wheel.start()
        items = [Item(clock) for _ in range(4)]
        due: dict[int, float] = {}
        for index, what, seconds, wait in [*steps, (0, "disarm", 0.0, 25.0)]:
            item = items[index]
            if what == "arm":
                wheel.arm(item, seconds)
                due[index] = clock.seconds() + seconds
            else:
                (wheel.disarm if what == "disarm" else wheel.forget)(item)
                due.pop(index, None)
            end = clock.seconds() + wait
            while clock.seconds() < end:
                clock.advance(min(TICK_SECONDS, end - clock.seconds()) or 1e-9)
                for number, each in enumerate(items):
                    now = clock.seconds()
                    for fired in each.fired:
                        expected = due.pop(number)
                        # Between two ticks nothing fires, so at most two ticks and the one that `now` may be old.
                        assert expected - 1e-6 <= fired <= expected + 3 * TICK_SECONDS + 1e-6, (expected, fired)
                    each.fired.clear()
                    assert due.get(number, FAR) > now - 3 * TICK_SECONDS - 1e-6
        assert sum(len(slot) for slot in wheel._slots.values()) <= len(items)
