"""
What each source may write, so that one that has gone mad leaves room for the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

# A source may save up what it does not use for so long: programs write much when they start.
BURST_SECONDS = 10.0
# Sources are names of programs; whoever invents one for each entry shares the oldest ones' fate.
SOURCE_LIMIT = 10_000


class Budget:
    """
    A bucket of entries for each source.

    A batch is taken whole as long as its sources owe nothing, so that one larger than a bucket gets in as well, and is
    then paid off.

    :param rate: entries a second; 0: any.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._buckets: dict[str, tuple[float, float]] = {}  # what is in it, and when that was

    def take(self, sources: Iterable[str], now: float) -> float:
        """
        Seconds until these entries may come again; 0.0: they may come now, and are taken off.

        :param sources: of each entry.
        :param now: seconds of a clock that is never set.
        """
        if not self.rate:
            return 0.0
        counted = Counter(sources)
        levels = {source: self._level(source, now) for source in counted}
        debt = -min(levels.values(), default=0.0)
        if debt > 0:
            return debt / self.rate
        for source, count in counted.items():
            self._buckets.pop(source, None)
            self._buckets[source] = (levels[source] - count, now)
        while len(self._buckets) > SOURCE_LIMIT:
            del self._buckets[next(iter(self._buckets))]
        return 0.0

    def _level(self, source: str, now: float) -> float:
        most = self.rate * BURST_SECONDS
        level, then = self._buckets.get(source, (most, now))
        return min(most, level + (now - then) * self.rate)

    def __repr__(self) -> str:
        return f"<Budget {self.rate:g} entries/s, {len(self._buckets)} sources>"
