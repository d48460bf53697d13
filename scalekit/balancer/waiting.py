"""
Requests that wait for an instance with room for them: in line, for a while, and no more than so many.

First come, first served; but once the oldest has waited half its time, the newest is served first.  Then the line is
longer than can be worked off in time, and whoever has waited long has probably gone: better some are served quickly
than all too late (the "adaptive LIFO" of Facebook's "Fail at Scale", 2015).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)

#: nginx' and Envoy's queues for connections that wait are as long.
MOST_WAITING = 1024
#: Longer than a garbage collection or a slow burst, shorter than a person waits.
PATIENCE_SECONDS = 5.0


class WaitingLine(Generic[T]):
    """
    :ivar waiting: since when each of them waits, the oldest first.
    """

    __slots__ = ("_most", "_patience", "waiting")

    def __init__(self, most: int = MOST_WAITING, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._most = most
        self._patience = patience_seconds
        self.waiting: OrderedDict[T, float] = OrderedDict()

    def join(self, one: T, now: float) -> bool:
        """Let it wait; false if too many do."""
        if len(self.waiting) >= self._most:
            return False
        self.waiting[one] = now
        return True

    def leave(self, one: T) -> bool:
        """It waits no more; whether it did."""
        return self.waiting.pop(one, None) is not None

    def next(self, now: float) -> T | None:
        """Whose turn it is; it waits no more. None: nobody waits."""
        if not self.waiting:
            return None
        oldest = next(iter(self.waiting.values()))
        one, _ = self.waiting.popitem(last=now - oldest >= self._patience / 2)
        return one

    def expire(self, now: float) -> list[T]:
        """Those whose time is over; they wait no more."""
        late = []
        for one, since in self.waiting.items():
            if now - since < self._patience:
                break
            late.append(one)
        for one in late:
            del self.waiting[one]
        return late

    def __repr__(self) -> str:
        return f"<WaitingLine of {len(self.waiting)}>"
