"""Tests of `scalekit.ops.exits`."""

from __future__ import annotations

from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.trial.unittest import SynchronousTestCase

from scalekit.ops.exits import described, status_of


class StatusTests(SynchronousTestCase):
    def test_status_of(self) -> None:
        self.assertEqual(status_of(ProcessDone(0)), 0)
        self.assertEqual(status_of(ProcessTerminated(exitCode=3)), 3)
        self.assertEqual(status_of(ProcessTerminated(signal=15)), -15)

    def test_described(self) -> None:
        self.assertEqual([described(0), described(-9), described(-40)], ["with status 0", "by SIGKILL", "by signal 40"])
