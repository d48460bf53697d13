"""The verifier finds what is lost, what came twice and what is out of order; the clients say what was acknowledged."""

from __future__ import annotations

import os
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from bench.examined import examine
from bench.log_writers import Written
from bench.logged import Found
from bench.logs import move_children
from scalekit.logs.checkpoint import Checkpoint
from scalekit.logs.directory import LocalDirectory
from scalekit.logs.entry import Entry
from scalekit.logs.frames import make_frame
from scalekit.logs.order import EVER, NEVER, Chunk, Release, Span, effective_times
from scalekit.logs.output import Output

T = 1_700_000_000_000_000_000


def written(*acknowledged: int) -> Written:
    """What a run says."""
    return Written("k0", list(acknowledged), list(acknowledged), 1.0, 1.0, 1.0, 0)


class ExamineTests(SynchronousTestCase):
    """`examine`."""

    def examined(self, messages: list[str], times: list[int], *acknowledged: int) -> Found:
        """A log with these messages, in this order, compared with what was acknowledged."""
        path = self.mktemp()
        directory = LocalDirectory(path)
        output = Output(directory, Checkpoint())
        for number, (message, time) in enumerate(zip(messages, times, strict=True), 1):
            frame = make_frame(number, T + time, [Entry(T + time, "INFO", "k0", message)])
            span = Span(Chunk(frame, effective_times(frame.said, T + time)), NEVER, EVER)
            output.write(Release(T + time, [span], [], 0), number)
        directory.close()
        return examine(path, [written(*acknowledged)])

    def test_a_log_that_kept_its_promises(self) -> None:
        """All that was acknowledged; more may be there."""
        found = self.examined(["k0-0 0 x", "k0-1 0 x", "k0-0 1 x"], [1, 2, 3], 1, 1)
        self.assertEqual(found, Found(3, 0, 0, 0))

    def test_what_is_wrong(self) -> None:
        """Each is told."""
        self.assertEqual(self.examined(["k0-0 0 x", "k0-0 2 x"], [1, 2], 3, 2), Found(2, 3, 0, 0))
        self.assertEqual(self.examined(["k0-0 0 x", "k0-0 0 x"], [1, 2], 1), Found(2, 0, 1, 0))
        self.assertEqual(self.examined(["k0-0 0 x", "k0-0 1 x"], [2, 1], 2), Found(2, 0, 0, 1))
        self.assertEqual(examine(self.mktemp(), [written(2)]), Found(0, 2, 0, 0))


class MoveTests(SynchronousTestCase):
    """`move_children`."""

    def test_only_children(self) -> None:
        """They get the other core, the process itself keeps its own; one that is gone does not matter."""
        before = os.sched_getaffinity(0)
        core = max(before)
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        try:
            move_children(os.getpid(), core)
            self.assertEqual((os.sched_getaffinity(child.pid), os.sched_getaffinity(0)), ({core}, before))
        finally:
            child.communicate(b"\n")
        move_children(child.pid, core)
