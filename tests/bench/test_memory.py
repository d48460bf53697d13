"""What `bench.memory` measures at length, in short: a full cache takes little more than its budget."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench.memory import MIB, Grown, misses, puts_elsewhere


class MemoryTests(SynchronousTestCase):
    timeout = 300

    def test_puts(self) -> None:
        grown = puts_elsewhere(40_000, 32 * MIB)
        self.assertGreater(grown.times, 0.5, "it is full")
        self.assertLess(grown.times, 1.3)

    def test_many_misses_at_once(self) -> None:
        """Together they are several times what the HTTP cache may take."""
        grown, _ = misses(Path(self.mktemp()).absolute(), 32 * MIB, 60, 3 * MIB)
        self.assertLess(grown.times, 1.3)

    def test_times(self) -> None:
        self.assertEqual(Grown(3 * MIB, 2 * MIB).times, 1.5)
