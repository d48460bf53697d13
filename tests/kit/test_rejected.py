"""Tests of `scalekit.kit.rejected`."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit.rejected import Rejected
from scalekit.kit.spool import Batch


class RejectedTests(SynchronousTestCase):
    def test_what_and_why_and_the_oldest_go(self) -> None:
        directory = Path(self.mktemp())
        rejected = Rejected(str(directory), limit_bytes=100)
        for number in range(1, 5):
            rejected.keep(Batch("me", number, b"x" * 40), "400 bad")
            for end in ("txt", "ndjson"):
                os.utime(directory / f"me-{number}.{end}", (number, number))
        self.assertEqual(sorted(file.name for file in directory.glob("*.ndjson")), ["me-3.ndjson", "me-4.ndjson"])
        self.assertEqual((directory / "me-4.txt").read_text(), "400 bad\n")
        self.assertEqual(rejected.count, 4)
