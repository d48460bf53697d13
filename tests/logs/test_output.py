"""Tests of `scalekit.logs.output`: what counts when a disk fails."""

from __future__ import annotations

import errno

from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.checkpoint import Checkpoint
from scalekit.logs.entry import Entry
from scalekit.logs.frames import make_frame
from scalekit.logs.memory import MemoryDirectory
from scalekit.logs.order import EVER, NEVER, Chunk, Release, Span, effective_times
from scalekit.logs.output import Output, read_checkpoint
from scalekit.logs.volumes import LOG

T = 1_700_000_000_000_000_000
FAULT = OSError(errno.EIO, "Input/output error")


class OutputTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = MemoryDirectory()
        self.output = Output(self.directory, Checkpoint())

    def write(self, number: int) -> None:
        time = T + number
        frame = make_frame(number, time, [Entry(time, "INFO", "s", str(number))])
        span = Span(Chunk(frame, effective_times(frame.said, time)), NEVER, EVER)
        self.output.write(Release(time, [span], [], 1), number)

    def messages(self) -> str:
        return "".join(line.split(";")[3] for line in self.directory.read(LOG).decode().splitlines())

    def test_a_checkpoint_that_failed_after_its_rename(self) -> None:
        """A start would find it, so it counts: what it covers is not written once more."""
        self.write(1)
        self.directory.fail_after(2, 1.0, FAULT)
        self.write(2)
        self.assertEqual(
            (self.output.checkpoint.sequence, read_checkpoint(self.directory)), (2, self.output.checkpoint)
        )
        self.write(3)
        self.assertEqual(self.messages(), "123")

    def test_a_checkpoint_that_failed_before_it(self) -> None:
        """It does not count, nor does what it was for: the next write begins where the one before ended."""
        self.write(1)
        self.directory.fail_after(2, 0.0, FAULT)
        self.assertRaises(OSError, self.write, 2)
        self.assertEqual((self.output.checkpoint.sequence, self.messages()), (1, "12"))
        self.assertEqual(read_checkpoint(self.directory), self.output.checkpoint)
        self.write(2)
        self.assertEqual(self.messages(), "12")
