"""
How many entries a query finds, by time and level: of a volume that has an index without reading a line, if it asks for
levels, sources and times alone.  Not for the reactor's thread.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import NamedTuple

from scalekit.logs.entry import LEVELS
from scalekit.logs.order import AHEAD_LIMIT, EVER, NEVER
from scalekit.logs.reading import LogReader, Volume
from scalekit.logs.search.budget import Budget
from scalekit.logs.search.indexes import Indexes
from scalekit.logs.search.matching import Matcher
from scalekit.logs.search.searching import Search, Spent, insist, meant, merged, streams

#: What a histogram of a log shows in which nothing is written yet.
_SPAN = 60_000_000_000


class Histogram(NamedTuple):
    """
    How many entries of each level there are in each of equally long spans of time.

    :ivar since: where the first begins; `step`: how long each is; nanoseconds.
    :ivar counts: for each span, those of `scalekit.logs.entry.LEVELS`.
    :ivar partial: as of an `Answer`; what is older than `complete` is not counted, if that is said.
    """

    since: int
    step: int
    counts: list[list[int]]
    partial: str | None
    complete: int | None
    read: int


def histogram(
    reader: LogReader, indexes: Indexes, matcher: Matcher, budget: Budget, buckets: int, now: int
) -> Histogram:
    """
    Count what is found; for a time that has no beginning or end, from the first entry there is, or until now.

    :param buckets: into how many spans; no span is shorter than a second, so there may be fewer.
    """
    asked = Search(reader, indexes, matcher, budget, True)
    return insist(asked, lambda asked: _histogram(asked, buckets, now))


def _histogram(asked: Search, buckets: int, now: int) -> Histogram:
    reader, matcher, budget = asked.reader, asked.matcher, asked.budget
    checkpoint = reader.checkpoint
    volumes = [volume for volume in reader.volumes(checkpoint) if volume.entries]
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
        volumes = meant(asked, checkpoint)
        if matcher.lookup.is_exact:
            volumes = [volume for volume in volumes if not _count(asked, volume, since, step, counts)]
        for found in merged(streams(asked, checkpoint, volumes), True):
            # What waits in the journal may be older than all that is written.
            place = max(0, (found.time - since) // step)
            if place < len(counts):
                counts[place][rank.get(found.level, 1)] += 1
    except Spent as spent:
        complete = spent.time
    return Histogram(since, step, counts, asked.partial, complete, budget.read)


def _count(asked: Search, volume: Volume, since: int, step: int, counts: list[list[int]]) -> bool:
    """Add what the index of a volume says; False if it has none.  Raises `Spent`: then nothing is complete."""
    index = asked.opened_index(volume)
    if index is None:
        return False
    matcher = asked.matcher
    first = max(since, volume.first_time, matcher.since)
    until = min(volume.last_time + 1, matcher.until)
    found = []
    with closing(index):
        index.interrupt_when(asked.budget.is_over)
        try:
            for place in range((first - since) // step, min(len(counts), (until - 1 - since) // step + 1)):
                start = since + place * step
                numbers = index.numbers(max(first, start), min(until, start + step))
                found.append((place, index.counts(matcher.lookup, numbers)))
        except sqlite3.Error:
            raise asked.index_failed(volume, EVER) from None
    # Only when all is there, as it may fail and be done in another way.
    for place, levels in found:
        counts[place] = [sum(both) for both in zip(counts[place], levels, strict=True)]
    return True
