"""What the policies are for: more is served from the same memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.eviction import LeastRecentlyUsed, Sieve
from scalekit.cache.s3fifo import S3FIFO
from scalekit.cache.store import Store
from tests.cache.traces import hit_ratio, size_of, with_scans, zipf

KEYS = 8000


class HitRatioTests(SynchronousTestCase):
    def compare(self, make_trace: Callable[[int, int, int], Iterator[int]]) -> tuple[float, float, float]:
        """The ratios of LRU, SIEVE and S3-FIFO with room for a twentieth of all keys, in points."""
        sizes = [size_of(key) for key in range(KEYS)]
        budget = sum(sizes) // 20
        policies = (LeastRecentlyUsed(), Sieve(), S3FIFO(budget))
        least, sieve, s3fifo = (
            100 * hit_ratio(Store(budget, policy), make_trace(1, 30_000, KEYS), sizes) for policy in policies
        )
        return least, sieve, s3fifo

    def test_zipf(self) -> None:
        least, sieve, s3fifo = self.compare(zipf)
        self.assertTrue(s3fifo >= least + 3 and sieve >= least + 3, (least, sieve, s3fifo))

    def test_with_scans(self) -> None:
        least, sieve, s3fifo = self.compare(with_scans)
        self.assertTrue(s3fifo >= least + 3 and sieve >= least + 3, (least, sieve, s3fifo))
