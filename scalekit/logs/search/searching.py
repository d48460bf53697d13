"""
A search through the whole log: volumes, their late entries, and what only the journal has yet, as one in time order.

What runs out of its `Budget` ends early, and says up to which time it is complete.  All of this may take seconds: not
for the reactor's thread.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from scalekit.logs.entry import LEVELS
from scalekit.logs.order import AHEAD_LIMIT, NEVER
from scalekit.logs.reading import LogReader, Volume
from scalekit.logs.records import format_rows, parse_record
from scalekit.logs.search.budget import ANSWER_BYTES, Budget
from scalekit.logs.search.matching import Matcher
from scalekit.logs.search.scanning import Unreadable, find_position, lines_between

#: How often a search begins anew because a volume was sealed or removed under it; they come an hour apart.
_ATTEMPTS = 3
#: What a histogram of a log shows in which nothing is written yet.
_SPAN = 60_000_000_000

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

    :ivar partial: what ran out: ``time``, ``bytes`` (looked at), ``rows``, ``answer`` (its size); None: it is complete.
    :ivar until: if it is partial, the time up to which it is complete, from the end where it began.
    :ivar read: bytes looked at.
    """

    lines: list[bytes]
    partial: str | None
    until: int | None
    read: int


class Histogram(NamedTuple):
    """
    How many entries of each level there are in each of equally long spans of time.

    :ivar since: where the first begins; `step`: how long each is; nanoseconds.
    :ivar counts: for each span, those of `scalekit.logs.entry.LEVELS`.
    :ivar partial: what ran out; then what is older than `complete` is not counted.
    """

    since: int
    step: int
    counts: list[list[int]]
    partial: str | None
    complete: int | None
    read: int


class _Spent(Exception):
    """The budget has run out; ``time`` is as far as this stream has come."""

    def __init__(self, time: int) -> None:
        super().__init__(time)
        self.time = time


#: The earliest time that it may begin with (or the latest, backwards), and what opens it.
_Stream = tuple[int, Callable[[], Iterator[Found]]]


def search(reader: LogReader, matcher: Matcher, budget: Budget, limit: int, *, is_backwards: bool) -> Answer:
    """The first entries that are found, at most ``limit``; backwards: the last ones, the newest first."""
    return _again(lambda: _search(reader, matcher, budget, limit, is_backwards))


def histogram(reader: LogReader, matcher: Matcher, budget: Budget, buckets: int, now: int) -> Histogram:
    """
    Count what is found; for a time that has no beginning or end, from the first entry there is, or until now.

    :param buckets: into how many spans; no span is shorter than a second, so there may be fewer.
    """
    return _again(lambda: _histogram(reader, matcher, budget, buckets, now))


def _again(attempt: Callable[[], T]) -> T:
    for _ in range(_ATTEMPTS - 1):
        try:
            return attempt()
        except Unreadable:
            continue
    return attempt()


def _search(reader: LogReader, matcher: Matcher, budget: Budget, limit: int, is_backwards: bool) -> Answer:
    lines: list[bytes] = []
    size = last = 0
    entries = _merged(_streams(reader, matcher, budget, is_backwards), is_backwards)
    try:
        for found in entries:
            if len(lines) == limit or size + len(found.line) > ANSWER_BYTES:
                return Answer(lines, "rows" if len(lines) == limit else "answer", last, budget.read)
            lines.append(found.line)
            size += len(found.line) + 1
            last = found.time
    except _Spent as spent:
        return Answer(lines, budget.spent, spent.time, budget.read)
    return Answer(lines, None, None, budget.read)


