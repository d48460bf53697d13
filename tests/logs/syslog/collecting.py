"""A collector whose answers the test decides."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred

from scalekit.logs.bodies import Batch
from scalekit.logs.budget import Budget
from scalekit.logs.counts import Counts
from scalekit.logs.entry import Entry
from scalekit.logs.journal import Unavailable


class DecidedCollector:
    """
    :ivar waiting: batches that it has been given, oldest first.
    :ivar written: the messages of those that were acknowledged.
    :ivar quarantined: the malformed ones.
    """

    def __init__(self, rate: float = 0.0) -> None:
        self.counts = Counts()
        self.waiting: list[tuple[Sequence[Entry], Deferred[bool]]] = []
        self.written: list[str] = []
        self.quarantined: list[Batch] = []
        self._budget = Budget(rate)

    def append(self, entries: Sequence[Entry]) -> Deferred[bool]:
        answer: Deferred[bool] = Deferred()
        self.waiting.append((entries, answer))
        return answer

    def spend(self, entries: Sequence[Entry]) -> float:
        return self._budget.take((entry.source for entry in entries), 0.0)

    def quarantine(self, batch: Batch) -> None:
        self.quarantined.append(batch)

    def accept(self) -> None:
        """The oldest batch is on disk."""
        entries, answer = self.waiting.pop(0)
        self.written += [entry.message for entry in entries]
        answer.callback(True)

    def refuse(self, reason: str = "memory") -> None:
        """The oldest batch is not taken."""
        self.waiting.pop(0)[1].errback(Unavailable(reason, "Not now."))
