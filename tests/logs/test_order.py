"""The reorder buffer: what comes out is in order, whatever comes in when."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.columns import columns_of
from scalekit.logs.entry import Entry
from scalekit.logs.frames import make_frame
from scalekit.logs.order import (
    ABSURD_BEFORE,
    AHEAD_LIMIT,
    GATHERED_ENTRIES,
    NEVER,
    Chunk,
    ReorderBuffer,
    Span,
    are_rising,
    effective_times,
    sorted_by_time,
    take,
)

NOW = 1_700_000_000_000_000_000


def chunk(first: int, *times: int) -> Chunk:
    """Entries of these nanoseconds after now."""
    frame = make_frame(first, NOW, [Entry(NOW + time, "INFO", "s", "m") for time in times])
    return Chunk(frame, effective_times(frame.said, NOW))


def shown(spans: Sequence[Span]) -> list[tuple[int, int]]:
    """The times and numbers of what comes out."""
    return sorted((time - NOW, sequence) for span in spans for time, sequence in zip(*take(span)[:2], strict=True))


class EffectiveTimeTests(SynchronousTestCase):
    """`effective_times`."""

    def test_which_times_are_believed(self) -> None:
        """Missing, absurd and far ahead: when it was received; else what it says, however old."""
        for said, expected in (
            (None, NOW),
            (ABSURD_BEFORE - 1, NOW),
            (ABSURD_BEFORE, ABSURD_BEFORE),
            (NOW - 1, NOW - 1),
            (NOW + AHEAD_LIMIT, NOW + AHEAD_LIMIT),
            (NOW + AHEAD_LIMIT + 1, NOW),
            ((1 << 63) - 1, NOW),
            (-(1 << 63), NOW),
        ):
            self.assertEqual(list(effective_times([said, NOW], NOW)), [expected, NOW])

    @given(st.lists(st.none() | st.integers(-3, 3), max_size=6))
    def test_a_batch_in_the_order_of_its_times(self, said: list[int | None]) -> None:
        """Those with the same time as they came; each stays what it was."""
        entries = [
            Entry(None if time is None else NOW + time, "INFO", "s", str(place)) for place, time in enumerate(said)
        ]
        times = effective_times([entry.time for entry in entries], NOW)
        columns, ordered = sorted_by_time(columns_of(entries), times)
        expected = sorted(zip(times, range(len(entries)), strict=True))
        self.assertEqual(list(columns), [entries[place] for _, place in expected])
        self.assertEqual(list(ordered), [time for time, _ in expected])
        self.assertTrue(are_rising(ordered))
        self.assertEqual(are_rising(times), list(times) == sorted(times))


class ReorderBufferTests(SynchronousTestCase):
    """`ReorderBuffer`."""

    def test_waits_for_the_slower(self) -> None:
        """What is younger than the delay stays; ties keep the order of their numbers; at the watermark is late."""
        buffer = ReorderBuffer(delay=10)
        for number, times in ((2, (105,)), (1, (105,)), (3, (106, 104))):
            self.assertEqual(buffer.add(chunk(number, *times)), 0)
        release = buffer.release(NOW + 115)
        self.assertEqual((release.watermark - NOW, release.late), (105, []))
        self.assertEqual(shown(release.on_time), [(104, 4), (105, 1), (105, 2)])
        self.assertEqual(buffer.add(chunk(5, 105, 107, 103)), 2)
        release = buffer.release(NOW + 90)  # a clock that goes back: the watermark does not
        self.assertEqual((release.watermark - NOW, release.on_time), (105, []))
        self.assertEqual(shown(release.late), [(103, 7), (105, 5)])
        self.assertEqual(shown(buffer.rest()), [(106, 3), (107, 6)])
        self.assertEqual(repr(buffer), f"<ReorderBuffer 2 waiting, 0 late, watermark {NOW + 105}>")

    def test_a_part_at_once(self) -> None:
        """About as many bytes as are asked for; the watermark rises that far, and nothing becomes late by it."""
        buffer = ReorderBuffer(delay=0)
        for first, time in ((1, 10), (3, 30), (5, 20), (7, 50)):
            buffer.add(chunk(first, time))
        limit = buffer.weight // 4 + 1
        for reached, expected in ((20, [(10, 1), (20, 5)]), (40, [(30, 3)])):
            release = buffer.release(NOW + 40, limit)
            self.assertEqual((release.watermark - NOW, shown(release.on_time)), (reached, expected))
        self.assertEqual(shown(buffer.release(NOW + 60, 1).on_time), [(50, 7)])

    @given(st.lists(st.integers(0, 9), min_size=1), st.integers(-1, 10), st.integers(-1, 10), st.booleans())
    def test_spans(self, times: list[int], low: int, high: int, is_sorted: bool) -> None:
        """What is above the one and not above the other, whether the times are rising or not; and how many they are."""
        times = sorted(times) if is_sorted else times
        span = Span(chunk(1, *times), NOW + low, NOW + high)
        expected = [(time, number) for number, time in enumerate(times, 1) if low < time <= high]
        self.assertEqual((shown([span]), span.entry_count()), (sorted(expected), len(expected)))
        self.assertEqual([entry.time for entry in take(span).columns], [NOW + time for time, _ in expected])

    def test_small_frames_are_one_chunk(self) -> None:
        """As long as they follow one another, are on time and nothing was released; with them all that is known."""
        buffer = ReorderBuffer(delay=10)
        for number, time in ((1, 7), (2, 5), (3, 6)):
            buffer.add(chunk(number, time))
        buffer.add(chunk(5, 8))  # of what was between, the journal knows
        (first, second) = buffer.rest()
        self.assertEqual((first.chunk.earliest - NOW, first.chunk.latest - NOW, len(buffer)), (5, 7, 4))
        self.assertEqual(buffer.weight, first.chunk.weight + second.chunk.weight)
        self.assertEqual([entry.time for entry in take(first).columns], [NOW + 7, NOW + 5, NOW + 6])
        self.assertEqual(shown(buffer.release(NOW + 16).on_time), [(5, 2), (6, 3)])
        self.assertEqual(buffer.add(chunk(6, 6, 9)), 1)
        buffer.add(chunk(8, 9))
        self.assertEqual([shown([span]) for span in buffer.rest()], [[(7, 1)], [(8, 5)], [(9, 7)], [(9, 8)]])

    def test_many_are_several_chunks(self) -> None:
        """A release takes at least one."""
        buffer = ReorderBuffer(delay=10)
        for number in range(2 * GATHERED_ENTRIES):
            buffer.add(chunk(number, number))
        self.assertEqual([len(span.chunk.times) for span in buffer.rest()], [GATHERED_ENTRIES] * 2)

    def test_only_what_is_above(self) -> None:
        """For what was written in part before a crash."""
        buffer = ReorderBuffer(delay=10, watermark=NOW + 5)
        self.assertEqual(buffer.add(chunk(1, 4, 5, 6), NOW + 5), 0)
        self.assertEqual((shown(buffer.rest()), len(buffer)), ([(6, 3)], 1))

    @given(
        st.lists(
            st.tuples(
                st.lists(st.integers(0, 40), min_size=1, max_size=3),
                st.sampled_from(["add", "add", "release", "release and fail"]),
            )
        )
    )
    def test_order(self, steps: list[tuple[list[int], str]]) -> None:
        """Nothing is lost, nothing comes twice, and all that was on time is in order, also when a write fails."""
        buffer = ReorderBuffer(delay=10, watermark=NEVER)
        added: list[tuple[int, int]] = []
        on_time: list[tuple[int, int]] = []
        late: list[tuple[int, int]] = []
        for times, step in steps:
            if step == "add":
                first = len(added)
                added += [(time, first + place) for place, time in enumerate(times)]
                buffer.add(chunk(first, *times))
                continue
            release = buffer.release(NOW + times[0])
            if step == "release":
                on_time += shown(release.on_time)
                late += shown(release.late)
            else:
                buffer.take_back(release)
        release = buffer.release(NOW + 1000)
        on_time += shown(release.on_time)
        late += shown(release.late)
        self.assertEqual(on_time, sorted(on_time))
        self.assertEqual(sorted(on_time + late), sorted(added))
        self.assertEqual((len(buffer), buffer.weight), (0, 0))
