"""
Requests a second and percentiles of the last seconds: differences between counters, kept only while somebody looks.

Pure: time comes in as ``now``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

#: Samples are taken when somebody asks, no more often than this, and a window is as long as all of them: ten seconds
#: with a page open that asks every two.
SAMPLE_SECONDS = 1.0
SAMPLES = 11
#: Older samples say how it was before, not how it is: somebody looks again after a pause.
OLDEST_SECONDS = 30.0

#: Requests by how long they took, for each instance of each service.
Counts = Mapping[str, Mapping[str, Sequence[int]]]


class Rate(NamedTuple):
    """
    :ivar per_second: requests that ended.
    :ivar median: of their seconds; None: there were none.
    :ivar slowest: the 99th percentile.
    """

    per_second: float
    median: float | None
    slowest: float | None


class _Sample(NamedTuple):
    at: float
    counts: dict[str, dict[str, list[int]]]


class Rates:
    """
    :param bounds: the upper bounds of the buckets in seconds; one more bucket has what took longer.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self._samples: deque[_Sample] = deque(maxlen=SAMPLES)

    def take(self, counts: Counts, now: float) -> None:
        """Take a sample, unless there is one of just now."""
        samples = self._samples
        while samples and now - samples[0].at > OLDEST_SECONDS:
            samples.popleft()
        if samples and now - samples[-1].at < SAMPLE_SECONDS:
            return
        samples.append(_Sample(now, {name: {id: list(each) for id, each in of.items()} for name, of in counts.items()}))

    def of(self, service: str, id: str | None = None) -> Rate | None:
        """Of one instance, or of a whole service; None: not known before the second sample."""
        if len(self._samples) < 2:
            return None
        first, last = self._samples[0], self._samples[-1]
        before, after = first.counts.get(service, {}), last.counts.get(service, {})
        none = [0] * (len(self._bounds) + 1)
        total = list(none)
        for each in after if id is None else (id,):
            for index, (old, new) in enumerate(zip(before.get(each, none), after.get(each, none), strict=True)):
                # What was there before may have been forgotten, and counted from nothing since.
                total[index] += max(0, new - old)
        count = sum(total)
        if not count:
            return Rate(0.0, None, None)
        return Rate(count / (last.at - first.at), self.quantile(total, 0.5), self.quantile(total, 0.99))

    def quantile(self, counts: Sequence[int], part: float) -> float:
        """The seconds that this part of the requests stayed below: evenly within a bucket, at most the last bound."""
        rank = part * sum(counts)
        below, low = 0, 0.0
        for count, bound in zip(counts, self._bounds, strict=False):
            if count and below + count >= rank:
                return low + (bound - low) * (rank - below) / count
            below += count
            low = bound
        return self._bounds[-1]
