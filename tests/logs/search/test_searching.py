"""A search through the whole log, and what it does when it may not go on."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.collector import Collector
from scalekit.logs.entry import LEVELS, Entry
from scalekit.logs.memory import MemoryDirectory
from scalekit.logs.records import parse_record
from scalekit.logs.search import scanning, searching
from scalekit.logs.search.budget import Budget, Cancelled
from scalekit.logs.search.counting import histogram
from scalekit.logs.search.language import Query, Text
from scalekit.logs.search.matching import Matcher
from scalekit.logs.search.scanning import Unreadable
from scalekit.logs.search.searching import search
from scalekit.logs.settings import Settings
from scalekit.logs.threads import DirectLane
from tests.logs.search.indexed import no_indexes

T = 1_700_000_000
HOUR = 3600
SECOND = 1_000_000_000
ALL = Query()


class LogCase(SynchronousTestCase):
    """A collector whose clock and disk are the test's."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(T)
        self.directory = MemoryDirectory()
        lanes = (DirectLane(), DirectLane(), DirectLane())
        self.collector = Collector(lambda: self.directory, self.clock, lanes, Settings(segment_bytes=1_000_000))
        self.collector.startService()
        self.written: list[tuple[int, int, str]] = []

    def write(self, *seconds: int, level: str = "INFO") -> None:
        """Entries of so many seconds after T, whose message says how many."""
        entries = [Entry((T + each) * SECOND, level, "shop", f"n{each}") for each in seconds]
        self.successResultOf(self.collector.append(entries))
        for each in sorted(seconds):  # in this order a batch is numbered
            self.written.append((each, len(self.written) + 1, level))

    def fill(self) -> None:
        """Two sealed volumes, one that is closing with late entries, an open one with some, and what waits."""
        for hour in range(4):
            start = hour * HOUR
            self.write(start, start + 5, start + 3)
            self.clock.pump([1.0] * 10)
            self.write(start + 4, 1, level="WARN")  # late, the second one by hours
            self.clock.pump([5.0] * 20)
            self.clock.pump([HOUR - 110.0])
        self.clock.pump([1.0] * 10)
        self.write(4 * HOUR + 5)
        self.clock.pump([1.0] * 10)
        self.write(4 * HOUR + 3, level="ERROR")
        self.clock.pump([1.0] * 4)
        self.write(4 * HOUR + 20, 2)  # stays in the journal

    def budget(self, read_bytes: int = 1 << 30) -> Budget:
        return Budget(self.clock.seconds, read_bytes=read_bytes)

    def find(
        self, query: Query = ALL, limit: int = 1000, *, is_backwards: bool = False, read_bytes: int = 1 << 30
    ) -> tuple[list[tuple[int, int, str]], str | None, int | None]:
        budget = self.budget(read_bytes)
        answer = search(self.collector.reader, no_indexes(), Matcher(query), budget, limit, is_backwards=is_backwards)
        records = [parse_record(line) for line in answer.lines]
        found = [(record.time // SECOND - T, record.Sequence, record.Level) for record in records if record is not None]
        return found, answer.partial, answer.until

    def in_order(self, is_backwards: bool = False) -> list[tuple[int, int, str]]:
        return sorted(self.written, reverse=is_backwards)


class SearchTests(LogCase):
    """`search`."""

    def test_everything(self) -> None:
        """Each entry once and in order, wherever it is; also one that was acknowledged a moment ago."""
        self.fill()
        volumes = self.collector.reader.volumes()
        self.assertTrue(volumes[0].is_sealed and volumes[-2].late_length)
        for is_backwards in (False, True):
            self.assertEqual(self.find(is_backwards=is_backwards), (self.in_order(is_backwards), None, None))

    def test_conditions(self) -> None:
        """Words and times; an empty log."""
        self.assertEqual(self.find(), ([], None, None))
        self.fill()
        self.assertEqual(self.find(Query((Text("n1"),)))[0], [each for each in self.in_order() if each[0] == 1])
        query = Query((), (T + HOUR) * SECOND, (T + 2 * HOUR + 4) * SECOND)
        expected = [each for each in self.in_order() if HOUR <= each[0] < 2 * HOUR + 4]
        self.assertEqual(self.find(query)[0], expected)
        self.assertTrue(expected)

    def test_budgets(self) -> None:
        """What is found is the beginning of all, complete up to the time that is said."""
        self.fill()
        for is_backwards in (False, True):
            expected = self.in_order(is_backwards)
            found, partial, until = self.find(limit=4, is_backwards=is_backwards)
            self.assertEqual((found, partial), (expected[:4], "rows"))
            self.assertEqual(until, (T + expected[3][0]) * SECOND)
            reasons = set()
            for read_bytes in range(0, 3000, 90):
                found, partial, until = self.find(is_backwards=is_backwards, read_bytes=read_bytes)
                self.assertEqual(found, expected[: len(found)])
                reasons.add(partial)
                if until is not None:
                    since = until / SECOND - T
                    surely = [each for each in expected if (each[0] > since if is_backwards else each[0] < since)]
                    self.assertEqual(found[: len(surely)], surely)
            self.assertEqual(reasons, {"bytes", None})
        self.patch(searching, "ANSWER_BYTES", 250)
        self.assertEqual(self.find()[1], "answer")

    def test_time_and_leaving(self) -> None:
        """The clock is asked while it goes on, and so is whether anybody waits."""
        self.write(*range(2000))
        self.clock.pump([1.0] * 2100)
        found, partial, _ = self.slow(lambda budget: 20.0)
        self.assertEqual((0 < found < 2000, partial), (True, "time"))

        def leave(budget: Budget) -> float:
            budget.is_cancelled = True
            return 0.0

        self.assertRaises(Cancelled, self.slow, leave)
        gone = self.budget()
        gone.is_cancelled = True
        self.assertRaises(Cancelled, gone.begin)

    def slow(self, step: Callable[[Budget], float]) -> tuple[int, str | None, int | None]:
        """A search in which reading a piece takes as long as ``step`` says."""
        self.patch(scanning, "PIECE_BYTES", 10_000)
        budget = self.budget()
        budget.begin()
        reader = self.collector.reader
        read = reader.read

        def slowly(*arguments: object, **named: object) -> bytes:
            self.clock.rightNow += step(budget)
            return read(*arguments, **named)  # type: ignore[arg-type]

        reader.read = slowly  # type: ignore[method-assign]
        answer = search(reader, no_indexes(), Matcher(Query()), budget, 10_000, is_backwards=False)
        return len(answer.lines), answer.partial, answer.until

    def test_a_volume_goes_meanwhile(self) -> None:
        """Then it begins anew, a few times."""
        self.fill()
        real, calls = scanning.lines_between, []

        def failing(*arguments: object, **named: object) -> object:
            calls.append(arguments)
            if len(calls) <= most:
                raise Unreadable
            return real(*arguments, **named)  # type: ignore[arg-type]

        self.patch(searching, "lines_between", failing)
        most = 2
        self.assertEqual(self.find()[0], self.in_order())

    @given(st.lists(st.lists(st.integers(0, 5), max_size=4), max_size=4), st.booleans())
    def test_merging(self, streams: list[list[int]], is_backwards: bool) -> None:
        """Streams whose bounds are said become one in order."""
        number = 0
        made, all_of_them = [], []
        for times in streams:
            found = []
            for time in times:
                number += 1
                found.append(searching.Found(time, number, "INFO", b""))
            found = searching._sorted(found, is_backwards)
            all_of_them += found
            made.append((max(times, default=0) if is_backwards else min(times, default=5), found.__iter__))
        self.assertEqual(list(searching.merged(made, is_backwards)), searching._sorted(all_of_them, is_backwards))


class HistogramTests(LogCase):
    """`histogram`."""

    @property
    def now(self) -> int:
        return int(self.clock.seconds()) * SECOND

    def test_counts(self) -> None:
        """By span and level; every entry is in one."""
        self.fill()
        found = histogram(self.collector.reader, no_indexes(), Matcher(Query()), self.budget(), 5, self.now)
        self.assertEqual((found.since, found.partial, found.complete), (T * SECOND, None, None))
        self.assertEqual(sum(map(sum, found.counts)), len(self.written))
        for level, expected in (("WARN", 8), ("ERROR", 1), ("DEBUG", 0)):
            self.assertEqual(sum(counts[LEVELS.index(level)] for counts in found.counts), expected)
        query = Query((), (T + HOUR) * SECOND, (T + HOUR + 6) * SECOND)
        found = histogram(self.collector.reader, no_indexes(), Matcher(query), self.budget(), 3, self.now)
        self.assertEqual((found.step, found.counts), (2 * SECOND, [[0, 1, 0, 0, 0], [0, 1, 0, 0, 0], [0, 1, 1, 0, 0]]))

    def test_partial(self) -> None:
        """From the newest on; an empty log has none, one with nothing written yet has what waits."""
        for expected in (0, 2):
            found = histogram(self.collector.reader, no_indexes(), Matcher(ALL), self.budget(), 5, self.now)
            self.assertEqual((len(found.counts), sum(map(sum, found.counts))), (5, expected))
            self.write(-500, 1)
        self.fill()
        found = histogram(self.collector.reader, no_indexes(), Matcher(Query()), self.budget(400), 5, self.now)
        self.assertEqual(found.partial, "bytes")
        assert found.complete is not None
        self.assertGreater(found.complete, (T + HOUR) * SECOND)
