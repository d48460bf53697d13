"""
Generations that are over, so that a renewal or a registration that was under way does not bring an instance back.

A generation is a number that rises with each start of an app, such as its start time in microseconds.
"""

from __future__ import annotations

from scalekit.balancer.instance import Instance
from scalekit.errors import ClientFault

# As many as instances of a large fleet in ten minutes of deployments; some 2 MiB.
RETIRED_LIMIT = 10_000
#: Longer than whatever was under way can be; an app that registers with a clock set back meanwhile is let in again.
RETIRED_SECONDS = 600.0

#: Service and id of an instance.
Key = tuple[str, str]


class Retired:
    """The highest generation of each instance that was drained lately."""

    def __init__(self) -> None:
        self._generations: dict[Key, tuple[int, float]] = {}  # the oldest first

    def add(self, key: Key, generation: int, now: float) -> None:
        """Refuse this generation, and those before it."""
        before, _ = self._generations.pop(key, (0, 0.0))
        self._generations[key] = max(before, generation), now
        if len(self._generations) > RETIRED_LIMIT:
            del self._generations[next(iter(self._generations))]

    def last(self, key: Key) -> int:
        """The highest generation that is refused; 0: none."""
        return self._generations.get(key, (0, 0.0))[0]

    def check(self, known: Instance | None, key: Key, generation: int, is_asking: bool = False) -> None:
        """
        Refuse a generation that another has followed, or that was drained, with a `ClientFault` 409.

        :param known: who is there of this key, perhaps draining.
        :param is_asking: whether somebody only wants to know, who may hear that it is draining.
        """
        if known is not None:
            if generation < known.generation:
                raise stale(key[1], generation, known.generation)
            if is_asking and generation == known.generation:
                return
        retired = self.last(key)
        if generation <= retired:
            raise ClientFault(
                409, "drained", f"Generation {retired} of {key[1]} was drained; only a higher one may come."
            )

    def expire(self, now: float) -> None:
        """Forget what is long ago."""
        while self._generations:
            key, (_, since) = next(iter(self._generations.items()))
            if now - since < RETIRED_SECONDS:
                return
            del self._generations[key]

    def items(self) -> list[tuple[Key, int, float]]:
        """Service and id, generation, and since when."""
        return [(key, generation, since) for key, (generation, since) in self._generations.items()]

    def __repr__(self) -> str:
        return f"<Retired {len(self._generations)}>"


def stale(id: str, generation: int, present: int) -> ClientFault:
    """What somebody hears who speaks for a generation that another has followed."""
    return ClientFault(409, "stale-generation", f"Generation {generation} of {id} is over: {present} is there.")
