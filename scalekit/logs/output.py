"""
The two text files, ``log.txt`` and ``log.txt.late``, and the checkpoints that say how far they are.

A write goes: lines to the files, sync, then the checkpoint.  What is in a file beyond the checkpoint's length is not
there as far as we are concerned: the next write overwrites it, and so does a start.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from scalekit.logs.checkpoint import Checkpoint, newest
from scalekit.logs.directory import Directory
from scalekit.logs.line import format_line
from scalekit.logs.order import Release, Waiting

LOG = "log.txt"
LATE = "log.txt.late"
# The two that are kept, taken in turn, so that there is always a whole one.
CHECKPOINTS = ("checkpoint-0", "checkpoint-1")


def read_checkpoint(directory: Directory) -> Checkpoint | None:
    """The newest checkpoint that can be read; None without one."""
    return newest(directory.read(name) for name in CHECKPOINTS)


def _lines(waiting: Sequence[Waiting]) -> bytes:
    return "".join([format_line(time, entry.level, entry.source, entry.message) for time, _, entry in waiting]).encode()


class Output:
    """
    The text files of a directory.

    :ivar checkpoint: the newest one on disk.
    """

    def __init__(self, directory: Directory, checkpoint: Checkpoint) -> None:
        self._directory = directory
        self.checkpoint = checkpoint

    def fit(self) -> bool:
        """
        Agree with files that somebody has shortened or removed since: go on at their end; whether there were any.

        The shorter lengths get a checkpoint before anything is written, or else a crash would find the old ones.
        """
        length = min(self.checkpoint.length, self._directory.size(LOG))
        late_length = min(self.checkpoint.late_length, self._directory.size(LATE))
        if (length, late_length) == (self.checkpoint.length, self.checkpoint.late_length):
            return False
        self._save(
            msgspec.structs.replace(
                self.checkpoint,
                generation=self.checkpoint.generation + 1,
                length=length,
                late_length=late_length,
            )
        )
        return True

    def cut(self) -> None:
        """Remove what is beyond the checkpoint."""
        for name, length in ((LOG, self.checkpoint.length), (LATE, self.checkpoint.late_length)):
            if self._directory.size(name) > length:
                self._directory.write_from(name, length, b"")

    def write(self, release: Release, sequence: int) -> None:
        """
        Append a release, and make it count; raises OSError, and then nothing of it counts.

        :param sequence: the last sequence number that was in the buffer when it was released.
        """
        self.fit()
        old = self.checkpoint
        on_time, late = _lines(release.on_time), _lines(release.late)
        if on_time:
            self._directory.write_from(LOG, old.length, on_time)
        if late:
            self._directory.write_from(LATE, old.late_length, late)
        self._save(
            Checkpoint(
                generation=old.generation + 1,
                sequence=sequence,
                watermark=release.watermark,
                length=old.length + len(on_time),
                late_length=old.late_length + len(late),
            )
        )

    def _save(self, checkpoint: Checkpoint) -> None:
        name = CHECKPOINTS[checkpoint.generation % len(CHECKPOINTS)]
        data = checkpoint.encode()
        try:
            self._directory.replace(name, data)
        except OSError:
            # It may have failed after the rename: what a start would find is what counts.
            if self._directory.read(name) != data:
                raise
        self.checkpoint = checkpoint

    def write_rest(self, rest: Sequence[Waiting]) -> None:
        """
        Append what is not due, for those who read the file while no daemon runs; no checkpoint counts it.

        The next start takes it off again and gives it its place among what comes then; the journal still has it.
        """
        self.fit()
        if rest:
            self._directory.write_from(LOG, self.checkpoint.length, _lines(rest))

    def __repr__(self) -> str:
        return (
            f"<Output {self.checkpoint.length} and {self.checkpoint.late_length} late, at {self.checkpoint.sequence}>"
        )
