"""
What purges of many have left to do: entries that are read meanwhile are held against them, the others in slices.
"""

from __future__ import annotations

from scalekit.cache.entry import Entry
from scalekit.cache.holding import SHELVES, Holding, removals
from scalekit.cache.purges import Purges
from scalekit.cache.unswept import Unswept

# Looking whether a key begins with a prefix takes a tenth of the time that removing its entry takes.
_LOOKS = 10


class Sweeping:
    """
    :param held: the entries.

    :ivar unswept: what waits.
    :ivar removed: how many entries purges have removed.
    """

    def __init__(self, held: Holding, purges: Purges) -> None:
        self.unswept = Unswept(SHELVES)
        self.removed = 0
        self._held = held
        self._purges = purges
        self._looking: list[Entry] = []  # the rest of the shelf that a sweep is at

    def carry_out(self, entry: Entry, is_soft: bool, now: float) -> None:
        """A purge has come that names this entry alone."""
        entry.purges = self._purges.number
        if is_soft:
            self._soften(entry, now, now)
        else:
            self._remove(entry)

    def settled(self, entry: Entry, now: float) -> Entry | None:
        """The entry after what purges of many have made of it; None if that was the end of it."""
        if self.unswept.is_gone(entry):
            self._remove(entry)
            return None
        softened = self.unswept.softened(entry)
        entry.purges = self._purges.number
        if softened is None:
            return entry
        if any(tag.softened is not None for tag in entry.tags):
            self._held.renew_tags(entry)
        return self._soften(entry, softened, now)

    def sweep(self, now: float, budget: int) -> None:
        """See `Store.sweep`."""
        unswept, held = self.unswept, self._held
        while budget > 0 and (tag := unswept.next_tag()) is not None:
            entry = held.find(tag.keys.pop())
            assert entry is not None
            budget -= self._sweep_one(entry, now)
        while budget > 0:
            if not self._looking:
                number = unswept.next_shelf()
                if number is None:
                    break
                shelf = held.shelves[number]
                self._looking = unswept.matching(shelf)
                budget -= 1 + len(shelf) // _LOOKS
                continue
            entry = self._looking.pop()
            if held.find(entry.key) is entry:
                budget -= self._sweep_one(entry, now)
        unswept.check()

    def _sweep_one(self, entry: Entry, now: float) -> int:
        """What it cost, in removals."""
        cost = removals(entry)
        return cost if self.settled(entry, now) is None else 5

    def _soften(self, entry: Entry, moment: float, now: float) -> Entry | None:
        """Make it stale since then, its windows begin there; None if it has none, or they are over."""
        self._held.soften(entry, moment, now)
        if entry.leaves > now:
            return entry
        self._remove(entry)
        return None

    def _remove(self, entry: Entry) -> None:
        self._held.drop(entry)
        self.removed += 1

    def __repr__(self) -> str:
        return f"<Sweeping {self.unswept!r}, {self.removed} removed>"
