"""
A search through the whole log: volumes, their late entries, and what only the journal has yet, as one in time order.

Of a sealed volume that has an index, only those lines are read that may be meant; what the matcher says of them counts.
Where a query leaves nothing out by words, levels or sources, or the index cannot be used, the lines are looked through.

What runs out of its `Budget` ends early, and says up to which time it is complete.  What is damaged is gone over: the
last attempt of a search that cannot read a volume leaves out the blocks that it cannot read, and says so.

All of this may take seconds: not for the reactor's thread.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import NamedTuple, TypeVar

from scalekit.logs.checkpoint import Checkpoint
from scalekit.logs.reading import LogReader, Volume
from scalekit.logs.records import format_rows, parse_record, parse_timed
from scalekit.logs.search.budget import ANSWER_BYTES, Budget, Cancelled
from scalekit.logs.search.fetching import Lines
from scalekit.logs.search.indexes import Index, Indexes, Interrupted
from scalekit.logs.search.matching import Matcher
from scalekit.logs.search.scanning import Unreadable, find_position, lines_between

#: How often a search begins anew because a volume was sealed or removed under it: that is done once an hour.  What it
#: cannot read then is damaged.
_ATTEMPTS = 3
#: What an answer says that leaves out what cannot be read.
DAMAGED = "damaged"
T = TypeVar("T")


class Found(NamedTuple):
    """
    An entry that is looked for.

    :ivar time: nanoseconds since the epoch.
    :ivar line: of the log's truth, without its newline.
    """

    time: int
    sequence: int
    level: str
    line: bytes


class Answer(NamedTuple):
    """
    What a search has found.

    :ivar partial: what ran out: ``time``, ``bytes`` (looked at), ``rows``, ``answer`` (its size); ``damaged``: nothing,
        but some of the log cannot be read; None: it is complete.
    :ivar until: if it is partial, the time up to which it is complete, from the end where it began.
    :ivar read: bytes looked at.
    """

    lines: list[bytes]
    partial: str | None
    until: int | None
    read: int


class Spent(Exception):
    """The budget has run out; ``time`` is as far as this stream has come."""

    def __init__(self, time: int) -> None:
        super().__init__(time)
        self.time = time


class IndexFailed(Exception):
    """An index turned out to be none; it is not asked again."""


#: The earliest time that it may begin with (or the latest, backwards), and what opens it.
Stream = tuple[int, Callable[[], Iterator[Found]]]


class Search(NamedTuple):
    """
    What all parts of one search need.

    :ivar gaps: where volumes could not be read, which is gone over; None: it raises `Unreadable`.
    """

    reader: LogReader
    indexes: Indexes
    matcher: Matcher
    budget: Budget
    is_backwards: bool
    gaps: list[int] | None = None

    @property
    def partial(self) -> str | None:
        """What the answer says that has come to its end."""
        return self.budget.spent or (DAMAGED if self.gaps else None)

    def opened_index(self, volume: Volume) -> Index | None:
        """What can be asked instead of reading all of a volume; raises `Spent` if it takes too long to check it."""
        if volume.manifest is None:
            return None
        try:
            return self.indexes.open(self.reader.files, volume.manifest, self.budget.is_over)
        except Interrupted:
            bound = volume.last_time if self.is_backwards else volume.first_time
            raise self.index_failed(volume, bound) from None

    def index_failed(self, volume: Volume, time: int) -> Exception:
        """What is to be raised after an error of SQLite's; ``time``: up to there all is found."""
        if self.budget.is_cancelled:
            return Cancelled()
        if self.budget.spent is not None:
            return Spent(time)
        if volume.manifest is not None:
            self.indexes.distrust(volume.manifest.index)
        return IndexFailed()


def search(
    reader: LogReader, indexes: Indexes, matcher: Matcher, budget: Budget, limit: int, *, is_backwards: bool
) -> Answer:
    """The first entries that are found, at most ``limit``; backwards: the last ones, the newest first."""
    asked = Search(reader, indexes, matcher, budget, is_backwards)
    return insist(asked, lambda asked: _search(asked, limit))


def insist(asked: Search, attempt: Callable[[Search], T]) -> T:
    """What an attempt returns: another one if a volume went under it, or an index failed."""
    left = _ATTEMPTS
    while True:
        try:
            return attempt(asked if left > 1 else asked._replace(gaps=[]))
        except IndexFailed:  # each does so once
            continue
        except Unreadable:
            left -= 1
            if not left:
                raise


def _search(asked: Search, limit: int) -> Answer:
    budget = asked.budget
    lines: list[bytes] = []
    size = last = 0
    checkpoint = asked.reader.checkpoint  # one for all: each entry is in exactly one place by it
    volumes = meant(asked, checkpoint)
    try:
        for found in merged(streams(asked, checkpoint, volumes), asked.is_backwards):
            if len(lines) == limit or size + len(found.line) > ANSWER_BYTES:
                return Answer(lines, "rows" if len(lines) == limit else "answer", last, budget.read)
            lines.append(found.line)
            size += len(found.line) + 1
            last = found.time
    except Spent as spent:
        return Answer(lines, budget.spent, spent.time, budget.read)
    return Answer(lines, asked.partial, None, budget.read)