def _histogram(reader: LogReader, matcher: Matcher, budget: Budget, buckets: int, now: int) -> Histogram:
    volumes = [volume for volume in reader.volumes() if volume.entries]
    newest = max((volume.last_time for volume in volumes), default=now)
    oldest = min((volume.first_time for volume in volumes), default=now - _SPAN)
    since = oldest if matcher.since == NEVER else matcher.since
    # Entries may be a little ahead of us.
    until = max(since + 1, min(matcher.until, max(newest, now + AHEAD_LIMIT) + 1))
    step = max(-(-(until - since) // buckets), 1_000_000_000)
    counts = [[0] * len(LEVELS) for _ in range(-(-(until - since) // step))]
    rank = {level: number for number, level in enumerate(LEVELS)}
    complete = None
    try:
        for found in _merged(_streams(reader, matcher, budget, True), True):
            # What waits in the journal may be older than all that is written.
            place = max(0, (found.time - since) // step)
            if place < len(counts):
                counts[place][rank.get(found.level, 1)] += 1
    except _Spent as spent:
        complete = spent.time
    return Histogram(since, step, counts, budget.spent, complete, budget.read)


def _streams(reader: LogReader, matcher: Matcher, budget: Budget, is_backwards: bool) -> list[_Stream]:
    checkpoint = reader.checkpoint  # one for all: each entry is in exactly one place by it
    streams: list[_Stream] = []
    for volume in reader.volumes(checkpoint):
        if not volume.entries or volume.last_time < matcher.since or volume.first_time >= matcher.until:
            continue
        bound = volume.last_time if is_backwards else volume.first_time
        streams.append((bound, partial(_on_time, reader, volume, matcher, budget, is_backwards)))
        if volume.late_length:
            streams.append((bound, partial(_late, reader, volume, matcher, budget, is_backwards)))
    waiting = _sorted(
        [
            Found(time, sequence, entry.level, format_rows([(time, sequence, entry, received)])[0].rstrip(b"\n"))
            for time, sequence, entry, received in reader.unwritten(checkpoint)
            if matcher.matches(time, entry.level, entry.source, entry.message, entry.fields)
        ],
        is_backwards,
    )
    if waiting:
        streams.append((waiting[0].time, lambda: iter(waiting)))
    return streams


def _merged(streams: Sequence[_Stream], is_backwards: bool) -> Iterator[Found]:
    """
    All streams as one, in order; raises `_Spent`.

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
        except _Spent as spent:
            # What the others begin with is not told any more: up to there all is.
            others = [sign * heap[0][0]] if heap else []
            raise _Spent((max if is_backwards else min)([spent.time, *others])) from None
        if following is not None:
            heapq.heappush(heap, (sign * following.time, sign * following.sequence, number, following))


def _on_time(
    reader: LogReader, volume: Volume, matcher: Matcher, budget: Budget, is_backwards: bool
) -> Iterator[Found]:
    start = find_position(reader, volume, matcher.since)
    end = find_position(reader, volume, matcher.until)
    time = volume.last_time if is_backwards else volume.first_time
    for line in lines_between(reader, volume, start, end, is_backwards=is_backwards):
        if not budget.take(len(line) + 1):
            record = parse_record(line)
            raise _Spent(time if record is None else record.time)
        found = _found(line, matcher)
        if found is not None:
            yield found
            time = found.time


def _late(reader: LogReader, volume: Volume, matcher: Matcher, budget: Budget, is_backwards: bool) -> Iterator[Found]:
    found = []
    for _, line in reader.lines(volume, is_late=True):
        if not budget.take(len(line) + 1):
            raise _Spent(volume.last_time if is_backwards else volume.first_time)
        one = _found(line, matcher)
        if one is not None:
            found.append(one)
    yield from _sorted(found, is_backwards)


def _sorted(found: list[Found], is_backwards: bool) -> list[Found]:
    return sorted(found, key=lambda one: (one.time, one.sequence), reverse=is_backwards)


def _found(line: bytes, matcher: Matcher) -> Found | None:
    if not matcher.may_match(line):
        return None
    record = parse_record(line)
    if record is None:
        return None
    time, fields = record.time, bytes(record.Fields) if record.Fields else None
    if not matcher.matches(time, record.Level, record.Source, record.Message, fields):
        return None
    return Found(time, record.Sequence, record.Level, line)
