"""The picker that sends what belongs together to one instance."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from math import log
from typing import Any

from zope.interface import implementer

from scalekit.balancer.instance import Instance
from scalekit.balancer.picking.keys import Key
from scalekit.balancer.picking.picker import IPicker, portion
from scalekit.balancer.picking.turns import RoundRobin

#: Of eight bytes, as a number from above 0 to below 1.
_SPAN = float(2**64 + 1)


@implementer(IPicker)
class Hash:
    """
    Weighted rendezvous hashing: each instance draws a score from the key and its own id, the highest one gets it.

    An instance that comes takes its share of the keys from everybody, one that goes leaves its own to everybody; no
    other key moves.  Every balancer comes to the same result.  Requests without the key take turns.

    :param key: what of an exchange is hashed; None: it has none.
    """

    __slots__ = ("_key", "_turns")

    def __init__(self, key: Key) -> None:
        self._key = key
        self._turns = RoundRobin()

    def key_of(self, exchange: Any) -> bytes | None:
        """What of an exchange is hashed; None: it takes its turn."""
        return self._key(exchange)

    def first(self, available: tuple[Instance, ...], exchange: Any) -> Instance:
        key = self._key(exchange)
        if key is None:
            return self._turns.first(available, exchange)
        return max(available, key=lambda one: score(key, one))

    def candidates(self, available: tuple[Instance, ...], exchange: Any) -> Iterator[Instance]:
        key = self._key(exchange)
        if key is None:
            yield from self._turns.candidates(available, exchange)
        else:
            yield from sorted(available, key=lambda one: score(key, one), reverse=True)

    def __repr__(self) -> str:
        return "<Hash>"


def score(key: bytes, instance: Instance) -> float:
    """
    What an instance gets for a key: of several, the chance to have the highest is in proportion to their portions.

    From Schindelhauer and Schomaker, "Weighted distributed hash tables" (2005), the logarithmic method.
    """
    digest = blake2b(b"%b\0%b" % (instance.id.encode(), key), digest_size=8).digest()
    return -portion(instance) / log((int.from_bytes(digest, "big") + 1) / _SPAN)
