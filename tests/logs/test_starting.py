"""A start on a disk that takes nothing."""

from __future__ import annotations

from scalekit.logs.journal import Unavailable
from scalekit.logs.memory import MemoryDirectory
from scalekit.logs.output import CHECKPOINTS
from scalekit.logs.records import parse_record
from scalekit.logs.search.budget import Budget
from scalekit.logs.search.indexes import Indexes
from scalekit.logs.search.language import parse_query
from scalekit.logs.search.matching import Matcher
from scalekit.logs.search.searching import search
from scalekit.logs.starting import AGAIN_SECONDS, Starting
from tests.logs.collecting import FULL, CollectorCase
from tests.logs.lanes import SteppedLane


class StartingTests(CollectorCase):
    """`Starting`, and the collector with it."""

    def setUp(self) -> None:
        """A log that was killed: of seven entries one is late, and the last two are in the journal only."""
        super().setUp()
        self.stop()
        self.start(journal_bytes=1 << 20)
        for message, offset in (("b", 0.0), ("c", 0.0), ("d", 0.0), ("a", -30.0), ("e", 0.0)):
            self.append(message, offset)
            self.pass_time(4)
        self.append("f")
        self.append("g")
        self.work()
        self.directory = self.directory.survive()

    def pass_time(self, seconds: int) -> None:
        for _ in range(4 * seconds):
            self.work()
            self.clock.advance(0.25)
        self.work()

    def lose_checkpoints(self) -> None:
        for name in CHECKPOINTS:
            self.directory.write_from(name, 0, b"damaged")

    def found(self) -> str:
        """The messages of all entries, as a search finds them."""
        collector = self.collector
        matcher, budget = Matcher(parse_query("", 0)), Budget(self.clock.seconds)
        answer = search(collector.reader, Indexes(collector.counts), matcher, budget, 100, is_backwards=False)
        records = [parse_record(line) for line in answer.lines]
        return "".join(record.Message for record in records if record is not None)

    def contents(self) -> dict[str, bytes]:
        return {name: self.directory.read(name) for name in self.directory.names()}

    def test_a_full_disk_and_no_checkpoint(self) -> None:
        """It starts, is read, refuses entries and changes nothing; with room again it is as if nothing had been."""
        self.lose_checkpoints()
        before = self.contents()
        self.directory.fail_after(0, error=FULL, times=1 << 30)
        for _ in range(2):
            self.start(journal_bytes=1 << 20)
            self.pass_time(30)
            self.assertEqual(self.found(), "abcdefg")
            self.assertIn("takes nothing", self.collector.trouble or "")
            self.assertEqual(self.failureResultOf(self.append("x"), Unavailable).value.reason, "disk")
            self.stop()
            self.assertEqual(self.contents(), before)
        self.start(journal_bytes=1 << 20)
        self.directory.fail_after(0, error=FULL, times=0)
        self.directory.room = 0
        self.pass_time(30)
        self.assertEqual(self.contents(), before)  # there is no room yet
        self.directory.room = 1 << 40
        self.pass_time(int(AGAIN_SECONDS))
        self.assertIsNone(self.collector.trouble)
        self.append("h")
        self.pass_time(4)
        self.assertEqual(self.found(), "abcdefgh")
        self.stop()
        self.assertEqual(self.messages() + self.messages("log.txt.late"), "bcdefgha")

    def test_whichever_step_fails(self) -> None:
        """Of a recovery with a checkpoint or without: it starts, and finds all; later, too."""
        for is_lost in (False, True):
            if is_lost:
                self.lose_checkpoints()
                self.directory.write_from("log.txt", 0, b"made anew")
            whole = self.directory
            step = 0
            while True:
                self.directory = whole.survive()
                self.directory.fail_after(step, 0.5, FULL, times=1 << 30)
                before = self.directory.steps
                self.start(journal_bytes=1 << 20)
                is_through = self.directory.steps - before <= step
                self.assertEqual(self.found(), "abcdefg")
                self.directory.fail_after(0, error=FULL, times=0)
                self.pass_time(int(AGAIN_SECONDS))
                self.assertIsNone(self.collector.trouble)
                self.assertEqual(self.found(), "abcdefg")
                self.stop()
                self.assertEqual(self.messages() + self.messages("log.txt.late"), "bcdefga")
                if is_through:
                    break
                step += 1
            self.assertGreater(step, 1 if is_lost else 0)
            self.directory = whole

    def test_a_volume_that_was_to_be_sealed(self) -> None:
        """And could not be: what it has is found, late entries as well."""
        self.start(journal_bytes=1 << 20)
        self.pass_time(4)
        self.clock.advance(3600)
        self.append("h")
        self.pass_time(4)
        self.append("i")
        self.pass_time(4)
        self.assertIn("open-00000002.ndjson", self.directory.names())
        self.directory = self.directory.survive()
        self.lose_checkpoints()
        before = self.contents()
        self.directory.fail_after(0, error=FULL, times=1 << 30)
        self.start(journal_bytes=1 << 20)
        self.assertEqual(self.found(), "abcdefghi")
        self.assertEqual(self.contents(), before)
        self.directory.fail_after(0, error=FULL, times=0)
        self.pass_time(int(AGAIN_SECONDS))
        self.assertEqual((self.collector.trouble, self.found()), (None, "abcdefghi"))
        self.assertTrue(all(volume.is_sealed for volume in self.collector.reader.volumes()[:-1]))
        self.stop()

    def test_without_a_checkpoint_nothing_is_found_twice(self) -> None:
        """What the journal keeps for its readers is in the volumes as well."""
        self.start(journal_bytes=1 << 20)
        self.pass_time(8)
        self.stop()
        self.lose_checkpoints()
        self.start(journal_bytes=1 << 20)
        self.assertEqual(self.found(), "abcdefg")
        self.append("h")
        self.work()
        self.assertEqual(self.found(), "abcdefgh")
        self.pass_time(4)
        self.assertEqual(self.found(), "abcdefgh")
        self.stop()

    def test_a_stop_while_it_recovers(self) -> None:
        """Waits for that, and writes what was only in the journal."""
        self.lose_checkpoints()
        self.directory.fail_after(0, error=FULL, times=1 << 30)
        self.start(journal_bytes=1 << 20)
        self.directory.fail_after(0, error=FULL, times=0)
        self.clock.advance(AGAIN_SECONDS)
        self.stop()
        self.assertEqual(self.messages(), "bcdefg")

    def test_a_mistake(self) -> None:
        """Is logged, and it is tried again."""
        lane = SteppedLane()
        starting = Starting(MemoryDirectory(), 0, False, lane)
        starting.trouble = FULL
        self.patch(starting, "_recover", lambda directory, **others: 1 // 0)
        starting.again(0.0, self.fail)
        lane.step()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.successResultOf(starting.idle())
        self.assertIs(starting.trouble, FULL)
