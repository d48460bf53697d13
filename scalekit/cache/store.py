"""
The store: bytes by key, bounded by bytes, each with a moment from which on it is never served.  Pure: ``now`` is an
argument, in seconds of any clock that never goes back.

Its rules:

* what is expired (``expires <= now``) is never served, whether or not it has been purged;
* `expire` removes what is expired, and only that;
* the bytes counted are the sum over all entries, overhead included, and never above ``max_bytes``;
* an entry of over an eighth of ``max_bytes`` is not admitted, so that no single one can sweep the cache empty;
* every entry leaves by `_forget`, and exactly one of the counters ``replaced``, ``expired``, ``evicted`` and
  ``invalidated`` tells which way.
"""

from __future__ import annotations

from enum import Enum

import msgspec

from scalekit.cache.entry import Entry, charge_of
from scalekit.cache.eviction import Eviction, LeastRecentlyUsed
from scalekit.cache.wheel import Wheel

_LARGEST_SHARE = 8
# Removing an entry takes 1 to 3 us, giving its memory back to the system another 80 us a MiB (measured; munmap).
_LARGE_BYTES = 32 * 1024


class Put(Enum):
    """What came of a put."""

    CREATED = "created"
    REPLACED = "replaced"
    TOO_BIG = "too big"


class Stats(msgspec.Struct, frozen=True):
    """The store's counters (since it was made) and its size now; ``bytes`` and ``max_bytes`` include the overhead."""

    hits: int
    misses: int
    stored: int
    replaced: int
    expired: int
    evicted: int
    invalidated: int
    refused: int
    entries: int
    bytes: int
    max_bytes: int


class Store:
    """
    :param max_bytes: the budget: keys, values and overhead of all entries together.
    :param eviction: what to give up when it is full; least recently used by default.
    """

    def __init__(self, max_bytes: int, eviction: Eviction | None = None) -> None:
        self.max_bytes = max_bytes
        self._largest = max_bytes // _LARGEST_SHARE
        self._entries: dict[bytes, Entry] = {}
        self._eviction: Eviction = LeastRecentlyUsed() if eviction is None else eviction
        self._wheel = Wheel()
        self._bytes = 0
        self._hits = self._misses = self._stored = self._refused = 0
        self._replaced = self._expired = self._evicted = self._invalidated = 0

    def put(self, key: bytes, value: bytes, max_age: float, now: float) -> Put:
        """
        Keep this value for ``max_age`` seconds from now, giving up others if there is no room.

        A value that is too big changes nothing.
        """
        charge = charge_of(key, value)
        if charge > self._largest:
            self._refused += 1
            return Put.TOO_BIG
        outcome = Put.CREATED
        old = self._entries.get(key)
        if old is not None:
            self._drop(old)
            if old.expires > now:
                self._replaced += 1
                outcome = Put.REPLACED
            else:
                self._expired += 1
        while self._bytes + charge > self.max_bytes:
            self._give_up(self._entries[self._eviction.victim()], now)
        expires = now + max_age
        entry = Entry(key, value, now, expires, charge, self._wheel.add(key, expires, now))
        self._entries[key] = entry
        self._eviction.add(entry)
        self._bytes += charge
        self._stored += 1
        return outcome

    def get(self, key: bytes, now: float) -> Entry | None:
        """The entry of this key; None if there is none or it is expired."""
        entry = self._entries.get(key)
        if entry is None:
            self._misses += 1
            return None
        if entry.expires <= now:
            self._drop(entry)
            self._expired += 1
            self._misses += 1
            return None
        self._hits += 1
        self._eviction.use(entry)
        return entry

    def invalidate(self, key: bytes, now: float) -> bool:
        """Forget this key; whether there was something to forget that had not expired."""
        entry = self._entries.get(key)
        if entry is None:
            return False
        self._drop(entry)
        if entry.expires <= now:
            self._expired += 1
            return False
        self._invalidated += 1
        return True

    def expire(self, now: float, budget: int) -> int:
        """
        Remove what is expired, as far as the budget goes; returns how many entries were removed.

        Reads are exact; here an entry is found from the first full second after its expiry on.  There is more to do if
        `next_deadline` is not later than now.

        :param budget: entries to look at; a large one counts for several, as it takes longer to give back.
        """
        removed = 0
        while budget > 0:
            key = self._wheel.take(now)
            if key is None:
                break
            entry = self._entries[key]
            budget -= 1
            if entry.expires <= now:
                budget -= len(entry.value) // _LARGE_BYTES
                self._forget(entry)
                self._expired += 1
                removed += 1
            else:
                entry.due = self._wheel.add(key, entry.expires, now)
        return removed

    def next_deadline(self) -> float | None:
        """From when on `expire` has something to do; None if it never has."""
        return self._wheel.next_tick()

    def stats(self) -> Stats:
        return Stats(
            hits=self._hits,
            misses=self._misses,
            stored=self._stored,
            replaced=self._replaced,
            expired=self._expired,
            evicted=self._evicted,
            invalidated=self._invalidated,
            refused=self._refused,
            entries=len(self._entries),
            bytes=self._bytes,
            max_bytes=self.max_bytes,
        )

    def _give_up(self, entry: Entry, now: float) -> None:
        self._drop(entry)
        if entry.expires <= now:
            self._expired += 1
        else:
            self._evicted += 1

    def _drop(self, entry: Entry) -> None:
        self._wheel.remove(entry.key, entry.due)
        self._forget(entry)

    def _forget(self, entry: Entry) -> None:
        """The one way out, for an entry that the wheel no longer has."""
        del self._entries[entry.key]
        self._eviction.remove(entry)
        self._bytes -= entry.charge

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        size = f"{len(self._entries)} entries, {self._bytes} of {self.max_bytes} bytes"
        return f"<Store {size}, {self._hits} hits, {self._misses} misses>"
