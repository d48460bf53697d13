"""What every picker promises; ``tests/balancer/test_picking.py`` holds all of them to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from zope.interface import Interface

from scalekit.balancer.instance import Instance

# Methods of an Interface have no self:
# ruff: noqa: N805


class IPicker(Interface):
    """
    Chooses among available instances.

    ``exchange`` is the `scalekit.interfaces.IExchange` to be sent there: only pickers for which it matters look at it.
    """

    def first(available: tuple[Instance, ...], exchange: Any) -> Instance:
        """
        The best candidate: called once a request, with at least one available.

        In constant time for round-robin and two-choices; the others look at each of them.
        """

    def candidates(available: tuple[Instance, ...], exchange: Any) -> Iterator[Instance]:
        """Every available instance once, best first: whoever asks stops at the first that will do."""


def portion(instance: Instance) -> float:
    """How much of the requests an instance should get, compared with the others."""
    return instance.weight * instance.share


def one_by_one(
    first: Callable[[tuple[Instance, ...], Any], Instance], available: tuple[Instance, ...], exchange: Any
) -> Iterator[Instance]:
    """The candidates where the next one is simply the first of the others."""
    rest = available
    while rest:
        best = first(rest, exchange)
        rest = tuple(one for one in rest if one is not best)
        yield best
