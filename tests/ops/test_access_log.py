"""Tests of `scalekit.ops.access_log`."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from scalekit.errors import ConfigurationFault
from scalekit.http.heads import Client
from scalekit.interfaces import ILogSink
from scalekit.ops import access_log
from scalekit.ops.access_log import (
    BATCH,
    COMPLAINT_SECONDS,
    TICK_SECONDS,
    AccessLog,
    check_access_log,
    line_of,
    sentence,
)
from tests.ops.exchanges import over

# 2023-11-14T22:13:20Z
THEN = 1_700_000_000.25


@implementer(ILogSink)
class Sink:
    """Keeps entries."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, str, float | None]] = []
        self.fields: list[Any] = []

    def log(self, level: str, message: str, timestamp: float | None = None, fields: Any = None) -> None:
        self.entries.append((level, message, timestamp))
        self.fields.append(fields)


class FullDisk(io.RawIOBase):
    """Takes ``room`` bytes and no more, until it is given more."""

    def __init__(self, room: int = 0) -> None:
        self.room = room
        self.kept = b""

    def write(self, data: Any) -> int:
        taken = bytes(data[: self.room])
        if not taken:
            raise OSError(28, "No space left on device")
        self.room -= len(taken)
        self.kept += taken
        return len(taken)


class LineTests(SynchronousTestCase):
    def test_why_it_was_not_tried_again(self) -> None:
        exchange = over(status=502)
        self.assertNotIn("retry", json.loads(line_of(exchange, 0.0, THEN)))
        exchange.record.retry = "budget"
        self.assertEqual(json.loads(line_of(exchange, 0.0, THEN))["retry"], "budget")

    def test_every_value_of_the_line(self) -> None:
        exchange = over(reason="connect-refused", status=502, attempts=2)
        self.assertEqual(
            json.loads(line_of(exchange, 0.0123456789, THEN)),
            {
                "time": "2023-11-14T22:13:20.250Z",
                "request_id": "test-1",
                "client": "203.0.113.7",
                "method": "GET",
                "host": "shop.example",
                "target": "/posts/1?x=1",
                "status": 502,
                "sent": 110,
                "seconds": 0.012346,
                "service": "shop",
                "instance": "127.0.0.1:3000",
                "attempts": 2,
                "reason": "connect-refused",
                "tls": True,
                "version": "1.1",
            },
        )

    def test_the_time_is_cut_not_rounded(self) -> None:
        """So that no line is dated a second after its fellows."""
        times = [
            json.loads(line_of(over(), 0.0, wall))["time"][17:] for wall in (THEN - 0.25, THEN + 0.7499, THEN + 0.75)
        ]
        self.assertEqual(times, ["20.000Z", "20.999Z", "21.000Z"])

    def test_versions(self) -> None:
        self.assertEqual(
            [json.loads(line_of(over(version=v), 0.0, THEN))["version"] for v in (10, 11, 20)], ["1.0", "1.1", "2"]
        )

    def test_for_people(self) -> None:
        self.assertEqual(
            sentence(over(), 0.0123),
            "GET /posts/1?x=1 200 110 bytes in 12.3 ms by 127.0.0.1:3000 for 203.0.113.7 id=test-1",
        )
        refused = over(status=503, reason="no-app-servers", instance="", sent=90)
        self.assertEqual(
            sentence(refused, 0.0),
            "GET /posts/1?x=1 503 (no-app-servers) 90 bytes in 0.0 ms for 203.0.113.7 id=test-1",
        )


class AccessLogTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.path = Path(self.mktemp())
        self.sink = Sink()

    def make(self, path: str | None = None, sink: Sink | None = None) -> AccessLog:
        log = AccessLog(str(self.path) if path is None else path, self.clock, lambda: THEN, sink)
        log.startService()
        self.addCleanup(lambda: log.running and log.stopService())
        return log

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_bytes().splitlines()]

    def test_a_tick_writes_what_has_come(self) -> None:
        log = self.make(sink=self.sink)
        log.record(over(), 0.001)
        log.record(over(b"/2", status=502), 0.002)
        self.assertEqual((self.lines(), repr(log)), ([], f"<AccessLog {self.path} 2 waiting, 0 dropped>"))
        self.clock.advance(TICK_SECONDS)
        self.assertEqual([line["target"] for line in self.lines()], ["/posts/1?x=1", "/2"])
        self.assertEqual([(level, when) for level, _, when in self.sink.entries], [("INFO", THEN), ("ERROR", THEN)])
        self.assertEqual(self.sink.fields[0], {"request_id": "test-1"})
        self.clock.advance(TICK_SECONDS)
        self.assertEqual(len(self.lines()), 2)

    def test_many_are_written_in_batches_and_in_order(self) -> None:
        log = self.make()
        for number in range(BATCH + 1):
            log.record(over(b"/%d" % number), 0.0)
        self.clock.advance(TICK_SECONDS)
        self.assertEqual([line["target"] for line in self.lines()], [f"/{number}" for number in range(BATCH + 1)])

    def test_what_waits_is_bounded_and_the_rest_counted(self) -> None:
        self.patch(access_log, "MOST_WAITING", 3)
        log = self.make()
        for _ in range(5):
            log.record(over(), 0.0)
        self.assertEqual(log.dropped, 2)
        self.clock.advance(TICK_SECONDS)
        self.assertEqual(len(self.lines()), 3)

    def test_the_stop_writes_what_waits(self) -> None:
        log = self.make()
        log.record(over(), 0.0)
        log.stopService()
        self.assertEqual(len(self.lines()), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_batch_a_turn(self) -> None:
        """Whoever waits for an answer waits for one batch at the most, and the stop for none of them."""
        log = self.make()
        for _ in range(2 * BATCH + 1):
            log.record(over(), 0.0)
        written = []
        log._write_batch = lambda: (AccessLog._write_batch(log), written.append(len(self.lines())))  # type: ignore
        self.clock.advance(0)  # they are not kept until the tick
        self.clock.advance(0)
        self.assertEqual(written, [BATCH, 2 * BATCH, 2 * BATCH + 1])

    def test_the_stop_between_two_turns(self) -> None:
        log = self.make()
        log.record(SimpleNamespace(), 0.0)  # cannot be written
        for _ in range(2 * BATCH):
            log.record(over(), 0.0)
        log.stopService()
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
        self.assertEqual(len(self.lines()), 2 * BATCH)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_reopen_after_a_rotation(self) -> None:
        log = self.make()
        log.record(over(b"/1"), 0.0)
        self.clock.advance(TICK_SECONDS)
        rotated = self.path.rename(f"{self.path}.1")
        log.record(over(b"/2"), 0.0)
        log.reopen(str(self.path))
        self.clock.advance(TICK_SECONDS)
        self.assertEqual(len(rotated.read_bytes().splitlines()), 1)
        self.assertEqual([line["target"] for line in self.lines()], ["/2"])

    def test_a_start_goes_on_in_the_same_file(self) -> None:
        for _ in range(2):
            log = self.make()
            log.record(over(), 0.0)
            log.stopService()
        self.assertEqual(len(self.lines()), 2)

    def test_a_file_that_cannot_be_opened_leaves_the_old_one(self) -> None:
        log = self.make()
        place = self.mktemp()
        os.mkdir(place)
        fault = self.assertRaises(ConfigurationFault, log.reopen, place)
        self.assertEqual(
            str(fault),
            f"balancer.access_log: found {place} (Is a directory), expected a file that can be written to",
        )
        log.record(over(), 0.0)
        self.clock.advance(TICK_SECONDS)
        self.assertEqual(len(self.lines()), 1)

    def test_without_a_file_the_sink_still_hears(self) -> None:
        log = self.make("", self.sink)
        log.record(over(), 0.0)
        self.clock.advance(TICK_SECONDS)
        self.assertEqual((len(self.sink.entries), log.dropped), (1, 0))

    def test_stdout_stays_open(self) -> None:
        stdout = io.BytesIO()
        self.patch(sys, "__stdout__", SimpleNamespace(buffer=stdout))
        log = self.make("-")
        log.record(over(), 0.0)
        self.clock.advance(TICK_SECONDS)
        log.reopen("-")
        log.record(over(), 0.0)
        log.stopService()
        self.assertEqual(len(stdout.getvalue().splitlines()), 2)

    def test_a_file_that_cannot_be_written_is_told_once_a_minute_and_counted(self) -> None:
        log = self.make(sink=self.sink)
        log._close()
        disk: Any = FullDisk()
        log._file = disk
        told: list[Any] = []
        self.patch(access_log, "_log", SimpleNamespace(error=lambda text, **event: told.append(event)))
        for _ in range(3):
            log.record(over(), 0.0)
            self.clock.advance(TICK_SECONDS)
        self.assertEqual(log.dropped, 3)
        self.assertEqual(
            [(str(event["why"]), event["dropped"]) for event in told], [("[Errno 28] No space left on device", 1)]
        )
        self.assertEqual(len(self.sink.entries), 3)
        self.clock.advance(COMPLAINT_SECONDS)
        log.record(over(), 0.0)
        self.clock.advance(TICK_SECONDS)
        self.assertEqual([event["dropped"] for event in told], [1, 4])

    def test_after_a_torn_line_the_next_stands_by_itself(self) -> None:
        log = self.make()
        log._close()
        disk: Any = FullDisk(room=20)
        log._file = disk
        self.patch(access_log, "_log", SimpleNamespace(error=lambda text, **event: None))
        log.record(over(b"/lost"), 0.0)
        self.clock.advance(TICK_SECONDS)
        disk.room = 10_000
        for target in (b"/1", b"/2"):
            log.record(over(target), 0.0)
            self.clock.advance(TICK_SECONDS)
        torn, *whole = disk.kept.splitlines()
        self.assertEqual(len(torn), 20)
        self.assertEqual([json.loads(line)["target"] for line in whole], ["/1", "/2"])

    def test_whether_it_could_be_another_file(self) -> None:
        place = Path(self.mktemp()).absolute()
        place.mkdir()
        for path in ("", "-", str(place / "new.log")):
            check_access_log(path)
        self.assertEqual(list(place.iterdir()), [])
        for path in (str(place / "none" / "new.log"), str(place)):
            self.assertIn(f"found {path}", str(self.assertRaises(ConfigurationFault, check_access_log, path)))

    def test_a_tick_that_fails_is_not_the_last(self) -> None:
        log = self.make()
        broken: Any = SimpleNamespace()
        log.record(broken, 0.0)
        self.clock.advance(TICK_SECONDS)
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)
        log.record(over(), 0.0)
        self.clock.advance(TICK_SECONDS)
        self.assertEqual(len(self.lines()), 1)

    def test_one_that_cannot_be_told_takes_none_along(self) -> None:
        log = self.make(sink=self.sink)
        broken: Any = SimpleNamespace()
        for exchange in (over(b"/1"), broken, over(b"/2"), broken, over(b"/3")):
            log.record(exchange, 0.0)
        self.clock.advance(TICK_SECONDS)
        self.assertEqual([line["target"] for line in self.lines()], ["/1", "/2", "/3"])
        self.assertEqual([message.split()[1] for _, message, _ in self.sink.entries], ["/1", "/2", "/3"])
        # Once a minute: there may be 250 of them in each turn.
        self.assertEqual((log.dropped, len(self.flushLoggedErrors(AttributeError))), (2, 1))

    @given(st.binary(max_size=40), st.text(max_size=20))
    def test_nothing_in_a_request_can_end_a_line(self, target: bytes, address: str) -> None:
        """The wire lets no control character through; a listener yet to come might."""
        raw = line_of(over(target, client=Client(address, 1, False, 1)), 0.0, THEN)
        self.assertEqual(raw.count(b"\n"), 1)
        self.assertEqual(json.loads(raw)["target"], target.decode("latin-1"))
