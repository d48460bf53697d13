"""Medians, ratios, and whether the goals are met."""

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from bench.idle import Idle, IdleRow
from bench.load import Load, Round
from bench.results import Case, Results, Row, goals
from bench.transaction import WAYS, Transaction


def round_(rate: float, user: float, system: float, bad: int = 0, errors: int = 0) -> Round:
    return Round(Load(int(rate), rate, 100.0, 2000.0, bad, errors), user, system)


def sample() -> Results:
    """Ours takes half as many requests as nginx for four times the CPU time, and HAProxy is not there."""
    rows = [
        Row("nginx", [round_(40_000, 4, 6), round_(99, 90, 90), round_(50_000, 4, 6)]),
        Row("haproxy", note="not installed"),
        Row("ReverseProxyResource", [round_(2_000, 300, 100)]),
        Row("scalekit", [round_(20_000, 20, 20), round_(20_000, 20, 20, bad=3), round_(1, 1, 1, errors=2)]),
    ]
    times = ([20.0, 10.0, 30.0], [20.5, 11.5, 29.0], [2.0, 2.0, 2.0], [3.0, 3.0, 3.0])
    return Results(
        "2026-01-02 03:04 UTC",
        {"processor": "a", "cores": "2", "system": "Linux"},
        {"nginx": "1.22.1"},
        3,
        1,
        [Case("clear", "110 bytes in clear", 32, rows)],
        Transaction(dict(zip(WAYS, times, strict=True)), 1000),
        idle=Idle(
            10_000, [IdleRow("nginx", 600.0, 15 * 1024), IdleRow("scalekit", 4096.0, None, "it ran out of files")]
        ),
    )


class CaseTests(SynchronousTestCase):
    def setUp(self) -> None:
        [self.case] = sample().cases

    def test_medians(self) -> None:
        row = self.case.rows[0]
        self.assertEqual((row.requests_per_second, row.user_us, row.system_us, row.cpu_us), (40_000, 4, 6, 10))

    def test_ratios(self) -> None:
        self.assertEqual(self.case.rate_ratio("scalekit"), 0.5)
        self.assertEqual(self.case.rate_ratio("scalekit", "ReverseProxyResource"), 10.0)
        self.assertEqual(self.case.cpu_ratio("scalekit"), 0.25)

    def test_what_was_not_measured_has_no_ratio(self) -> None:
        self.assertEqual((self.case.rate_ratio("haproxy"), self.case.cpu_ratio("haproxy")), (None, None))
        self.assertEqual(self.case.rate_ratio("scalekit", "haproxy"), None)

    def test_remarks(self) -> None:
        self.assertEqual(
            [row.remarks() for row in self.case.rows],
            [
                ["busy for 40% of the time"],
                ["not installed"],
                [],
                ["3 answers were not 2xx", "2 socket errors"],
            ],
        )


class TransactionTests(SynchronousTestCase):
    def test_added_is_the_median_of_pairs(self) -> None:
        transaction = sample().transaction
        assert transaction is not None
        self.assertEqual(transaction.added("direct", "balanced"), 0.5)
        self.assertEqual(transaction.medians()["direct"], 20.0)


class GoalTests(SynchronousTestCase):
    def test_met_and_not_met(self) -> None:
        self.assertEqual(
            [(goal.got, goal.is_met) for goal in goals(sample())],
            [(0.5, True), (10.0, True), (4.0, True), (20.0, True), (0.5, True), (10.0, True)],
        )
        slow = sample()
        assert slow.transaction is not None and slow.idle is not None
        slow.idle.rows[1].clear = 8193.0
        slow.cases[0].rows[3].rounds = [round_(1_000, 1, 1)]
        slow.transaction = Transaction({way: [1.0] for way in WAYS} | {"balanced": [3.0]}, 1)
        self.assertEqual([goal.is_met for goal in goals(slow)], [False] * 6)

    def test_only_what_was_measured(self) -> None:
        nothing = sample()
        nothing.cases, nothing.transaction = [], None
        nothing.idle = Idle(10, [IdleRow("nginx", 600.0), IdleRow("scalekit", note="it has ended")])
        self.assertEqual(goals(nothing), [])

    def test_stored_and_read_again(self) -> None:
        self.assertEqual(msgspec.json.decode(msgspec.json.encode(sample()), type=Results), sample())
