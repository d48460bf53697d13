"""
The buffer in which entries wait until those that came slower have found their place.

* An entry's *effective time* is what it says, or when it was received if it says nothing, something absurd, or more
  than `AHEAD_LIMIT` ahead of us.
* The *watermark* W only rises: ``W = max(W, now - delay)`` at each release.
* A release takes everything at or below W, sorted by (time, sequence number).
* What comes at or below W is *late*: it has missed its place and goes to a file of its own, in the next release.

Times are nanoseconds since the epoch.
"""

from __future__ import annotations

from typing import NamedTuple

from scalekit.logs.entry import Entry

# A clock that is set by NTP is never that far off; more would hold the entry back, and what is released after it.
AHEAD_LIMIT = 5_000_000_000
# 2000-01-01: before it, a clock has never been set (1970), or it is the zero of a language (year 1).
ABSURD_BEFORE = 946_684_800_000_000_000
# Below every time there is, for a watermark that has not risen yet.
NEVER = -(1 << 63)


class Waiting(NamedTuple):
    """An entry in the buffer; these sort by (time, sequence number), which no two share."""

    time: int
    sequence: int
    entry: Entry


class Release(NamedTuple):
    """What is to be written now, at this ``watermark``: ``on_time`` and ``late``, each sorted; ``weight`` of both."""

    watermark: int
    on_time: list[Waiting]
    late: list[Waiting]
    weight: int


# An entry's objects without its text, measured in CPython 3.11: two tuples, two integers, three strings' headers.
_ENTRY_BYTES = 360


def weight(waiting: Waiting) -> int:
    """Bytes of memory that an entry takes in the buffer, estimated."""
    return _ENTRY_BYTES + len(waiting.entry.message)


def effective_time(said: int | None, received: int) -> int:
    """The time an entry is sorted by; the same whenever it is asked, so that a replay agrees with the first run."""
    if said is None or said < ABSURD_BEFORE or said > received + AHEAD_LIMIT:
        return received
    return said


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
        self._waiting: list[Waiting] = []
        self._late: list[Waiting] = []

    def add(self, waiting: Waiting) -> bool:
        """Take an entry; whether it is on time."""
        self.weight += weight(waiting)
        is_on_time = waiting.time > self.watermark
        (self._waiting if is_on_time else self._late).append(waiting)
        return is_on_time

    def release(self, now: int) -> Release:
        """Raise the watermark and take out what is due."""
        self.watermark = watermark = max(self.watermark, now - self.delay)
        due = [waiting for waiting in self._waiting if waiting.time <= watermark]
        if due:
            self._waiting = [waiting for waiting in self._waiting if waiting.time > watermark]
            due.sort()
        late, self._late = sorted(self._late), []
        released = sum(map(weight, due)) + sum(map(weight, late))
        self.weight -= released
        return Release(watermark, due, late, released)

    def take_back(self, release: Release) -> None:
        """What could not be written is due again; it goes before all that is still waiting, so it stays on time."""
        self._waiting = release.on_time + self._waiting
        self._late = release.late + self._late
        self.weight += release.weight

    def rest(self) -> list[Waiting]:
        """All that is still waiting and not yet due, sorted; it stays."""
        return sorted(self._waiting)

    def __len__(self) -> int:
        return len(self._waiting) + len(self._late)

    def __repr__(self) -> str:
        return f"<ReorderBuffer {len(self._waiting)} waiting, {len(self._late)} late, watermark {self.watermark}>"
