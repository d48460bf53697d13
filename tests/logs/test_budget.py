"""What each source may write."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs import budget as budget_module
from scalekit.logs.budget import BURST_SECONDS, Budget


class BudgetTests(SynchronousTestCase):
    """`Budget`."""

    def test_a_bucket_for_each(self) -> None:
        """Ten seconds may be saved up; a batch goes in whole, and its debt is paid off before the next."""
        budget = Budget(10)
        most = int(10 * BURST_SECONDS)
        self.assertEqual(budget.take(["a"] * (most + 20), 0.0), 0.0)
        self.assertEqual((budget.take(["a", "b"], 0.0), budget.take(["a"], 1.0)), (2.0, 1.0))
        self.assertEqual((budget.take(["b"], 1.0), budget.take(["a"], 2.0), budget.take([], 2.0)), (0.0, 0.0, 0.0))
        self.assertEqual(repr(budget), "<Budget 10 entries/s, 2 sources>")

    def test_no_rate(self) -> None:
        """Any number."""
        self.assertEqual(Budget(0).take(["a"] * 1_000_000, 0.0), 0.0)

    def test_sources_have_a_bound(self) -> None:
        """The one that was not heard of for longest is forgotten."""
        self.patch(budget_module, "SOURCE_LIMIT", 2)
        budget = Budget(1)
        for source in ("a", "b", "a", "c"):
            budget.take([source] * 11, 0.0)
        self.assertEqual([budget.take([source], 0.0) > 0 for source in ("b", "c", "a")], [True, True, False])
