"""
Which of the available instances gets a request: one picker a service, chosen by ``algorithm`` in the configuration.

``picker`` says what every picker promises; ``turns`` are those that take turns, ``load`` those that look at what is in
flight, ``chance`` draws lots, and ``affinity`` keeps what belongs together at one instance (``keys``: what that is).

All of them give an instance that warms up its share only.
"""

from __future__ import annotations

from collections.abc import Callable

from scalekit.balancer.picking.affinity import Hash
from scalekit.balancer.picking.chance import Random
from scalekit.balancer.picking.keys import Key
from scalekit.balancer.picking.load import LeastRequests, TwoChoices
from scalekit.balancer.picking.picker import IPicker
from scalekit.balancer.picking.turns import RoundRobin, WeightedRoundRobin

__all__ = ["ALGORITHMS", "IPicker", "new_picker"]

#: By the names of `algorithm` in the configuration: from a source of chance (0 up to 1) and what is hashed on.
ALGORITHMS: dict[str, Callable[[Callable[[], float], Key], IPicker]] = {
    "round-robin": lambda random, key: RoundRobin(),
    "weighted-round-robin": lambda random, key: WeightedRoundRobin(),
    "least-requests": lambda random, key: LeastRequests(),
    "two-choices": lambda random, key: TwoChoices(random),
    "random": lambda random, key: Random(random),
    "hash": lambda random, key: Hash(key),
}


def new_picker(algorithm: str, random: Callable[[], float], key: Key) -> IPicker:
    """A picker of this algorithm, with nothing picked yet."""
    return ALGORITHMS[algorithm](random, key)
