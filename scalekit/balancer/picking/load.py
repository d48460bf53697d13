"""Pickers that look at what is in flight."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from zope.interface import implementer

from scalekit.balancer.instance import Instance
from scalekit.balancer.picking.picker import IPicker, one_by_one, portion
from scalekit.balancer.picking.turns import WeightedRoundRobin


@implementer(IPicker)
class LeastRequests:
    """Whoever has the fewest requests in flight for its weight; those that have equally few take weighted turns."""

    __slots__ = ("_turns",)

    def __init__(self) -> None:
        self._turns = WeightedRoundRobin()

    def first(self, available: tuple[Instance, ...], exchange: Any) -> Instance:
        least = min([one.in_flight / portion(one) for one in available])
        idlest = [one for one in available if one.in_flight / portion(one) <= least]
        return idlest[0] if len(idlest) == 1 else self._turns.first(idlest, exchange)

    def candidates(self, available: tuple[Instance, ...], exchange: Any) -> Iterator[Instance]:
        return one_by_one(self.first, available, exchange)

    def __repr__(self) -> str:
        return "<LeastRequests>"


@implementer(IPicker)
class TwoChoices:
    """
    Of two drawn by lot the one with less in flight for its weight.

    Nearly as even as looking at all of them (Mitzenmacher, "The Power of Two Choices"), and where several balancers
    do it they do not all run to the same idle instance.
    """

    __slots__ = ("_random",)

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random

    def first(self, available: tuple[Instance, ...], exchange: Any) -> Instance:
        count = len(available)
        if count == 1:
            return available[0]
        draw = int(self._random() * count)
        other = int(self._random() * (count - 1))
        one, two = available[draw], available[other + (other >= draw)]
        # With the request to come, so that of two idle ones the heavier is better.
        return one if (one.in_flight + 1) * portion(two) <= (two.in_flight + 1) * portion(one) else two

    def candidates(self, available: tuple[Instance, ...], exchange: Any) -> Iterator[Instance]:
        return one_by_one(self.first, available, exchange)

    def __repr__(self) -> str:
        return "<TwoChoices>"
