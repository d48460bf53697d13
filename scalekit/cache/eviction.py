"""
What leaves when the store is full: the seam, and least-recently-used behind it.

A policy only keeps the order of the keys; the store owns the entries, decides when room is needed, and tells the policy
of everything that comes, is used and goes.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

from scalekit.cache.entry import Entry


class Eviction(Protocol):
    """
    Names the next entry to give up.

    Every key is added once before it is used or removed, and is removed once, whatever the way out was; a replaced
    entry is removed, then added.
    """

    def add(self, entry: Entry) -> None:
        """This entry came."""

    def use(self, entry: Entry) -> None:
        """This entry was served."""

    def remove(self, entry: Entry) -> None:
        """This entry went: evicted, expired, invalidated or replaced."""

    def victim(self) -> bytes:
        """The key of the entry to give up next; raises LookupError if there is none.  The caller removes it."""

    def __len__(self) -> int:
        """How many entries it knows."""


class LeastRecentlyUsed:
    """
    Gives up what has been used least recently; every call costs the same however many entries there are.

    (An OrderedDict and not a dict: finding the first key of a dict walks over every hole that removals left there.)
    """

    def __init__(self) -> None:
        self._order: OrderedDict[bytes, None] = OrderedDict()

    def add(self, entry: Entry) -> None:
        self._order[entry.key] = None

    def use(self, entry: Entry) -> None:
        self._order.move_to_end(entry.key)

    def remove(self, entry: Entry) -> None:
        del self._order[entry.key]

    def victim(self) -> bytes:
        for key in self._order:
            return key
        raise LookupError("nothing to evict")

    def __len__(self) -> int:
        return len(self._order)

    def __repr__(self) -> str:
        return f"<LeastRecentlyUsed {len(self._order)} entries>"
