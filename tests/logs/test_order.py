"""The reorder buffer: what comes out is in order, whatever comes in when."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.entry import Entry
from scalekit.logs.order import ABSURD_BEFORE, AHEAD_LIMIT, NEVER, ReorderBuffer, Waiting, effective_time

ENTRY = Entry(None, "INFO", "s", "message")
NOW = 1_700_000_000_000_000_000


class EffectiveTimeTests(SynchronousTestCase):
    """`effective_time`."""

    def test_which_times_are_believed(self) -> None:
        """Missing, absurd and far ahead: when it was received; else what it says, however old."""
        for said, expected in (
            (None, NOW),
            (ABSURD_BEFORE - 1, NOW),
            (ABSURD_BEFORE, ABSURD_BEFORE),
            (NOW - 1, NOW - 1),
            (NOW + AHEAD_LIMIT, NOW + AHEAD_LIMIT),
            (NOW + AHEAD_LIMIT + 1, NOW),
        ):
            self.assertEqual(effective_time(said, NOW), expected)


class ReorderBufferTests(SynchronousTestCase):
    """`ReorderBuffer`."""

    def test_waits_for_the_slower(self) -> None:
        """What is younger than the delay stays; ties keep the order of their numbers; at the watermark is late."""
        buffer = ReorderBuffer(delay=10)
        first, second, third = Waiting(105, 2, ENTRY), Waiting(105, 1, ENTRY), Waiting(106, 3, ENTRY)
        for waiting in (first, second, third):
            self.assertTrue(buffer.add(waiting))
        release = buffer.release(115)
        self.assertEqual((release.watermark, release.on_time, release.late), (105, [second, first], []))
        late = Waiting(105, 4, ENTRY)
        self.assertFalse(buffer.add(late))
        release = buffer.release(90)  # a clock that goes back: the watermark does not
        self.assertEqual((release.watermark, release.on_time, release.late), (105, [], [late]))
        self.assertEqual(buffer.rest(), [third])
        self.assertEqual(repr(buffer), "<ReorderBuffer 1 waiting, 0 late, watermark 105>")

    @given(st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["add", "release", "release and fail"]))))
    def test_order(self, steps: list[tuple[int, str]]) -> None:
        """Nothing is lost, nothing comes twice, and all that was on time is in order, also when a write fails."""
        buffer = ReorderBuffer(delay=10, watermark=NEVER)
        added: list[Waiting] = []
        on_time: list[Waiting] = []
        late: list[Waiting] = []
        for number, (time, step) in enumerate(steps):
            if step == "add":
                added.append(Waiting(time, number, ENTRY))
                buffer.add(added[-1])
                continue
            release = buffer.release(time)
            if step == "release":
                on_time += release.on_time
                late += release.late
            else:
                buffer.take_back(release)
        release = buffer.release(1000)
        on_time += release.on_time
        late += release.late
        self.assertEqual(on_time, sorted(on_time))
        self.assertEqual(sorted(on_time + late), sorted(added))
        self.assertEqual((len(buffer), buffer.weight), (0, 0))
