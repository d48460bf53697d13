"""Pickers that take turns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from zope.interface import implementer

from scalekit.balancer.instance import Instance
from scalekit.balancer.picking.picker import IPicker, one_by_one, portion


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

    def first(self, available: tuple[Instance, ...], exchange: Any) -> Instance:
        self._turn = turn = self._turn + 1
        instance = available[turn % len(available)]
        return instance if instance.share >= 1.0 else self._in_turn(instance, available)

    def _in_turn(self, instance: Instance, available: tuple[Instance, ...]) -> Instance:
        """The first from here on that has saved up for its turn; if nobody has, this one."""
        for later in range(self._turn, self._turn + len(available)):
            candidate = available[later % len(available)]
            candidate.credit += candidate.share
            if candidate.credit >= 1.0:
                # Nothing is saved beyond the next turn: no burst after a quiet time.
                candidate.credit = min(candidate.credit - 1.0, 1.0)
                self._turn = later
                return candidate
        return instance

    def candidates(self, available: tuple[Instance, ...], exchange: Any) -> Iterator[Instance]:
        count = len(available)
        start = self._turn + 1
        for turn in range(start, start + count):
            self._turn += 1
            yield available[turn % count]

    def __repr__(self) -> str:
        return f"<RoundRobin turn={self._turn}>"


@implementer(IPicker)
class WeightedRoundRobin:
    """
    Turns in proportion to the weights, spread out: of weights 5, 1, 1 comes a a b a c a a, as nginx does it.

    Each time, everybody earns as much as its weight, and the richest pays what all have earned.
    """

    __slots__ = ("_wealth",)

    def __init__(self) -> None:
        self._wealth: dict[Instance, float] = {}

    def first(self, available: Sequence[Instance], exchange: Any) -> Instance:
        wealth = self._wealth
        if len(wealth) > 2 * len(available):
            # Instances come and go for months, and each new one is another object.
            wealth = self._wealth = {one: wealth.get(one, 0.0) for one in available}
        best = available[0]
        most = float("-inf")
        total = 0.0
        for one in available:
            earned = portion(one)
            total += earned
            has = wealth[one] = wealth.get(one, 0.0) + earned
            if has > most:
                best, most = one, has
        wealth[best] = most - total
        return best

    def candidates(self, available: tuple[Instance, ...], exchange: Any) -> Iterator[Instance]:
        return one_by_one(self.first, available, exchange)

    def __repr__(self) -> str:
        return f"<WeightedRoundRobin of {len(self._wealth)}>"
