"""
A queue of log entries with a bound in bytes, that gives up the least valuable first; for any number of threads.

What an application does between two entries has driven all of this out of the processor's caches: the first call after
a pause takes ten times as long as the next.  So whoever logs only notes an entry, if it is a light one, and its line is
made where many are made in a row.  It may go behind one that was not: the collector orders by time.

Over the bound the oldest DEBUG or INFO entry is dropped; when there is none left, the oldest of all.  What is dropped
is counted by level, so that the loss can be told.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterable, Mapping

from scalekit.kit.entries import LOW_LEVELS, Kept, entry_line

BATCH_ENTRIES = 500
BATCH_BYTES = 256 * 1024
# More than that waiting goes to disk although the collector is there: it is too slow for us.
SPOOL_FROM_BYTES = 1024 * 1024
# What is over a MiB goes to disk (`delivery`); the rest is for the moment until the thread that does it has its turn.
# A loop that does nothing but log makes 25 MiB a second.
QUEUE_BYTES = 16 * 1024 * 1024
ENTRY_OVERHEAD = 120  # bytes of Python objects around an entry, counted with it
# So many noted entries are half a millisecond of work for the thread that makes their lines, and keeps others from
# running meanwhile.
NOTED_LOOK = 100
# More than that is a flood, or a thread that does not get its turn: then whoever logs makes the line.
MOST_NOTED = 500


class EntryQueue:
    """
    Entries as bytes, first in, first out, whatever their level.

    :param source: of the entries that are noted.

    :ivar is_watched: whether somebody comes to take what is there, without being told to.
    """

    def __init__(self, limit_bytes: int = QUEUE_BYTES, source: str = "") -> None:
        self._limit = limit_bytes
        self._source = source
        self._noted: deque[tuple[str, float, str, Kept]] = deque()
        self.is_watched = False
        self._low: deque[tuple[int, str, bytes]] = deque()
        self._high: deque[tuple[int, str, bytes]] = deque()
        self._sequence = 0
        # One that a signal's callback, or a finalizer, may take while this very thread holds it.
        self._lock = threading.RLock()
        self._dropped: Counter[str] = Counter()
        self.count_bytes = 0

    @property
    def count(self) -> int:
        return len(self._low) + len(self._high) + len(self._noted)

    def note(self, level: str, timestamp: float, message: str, fields: Kept) -> bool:
        """
        Take a light entry, unless there are many.

        :param fields: see `entries.kept_fields`.
        :return: whether somebody should look.
        """
        noted = self._noted
        count = len(noted) + 1
        if count > MOST_NOTED:
            return self.add(level, entry_line(level, timestamp, self._source, message, fields))
        noted.append((level, timestamp, message, fields))
        if not self.is_watched:
            self.is_watched = True
            return True
        return count % NOTED_LOOK == 0

    def settle(self) -> None:
        """Make the lines of what was noted; an entry of which none can be made counts as dropped."""
        noted = self._noted
        made: list[tuple[str, bytes]] = []
        failed: list[str] = []
        for _ in range(len(noted)):
            try:
                level, timestamp, message, fields = noted.popleft()
            except IndexError:  # another thread was quicker
                break
            try:
                made.append((level, entry_line(level, timestamp, self._source, message, fields)))
            except Exception:  # whatever the conversion raises
                failed.append(level)
        if not made and not failed:
            return
        with self._lock:  # once: whoever has to wait for a lock gives up its turn for it
            for level, line in made:
                self.add(level, line)
            self._dropped.update(failed)

    def watch(self) -> None:
        """To be called when all was seen to, before waiting: who comes now is to say so, unless something is there."""
        self.is_watched = False
        # Only now: whoever was too early to see that is seen here.
        self.is_watched = self.count > 0

    def add(self, level: str, entry: bytes) -> bool:
        """
        Take an entry, and drop others for it if need be.

        :return: whether somebody should look: it is the first, or they are enough for a batch, or for the disk.
        """
        with self._lock:
            self._sequence += 1
            (self._low if level in LOW_LEVELS else self._high).append((self._sequence, level, entry))
            before = self.count_bytes
            after = self.count_bytes = before + len(entry) + ENTRY_OVERHEAD
            is_mark = not before or len(self._low) + len(self._high) == BATCH_ENTRIES
            while self.count_bytes > self._limit:
                _, dropped_level, dropped = (self._low or self._high).popleft()
                self.count_bytes -= len(dropped) + ENTRY_OVERHEAD
                self._dropped[dropped_level] += 1
        return is_mark or before < BATCH_BYTES <= after or before < SPOOL_FROM_BYTES <= after

    def take(self, most: int, most_bytes: int) -> list[bytes]:
        """
        Take the oldest entries out: at most this many, and so many bytes (but at least one entry if there is one).
        """
        self.settle()
        batch: list[bytes] = []
        size = 0
        low, high = self._low, self._high
        with self._lock:
            while len(batch) < most and (low or high):
                oldest = low if low and (not high or low[0][0] < high[0][0]) else high
                entry = oldest[0][2]
                if batch and size + len(entry) + 1 > most_bytes:
                    break
                oldest.popleft()
                batch.append(entry)
                size += len(entry) + 1
                self.count_bytes -= len(entry) + ENTRY_OVERHEAD
        return batch

    def count_dropped(self, levels: Iterable[str] | Mapping[str, int]) -> None:
        """Note that entries of these levels are lost."""
        with self._lock:
            self._dropped.update(levels)

    def report_dropped(self) -> str:
        """What was dropped since the last report, such as ``12 log entries dropped (2 ERROR, 10 INFO)``; or nothing."""
        with self._lock:
            dropped, self._dropped = self._dropped, Counter()
        if not dropped:
            return ""
        parts = ", ".join(f"{count} {level}" for level, count in sorted(dropped.items()))
        total = dropped.total()
        return f"{total} log {'entry' if total == 1 else 'entries'} dropped ({parts})"

    def __repr__(self) -> str:
        return f"<EntryQueue {self.count} waiting, {self.count_bytes} bytes, {self._dropped.total()} dropped>"
