"""
What a tail is told: events of entries in the order of their sequence numbers, from a number on.

The last frames are kept in memory for tails that keep up (`Recent`); for the others the journal on disk has them, as
far back as it goes, and before that the volumes, as far back as they go.  What they have no more is an event ``gap``
with the count of the numbers that are missing: at most so many entries, as entries that were refused had numbers too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec import UNSET

from scalekit.logs.frames import Frame
from scalekit.logs.order import effective_times
from scalekit.logs.past import PastReader
from scalekit.logs.reading import LogReader
from scalekit.logs.records import format_rows, parse_record
from scalekit.logs.search.matching import Matcher

#: Some seconds of a busy log; tails that are further behind read the disk.
RECENT_BYTES = 2 * 1024 * 1024
#: What one tail is told in one turn, so that all have theirs, and nobody's queue grows by more after it is full.
TURN_BYTES = 256 * 1024
#: The same of what is told from the volumes, of which more than that is read each time.
PAST_BYTES = 1024 * 1024
#: Of so many numbers it is known in a turn which of them are there.
PAST_NUMBERS = 1024 * 1024


class Recent:
    """The last frames."""

    def __init__(self, limit: int = RECENT_BYTES) -> None:
        self._limit = limit
        self._size = 0
        self._frames: deque[Frame] = deque()

    def add(self, frame: Frame) -> None:
        """The next one."""
        self._frames.append(frame)
        self._size += len(frame.payload)
        while self._size > self._limit:
            self._size -= len(self._frames.popleft().payload)

    def clear(self) -> None:
        """Nobody needs them."""
        self._frames.clear()
        self._size = 0

    def frames(self) -> tuple[Frame, ...]:
        """All there are, oldest first."""
        return tuple(self._frames)

    def __repr__(self) -> str:
        return f"<Recent: {len(self._frames)} frames, {self._size} bytes>"


class Told(NamedTuple):
    """
    What is sent.

    :ivar events: as ``text/event-stream``.
    :ivar number: up to which sequence number this tells all.
    """

    events: bytes
    number: int


def tell(
    number: int, matcher: Matcher, newest: int, recent: Sequence[Frame], reader: LogReader, past: PastReader
) -> Told:
    """
    What comes after a sequence number, up to about `TURN_BYTES`; may read the disk, if ``recent`` begins later.

    :param newest: the last number on disk, greater than ``number``.
    :param recent: as `Recent.frames` had them then.
    """
    if recent and recent[0].first <= number + 1:
        return _events(number, matcher, recent)
    told = Told(b"", number)
    if _oldest(reader, newest) <= number + 1:
        told = _events(number, matcher, reader.after(number))
    # Segments are taken off the journal's list before they are removed: so if it still goes back that far, nothing
    # was missing while it was read.
    oldest = _oldest(reader, newest)
    if oldest > number + 1:
        return _past(number, matcher, oldest, reader, past)
    # Numbers of entries that were refused last are nobody's.
    return told if told.number > number else Told(b"", newest)


def _oldest(reader: LogReader, newest: int) -> int:
    """The first number that the journal has."""
    return reader.oldest or newest + 1


def _past(number: int, matcher: Matcher, oldest: int, reader: LogReader, past: PastReader) -> Told:
    """What the volumes have after a number and before the journal's oldest one."""
    found = past.read(number, oldest, reader, lambda line: _is_found(line, matcher), PAST_BYTES, PAST_NUMBERS)
    events = [b"id: %d\ndata: %b\n\n" % one for one in found.lines]
    if found.missing:
        events.append(gap(found.until, found.missing))
    return Told(b"".join(events), found.until)


def _is_found(line: bytes, matcher: Matcher) -> bool:
    record = parse_record(line) if matcher.may_match(line) else None
    if record is None:
        return False
    fields = None if record.Fields is UNSET else bytes(record.Fields)
    return matcher.matches(record.time, record.Level, record.Source, record.Message, fields)


def gap(number: int, count: int | None) -> bytes:
    """
    The event that says so.

    :param count: of the numbers that are missing; None: the client's number is none of this log.
    """
    return b'id: %d\nevent: gap\ndata: {"count":%b}\n\n' % (number, b"null" if count is None else b"%d" % count)


def _events(number: int, matcher: Matcher, frames: Iterable[Frame]) -> Told:
    pieces: list[bytes] = []
    size = 0
    for frame in frames:
        if frame.last <= number:
            continue
        times = effective_times(frame.said, frame.received)
        for sequence, (time, entry) in enumerate(zip(times, frame.entries(), strict=True), frame.first):
            if sequence <= number:
                continue
            number = sequence
            if matcher.matches(time, entry.level, entry.source, entry.message, entry.fields):
                line = format_rows([(time, sequence, entry, frame.received)])[0]
                pieces.append(b"id: %d\ndata: %b\n" % (sequence, line))
                size += len(line)
                if size >= TURN_BYTES:
                    return Told(b"".join(pieces), number)
    return Told(b"".join(pieces), number)
