"""Tests of `scalekit.kit.queue`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit.queue import ENTRY_OVERHEAD, EntryQueue

SIZE = ENTRY_OVERHEAD + 10


def entry(number: int) -> bytes:
    return b"%010d" % number


class EntryQueueTests(SynchronousTestCase):
    def test_first_in_first_out_whatever_the_level(self) -> None:
        queue = EntryQueue()
        for number, level in enumerate(["INFO", "ERROR", "DEBUG", "WARN", "INFO"]):
            queue.add(level, entry(number))
        self.assertEqual(queue.take(10, 10_000), [entry(number) for number in range(5)])

    def test_the_oldest_low_entries_go_first(self) -> None:
        queue = EntryQueue(3 * SIZE)
        for number, level in enumerate(["ERROR", "INFO", "DEBUG", "PANIC", "INFO"]):
            queue.add(level, entry(number))
        self.assertEqual(queue.take(10, 10_000), [entry(0), entry(3), entry(4)])
        self.assertEqual(queue.report_dropped(), "2 log entries dropped (1 DEBUG, 1 INFO)")
        self.assertEqual(queue.report_dropped(), "")

    def test_without_low_ones_the_oldest_of_all_goes(self) -> None:
        queue = EntryQueue(2 * SIZE)
        for number in range(3):
            queue.add("ERROR", entry(number))
        self.assertEqual(queue.take(10, 10_000), [entry(1), entry(2)])
        self.assertEqual(queue.report_dropped(), "1 log entry dropped (1 ERROR)")

    def test_a_batch_is_bounded_in_entries_and_bytes_but_never_empty(self) -> None:
        queue = EntryQueue()
        for number in range(6):
            queue.add("INFO", entry(number))
        self.assertEqual(len(queue.take(2, 10_000)), 2)
        self.assertEqual(len(queue.take(10, 33)), 3)
        self.assertEqual(len(queue.take(10, 1)), 1)
        self.assertEqual(queue.take(10, 1), [])

    @given(st.lists(st.tuples(st.sampled_from(["DEBUG", "INFO", "WARN", "ERROR", None]), st.integers(0, 400))))
    def test_the_bound_holds_and_nothing_is_lost_uncounted(self, steps: list[tuple[str | None, int]]) -> None:
        queue = EntryQueue(2000)
        added = taken = 0
        for level, size in steps:
            if level is None:
                taken += len(queue.take(3, size))
            else:
                queue.add(level, b"x" * size)
                added += 1
            self.assertLessEqual(queue.count_bytes, 2000)
        report = queue.report_dropped()
        dropped = int(report.split()[0]) if report else 0
        self.assertEqual(added, taken + dropped + queue.count)
        queue.take(10_000, 1_000_000)
        self.assertEqual((queue.count, queue.count_bytes), (0, 0))
