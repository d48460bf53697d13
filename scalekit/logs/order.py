"""
The buffer in which entries wait until those that came slower have found their place.

* An entry's *effective time* is what it says, or when it was received if it says nothing, something absurd, or more
  than `AHEAD_LIMIT` ahead of us.
* The *watermark* W only rises: ``W = max(W, now - delay)`` at each release.
* A release takes everything at or below W, sorted by (time, sequence number).
* What comes at or below W is *late*: it has missed its place and goes to a file of its own, in the next release.

Entries wait as they stand in their frames, encoded: a tenth of the memory that objects take, and nothing for the
garbage collector to look at.  `take` decodes what is released.  Small frames that follow one another are one chunk, so
that a release has a few hundred things to look at, and not one for each request.

Times are nanoseconds since the epoch.
"""

from __future__ import annotations

import contextlib
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from itertools import chain, compress, islice, repeat
from operator import itemgetter, le
from typing import NamedTuple

from scalekit.logs.columns import Columns, decode_columns, together
from scalekit.logs.entry import Entry
from scalekit.logs.frames import Frame

# A clock that is set by NTP is never that far off; more would hold the entry back, and what is released after it.
AHEAD_LIMIT = 5_000_000_000
# 2000-01-01: before it, a clock has never been set (1970), or it is the zero of a language (year 1).
ABSURD_BEFORE = 946_684_800_000_000_000
# Below every time there is, for a watermark that has not risen yet.
NEVER = -(1 << 63)
EVER = (1 << 63) - 1
# The objects of a `Chunk` without its payload and times, measured in CPython 3.11.
_CHUNK_BYTES = 600
# The payload of one more frame in it, as an object, and what is known of it.
_PIECE_BYTES = 60
#: Of frames that become one chunk: entries, so that decoding them takes half a millisecond, and bytes.
GATHERED_ENTRIES = 250
_GATHERED_BYTES = 64 * 1024

# An entry to be written: its effective time, its sequence number, itself, and when it was received.
Row = tuple[int, int, Entry, int]


def effective_times(said: Sequence[int | None], received: int) -> array[int]:
    """
    The times that entries are sorted by, for the times that they say.

    The same whenever it is asked, so that a replay agrees with the first run.
    """
    most = received + AHEAD_LIMIT
    with contextlib.suppress(TypeError, ValueError):  # of None, and of no times: to try takes a third of the time
        if min(said) >= ABSURD_BEFORE and max(said) <= most:  # type: ignore[type-var, operator]
            return array("q", said)  # type: ignore[arg-type]
    return array("q", [time if time is not None and ABSURD_BEFORE <= time <= most else received for time in said])


def are_rising(times: Sequence[int]) -> bool:
    """Whether none of them is before the one that it follows."""
    return all(map(le, times, islice(times, 1, None)))


def sorted_by_time(columns: Columns, times: array[int]) -> tuple[Columns, array[int]]:
    """
    The entries of a batch in the order of their effective times, those with the same time as they came.

    Nearly all come so.  Numbered in this order, what of a batch is due is one stretch of it.
    """
    if are_rising(times):
        return columns, times
    first = min(times)
    # Numbers below 2**30, about a second of nanoseconds, are compared in a third of the time.
    distances = [time - first for time in times]
    pick = itemgetter(*sorted(range(len(distances)), key=distances.__getitem__))
    return columns.mapped(lambda column: pick(column) if column else column), array("q", pick(times))


