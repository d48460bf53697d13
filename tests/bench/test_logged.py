"""Figures and tables of the log's bench, and what of rsyslog's file counts."""

from __future__ import annotations

from pathlib import Path

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from bench import rsyslog
from bench.log_writers import Written
from bench.logged import Found, Kills, Logged, Replay, Round, goals, report

GOOD = Found(1000, 0, 0, 0)


def round_of(name: str, found: Found = GOOD) -> Round:
    return Round(name, f"scalekit, {name}", "synced", 1000, 0.1, 0.05, 0.01, 5.0, 30.0, 2**27, 0, found, (0.3, 2.0))


class LoggedTests(SynchronousTestCase):
    def logged(self) -> Logged:
        rounds = [round_of("batches"), round_of("single"), round_of("memory", Found(990, 10, 2, 1))]
        replay, kills = Replay(1_000_000, 1.0, 1.0), Kills(200, 400.0, 5000, Found(5001, 1, 0, 0))
        machine = {"processor": "a", "cores": "2"}
        return Logged("2026-01-02", machine, {"rsyslog": "8.1"}, rounds, replay, kills)

    def test_goals(self) -> None:
        """Rates count for a second of a core; each says whether it is met."""
        found = [(goal.got, goal.is_met) for goal in goals(self.logged())]
        expected = [(20_000, False), (20_000, True), (10_000, True), (30, False), (128, True), (1e6, True), (1, False)]
        self.assertEqual(found, expected)
        self.assertEqual(goals(Logged("", {}, {}, [])), [])

    def test_report(self) -> None:
        """What was promised stands beside what became of it."""
        logged = self.logged()
        lines = [" ".join(line.split()) for line in report(logged).splitlines()]
        self.assertIn("scalekit, single 10,000 20,000 20% 5.0 30.0 0.3, 2.0 128", lines)
        self.assertIn("scalekit, memory synced 990 10 2 1", lines)
        self.assertIn("scalekit, killed 200 times in 400 s synced, in order, once 5,001 1 0 0", lines)
        self.assertEqual(msgspec.json.decode(msgspec.json.encode(logged), type=Logged), logged)


class RsyslogTests(SynchronousTestCase):
    def test_examine(self) -> None:
        """Lost, and twice."""
        file = Path(self.mktemp())
        file.write_text("".join(f"2026;info;rsyslog; rsyslog-{who} x\n" for who in ("0 0", "1 0", "1 1", "1 1")))
        self.assertEqual(rsyslog.examine(file, Written("rsyslog", [2, 2], [2, 2], 1.0, 0.0, 0.0, 0)), Found(4, 1, 1, 0))
