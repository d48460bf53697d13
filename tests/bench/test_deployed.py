"""Figures and tables of a deploy under load."""

from __future__ import annotations

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from bench.deployed import Deploys, Restart, Run, kind_of, report, run_of
from tests.scenarios.mixed_load import Fault, MixedLoad


def run() -> Run:
    load = MixedLoad(1, 1.0)
    load.seconds["GET"] += [0.001 * number for number in range(1, 101)]
    load.posted += ["0-1", "0-2"]
    load.faults += [Fault("POST", "0-3", "502"), Fault("message", "0-4", "1006")]
    load.closed.update({1001: 3, 1012: 1})
    restarts = [Restart("gunicorn", 1.0, 2.0), Restart("twisted", 0.5, 1.0), Restart("gunicorn", 5.0, 2.0)]
    return run_of("scalekit", load, ["0-1", "0-2", "0-2", "0-3"], 7, restarts)


class DeployedTests(SynchronousTestCase):
    def test_kind(self) -> None:
        kind = kind_of("GET", [0.003, 0.001, 0.002], 4)
        self.assertEqual((kind.done, kind.failed, kind.p50_ms, kind.max_ms), (3, 4, 2.0, 3.0))
        self.assertEqual(kind_of("GET", [], 1).max_ms, 0.0)

    def test_run(self) -> None:
        found = run()
        self.assertEqual((found.failed, found.twice, found.unsaid, found.retries), (2, 1, 1, 7))
        self.assertEqual(found.closed, {"1001": 3, "1012": 1})
        self.assertEqual(found.faults, ["POST 0-3: 502", "message 0-4: 1006"])

    def test_report(self) -> None:
        machine = {"processor": "a", "cores": "2"}
        deploys = Deploys("2026-01-02", machine, {"nginx": "1.22.1"}, 8, 5.0, 3, 5.0, [run()])
        lines = report(deploys).splitlines()
        self.assertIn("of 5 s under way", lines[0])
        found = [line.split() for line in lines]
        self.assertIn(["scalekit:", "GET", "100", "0", "51.0", "100.0", "100"], found)
        self.assertIn(["scalekit:", "POST", "0", "1", "0.0", "0.0", "0"], found)
        self.assertIn(["scalekit", "2", "1", "1", "7", "3", "x", "1001,", "1", "x", "1012"], found)
        self.assertTrue(lines[-1].endswith(" to the end: gunicorn 5.0, twisted 0.5."))
        self.assertEqual(msgspec.json.decode(msgspec.json.encode(deploys), type=Deploys), deploys)
