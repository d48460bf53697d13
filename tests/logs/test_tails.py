"""``GET /v1/tail``: nothing is missed and nothing told twice."""

from __future__ import annotations

import json
import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.http.heads import RequestHead
from scalekit.logs import tailing, tails
from scalekit.logs.collector import Collector
from scalekit.logs.entry import Entry
from scalekit.logs.memory import MemoryDirectory
from scalekit.logs.reading import LogReader
from scalekit.logs.settings import Settings
from scalekit.logs.tails import HEARTBEAT_SECONDS, Tails
from scalekit.logs.threads import DirectLane
from scalekit.logs.volumes import Extent
from scalekit.web.memory import MemoryExchange, ask
from tests.logs.lanes import SteppedLane

T = 1_700_000_000


class Log:
    """A collector and its tails; the tails' lanes are stepped."""

    def __init__(self, journal_bytes: int = 1 << 20) -> None:
        self.clock = Clock()
        self.clock.advance(T)
        lanes = (DirectLane(), DirectLane(), DirectLane())
        settings = Settings(segment_bytes=2000, journal_bytes=journal_bytes)
        self.directory = MemoryDirectory()
        self.collector = Collector(lambda: self.directory, self.clock, lanes, settings)
        self.collector.startService()
        self.near, self.far = SteppedLane(), SteppedLane()
        self.tails = Tails(self.collector, (self.near, self.far), self.clock, self.clock.seconds)

    def write(self, *messages: str) -> None:
        self.collector.append([Entry(T * 10**9, "INFO", "shop", message) for message in messages])

    def step(self) -> bool:
        return self.near.step() or self.far.step()

    def work(self) -> None:
        while self.step():
            pass

    def tail(self, target: bytes = b"/v1/tail", last: int | None = None) -> MemoryExchange:
        fields = [] if last is None else [(b"Last-Event-ID", b"%d" % last)]
        return ask(self.tails, b"GET", target, fields)


def events(exchange: MemoryExchange) -> list[tuple[int, str]]:
    """The number and message of each entry that was told, and of gaps the number and what was said."""
    found = re.findall(rb"id: (\d+)\n(event: gap\n)?data: (.*)\n\n", exchange.sent)
    return [(int(id), data.decode() if name else json.loads(data)["Message"]) for id, name, data in found]


