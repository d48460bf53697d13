"""
What a tail is told: events of entries in the order of their sequence numbers, from a number on.

The last frames are kept in memory for tails that keep up (`Recent`); for the others the journal on disk has them, as
far back as it goes, and before that the volumes, as far back as they go.  What they have no more is an event ``gap``
with the count of the numbers that are missing: at most so many entries, as entries that were refused had numbers too.

Volumes are in the order of time.  So each turn goes through all that may have one of the next numbers, and keeps those
with the least: as much as a turn takes, however many there are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from typing import NamedTuple

from msgspec import UNSET

from scalekit.logs.frames import Frame
from scalekit.logs.order import effective_times
from scalekit.logs.reading import LogReader
from scalekit.logs.records import format_rows, parse_record
from scalekit.logs.search.matching import Matcher

#: Some seconds of a busy log; tails that are further behind read the disk.
RECENT_BYTES = 2 * 1024 * 1024
#: What one tail is told in one turn, so that all have theirs, and nobody's queue grows by more after it is full.
TURN_BYTES = 256 * 1024
#: The same of what is told from the volumes, for which all of one is read each time: a second.
PAST_BYTES = 1024 * 1024
#: Of so many numbers it is known in a turn which of them are there.
PAST_NUMBERS = 1024 * 1024
_HEAD = b'{"Sequence":'


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


def tell(number: int, matcher: Matcher, newest: int, recent: Sequence[Frame], reader: LogReader) -> Told:
    """
    What comes after a sequence number, up to about `TURN_BYTES`; may read the disk.

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
        return _past(number, matcher, oldest, reader)
    # Numbers of entries that were refused last are nobody's.
    return told if told.number > number else Told(b"", newest)


def _oldest(reader: LogReader, newest: int) -> int:
    """The first number that the journal has."""
    return reader.oldest or newest + 1


def _past(number: int, matcher: Matcher, oldest: int, reader: LogReader) -> Told:
    """
    What the volumes have after a number and before the journal's oldest one.

    Nothing, up to the same number, if one of them is just being sealed: it can be read again in a moment.
    """
    ceiling = min(oldest, number + 1 + PAST_NUMBERS)  # what is from here on is for another turn
    there = bytearray(ceiling - number - 1)
    chosen: list[tuple[int, bytes]] = []  # a heap, the greatest number first
    size = 0
    for volume in reader.volumes():
        if volume.last_sequence <= number or volume.first_sequence >= ceiling:
            continue
        for is_late, length in ((False, volume.length), (True, volume.late_length)):
            end = 0
            for position, line in reader.lines(volume, is_late=is_late):
                end = position + len(line) + 1
                sequence = _number_of(line)
                if not number < sequence < ceiling:
                    continue
                there[sequence - number - 1] = 1
                if not _is_found(line, matcher):
                    continue
                heappush(chosen, (-sequence, line))
                size += len(line)
                while size > PAST_BYTES and len(chosen) > 1:
                    least, left = heappop(chosen)
                    size -= len(left)
                    ceiling = -least
            if end < length and not volume.is_sealed:
                return Told(b"", number)
    events = [b"id: %d\ndata: %b\n\n" % (-least, line) for least, line in sorted(chosen, reverse=True)]
    missing = there[: ceiling - number - 1].count(0)
    if missing:
        events.append(gap(ceiling - 1, missing))
    return Told(b"".join(events), ceiling - 1)


def _number_of(line: bytes) -> int:
    """The sequence number of a record's line, in a quarter of the time of decoding it; 0 for a damaged line."""
    try:
        return int(line[len(_HEAD) : line.index(b",")]) if line.startswith(_HEAD) else 0
    except ValueError:
        return 0


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
