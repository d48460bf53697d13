"""Tests of `scalekit.kit.delivery`."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit.delivery import Delivery
from scalekit.kit.entries import entry_line
from scalekit.kit.posting import Answer
from scalekit.kit.queue import EntryQueue
from scalekit.kit.spool import Batch, Spool

TAKEN = Answer(200)


class DeliveryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.names = (f"c{number}" for number in itertools.count())
        self.queue = EntryQueue()
        self.told: list[str] = []
        self.rejected: list[tuple[str, int, str]] = []
        self.spool = self.make_spool()
        self.delivery = Delivery(
            self.queue,
            self.spool,
            lambda: next(self.names),
            lambda: 1.0,
            lambda batch, cause: self.rejected.append((batch.client, batch.number, cause)),
            self.told.append,
            lambda text: self.log("WARN", text),
        )

    def make_spool(self) -> Spool:
        lost: Counter[str] = Counter()
        spool = Spool(str(self.directory), lambda: f"s{next(self.names)}", lost.update)
        self.addCleanup(spool.close)
        return spool

    def log(self, level: str = "INFO", text: str = "m") -> None:
        self.queue.add(level, entry_line(level, 0.0, "shop", text))

    def sent(self, now: float) -> Batch:
        batch = self.delivery.next(now)
        assert batch is not None, self.delivery
        return batch

    def name(self, now: float) -> tuple[str, int]:
        return self.sent(now)[:2]

    def test_an_entry_waits_a_fifth_of_a_second_for_others(self) -> None:
        self.log()
        self.assertIsNone(self.delivery.next(0.0))
        self.assertAlmostEqual(self.delivery.wait(0.0), 0.2)
        self.log()
        self.assertEqual(self.sent(0.2).lines.count(b"\n"), 2)
        self.assertIsNone(self.delivery.next(0.3))
        self.delivery.answered(TAKEN, 0.3)
        self.assertFalse(self.delivery.has_any)

    def test_five_hundred_do_not_wait_nor_does_the_end(self) -> None:
        for _ in range(501):
            self.log()
        self.assertEqual(self.sent(0.0).lines.count(b"\n"), 500)
        self.delivery.answered(TAKEN, 0.0)
        self.assertIsNone(self.delivery.next(0.0))
        self.assertIsNotNone(self.delivery.next(0.0, is_hurried=True))

    def test_the_same_batch_until_it_is_taken(self) -> None:
        self.log()
        now, waits = 1.0, []
        self.delivery.next(0.0)
        for _ in range(8):
            self.assertEqual(self.name(now), ("c0", 1))
            self.delivery.failed("refused", now)
            waits.append(self.delivery.wait(now))
            now += 10.0
        self.assertEqual([round(wait, 1) for wait in waits], [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0])
        self.assertEqual(len(self.told), 1)

    def test_retry_after_is_honoured_and_refusals_that_may_change_are_waited_for(self) -> None:
        self.log()
        self.delivery.next(0.0)
        now = 1.0
        for status in (401, 403, 408, 409, 429, 500, 503):
            self.assertEqual(self.name(now), ("c0", 1), status)
            self.delivery.answered(Answer(status, retry_after=30.0), now)
            self.assertIsNone(self.delivery.next(now + 29.0))
            now += 30.0
        self.assertEqual(self.rejected, [])

    def test_a_batch_that_nobody_wants(self) -> None:
        for _ in range(2):
            self.log()
            self.delivery.next(0.0, is_hurried=True)
            self.delivery.answered(Answer(400, "bad", "400 bad"), 0.0)
        self.assertEqual(self.rejected, [("c0", 1, "400 bad"), ("c0", 2, "400 bad")])
        self.assertFalse(self.delivery.has_any)

    def test_away_for_two_seconds_it_spools_and_sends_in_order_afterwards(self) -> None:
        self.log()
        self.delivery.next(0.0)
        self.assertEqual(self.name(0.2), ("c0", 1))  # and no answer to it
        self.log()
        self.delivery.next(1.0)
        self.assertEqual(self.spool.size, 0)
        self.assertAlmostEqual(self.delivery.wait(1.0), 1.2)
        self.assertIsNone(self.delivery.next(2.3))
        self.assertFalse(self.delivery.has_any)
        self.log()
        self.delivery.answered(TAKEN, 3.0)  # the first was taken after all
        self.assertEqual(self.name(3.0), ("c0", 2))
        self.delivery.answered(TAKEN, 3.0)
        self.delivery.next(3.0)
        self.assertEqual(self.name(3.3), ("c0", 3))

    def test_over_a_megabyte_it_spools_whoever_is_there(self) -> None:
        for _ in range(30):
            self.log(text="x" * 40_000)
        numbers = []
        while (batch := self.delivery.next(0.0)) is not None:
            self.assertEqual(self.queue.count, 0)
            numbers.append(batch.number)
            self.delivery.answered(TAKEN, 0.0)
        self.assertEqual(numbers, [1, 2, 3, 4, 5])

    def test_what_is_left_goes_by_its_name_again(self) -> None:
        self.log()
        self.delivery.next(0.0)
        first = self.sent(0.2)
        self.delivery.failed("away", 0.2)
        self.delivery.spool(0.2)
        self.spool.close()
        self.setUp_heir()
        self.assertEqual(self.sent(0.0), first)

    def setUp_heir(self) -> None:
        directory = self.directory
        self.mktemp, mktemp = lambda: str(directory), self.mktemp  # type: ignore[method-assign]
        self.setUp()
        self.mktemp = mktemp  # type: ignore[method-assign]

    def test_after_a_gap_it_has_another_name_and_always_the_same(self) -> None:
        self.log()
        self.delivery.next(0.0)
        self.assertEqual(self.name(0.2), ("c0", 1))
        self.delivery.answered(Answer(409, "batch-gap"), 0.2)
        self.assertEqual(self.name(0.2), ("c0-1", 1))
        self.delivery.failed("away", 0.2)
        self.assertEqual(self.name(1.0), ("c0-1", 1))
        self.delivery.answered(TAKEN, 1.0)
        self.log()
        self.delivery.next(1.0)
        client, number = self.name(1.3)
        self.assertEqual((client != "c0", number), (True, 1))

    def test_a_loss_is_told_when_somebody_listens_again(self) -> None:
        self.log()
        self.delivery.next(0.0)
        self.delivery.next(0.2)
        self.queue.count_dropped(["INFO", "ERROR"])
        self.delivery.answered(TAKEN, 0.2)
        self.delivery.next(0.2)
        self.assertIn(b"2 log entries dropped (1 ERROR, 1 INFO) before this moment", self.sent(0.4).lines)

    def test_a_disk_that_takes_nothing(self) -> None:
        self.directory.write_text("a file")
        self.log()
        self.delivery.spool(0.0)
        self.delivery.spool(0.0)
        self.assertTrue(self.delivery.has_any)
        self.assertEqual(len(self.told), 1)
        self.assertEqual(self.name(0.2), ("c0", 1))

    def test_what_trickles_is_given_up(self) -> None:
        self.log()
        self.delivery.next(0.0, is_hurried=True)
        self.assertFalse(self.delivery.is_stuck(29.0))
        self.assertTrue(self.delivery.is_stuck(30.0))
