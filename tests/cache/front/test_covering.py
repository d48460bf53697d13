"""Tests of `Failures`; what follows from them is in `test_fetch_stale`."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.front.covering import FAILING_SECONDS, MOST_FAILING, Failures


class FailuresTests(SynchronousTestCase):
    def test_for_so_long(self) -> None:
        failures = Failures()
        self.assertIsNone(failures.since(b"a", 0))
        failures.add(b"a", 503, 0)
        failures.add(b"b", None, 1)
        self.assertEqual(failures.since(b"a", 2), (2, 503))
        failures.add(b"a", None, 3)
        self.assertEqual(failures.since(b"a", FAILING_SECONDS), (FAILING_SECONDS - 3, None))
        self.assertIsNone(failures.since(b"a", 3 + FAILING_SECONDS))
        failures.remove(b"a")
        failures.remove(b"a")
        self.assertEqual((failures.since(b"a", 3), len(failures)), (None, 1))
        failures.expire(1 + FAILING_SECONDS)
        self.assertEqual(repr(failures), "<Failures 0>")

    def test_so_many(self) -> None:
        failures = Failures()
        for number in range(MOST_FAILING + 1):
            failures.add(b"%d" % number, 500, 0)
        self.assertEqual(
            (len(failures), failures.since(b"0", 0), failures.since(b"1", 0)), (MOST_FAILING, None, (0, 500))
        )
