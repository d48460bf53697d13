"""
What comes after a sink's cursor: out of the last frames in memory while it keeps up, else out of the journal on disk.

It is read ahead by some megabytes, as each look at the disk is at a whole segment.  All of it may wait for the disk:
not for the reactor's thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from scalekit.logs.entry import Entry
from scalekit.logs.frames import Frame
from scalekit.logs.order import effective_times
from scalekit.logs.reading import LogReader

#: Of frames that are read ahead, beside the last one, which is never longer than a body of a request.
AHEAD_BYTES = 2 * 1024 * 1024


class Leaving(NamedTuple):
    """
    An entry that is to leave.

    :ivar time: what it is sorted by, in nanoseconds since the epoch; ``received``: when it came, likewise.
    """

    sequence: int
    time: int
    received: int
    entry: Entry


class Taken(NamedTuple):
    """
    :ivar entries: the next ones.
    :ivar last: up to which number these are all there is.
    :ivar missed: so many numbers before them are gone: the journal does not go back that far any more.
    """

    entries: list[Leaving]
    last: int
    missed: int = 0


class Backlog:
    """See the module; for one cursor, which only moves on."""

    def __init__(self) -> None:
        self._ahead: deque[Leaving] = deque()

    def take(
        self,
        after: int,
        newest: int,
        recent: Sequence[Frame],
        reader: LogReader,
        entry_limit: int,
        byte_limit: int,
    ) -> Taken:
        """
        The next entries; they are given again until ``after`` is behind them.

        :param after: the cursor.
        :param newest: the last number on disk, greater than the cursor.
        :param recent: the last frames, without a gap between them.
        :param byte_limit: of messages and fields; a single entry may have more.
        """
        ahead = self._ahead
        while ahead and ahead[0].sequence <= after:
            ahead.popleft()
        if not ahead:
            missed = self._read(after, newest, recent, reader)
            if missed:
                return Taken([], after + missed, missed)
        taken: list[Leaving] = []
        size = 0
        for leaving in ahead:
            size += len(leaving.entry.message) + len(leaving.entry.fields or "")
            if len(taken) == entry_limit or (taken and size > byte_limit):
                break
            taken.append(leaving)
        # Numbers of entries that were refused last are nobody's.
        return Taken(taken, taken[-1].sequence if taken else newest)

    def _read(self, after: int, newest: int, recent: Sequence[Frame], reader: LogReader) -> int:
        """Read ahead; how many numbers after the cursor are gone, and then nothing is read."""
        if recent and recent[0].first <= after + 1:
            self._add(after, recent)
            return 0
        self._add(after, reader.after(after))
        # Segments are taken off the journal's list before they are removed: so if it still goes back that far, nothing
        # was missing while it was read.
        oldest = reader.oldest or newest + 1
        if oldest <= after + 1:
            return 0
        self._ahead.clear()
        return oldest - 1 - after

    def _add(self, after: int, frames: Iterable[Frame]) -> None:
        size = 0
        for frame in frames:
            if frame.last <= after:
                continue
            times = effective_times(frame.said, frame.received)
            for sequence, (time, entry) in enumerate(zip(times, frame.entries(), strict=True), frame.first):
                if sequence > after:
                    self._ahead.append(Leaving(sequence, time, frame.received, entry))
            size += len(frame.payload)
            if size >= AHEAD_BYTES:
                return

    def __repr__(self) -> str:
        return f"<Backlog: {len(self._ahead)} entries ahead>"