class Chunk:
    """
    The entries of a frame in the buffer, or of some that follow one another.

    :ivar first: the first sequence number.
    :ivar times: the effective time of each.
    :ivar payloads: of each frame; `counts`: how many entries it has; `moments`: when it was received.
    :ivar received: when the first one was.
    :ivar is_rising: whether the times are, in the order of the numbers.
    :ivar weight: bytes of memory, estimated.
    :ivar spans: how many `Span` in the buffer are of it.
    """

    __slots__ = (
        "counts",
        "earliest",
        "first",
        "is_rising",
        "latest",
        "moments",
        "payloads",
        "received",
        "spans",
        "times",
        "weight",
    )

    def __init__(self, frame: Frame, times: array[int]) -> None:
        self.first = frame.first
        self.received = frame.received
        # Nothing among it is for the garbage collector to look at, of 7,000 frames a second.
        self.payloads = [frame.payload]
        self.counts = array("I", [len(times)])
        self.moments = array("q", [frame.received])
        self.times = times
        self.is_rising = are_rising(times)
        self.earliest = times[0] if self.is_rising else min(times)
        self.latest = times[-1] if self.is_rising else max(times)
        self.weight = _CHUNK_BYTES + len(frame.payload) + 8 * len(times)
        self.spans = 0

    def absorb(self, other: Chunk) -> int:
        """Take in a chunk whose numbers follow on; by how much the weight is more then."""
        more = other.weight - _CHUNK_BYTES + _PIECE_BYTES
        self.is_rising = self.is_rising and other.is_rising and self.latest <= other.earliest
        self.payloads += other.payloads
        self.counts += other.counts
        self.moments += other.moments
        self.times += other.times
        self.earliest = min(self.earliest, other.earliest)
        self.latest = max(self.latest, other.latest)
        self.received = min(self.received, other.received)
        self.weight += more
        return more

    def __repr__(self) -> str:
        return f"<Chunk {len(self.times)} from {self.first}>"


class Span(NamedTuple):
    """Those entries of a chunk whose times are above ``low`` and not above ``high``."""

    chunk: Chunk
    low: int
    high: int

    def entry_count(self) -> int:
        """How many they are."""
        chunk, low, high = self
        if low < chunk.earliest and chunk.latest <= high:
            return len(chunk.times)
        if chunk.is_rising:
            return len(range(*self.stretch().indices(len(chunk.times))))
        return sum(low < time <= high for time in chunk.times)

    def stretch(self) -> slice:
        """Where they are, in a chunk whose times are rising."""
        start = bisect_right(self.chunk.times, self.low)
        return slice(start, max(start, bisect_right(self.chunk.times, self.high)))


class Release(NamedTuple):
    """What is to be written now, at this ``watermark``; ``weight`` is of both."""

    watermark: int
    on_time: list[Span]
    late: list[Span]
    weight: int

    @property
    def oldest(self) -> int:
        """When the oldest of both was received; `EVER`: there is none."""
        return _oldest(self.on_time, self.late)


NOTHING = Release(NEVER, [], [], 0)


def _oldest(*lists: list[Span]) -> int:
    return min((span.chunk.received for spans in lists for span in spans), default=EVER)


class Taken(NamedTuple):
    """Of entries their times, their numbers, when each was received, and themselves."""

    times: Sequence[int]
    numbers: Sequence[int]
    received: Sequence[int]
    columns: Columns


def take(span: Span) -> Taken:
    """The entries of this span, in the order of their numbers."""
    chunk, low, high = span
    columns = together([decode_columns(payload) for payload in chunk.payloads])
    numbers = range(chunk.first, chunk.first + len(chunk.times))
    received = list(chain.from_iterable(map(repeat, chunk.moments, chunk.counts)))
    if chunk.is_rising:
        here = span.stretch()
        return Taken(chunk.times[here], numbers[here], received[here], columns.mapped(itemgetter(here)))
    is_due = [low < time <= high for time in chunk.times]
    times = list(compress(chunk.times, is_due))
    return Taken(times, list(compress(numbers, is_due)), list(compress(received, is_due)), columns.chosen(is_due))


