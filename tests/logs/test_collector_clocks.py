"""The collector: whose clock is right, and what is late."""

from __future__ import annotations

import json
from collections.abc import Callable

from scalekit.logs.collector import Collector
from scalekit.logs.entry import parse_entry
from scalekit.logs.journal import Unavailable
from scalekit.logs.records import parse_record
from tests.logs.collecting import CollectorCase
from tests.logs.lanes import SteppedLane


class ClockTests(CollectorCase):
    """`Collector`, with clocks that are wrong and disks that are slow."""

    def restart(self, wall: Callable[[], float]) -> None:
        """Go on with another wall clock."""
        self.stop()
        self.lanes = (SteppedLane(), SteppedLane(), SteppedLane())
        self.collector = Collector(lambda: self.directory, self.clock, self.lanes, wall=wall)
        self.collector.startService()

    def test_a_clock_that_jumps(self) -> None:
        """By an hour, and back: nothing is late, nothing waits; entries from over there are placed by their coming."""
        jump = 0.0
        self.restart(lambda: self.clock.seconds() + jump)
        self.append("a")
        jump = 3600.0
        self.clock.advance(0.25)
        self.append("c", 3600)
        self.append("b")
        self.work()
        self.clock.advance(4)
        self.work()
        self.assertEqual((self.messages(), self.messages("log.txt.late")), ("acb", ""))
        jump = 0.0
        self.append("d")
        self.work()
        self.clock.advance(4)
        self.work()
        self.assertEqual((self.messages(), self.collector.counts.late), ("acbd", 0))
        self.stop()

    def test_a_clock_that_stays_ahead_and_comes_back(self) -> None:
        """It is followed after a minute; when it is back, entries of its own hour are late, and none waits."""
        ahead = 0.0
        self.restart(lambda: self.clock.seconds() + ahead)
        for ahead, name, is_late in ((3600.0, "a", 0), (0.0, "b", 1)):
            for _ in range(300):  # a minute and a bit
                self.clock.advance(0.25)
                self.work()
            self.append(name, ahead)
            self.work()
            self.clock.advance(4)
            self.work()
            self.assertEqual((self.collector.counts.late, self.collector.counts.restamped), (is_late, 0))
        self.assertEqual((self.messages(), self.messages("log.txt.late")), ("a", "b"))
        self.stop()

    def test_clients_with_strange_clocks(self) -> None:
        """Each is placed: by its time if that can be, else by when it came; none holds back another."""
        sent = {
            "hour ahead": "2023-11-14T23:13:20Z",
            "hour behind": "2023-11-14T21:13:20Z",
            "year 1": "0001-01-01T00:00:00Z",
            "year 9999": "9999-12-31T23:59:59Z",
            "nanoseconds": "2023-11-14T22:13:20.000000001Z",
            "no zone": "2023-11-14T22:13:19",
            "elsewhere": "2023-11-15T00:13:18+02:00",
            "none": None,
        }
        for name, time in sent.items():
            entry: dict[str, object] = {"Level": "INFO", "Source": "s", "Message": f" {name}", "Timestamp": time}
            if name == "year 9999":
                entry["id"] = 7
            self.collector.append([parse_entry(json.dumps(entry).encode())])
        for _ in range(3):
            self.work()
            self.clock.advance(2)
        placed = ["hour behind", "elsewhere", "no zone", "hour ahead", "year 1", "year 9999", "none", "nanoseconds"]
        self.assertEqual(self.messages(), "".join(f" {name}" for name in placed))
        reader = self.collector.reader
        records = [parse_record(line) for _, line in reader.lines(reader.volumes()[0])]
        said = {record.Message.strip(): record.Said for record in records if record and record.Said}
        self.assertEqual(
            said,
            {
                "hour ahead": "2023-11-14T23:13:20.000000000Z",
                "year 1": "0001-01-01T00:00:00Z",
                "year 9999": "9999-12-31T23:59:59Z",
            },
        )
        fields = {record.Message.strip(): bytes(record.Fields) for record in records if record and record.Fields}
        self.assertEqual(fields, {"year 9999": b'{"id":7}'})
        counts = self.collector.counts
        self.assertEqual((counts.restamped, counts.untimed, counts.late), (3, 1, 0))
        self.stop()

    def test_a_slow_disk_makes_nothing_late(self) -> None:
        """The watermark waits for what was received and is not yet synced."""
        slow = self.append("a", 0)
        self.clock.advance(60)
        self.work()
        self.successResultOf(slow)
        self.clock.advance(2)
        self.work()
        self.assertEqual((self.messages(), self.messages("log.txt.late")), ("a", ""))
        self.stop()

    def test_a_refusal_makes_nothing_late(self) -> None:
        """The watermark still waits for what came before it and is not yet synced."""
        self.collector.journal._waiting_limit = 200
        slow = self.append("a", 0)
        self.failureResultOf(self.append("x" * 1000), Unavailable)
        self.clock.advance(60)
        self.work()
        self.successResultOf(slow)
        self.clock.advance(2)
        self.work()
        self.assertEqual((self.messages(), self.messages("log.txt.late")), ("a", ""))
        self.stop()
