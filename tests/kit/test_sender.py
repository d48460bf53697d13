"""Tests of `scalekit.kit.sender`; with processes: `tests.scenarios.test_app_logs`."""

from __future__ import annotations

import itertools
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from scalekit.interfaces import ILogSink
from scalekit.kit.posting import Answer
from scalekit.kit.queue import BATCH_ENTRIES
from scalekit.kit.sender import CLOSE_SECONDS, LogSender, Surroundings
from scalekit.kit.spool import Batch

PATIENCE_SECONDS = 30.0


class FakePoster:
    """Hands each batch to the test, which answers."""

    def __init__(self) -> None:
        self.batches: queue.SimpleQueue[Batch] = queue.SimpleQueue()
        self.answers: queue.SimpleQueue[Answer | Exception] = queue.SimpleQueue()
        self.closed = threading.Event()

    def post(self, batch: Batch) -> Answer:
        self.batches.put(batch)
        answer = self.answers.get(timeout=PATIENCE_SECONDS)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def abort(self) -> None:
        self.answers.put(OSError("given up"))

    def close(self) -> None:
        self.closed.set()


class LogSenderTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.told: list[str] = []
        self.names = itertools.count()
        self.poster = FakePoster()
        self.sender = self.make()

    def make(self, now: Callable[[], float] = time.monotonic, tell: Callable[[str], None] | None = None) -> LogSender:
        around = Surroundings(now, lambda: 0.0, lambda: 0.0, lambda: f"n{next(self.names)}", tell or self.told.append)
        sender = LogSender("shop", lambda: self.poster, str(self.directory), around)
        self.addCleanup(sender.close, 0.0)
        self.addCleanup(self.poster.answers.put, OSError("the test is over"))
        return sender

    def sent(self) -> list[bytes]:
        return self.poster.batches.get(timeout=PATIENCE_SECONDS).lines.splitlines()

    def test_it_is_a_log_sink(self) -> None:
        verifyObject(ILogSink, self.sender)

    def test_entries_are_sent_again_until_they_are_taken(self) -> None:
        self.sender.log("INFO", "kept", 0.0, {"a": 1})
        lines = self.sent()
        self.assertEqual(len(lines), 1)
        self.poster.answers.put(OSError("refused"))
        self.assertEqual(self.sent(), lines)
        self.poster.answers.put(Answer(200))
        self.sender.close(PATIENCE_SECONDS)
        self.assertFalse(self.directory.exists())

    def test_close_sends_what_is_left(self) -> None:
        self.poster.answers.put(Answer(200))
        self.sender.log("INFO", "last words")
        self.sender.close(PATIENCE_SECONDS)
        self.assertIn(b"last words", self.sent()[0])
        self.assertTrue(self.poster.closed.wait(PATIENCE_SECONDS))
        self.assertFalse(self.directory.exists())

    def test_close_sends_what_is_spooled_too(self) -> None:
        for number in range(3000):
            self.sender.log("INFO", f"{number}".ljust(1000))
        for _ in range(20):
            self.poster.answers.put(Answer(200))
        self.sender.close(PATIENCE_SECONDS)
        self.assertEqual(sum(len(self.sent()) for _ in range(self.poster.batches.qsize())), 3000)
        self.assertEqual(list(self.directory.glob("*")), [])

    def test_close_tries_once_more_however_long_it_was_to_wait(self) -> None:
        """The collector may be back; if it is not, all of it is spooled, and nobody waits any longer."""
        for seconds, is_back in ((0.0, True), (0.0, False), (5.0, True), (5.0, False)):
            passed = [0.0]
            told: queue.SimpleQueue[str] = queue.SimpleQueue()
            sender = self.make(lambda passed=passed: passed[0], told.put)  # type: ignore[misc]
            for number in range(BATCH_ENTRIES):
                sender.log("INFO", str(number))
            first = self.sent()
            self.poster.answers.put(Answer(503, "busy", "busy", 60.0))
            self.assertIn("busy", told.get(timeout=PATIENCE_SECONDS))
            passed[0] = seconds  # 5: it counts as away
            closing = threading.Thread(target=sender.close)
            closing.start()
            self.assertEqual(self.sent(), first)
            self.poster.answers.put(Answer(200) if is_back else OSError("away"))
            if not seconds and not is_back:
                # It has not been away for long: there may be time for yet another one.
                passed[0] = CLOSE_SECONDS
            closing.join(PATIENCE_SECONDS)
            self.assertFalse(closing.is_alive())
            self.assertTrue(self.poster.batches.empty())
            left = list(self.directory.glob("*.spool"))
            self.assertEqual([file.read_bytes().count(b'"Message"') for file in left], [] if is_back else [len(first)])
            sender._spool.close()  # as the end of the process does
            for file in left:
                file.unlink()

    def test_what_is_left_at_the_end_and_what_comes_later_is_spooled_and_adopted(self) -> None:
        self.sender.log("INFO", "left")
        name = self.poster.batches.get(timeout=PATIENCE_SECONDS)[:2]
        self.sender.close(0.0)
        self.sender.log("INFO", "later")
        self.assertEqual(len(list(self.directory.glob("*.spool"))), 2)
        self.sender._spool.close()  # as the end of the process does
        self.poster = FakePoster()
        heir = self.make()
        heir.log("INFO", "after")
        again = self.poster.batches.get(timeout=PATIENCE_SECONDS)
        self.assertEqual(again[:2], name)
        for _ in range(3):
            self.poster.answers.put(Answer(200))
        self.assertIn(b"later", self.sent()[0])
        self.assertIn(b"after", self.sent()[0])
        heir.close(PATIENCE_SECONDS)
        self.assertEqual(list(self.directory.iterdir()), [])

    def test_a_child_begins_anew(self) -> None:
        self.poster.answers.put(Answer(200))
        self.sender.log("INFO", "the parent's")
        before = self.poster.batches.get(timeout=PATIENCE_SECONDS)
        self.sender.close(PATIENCE_SECONDS)
        self.sender.forked()
        self.poster.answers.put(Answer(200))
        self.sender.log("INFO", "the child's")
        after = self.poster.batches.get(timeout=PATIENCE_SECONDS)
        self.assertNotEqual(before.client, after.client)
        self.assertNotIn(b"the parent's", after.lines)

    def test_what_nobody_wants_is_kept(self) -> None:
        self.sender.log("INFO", "refused")
        self.sent()
        self.poster.answers.put(Answer(400, "bad", "400 bad"))
        self.sender.close(PATIENCE_SECONDS)
        (kept,) = (self.directory / "rejected").glob("*.ndjson")
        self.assertIn(b"refused", kept.read_bytes())
        self.assertIn("400 bad", self.told[0])

    def test_log_never_raises_and_counts(self) -> None:
        for level, message, moment in (("INFO", None, 0.0), (7, "level", "x")):
            self.sender.log(level, message, moment)  # type: ignore[arg-type]
        self.assertTrue(self.sender._queue.report_dropped().startswith("2 log entries dropped"))

    def test_an_entry_is_what_it_was_when_it_was_logged(self) -> None:
        fields: dict[str, object] = {"sold": 1}
        self.sender.log("INFO", "light", 0.0, fields)
        fields["sold"] = nested = [2]
        self.sender.log("INFO", "heavy", 0.0, fields)
        nested.append(3)
        self.poster.answers.put(Answer(200))
        self.sender.close(0.0)
        sent = b"".join(file.read_bytes() for file in self.directory.glob("*.spool"))
        while not self.poster.batches.empty():
            sent += self.poster.batches.get().lines
        self.assertIn(b'"light","Fields":{"sold":1}', sent)
        self.assertIn(b'"heavy","Fields":{"sold":[2]}', sent)

    def test_nobody_waits_who_logs_while_nobody_answers(self) -> None:
        for number in range(2000):
            self.sender.log("INFO", f"{number}".ljust(1000))
        self.sent()
        self.sender.close(0.0)
        spooled = b"".join(file.read_bytes() for file in sorted(self.directory.glob("*.spool")))
        self.assertEqual(spooled.count(b'"Message"'), 2000)
