"""Tests of `scalekit.http.spellings`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.http.spellings import LONGEST_BYTES, MOST_SPELLINGS, remember


class RememberTests(SynchronousTestCase):
    def test_bounds(self) -> None:
        """Whoever invents names has no more memory than that; what is known stays, and each has its meaning."""
        known: dict[bytes, int] = {}
        self.assertEqual(remember(known, b"Host", 1), 1)
        self.assertEqual(remember(known, b"x" * (LONGEST_BYTES + 1), 2), 2)
        for number in range(2 * MOST_SPELLINGS):
            self.assertEqual(remember(known, b"x-%d" % number, number), number)
        self.assertEqual(len(known), MOST_SPELLINGS)
        self.assertEqual(known[b"Host"], 1)
        self.assertLessEqual(max(map(len, known)), LONGEST_BYTES)