class ReorderBuffer:
    """
    What is acknowledged and not yet written.

    :ivar watermark: W.
    :ivar weight: bytes of memory, estimated.
    """

    def __init__(self, delay: int, watermark: int = NEVER) -> None:
        self.delay = delay
        self.watermark = watermark
        self.weight = 0
        self._waiting: list[Span] = []
        self._late: list[Span] = []
        self._open: Chunk | None = None  # the last one that was added, while others may be absorbed by it

    def add(self, chunk: Chunk, low: int = NEVER) -> int:
        """
        Take the entries of a chunk; how many of them are late.

        :param low: only those above it.
        """
        watermark = self.watermark
        gathering = self._open
        if (
            gathering is not None
            and low <= watermark < chunk.earliest
            and chunk.first == gathering.first + len(gathering.times)
            and len(gathering.times) + len(chunk.times) <= GATHERED_ENTRIES
            and gathering.weight + chunk.weight <= _GATHERED_BYTES
        ):
            self.weight += gathering.absorb(chunk)
            return 0
        self._open = chunk if low <= watermark < chunk.earliest else None
        late = 0
        if low < watermark and chunk.earliest <= watermark:
            span = Span(chunk, low, watermark)
            late = span.entry_count()
            if late:
                self._keep(self._late, span)
        if chunk.latest > watermark:
            self._keep(self._waiting, Span(chunk, max(low, watermark), EVER))
        return late

    @property
    def oldest(self) -> int:
        """When the oldest entry in it was received; `EVER`: it is empty."""
        return _oldest(self._waiting, self._late)

    def _keep(self, where: list[Span], span: Span) -> None:
        where.append(span)
        if not span.chunk.spans:
            self.weight += span.chunk.weight
        span.chunk.spans += 1

    def _let_go(self, spans: list[Span]) -> int:
        freed = 0
        for span in spans:
            span.chunk.spans -= 1
            if not span.chunk.spans:
                freed += span.chunk.weight
        return freed

    def release(self, now: int, limit: int = EVER) -> Release:
        """
        Raise the watermark and take out what is due.

        :param limit: about so many bytes at once; then the watermark rises only as far as they reach.
        """
        self._open = None
        self.watermark = watermark = self._reach(max(self.watermark, now - self.delay), limit)
        due: list[Span] = []
        kept: list[Span] = []
        for span in self._waiting:
            chunk, low, high = span
            if chunk.earliest > watermark or low >= watermark:
                kept.append(span)
            elif min(chunk.latest, high) <= watermark:
                due.append(span)
            else:
                due.append(Span(chunk, low, watermark))
                kept.append(Span(chunk, watermark, high))
                chunk.spans += 1
        late, self._late, self._waiting = self._late, [], kept
        freed = self._let_go(due) + self._let_go(late)
        self.weight -= freed
        return Release(watermark, due, late, freed)

    def _reach(self, watermark: int, limit: int) -> int:
        """How far the watermark may rise for chunks of so many bytes; at least to where the first of them ends."""
        if self.weight <= limit:
            return watermark
        reached = self.watermark
        taken = 0
        for chunk in sorted((span.chunk for span in self._waiting), key=lambda chunk: chunk.latest):
            if taken >= limit or chunk.latest >= watermark:
                break
            reached = max(reached, chunk.latest)
            taken += chunk.weight
        else:
            return watermark
        return watermark if taken < limit else reached

    def take_back(self, release: Release) -> None:
        """What could not be written is due again; it goes before all that is still waiting, so it stays on time."""
        waiting, self._waiting = self._waiting, []
        late, self._late = self._late, []
        for span in release.on_time:
            self._keep(self._waiting, span)
        for span in release.late:
            self._keep(self._late, span)
        self._waiting += waiting
        self._late += late

    def rest(self) -> list[Span]:
        """All that is still waiting and not yet due; it stays."""
        return list(self._waiting)

    def __len__(self) -> int:
        return sum(span.entry_count() for span in self._waiting) + sum(span.entry_count() for span in self._late)

    def __repr__(self) -> str:
        return f"<ReorderBuffer {len(self._waiting)} waiting, {len(self._late)} late, watermark {self.watermark}>"
