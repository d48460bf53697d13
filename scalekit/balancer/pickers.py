"""
Which of the available instances gets a request: one picker a service.

A picker yields candidates, best first, so a retry is simply the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator
from typing import TypeVar

from zope.interface import Interface, implementer

# Methods of an Interface have no self:
# ruff: noqa: N805

T = TypeVar("T")


class IPicker(Interface):
    """Chooses among available instances; ``available`` is a non-empty tuple wherever `first` is called."""

    def first(available: tuple[T, ...]) -> T:
        """The best candidate, in constant time: called once a request."""

    def after(available: tuple[T, ...], tried: Container[T]) -> T | None:
        """The best candidate that was not tried yet; None if there is none."""

    def candidates(available: tuple[T, ...]) -> Iterator[T]:
        """Every available instance once, best first."""


@implementer(IPicker)
class RoundRobin:
    """
    One after the other.

    While the membership stays the same, of ``n`` instances each gets every ``n``-th request.  Retries take their turn
    as well, so what a dead instance leaves behind is spread over all others and does not fall on its neighbour.
    """

    __slots__ = ("_turn",)

    def __init__(self) -> None:
        self._turn = -1

    def first(self, available: tuple[T, ...]) -> T:
        self._turn = turn = self._turn + 1
        return available[turn % len(available)]

    def after(self, available: tuple[T, ...], tried: Container[T]) -> T | None:
        for candidate in self.candidates(available):
            if candidate not in tried:
                return candidate
        return None

    def candidates(self, available: tuple[T, ...]) -> Iterator[T]:
        count = len(available)
        start = self._turn + 1
        for turn in range(start, start + count):
            self._turn += 1
            yield available[turn % count]

    def __repr__(self) -> str:
        return f"<RoundRobin turn={self._turn}>"


# By the names of `algorithm` in the configuration.
ALGORITHMS: dict[str, Callable[[], RoundRobin]] = {"round-robin": RoundRobin}
