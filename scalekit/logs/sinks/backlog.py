"""
What comes after a sink's cursor: out of the last frames in memory while it keeps up, else out of the journal on disk,
and of what that has no more, out of the volumes.

It is read ahead by some megabytes, as each look at the disk is at a whole segment, or a MiB of a volume.  All of it may
wait for the disk: not for the reactor's thread.
"""

from __future__ import annotations

import errno
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec import UNSET

from scalekit.logs.entry import Entry
from scalekit.logs.frames import Frame
from scalekit.logs.moments import parse_timestamp
from scalekit.logs.order import effective_times
from scalekit.logs.past import PastReader
from scalekit.logs.reading import LogReader
from scalekit.logs.records import parse_timed
from scalekit.logs.tailing import PAST_NUMBERS

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
    :ivar missed: so many numbers up to there are gone, with the volumes that had them.
    """

    entries: list[Leaving]
    last: int
    missed: int = 0


class Backlog:
    """See the module; for one cursor, which only moves on."""

    def __init__(self) -> None:
        self._ahead: deque[Leaving] = deque()
        self._until = 0  # up to this number they are all there is
        self._past = PastReader()

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
        The next entries; they are given again until ``after`` is behind them.  Raises OSError.

        :param after: the cursor.
        :param newest: the last number on disk, greater than the cursor.
        :param recent: the last frames, without a gap between them.
        :param byte_limit: of messages and fields; a single entry may have more.
        """
        ahead = self._ahead
        while ahead and ahead[0].sequence <= after:
            ahead.popleft()
        missed = 0
        if not ahead:
            missed = self._read(after, newest, recent, reader)
        taken: list[Leaving] = []
        size = 0
        for leaving in ahead:
            size += len(leaving.entry.message) + len(leaving.entry.fields or "")
            if len(taken) == entry_limit or (taken and size > byte_limit):
                break
            taken.append(leaving)
        return Taken(taken, taken[-1].sequence if len(taken) < len(ahead) else self._until, missed)

    def _read(self, after: int, newest: int, recent: Sequence[Frame], reader: LogReader) -> int:
        """Read ahead; how many numbers up to where that goes are gone."""
        if recent and recent[0].first <= after + 1:
            self._add(after, newest, recent)
            return 0
        self._add(after, newest, reader.after(after))
        # Segments are taken off the journal's list before they are removed: so if it still goes back that far, nothing
        # was missing while it was read.
        oldest = reader.oldest or newest + 1
        if oldest <= after + 1:
            return 0
        self._ahead.clear()
        return self._read_past(after, oldest, reader)

    def _read_past(self, after: int, oldest: int, reader: LogReader) -> int:
        found = self._past.read(after, oldest, reader, lambda line: True, AHEAD_BYTES, PAST_NUMBERS)
        if found.until == after:
            raise OSError(errno.EAGAIN, "a volume is just being sealed")
        read = [_leaving_of(line) for _, line in found.lines]
        self._ahead.extend(leaving for leaving in read if leaving is not None)
        self._until = found.until
        return found.missing + read.count(None)

    def _add(self, after: int, newest: int, frames: Iterable[Frame]) -> None:
        self._until = newest  # numbers of entries that were refused last are nobody's
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
                self._until = frame.last
                return

    def __repr__(self) -> str:
        return f"<Backlog: {len(self._ahead)} entries ahead>"


def _leaving_of(line: bytes) -> Leaving | None:
    """The entry of a line of the log's truth; None if it is damaged."""
    timed = parse_timed(line)
    if timed is None:
        return None
    time, record = timed
    received = time if record.Received is UNSET else parse_timestamp(record.Received)
    fields = None if record.Fields is UNSET else bytes(record.Fields).decode()
    return Leaving(record.Sequence, time, received, Entry(time, record.Level, record.Source, record.Message, fields))
