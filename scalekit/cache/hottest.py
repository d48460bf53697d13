"""
Which keys are served most, in bounded memory and for next to nothing.  Pure.

It is the summary of Misra and Gries ("Finding repeated elements", 1982) over a sample of the hits, pruned by halves as
Apache DataSketches does it: a key that makes up more than one in `KEYS` of them is always among those that are known,
and none is told to have more than it has had.  Older hits count for less and less.
"""

from __future__ import annotations

from heapq import nlargest
from typing import NamedTuple

# Twice as many are held, some 150 bytes each; of as many keys that are asked for equally often none is worth showing.
KEYS = 1000
# At first each hit is noted, so that a quiet cache has something to show; then one in sixteen or so: of a hit's 2 us
# noting takes another half.
ALL_NOTED = 4096
_SPREAD = 31
# After so many that were noted all counts are halved: at full load after seconds, on a quiet day after hours.
HALVED_AFTER = 100_000


class Hot(NamedTuple):
    """
    :ivar share: of the hits that count still.
    """

    key: bytes
    share: float


class Hottest:
    """
    :ivar due: at this number of hits the next one is to be noted.
    """

    def __init__(self) -> None:
        self.due = 1
        self._counts: dict[bytes, int] = {}
        self._total = 0
        self._last = 0
        self._noted = 0
        self._random = 1

    def note(self, key: bytes, hits: int) -> None:
        """
        This key was served, and it was the one that was due.

        :param hits: how many there were, with this one.
        """
        weight = hits - self._last
        self._last = hits
        self.due = hits + 1 + (self._step() if hits >= ALL_NOTED else 0)
        counts = self._counts
        self._total += weight
        counts[key] = counts.get(key, 0) + weight
        if len(counts) > 2 * KEYS:
            # At least as many are left out as are kept, so what this costs is shared by as many that came.
            least = sorted(counts.values())[KEYS]
            self._counts = {key: count - least for key, count in counts.items() if count > least}
        self._noted += 1
        if self._noted >= HALVED_AFTER:
            self._noted = 0
            self._total //= 2
            self._counts = {key: count // 2 for key, count in self._counts.items() if count > 1}

    def top(self, most: int) -> list[Hot]:
        """Those that are served most, the hottest first."""
        found = nlargest(most, self._counts.items(), key=lambda each: each[1])
        return [Hot(key, count / self._total) for key, count in found]

    def _step(self) -> int:
        # Any rhythm of the asking has another one than this (the constants are of "Numerical Recipes").
        self._random = (self._random * 1664525 + 1013904223) & 0xFFFFFFFF
        return self._random >> 16 & _SPREAD

    def __repr__(self) -> str:
        return f"<Hottest of {len(self._counts)} keys>"
