"""
Purges of many, as far as their entries have not been removed yet.

A purge by tag or prefix takes effect at once: whoever reads an entry holds it against what is noted here.  The entries
themselves are removed in slices, because 500,000 of them take over a second.

A tag knows its keys, and is taken off the table as a whole.  A prefix has to be looked for among all entries, shelf by
shelf; all prefixes that wait are looked for in one go around, and each is done once all shelves have come by since.
"""

from __future__ import annotations

from collections import deque

import msgspec

from scalekit.cache.entry import Entry, Tag


class Prefix(msgspec.Struct, gc=False):
    """
    A purge by prefix.

    :ivar number: its number; it is for entries with a lower one.
    :ivar moment: when it came.
    :ivar until: the turn of the shelves with which it is done.
    """

    prefix: bytes
    is_soft: bool
    number: int
    moment: float
    until: int


class Unswept:
    """
    :param shelves: how many there are.

    :ivar tags: what was taken off the table of tags and still has keys.
    :ivar turn: how many shelves have been begun.
    :ivar is_waiting: whether there is anything; every read of the store asks that.
    """

    def __init__(self, shelves: int) -> None:
        self._shelves = shelves
        self.tags: deque[Tag] = deque()
        self._softened: dict[bytes, list[Tag]] = {}
        self._prefixes: dict[tuple[bytes, bool], Prefix] = {}
        self._latest = 0
        self.turn = 0
        self.is_waiting = False

    def add_tag(self, tag: Tag) -> None:
        self.tags.append(tag)
        if tag.softened is not None:
            self._softened.setdefault(tag.name, []).append(tag)
        self.is_waiting = True

    def add_prefix(self, prefix: bytes, is_soft: bool, number: int, moment: float) -> None:
        # The shelf that is being looked through now may be half done.
        self._prefixes[prefix, is_soft] = Prefix(prefix, is_soft, number, moment, self.turn + self._shelves)
        self._latest = number
        self.is_waiting = True

    def condemn(self, name: bytes) -> None:
        """A hard purge of this tag is also for what an earlier, soft one has left to sweep."""
        for tag in self._softened.pop(name, ()):
            tag.is_gone = True

    def next_tag(self) -> Tag | None:
        """A tag that has keys to sweep; None: none has any more."""
        while self.tags and not self.tags[0].keys:
            tag = self.tags.popleft()
            if tag.name in self._softened:
                left = [one for one in self._softened[tag.name] if one is not tag]
                self._softened[tag.name] = left
                if not left:
                    del self._softened[tag.name]
        return self.tags[0] if self.tags else None

    def next_shelf(self) -> int | None:
        """The number of the shelf to look through; None: no prefix waits any more."""
        self._prefixes = {name: one for name, one in self._prefixes.items() if one.until > self.turn}
        if not self._prefixes:
            return None
        self.turn += 1
        return self.turn % self._shelves

    def is_gone(self, entry: Entry) -> bool:
        """Whether a hard purge was for this entry."""
        for tag in entry.tags:
            if tag.is_gone:
                return True
        if entry.purges < self._latest:
            for one in self._prefixes.values():
                if not one.is_soft and one.number > entry.purges and entry.key.startswith(one.prefix):
                    return True
        return False

    def softened(self, entry: Entry) -> float | None:
        """Since when soft purges have this entry be stale; None: there was none."""
        moments = [tag.softened for tag in entry.tags if tag.softened is not None]
        if entry.purges < self._latest:
            for one in self._prefixes.values():
                if one.is_soft and one.number > entry.purges and entry.key.startswith(one.prefix):
                    moments.append(one.moment)
        return min(moments, default=None)

    def matching(self, shelf: dict[bytes, Entry]) -> list[Entry]:
        """What of a shelf may be meant by a prefix."""
        prefixes = tuple(prefix for prefix, _ in self._prefixes)
        return [entry for key, entry in shelf.items() if key.startswith(prefixes)]

    @property
    def prefixes(self) -> int:
        """How many purges by prefix wait."""
        return len(self._prefixes)

    def check(self) -> None:
        """Some of it has been swept."""
        self.is_waiting = bool(self._prefixes or self.tags)

    def __repr__(self) -> str:
        return f"<Unswept {len(self.tags)} tags, {len(self._prefixes)} prefixes>"
