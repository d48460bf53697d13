"""
The expiry wheel: finds what is due without looking at the rest.

Keys lie in buckets of one-second ticks.  Those far away lie in coarser buckets, named after their first tick: they are
taken out when that is reached and put in again, finer, by then (a hierarchical timing wheel, Varghese and Lauck 1987).
So a key is moved twice at most, and there are never more than some 8,200 buckets, whatever lifetimes clients choose.

A scan of 500,000 keys would stall the reactor for over 12 ms; a heap of them would cost 4 us a pop and keep those that
are long gone.
"""

from __future__ import annotations

from heapq import heappop, heappush
from math import ceil

# Nearer than the first: buckets of a second.  Nearer than the second (194 days): of 4,096 s.  Else: of 194 days.
_NEAR_TICKS = 1 << 12
_FAR_TICKS = 1 << 24


class Wheel:
    """Keys by the second in which they are due."""

    def __init__(self) -> None:
        self._buckets: dict[int, set[bytes]] = {}
        # The ticks of all buckets, and of some that have emptied since; each once, which `_queued` sees to.
        self._ticks: list[int] = []
        self._queued: set[int] = set()
        self._length = 0

    def add(self, key: bytes, moment: float, now: float) -> int:
        """File this key under the second in which ``moment`` has passed; the tick returned is needed to remove it."""
        tick = ceil(moment)
        distance = tick - now
        if distance >= _FAR_TICKS:
            tick &= -_FAR_TICKS
        elif distance >= _NEAR_TICKS:
            tick &= -_NEAR_TICKS
        bucket = self._buckets.get(tick)
        if bucket is None:
            self._buckets[tick] = {key}
            if tick not in self._queued:
                self._queued.add(tick)
                heappush(self._ticks, tick)
        else:
            bucket.add(key)
        self._length += 1
        return tick

    def remove(self, key: bytes, tick: int) -> None:
        """Take this key out from under the tick that `add` returned for it."""
        bucket = self._buckets[tick]
        bucket.remove(key)
        self._length -= 1
        if not bucket:
            del self._buckets[tick]

    def take(self, now: float) -> bytes | None:
        """
        Take out a key whose bucket is due; None if no bucket is.

        The key itself may be due later, if its bucket was a coarse one; the caller then adds it again.
        """
        tick = self.next_tick()
        if tick is None or tick > now:
            return None
        bucket = self._buckets[tick]
        key = bucket.pop()
        self._length -= 1
        if not bucket:
            del self._buckets[tick]
        return key

    def next_tick(self) -> int | None:
        """When the first bucket is due; None if there is none."""
        ticks = self._ticks
        while ticks and ticks[0] not in self._buckets:
            self._queued.remove(heappop(ticks))
        return ticks[0] if ticks else None

    def __len__(self) -> int:
        return self._length

    def __repr__(self) -> str:
        return f"<Wheel {self._length} keys in {len(self._buckets)} buckets, next at {self.next_tick()}>"
