"""Tables that people read, and that docutils would."""

from twisted.trial.unittest import SynchronousTestCase

from bench.results import goals
from bench.table import (
    BEGIN,
    END,
    between_marks,
    case_table,
    goal_table,
    idle_table,
    report,
    simple_table,
    transaction_table,
)
from tests.bench.test_results import sample


class SimpleTableTests(SynchronousTestCase):
    def test_columns_are_as_wide_as_their_widest(self) -> None:
        self.assertEqual(
            simple_table(["what", "n"], [["a", "1,000"], ["longer", ""]]),
            "======  =====\nwhat        n\n======  =====\na       1,000\nlonger\n======  =====",
        )


class ReportTests(SynchronousTestCase):
    def test_case(self) -> None:
        lines = case_table(sample().cases[0]).splitlines()
        self.assertEqual(lines[3].split(), ["nginx", "40,000", "1.00", "4.0", "6.0", "1.00", "2.0"])
        self.assertEqual(lines[4].split(), ["haproxy", *["-"] * 6])
        self.assertEqual(lines[6].split(), ["scalekit", "20,000", "0.50", "20.0", "20.0", "0.25", "2.0"])
        self.assertEqual(
            [line for line in lines[8:] if line],
            [
                "nginx: busy for 40% of the time.",
                "haproxy: not installed.",
                "scalekit: 3 answers were not 2xx; 2 socket errors.",
            ],
        )

    def test_different_ciphers_are_told(self) -> None:
        [case] = sample().cases
        for row, cipher in zip(case.rows, ("A", "A", "A", "B"), strict=True):
            row.tls = f"TLSv1.3 {cipher}"
        self.assertIn("scalekit: TLSv1.3 B.", case_table(case))
        case.rows[3].tls = "TLSv1.3 A"
        self.assertNotIn("agreed", case_table(case))

    def test_what_was_counted(self) -> None:
        [case] = sample().cases
        case.unit, case.streams = "handshakes", 16
        self.assertIn("handshakes/s", case_table(case))
        results = sample()
        results.cases = [case]
        self.assertIn("32 connections x 16 streams for 110 bytes", report(results))

    def test_idle(self) -> None:
        results = sample()
        assert results.idle is not None
        lines = idle_table(results.idle).splitlines()
        self.assertTrue(lines[1].startswith("10,000 idle connections, KiB each"))
        self.assertEqual([line.split() for line in lines[3:5]], [["nginx", "0.6", "15.0"], ["scalekit", "4.0", "-"]])
        self.assertEqual(lines[-1], "scalekit: it ran out of files.")
        self.assertIn("\n".join(lines), report(results))

    def test_transaction(self) -> None:
        lines = transaction_table(sample()).splitlines()
        self.assertEqual(lines[3].split()[-3:], ["20.00", "20.50", "+0.50"])
        self.assertEqual(lines[4].split()[-3:], ["2.00", "3.00", "+1.00"])
        self.assertEqual(lines[5].split()[-2:], ["10.0", "6.8"])

    def test_transaction_that_failed(self) -> None:
        results = sample()
        results.transaction, results.transaction_note = None, "data has ended with 1"
        self.assertIn("not measured: data has ended with 1.", transaction_table(results))

    def test_goals(self) -> None:
        lines = goal_table(goals(sample())).splitlines()
        self.assertEqual(lines[3].split()[-4:], [">=", "0.5", "0.50", "yes"])
        self.assertEqual(lines[7].split()[-4:], ["<=", "1", "0.50", "yes"])

    def test_report_tells_when_where_and_with_what(self) -> None:
        text = report(sample())
        for word in ("2026-01-02 03:04 UTC", "2 cores", "nginx 1.22.1", "3 rounds of 1 s", "32 connections"):
            self.assertIn(word, text)


class MarkTests(SynchronousTestCase):
    def test_replaced_again_and_again(self) -> None:
        once = between_marks(f"before\n\n{BEGIN}\nold\n{END}\n\nafter\n", "new\n")
        self.assertEqual(once, f"before\n\n{BEGIN}\n\nnew\n\n{END}\n\nafter\n")
        self.assertEqual(between_marks(once, "new\n"), once)

    def test_without_marks_nothing_changes(self) -> None:
        for text in ("a", f"a{BEGIN}b", f"a{END}b"):
            self.assertEqual(between_marks(text, "new"), text)