def meant(asked: Search, checkpoint: Checkpoint) -> list[Volume]:
    """Those that may hold what is looked for."""
    matcher = asked.matcher
    return [
        volume
        for volume in asked.reader.volumes(checkpoint)
        if volume.entries and volume.last_time >= matcher.since and volume.first_time < matcher.until
    ]


def streams(asked: Search, checkpoint: Checkpoint, volumes: Sequence[Volume]) -> list[Stream]:
    """What is found in these volumes and what only the journal has yet, as streams for `merged`."""
    matcher, is_backwards = asked.matcher, asked.is_backwards
    streams: list[Stream] = []
    for volume in volumes:
        bound = volume.last_time if is_backwards else volume.first_time
        streams.append((bound, partial(_on_time, asked, volume)))
        if volume.late_length:
            streams.append((bound, partial(_late, asked, volume)))
    waiting = _sorted(
        [
            Found(time, sequence, entry.level, format_rows([(time, sequence, entry, received)])[0].rstrip(b"\n"))
            for time, sequence, entry, received in asked.reader.unwritten(checkpoint)
            if matcher.matches(time, entry.level, entry.source, entry.message, entry.fields)
        ],
        is_backwards,
    )
    if waiting:
        streams.append((waiting[0].time, lambda: iter(waiting)))
    return streams


def merged(streams: Sequence[Stream], is_backwards: bool) -> Iterator[Found]:
    """
    All streams as one, in order; raises `Spent`.

    A stream is opened when nothing of the others comes before its bound: most never are.
    """
    sign = -1 if is_backwards else 1
    heap: list[tuple[int, int, int, Found | None]] = [
        (sign * bound, -(1 << 63), number, None) for number, (bound, _) in enumerate(streams)
    ]
    heapq.heapify(heap)
    iterators: dict[int, Iterator[Found]] = {}
    while heap:
        _, _, number, found = heapq.heappop(heap)
        if found is None:
            iterators[number] = streams[number][1]()
        else:
            yield found
        try:
            following = next(iterators[number], None)
        except Spent as spent:
            # What the others begin with is not told any more: up to there all is.
            others = [sign * heap[0][0]] if heap else []
            raise Spent((max if is_backwards else min)([spent.time, *others])) from None
        if following is not None:
            heapq.heappush(heap, (sign * following.time, sign * following.sequence, number, following))


def _on_time(asked: Search, volume: Volume) -> Iterator[Found]:
    index = None if asked.matcher.lookup.is_any else asked.opened_index(volume)
    return _looked_through(asked, volume) if index is None else _looked_up(asked, volume, index)


def _looked_through(asked: Search, volume: Volume) -> Iterator[Found]:
    reader, matcher, budget, is_backwards = asked.reader, asked.matcher, asked.budget, asked.is_backwards
    try:
        start = find_position(reader, volume, matcher.since)
        end = find_position(reader, volume, matcher.until)
    except Unreadable:
        if asked.gaps is None:
            raise
        start, end = 0, volume.length
    time = volume.last_time if is_backwards else volume.first_time
    for line in lines_between(reader, volume, start, end, is_backwards=is_backwards, gaps=asked.gaps):
        if not budget.take(len(line) + 1):
            record = parse_record(line)
            raise Spent(time if record is None else record.time)
        found = _found(line, matcher)
        if found is not None:
            yield found
            time = found.time


def _looked_up(asked: Search, volume: Volume, index: Index) -> Iterator[Found]:
    matcher, budget, is_backwards = asked.matcher, asked.budget, asked.is_backwards
    lines = Lines(asked.reader, volume, is_backwards=is_backwards)
    time = volume.last_time if is_backwards else volume.first_time
    with closing(index):
        index.interrupt_when(budget.is_over)
        try:
            numbers = index.numbers(matcher.since, matcher.until)
            for position, length, time in index.candidates(matcher.lookup, numbers, is_backwards=is_backwards):
                if not budget.take(length + 1):
                    raise Spent(time)
                try:
                    found = _found(lines.line(position, length), matcher)
                except Unreadable:
                    if asked.gaps is None:
                        raise
                    asked.gaps.append(position)
                    continue
                if found is not None:
                    yield found
        except sqlite3.Error:
            raise asked.index_failed(volume, time) from None


def _late(asked: Search, volume: Volume) -> Iterator[Found]:
    is_backwards = asked.is_backwards
    found = []
    for _, line in asked.reader.lines(volume, is_late=True):
        if not asked.budget.take(len(line) + 1):
            raise Spent(volume.last_time if is_backwards else volume.first_time)
        one = _found(line, asked.matcher)
        if one is not None:
            found.append(one)
    yield from _sorted(found, is_backwards)


def _sorted(found: list[Found], is_backwards: bool) -> list[Found]:
    return sorted(found, key=lambda one: (one.time, one.sequence), reverse=is_backwards)


def _found(line: bytes, matcher: Matcher) -> Found | None:
    if not matcher.may_match(line):
        return None
    timed = parse_timed(line)
    if timed is None:
        return None
    time, record = timed
    fields = bytes(record.Fields) if record.Fields else None
    if not matcher.matches(time, record.Level, record.Source, record.Message, fields):
        return None
    return Found(time, record.Sequence, record.Level, line)
