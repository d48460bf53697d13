"""The picker that draws lots."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from zope.interface import implementer

from scalekit.balancer.instance import Instance
from scalekit.balancer.picking.picker import IPicker, one_by_one, portion


@implementer(IPicker)
class Random:
    """Any of them, with a chance in proportion to its weight."""

    __slots__ = ("_random",)

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random

    def first(self, available: tuple[Instance, ...], exchange: Any) -> Instance:
        lot = self._random() * sum([portion(one) for one in available])
        for one in available:
            lot -= portion(one)
            if lot < 0.0:
                return one
        return available[-1]  # by rounding

    def candidates(self, available: tuple[Instance, ...], exchange: Any) -> Iterator[Instance]:
        return one_by_one(self.first, available, exchange)

    def __repr__(self) -> str:
        return "<Random>"