class TailTests(SynchronousTestCase):
    """`Tails`."""

    def test_live(self) -> None:
        """From now on, at once, what the query finds."""
        log = Log()
        log.write("before")
        everything, some = log.tail(), log.tail(b"/v1/tail?q=b*")
        self.assertEqual(everything.values(b"content-type"), [b"text/event-stream"])
        self.assertEqual(everything.sent, b"retry: 2000\nid: 1\n\n")
        log.write("a", "b")
        log.write("bb")
        log.work()
        self.assertEqual(events(everything), [(2, "a"), (3, "b"), (4, "bb")])
        self.assertEqual(events(some), [(3, "b"), (4, "bb")])
        log.write("c")
        log.work()
        log.clock.advance(HEARTBEAT_SECONDS)
        # What did not concern it is not looked through again when it comes back.
        self.assertTrue(some.sent.endswith(b"id: 5\n: still here\n\n"))
        for exchange in (everything, some):
            exchange.leave()
        self.assertEqual(repr(log.tails), "<Tails: 0 open, <Recent: 0 frames, 0 bytes>>")
        self.assertEqual(log.clock.getDelayedCalls(), [log.collector._loop.call])

    @given(st.lists(st.sampled_from(("write", "write", "work", "step", "hold", "release", "again")), max_size=60))
    def test_reconnecting(self, deeds: list[str]) -> None:
        """Whatever happens, and ten times more: each entry is told once, in order; from memory and from disk."""
        log = Log()
        self.patch(tailing, "TURN_BYTES", 150)
        self.patch(tailing.Recent.__init__, "__defaults__", (300,))
        log.tails._recent = tailing.Recent()
        exchange = log.tail(last=0)
        told: list[tuple[int, str]] = []
        written = 0
        for deed in [*deeds, *(["write", "again", "write", "step"] * 10), "release", "work"]:
            if deed == "write":
                log.write(f"n{written + 1}", f"n{written + 2}")
                written += 2
            elif deed == "again":
                told += events(exchange)
                exchange.leave()
                exchange = log.tail(last=told[-1][0] if told else 0)
            elif deed in ("hold", "release"):
                getattr(exchange, deed)()
            elif deed == "step":
                log.step()
            else:
                log.work()
        told += events(exchange)
        self.assertEqual(told, [(number, f"n{number}") for number in range(1, written + 1)])

    def test_parked(self) -> None:
        """Who takes nothing gets nothing, and all of it later, from the disk."""
        log = Log()
        self.patch(tailing, "TURN_BYTES", 1000)
        log.tails._recent = tailing.Recent(1000)
        exchange = log.tail()
        exchange.hold()
        for number in range(100):
            log.write(str(number) * 20)
        self.assertFalse(log.step())
        self.assertLess(log.tails._recent._size, 1001)
        exchange.release()
        log.step()
        self.assertLess(len(exchange.sent), 2000)
        log.work()
        self.assertEqual([number for number, _ in events(exchange)], list(range(1, 101)))

    def test_who_keeps_up_waits_for_nobody(self) -> None:
        """One that is told from the disk, which takes long, is told alone; it has all of it in the end."""
        log = Log(journal_bytes=0)
        self.patch(tailing, "PAST_BYTES", 1000)
        log.tails._recent = tailing.Recent(1000)
        live = log.tail()
        for number in range(100):
            log.write(str(number) * 20)
            log.clock.advance(2)
        log.work()
        behind = log.tail(last=0)
        log.write("now")
        self.assertTrue(log.near.step())
        self.assertEqual(events(live)[-1], (101, "now"))
        self.assertEqual(events(behind), [])
        log.write("and then")
        self.assertTrue(log.near.step())
        self.assertEqual(events(live)[-1], (102, "and then"))
        log.work()
        self.assertEqual([number for number, _ in events(behind)], list(range(1, 103)))
        self.assertEqual(events(live), events(behind))

    def test_from_volumes(self) -> None:
        """What the journal has no more, in the order of numbers, however it was sorted, late or sealed."""
        log = Log(journal_bytes=0)
        self.patch(tailing, "PAST_BYTES", 1000)
        self.patch(tailing, "PAST_NUMBERS", 70)
        for number in range(1, 101):
            for place in (0, 1):
                time = int(log.clock.seconds() - (number * 7 + place) % 5) * 10**9
                log.collector.append([Entry(time, "INFO", "shop", f"n{number}-{place}", '{"n":1}')])
            log.clock.advance(60)
            self.clock_beyond_grace(log)
        self.assertGreater(log.collector.counts.sealed, 0)
        self.assertGreater(log.collector.counts.written_late, 0)
        self.assertGreater(log.collector.reader.oldest, 150)
        expected = [(2 * number - 1 + place, f"n{number}-{place}") for number in range(1, 101) for place in (0, 1)]
        for last, target, some in (
            (0, b"/v1/tail", expected),
            (33, b"/v1/tail", expected[33:]),
            (33, b"/v1/tail?q=n10*", [one for one in expected[33:] if one[1].startswith("n10")]),
            (0, b"/v1/tail?q=n%3D1%20-n50-1", [one for one in expected if one[1] != "n50-1"]),
        ):
            exchange = log.tail(target, last)
            log.work()
            self.assertEqual(events(exchange), some, target)
            exchange.leave()

    def clock_beyond_grace(self, log: Log) -> None:
        """Let what is due be done: a tick for a flush, and one for a seal."""
        log.clock.pump([2, 2])

    def test_a_volume_that_is_being_sealed(self) -> None:
        """Is not there for a moment; then its entries are told."""
        log = Log(journal_bytes=0)
        for number in range(100):
            log.write(str(number) * 20)
            log.clock.advance(2)
        truth = Extent(1).late_truth  # all have the same time
        log.directory.rename(truth, "away")
        exchange = log.tail(last=7)
        log.work()
        self.assertEqual(events(exchange), [])
        log.directory.rename("away", truth)
        log.clock.advance(HEARTBEAT_SECONDS)
        log.work()
        self.assertEqual([number for number, _ in events(exchange)], list(range(8, 101)))

    def test_gaps(self) -> None:
        """What is nowhere any more is counted; so is a number of another log."""
        log = Log(journal_bytes=0)
        for number in range(100):
            log.write(str(number) * 20)
            log.clock.advance(40)
        log.clock.advance(60)
        oldest = log.collector.reader.oldest
        first, *_, last = log.collector.reader.volumes()
        self.assertTrue(first.is_sealed)
        for name in log.directory.names():
            if name.startswith("log-"):
                log.directory.remove(name)
        exchange = log.tail(last=7)
        log.work()
        told = events(exchange)
        self.assertGreater(oldest, last.first_sequence)
        left = [*range(last.first_sequence, 101)]
        self.assertEqual([number for number, _ in told if number < last.first_sequence], [])
        self.assertEqual([number for number, text in told if "count" not in text], left)
        self.assertEqual([each for each in told if "count" in each[1]], [(oldest - 1, f'{{"count":{left[0] - 8}}}')])
        self.assertEqual(events(log.tail(last=500)), [(100, '{"count":null}')])

    def test_refusals(self) -> None:
        """Too many, methods, ids that are none, queries; and what happens when the disk fails."""
        log = Log()
        for target, method, fields, status in (
            (b"/v1/tail", b"POST", [], 405),
            (b"/v1/tail", b"HEAD", [], 200),
            (b"/v1/tail?q=%22", b"GET", [], 400),
            (b"/v1/tail?after=x", b"GET", [], 400),
            (b"/v1/tail?query=error", b"GET", [], 400),
            (b"/v1/tail", b"GET", [(b"Last-Event-ID", b"-1")], 400),
        ):
            exchange = ask(log.tails, method, target, fields)
            self.assertEqual((exchange.status, exchange.is_finished), (status, True))
        self.patch(tails, "TAILS_LIMIT", 1)
        exchange = log.tail(b"/v1/tail?after=0")
        self.assertEqual(log.tail().status, 503)

        def fail(reader: LogReader, number: int) -> None:
            raise OSError

        log.write("a")
        log.work()
        self.assertEqual(events(exchange), [(1, "a")])
        exchange.leave()
        self.patch(LogReader, "after", fail)
        exchange = log.tail(last=0)
        log.work()
        self.assertTrue(exchange.is_finished)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_end(self) -> None:
        """All are ended when the log ends, and when a session has."""
        log = Log()
        exchange = log.tail()
        self.patch(tails, "is_lapsed", lambda exchange: isinstance(exchange.head, RequestHead))
        log.clock.advance(HEARTBEAT_SECONDS)
        self.assertTrue(exchange.is_finished)
        exchange = log.tail()
        self.successResultOf(log.collector.stopService())
        self.assertTrue(exchange.is_finished)
        self.assertEqual(log.tail().status, 503)
