"""What the data path keeps for each service; nothing of it outlives the process."""

from __future__ import annotations

from collections import Counter

from scalekit.balancer.picking import IPicker
from scalekit.balancer.retrying import Refusal, RetryBudget


class Traffic:
    """
    Of one service.

    :ivar retries: how many requests were sent to a second instance.
    :ivar refusals: how many that had failed were not, by the reason.
    """

    __slots__ = ("budget", "picker", "refusals", "retries")

    def __init__(self, picker: IPicker) -> None:
        self.picker = picker
        self.budget = RetryBudget()
        self.retries = 0
        self.refusals: Counter[Refusal] = Counter()

    def tick(self, now: float) -> None:
        """Do what is due; called a few times a second."""
        self.budget.settle(now)

    def __repr__(self) -> str:
        return f"<Traffic {self.picker!r} {self.budget!r}>"
