"""
S3-FIFO (Yang et al., SOSP 2023), weighted by bytes: what leaves by default when the store is full.

Most of what a cache is given is never asked for again.  So what is new waits in a *small* queue of a tenth of the
bytes; what was used there goes on to the *main* queue, the rest leaves and is remembered as a *ghost*.  What comes back
while its ghost is remembered goes to the main queue at once.  There it is spared as often as it was used lately, three
times at most.  Nothing moves when an entry is used, it is only counted; a scan passes through the small queue and takes
nothing along.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain

from scalekit.cache.entry import Entry
from scalekit.cache.eviction import PATIENCE

_SMALL_SHARE = 10  # the paper's: a tenth
_MOST_USES = 3  # the paper's two bits
_SMALL, _MAIN = 0, 1

_MASK = 0xFFFFFFFF
# A ghost is found again with probability exp(-ghosts / slots).  The least entry counts for 600 bytes, so there are two
# slots for each that may be remembered; the table takes less than a thirtieth of the budget.
_BYTES_PER_SLOT = 300
# 64 MiB of table; whoever has a larger budget than its 2.5 GiB has larger values, or fewer of the ghosts are found.
_MOST_SLOTS = 1 << 23
# The clock of the ghosts counts the bytes that left in these units: 32 bits of it are a TiB.
_CLOCK_SHIFT = 8


class Ghosts:
    """
    The keys that left lately: a table of fingerprints, each with the moment it left, told in bytes that left since.

    A fingerprint may be another key's (one in 2^32) or be overwritten by one; then a key is in the wrong queue, once.

    :param window: bytes; what left before that many others is forgotten.
    """

    def __init__(self, window: int) -> None:
        self._slots = max(64, min(window // _BYTES_PER_SLOT, _MOST_SLOTS))
        self._table = array("Q", [0]) * self._slots
        self._window = window >> _CLOCK_SHIFT
        self._left = 0

    def add(self, key: bytes, charge: int) -> None:
        """This key left, with so many bytes."""
        self._left += charge
        code = hash(key)
        self._table[code % self._slots] = (code >> 32 & _MASK or 1) << 32 | (self._left >> _CLOCK_SHIFT & _MASK)

    def take(self, key: bytes) -> bool:
        """Whether this key left lately; it is forgotten now."""
        code = hash(key)
        place = code % self._slots
        ghost = self._table[place]
        if ghost >> 32 != (code >> 32 & _MASK or 1):
            return False
        self._table[place] = 0
        return ((self._left >> _CLOCK_SHIFT) - ghost & _MASK) <= self._window


class S3FIFO:
    """
    :param max_bytes: the store's budget.
    """

    def __init__(self, max_bytes: int) -> None:
        self._queues: tuple[OrderedDict[bytes, Entry], OrderedDict[bytes, Entry]] = (OrderedDict(), OrderedDict())
        self._small, self._main = self._queues
        self._small_bytes = 0
        self._small_share = max_bytes // _SMALL_SHARE
        # The paper remembers as many as fit into the main queue.
        self._ghosts = Ghosts(max_bytes - self._small_share)

    def add(self, entry: Entry) -> None:
        entry.uses = 0
        if self._ghosts.take(entry.key):
            entry.queue = _MAIN
            self._main[entry.key] = entry
        else:
            entry.queue = _SMALL
            self._small[entry.key] = entry
            self._small_bytes += entry.charge

    def use(self, entry: Entry) -> None:
        if entry.uses < _MOST_USES:
            entry.uses += 1

    def replace(self, old: Entry, new: Entry) -> None:
        new.uses = min(old.uses + 1, _MOST_USES)
        new.queue = old.queue
        self._queues[new.queue][new.key] = new
        if new.queue == _SMALL:
            self._small_bytes += new.charge - old.charge

    def remove(self, entry: Entry) -> None:
        del self._queues[entry.queue][entry.key]
        if entry.queue == _SMALL:
            self._small_bytes -= entry.charge

    def evict(self) -> Entry:
        for _ in range(PATIENCE):
            if self._small and (self._small_bytes > self._small_share or not self._main):
                key, entry = self._small.popitem(last=False)
                self._small_bytes -= entry.charge
                if not entry.uses:
                    self._ghosts.add(key, entry.charge)
                    return entry
                entry.uses = 0
                entry.queue = _MAIN
            else:
                key, entry = self._main.popitem(last=False)
                if not entry.uses:
                    return entry
                entry.uses -= 1
            self._main[key] = entry
        return self._main.popitem(last=False)[1]

    def __iter__(self) -> Iterator[Entry]:
        return chain(self._small.values(), self._main.values())

    def __len__(self) -> int:
        return len(self._small) + len(self._main)

    def __repr__(self) -> str:
        return f"<S3FIFO {len(self._small)} entries in the small queue, {len(self._main)} in the main one>"
