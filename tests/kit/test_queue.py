"""Tests of `scalekit.kit.queue`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit.entries import entry_line
from scalekit.kit.queue import BATCH_ENTRIES, ENTRY_OVERHEAD, MOST_NOTED, NOTED_LOOK, EntryQueue

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

    def test_what_is_noted_becomes_a_line_later(self) -> None:
        queue = EntryQueue(source="shop")
        queue.note("INFO", 0.0, "light", {"a": 1})
        queue.add("INFO", b"heavy")
        self.assertEqual(queue.count, 2)
        queue.note("WARN", 1.0, "last", {})
        lines = [entry_line("INFO", 0.0, "shop", "light", {"a": 1}), entry_line("WARN", 1.0, "shop", "last")]
        self.assertEqual(sorted(queue.take(10, 10_000)), sorted([b"heavy", *lines]))
        self.assertEqual((queue.count, queue.count_bytes), (0, 0))

    def test_many_at_once_are_lines_at_once(self) -> None:
        queue = EntryQueue()
        for number in range(MOST_NOTED + 3):
            queue.note("INFO", 0.0, f"{number}", {})
        self.assertEqual(len(queue.take(3, 10_000)), 3)
        self.assertEqual(queue.count, MOST_NOTED)
        self.assertEqual(len(queue.take(BATCH_ENTRIES, 1_000_000)), BATCH_ENTRIES)

    def test_an_entry_that_becomes_no_line_counts_as_dropped(self) -> None:
        queue = EntryQueue()
        queue.note("INFO", 1e300, "no such time", {})
        queue.note("INFO", 0.0, "good", {})
        self.assertEqual(len(queue.take(10, 10_000)), 1)
        self.assertEqual(queue.report_dropped(), "1 log entry dropped (1 INFO)")

    def test_who_takes_them_is_woken_once_and_for_many(self) -> None:
        queue = EntryQueue()
        news = [number for number in range(2 * NOTED_LOOK) if queue.note("INFO", 0.0, "m", {})]
        self.assertEqual(news, [0, NOTED_LOOK - 1, 2 * NOTED_LOOK - 1])
        queue.watch()  # something is there still, and so it comes by itself
        queue.settle()
        self.assertFalse(queue.note("INFO", 0.0, "m", {}))
        queue.take(1000, 1_000_000)
        queue.watch()
        self.assertTrue(queue.note("INFO", 0.0, "m", {}))

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
