"""What the data path keeps for each service; nothing of it outlives the process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from math import inf
from typing import Any

from scalekit.balancer.instance import Instance
from scalekit.balancer.picking import IPicker
from scalekit.balancer.retrying import Refusal, RetryBudget
from scalekit.balancer.sticky import Sticky
from scalekit.balancer.waiting import WaitingLine


class Traffic:
    """
    Of one service.

    :ivar most: how many requests an instance of it gets at a time, if it does not say fewer itself.
    :ivar max_body_bytes: a longer request body is answered with 413; None: no limit.
    :ivar line: those that wait, see `scalekit.balancer.waiting`; ``waiting``: its `WaitingLine.waiting`.
    :ivar sticky: brings clients back to their instance; None: nothing does.
    :ivar replays: how many requests met the end of a kept connection and went on a fresh one.
    :ivar retries: how many requests were sent to a second instance.
    :ivar refusals: how many that had failed were not, by the reason.
    :ivar waits: what came of those that had to wait: ``served``, ``timeout``, ``gone``, or ``full``.
    """

    __slots__ = (
        "budget",
        "line",
        "max_body_bytes",
        "most",
        "picker",
        "refusals",
        "replays",
        "retries",
        "sticky",
        "waiting",
        "waits",
    )

    def __init__(
        self,
        picker: IPicker,
        most: float = inf,
        sticky: Sticky | None = None,
        max_body_bytes: int | None = None,
    ) -> None:
        self.picker = picker
        self.most = most
        self.sticky = sticky
        self.max_body_bytes = max_body_bytes
        self.budget = RetryBudget()
        self.line: WaitingLine[Any] = WaitingLine()
        self.waiting = self.line.waiting
        self.replays = 0
        self.retries = 0
        self.refusals: Counter[Refusal] = Counter()
        self.waits: Counter[str] = Counter()

    def has_room(self, instance: Instance) -> bool:
        """Whether it takes one more request."""
        return instance.max_in_flight > instance.in_flight < self.most

    def roomy(self, candidates: Iterable[Instance]) -> Instance | None:
        """The first of them that takes one more request."""
        for candidate in candidates:
            if self.has_room(candidate):
                return candidate
        return None

    def __repr__(self) -> str:
        return f"<Traffic {self.picker!r} {self.budget!r} {self.line!r}>"
