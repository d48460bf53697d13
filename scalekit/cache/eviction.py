"""
What leaves when the store is full: the seam, and three policies behind it.

* `scalekit.cache.s3fifo.S3FIFO`: the default;
* `Sieve`: one queue and a hand that spares what was used since it last came by;
* `LeastRecentlyUsed`: what most caches do.

A policy only keeps the order of the entries; the store owns them, decides when room is needed, and tells the policy of
everything that comes, is used and goes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import chain
from typing import Protocol

from scalekit.cache.entry import Entry

# How many entries are spared, one after the other, before the next one leaves whatever it did: some 0.2 ms.  If all
# 400,000 were used since they were last looked at, the way once around would stall everybody for 0.1 s.
PATIENCE = 512


class Eviction(Protocol):
    """
    Gives up one entry after the other.

    Every entry is added once before it is used, replaced or removed, and leaves once: by `evict`, by `replace` or by
    `remove`.
    """

    def add(self, entry: Entry) -> None:
        """This entry came."""

    def use(self, entry: Entry) -> None:
        """This entry was served."""

    def replace(self, old: Entry, new: Entry) -> None:
        """The new one takes the place of the old one, which has the same key."""

    def remove(self, entry: Entry) -> None:
        """This entry went: expired or purged."""

    def evict(self) -> Entry:
        """Take out the entry to give up next; raises LookupError if there is none."""

    def __iter__(self) -> Iterator[Entry]:
        """All of them, what would be given up first at the beginning, more or less."""

    def __len__(self) -> int:
        """How many entries it knows."""


class LeastRecentlyUsed:
    """
    Gives up what has been used least recently; every call costs the same however many entries there are.

    (An OrderedDict and not a dict: finding the first key of a dict walks over every hole that removals left there.)
    """

    def __init__(self) -> None:
        self._order: OrderedDict[bytes, Entry] = OrderedDict()

    def add(self, entry: Entry) -> None:
        self._order[entry.key] = entry

    def use(self, entry: Entry) -> None:
        self._order.move_to_end(entry.key)

    def replace(self, old: Entry, new: Entry) -> None:
        self._order[new.key] = new
        self._order.move_to_end(new.key)

    def remove(self, entry: Entry) -> None:
        del self._order[entry.key]

    def evict(self) -> Entry:
        return self._order.popitem(last=False)[1]

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._order.values())

    def __len__(self) -> int:
        return len(self._order)

    def __repr__(self) -> str:
        return f"<LeastRecentlyUsed {len(self._order)} entries>"


class Sieve:
    """
    SIEVE (Zhang et al., NSDI 2024): entries stay in the order in which they came; a hand goes from the oldest to the
    newest and around again, spares what was used since it last came by, and gives up the first that was not.

    Where the hand is, the queue is cut in two: what it has passed, and what lies ahead, with the newest at the end.
    """

    def __init__(self) -> None:
        self._ahead: OrderedDict[bytes, Entry] = OrderedDict()
        self._passed: OrderedDict[bytes, Entry] = OrderedDict()

    def add(self, entry: Entry) -> None:
        entry.uses = 0
        self._ahead[entry.key] = entry

    def use(self, entry: Entry) -> None:
        entry.uses = 1

    def replace(self, old: Entry, new: Entry) -> None:
        new.uses = 1
        (self._ahead if old.key in self._ahead else self._passed)[new.key] = new

    def remove(self, entry: Entry) -> None:
        if self._ahead.pop(entry.key, None) is None:
            del self._passed[entry.key]

    def evict(self) -> Entry:
        for _ in range(PATIENCE):
            if not self._ahead:
                self._ahead, self._passed = self._passed, self._ahead
            key, entry = self._ahead.popitem(last=False)
            if not entry.uses:
                return entry
            entry.uses = 0
            self._passed[key] = entry
        return (self._ahead or self._passed).popitem(last=False)[1]

    def __iter__(self) -> Iterator[Entry]:
        return chain(self._ahead.values(), self._passed.values())

    def __len__(self) -> int:
        return len(self._ahead) + len(self._passed)

    def __repr__(self) -> str:
        return f"<Sieve {len(self._ahead)} entries ahead of the hand, {len(self._passed)} behind it>"
