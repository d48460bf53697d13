"""Tests of `scalekit.ops.children`, with processes that a fake reactor pretends to have started."""

from __future__ import annotations

import errno
import os
from typing import Any

from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from scalekit.ops.children import RESTART_SECONDS, START_SECONDS, ChildService


class FakeProcess:
    """One that ends when the test says so."""

    def __init__(self, protocol: Any, arguments: list[str], environ: dict[str, str], descriptors: dict[int, int]):
        self._protocol = protocol
        self.arguments = arguments
        self.leash_variable = environ["SCALEKIT_LEASH"]
        # The child's copy of the leash's reading end.
        self.leash = os.dup(descriptors[3])
        os.set_blocking(self.leash, False)
        self.signals: list[str] = []
        self.is_gone = False

    def signalProcess(self, name: str) -> None:
        if self.is_gone:
            raise ProcessExitedAlready
        self.signals.append(name)

    @property
    def is_held(self) -> bool:
        """Whether the parent still has its end of the leash."""
        try:
            return os.read(self.leash, 1) != b""
        except BlockingIOError:
            return True

    def end(self, status: int | None = 0, signal: int | None = None) -> None:
        self.is_gone = True
        why = ProcessTerminated(status, signal) if status or signal else ProcessDone(0)
        self._protocol.processEnded(Failure(why))
        os.close(self.leash)


class FakeReactor(Clock):
    def __init__(self) -> None:
        super().__init__()
        self.processes: list[FakeProcess] = []
        self.fault: OSError | None = None

    def spawnProcess(self, protocol: Any, executable: str, args: list[str], env: Any, childFDs: Any) -> FakeProcess:
        if self.fault is not None:
            raise self.fault
        self.processes.append(FakeProcess(protocol, args, env, childFDs))
        return self.processes[-1]


class ChildTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = FakeReactor()
        self.failed: list[str] = []
        self.child = ChildService("blog 1", ["scalekit-blog", "--x"], {"A": "B"}, self.reactor, self.failed.append)
        self.child.startService()
        self.addCleanup(self.end_all)

    def end_all(self) -> None:
        self.child.stopService()
        for process in self.reactor.processes:
            if not process.is_gone:
                process.end()

    @property
    def process(self) -> FakeProcess:
        return self.reactor.processes[-1]

    def test_starts_twistd_on_a_leash(self) -> None:
        self.assertEqual(self.process.arguments[-3:], ["-n", "scalekit-blog", "--x"])
        self.assertEqual((self.process.leash_variable, self.process.is_held), ("3", True))
        self.assertEqual(repr(self.child), "<ChildService blog 1 running>")

    def test_one_that_dies_is_started_again_after_a_second(self) -> None:
        for status, signal, how in ((None, 9, "by SIGKILL"), (0, None, "with status 0"), (3, None, "with status 3")):
            count = len(self.reactor.processes)
            with capturedLogs() as logged:
                self.process.end(status, signal)
            self.assertEqual([formatEvent(one) for one in logged], [f"blog 1 ended {how}, starting it again"])
            self.assertEqual(repr(self.child), "<ChildService blog 1 not running>")
            self.reactor.advance(RESTART_SECONDS * 0.9)
            self.assertEqual(len(self.reactor.processes), count)
            self.reactor.advance(RESTART_SECONDS * 0.1)
            self.assertEqual(len(self.reactor.processes), count + 1)
            self.assertTrue(self.process.is_held)
        self.assertEqual(self.failed, [])

    def test_one_that_cannot_start_is_told_and_not_tried_again(self) -> None:
        self.reactor.advance(START_SECONDS * 0.9)
        self.process.end(1)
        self.assertEqual(self.failed, ["blog 1 could not start"])
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_status_1_after_a_while_is_a_death_like_others(self) -> None:
        self.reactor.advance(START_SECONDS)
        self.process.end(1)
        self.reactor.advance(RESTART_SECONDS)
        self.assertEqual((self.failed, len(self.reactor.processes)), ([], 2))

    def test_a_system_that_refuses_a_process_is_asked_again(self) -> None:
        self.process.end(0)
        before = len(os.listdir("/proc/self/fd"))
        self.reactor.fault = OSError(errno.EAGAIN, "Resource temporarily unavailable")
        self.reactor.advance(RESTART_SECONDS)
        self.assertEqual(len(self.reactor.processes), 1)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)
        self.reactor.fault = None
        self.reactor.advance(RESTART_SECONDS)
        self.assertEqual(len(self.reactor.processes), 2)

    def test_ends_by_sigterm_once_it_is_gone(self) -> None:
        ended = self.child.end()
        self.assertEqual((self.process.signals, self.process.is_held), (["TERM"], True))
        self.assertNoResult(ended)
        self.process.end(0)
        self.successResultOf(ended)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_in_a_hurry_it_is_let_go(self) -> None:
        ended = self.child.end(is_hurried=True)
        self.assertEqual((self.process.signals, self.process.is_held), ([], False))
        self.assertNoResult(ended)
        self.process.end(0)
        self.successResultOf(ended)

    def test_what_has_not_ended_is_killed_and_waited_for(self) -> None:
        ended = self.child.end()
        stopped = self.child.stopService()
        self.assertEqual(self.process.signals, ["TERM", "KILL"])
        self.assertNoResult(stopped)
        self.process.end(None, 9)
        self.successResultOf(ended)
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_ending_one_that_waits_to_be_started_again(self) -> None:
        self.process.end(None, 11)
        self.successResultOf(self.child.end())
        self.successResultOf(self.child.stopService())
        self.assertEqual((self.reactor.getDelayedCalls(), len(self.reactor.processes)), ([], 1))

    def test_ending_one_whose_end_is_about_to_be_told(self) -> None:
        process = self.process
        process.is_gone = True
        ended = self.child.end()
        self.assertNoResult(ended)
        process.end(0)
        self.successResultOf(ended)
