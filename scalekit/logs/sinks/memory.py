"""A destination in memory, for tests of what sends."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from scalekit.interfaces import ILogDestination
from scalekit.logs.sinks.backlog import Leaving
from scalekit.logs.sinks.outcomes import Delivered, Later, Outcome

Named = list[tuple[str, Leaving]]


@implementer(ILogDestination)
class MemoryDestination:
    """
    :ivar arrived: what was delivered, oldest first, with what was delivered again.
    :ivar answer: what comes of a batch; one that is `Delivered` arrives.  None: there is no answer yet, `pending` has
        those that are waited for.
    """

    def __init__(self) -> None:
        self.arrived: Named = []
        self.answer: Callable[[Named], Outcome | None] = lambda batch: Delivered()
        self.pending: list[tuple[Named, Deferred[Outcome]]] = []
        self.is_closed = False

    def pack(self, entries: Sequence[tuple[str, Leaving]]) -> Named:
        return list(entries)

    def send(self, packed: Named) -> Deferred[Outcome]:
        outcome = self.answer(packed)
        if outcome is None:
            waiting: Deferred[Outcome] = Deferred(lambda one: one.callback(Later("given up")))
            self.pending.append((packed, waiting))
            return waiting
        if isinstance(outcome, Delivered):
            self.arrived += packed
        return succeed(outcome)

    def close(self) -> Deferred[None]:
        self.is_closed = True
        return succeed(None)

    def __repr__(self) -> str:
        return f"<MemoryDestination: {len(self.arrived)} arrived, {len(self.pending)} pending>"
