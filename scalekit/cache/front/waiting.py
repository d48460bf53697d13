"""Clients that wait for the head of an answer: the leader, whose request was sent on, and those who have joined."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zope.interface import implementer

from scalekit.cache.front.sought import Sought
from scalekit.interfaces import IAnswerObserver


@implementer(IAnswerObserver)
class Waiter:
    """
    One of them.

    :param since: the number of the latest purge when it came.
    """

    __slots__ = ("exchange", "line", "since", "sought")

    def __init__(self, line: Line, exchange: Any, sought: Sought, since: int) -> None:
        self.line = line
        self.exchange = exchange
        self.sought = sought
        self.since = since
        exchange.observe(self)

    def aborted(self, fault: Exception) -> None:
        self.line.left(self)

    def pause(self) -> None:
        """Nothing is being sent yet."""

    def resume(self) -> None:
        """Nothing is being sent yet."""

    def __repr__(self) -> str:
        return f"<Waiter {self.exchange!r}>"


class Line:
    """
    Those who wait for one answer.

    :param emptied: called when the last has left without it.

    :ivar leader: the one whose request was sent on; None if it is gone, or nobody's was.
    :ivar joiners: the others, in the order in which they came.
    """

    __slots__ = ("_emptied", "joiners", "leader")

    def __init__(self, emptied: Callable[[], None]) -> None:
        self.leader: Waiter | None = None
        self.joiners: list[Waiter] = []
        self._emptied = emptied

    def left(self, waiter: Waiter) -> None:
        """A client is gone before it was answered."""
        if waiter is self.leader:
            self.leader = None
        elif waiter in self.joiners:
            self.joiners.remove(waiter)
        if not len(self):
            self._emptied()

    def take_joiners(self) -> list[Waiter]:
        """All but the leader wait no longer."""
        joiners, self.joiners = self.joiners, []
        return joiners

    def take_over(self, other: Line) -> None:
        """Those of the other wait here from now on."""
        self.leader, other.leader = other.leader, None
        self.joiners = other.take_joiners()
        for waiter in self.everybody():
            waiter.line = self

    def everybody(self) -> list[Waiter]:
        """The leader first."""
        return self.joiners[:] if self.leader is None else [self.leader, *self.joiners]

    def keep(self, is_kept: Callable[[Waiter], bool]) -> None:
        """Those of whom it is not true wait no longer; nor does one of whom asking that raises, who is answered so."""

        def still_waits(waiter: Waiter) -> bool:
            try:
                return is_kept(waiter)
            except Exception as fault:  # the others go on
                waiter.exchange.fail(fault)
                return False

        if self.leader is not None and not still_waits(self.leader):
            self.leader = None
        self.joiners = [waiter for waiter in self.take_joiners() if still_waits(waiter)]

    def __len__(self) -> int:
        return len(self.joiners) + (self.leader is not None)

    def __repr__(self) -> str:
        return f"<Line {'with' if self.leader is not None else 'without'} leader, {len(self.joiners)} more>"
