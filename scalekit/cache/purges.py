"""
Purges, numbered, so that what was being made while one came is not stored as if it had come after.

A fill (the making of a value) remembers the number of the latest purge when it began.  When it ends, every purge with a
higher number is held against it: by its key, by the tags that it bears, and by prefixes of its key.  Only purges that
came while some fill was under way need to be remembered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from enum import Enum, IntEnum

# Each takes some 300 bytes.  A fill takes seconds; with more purges than that meanwhile, the oldest are forgotten, and
# a fill that began before one of these counts as purged, whatever it was: too little is stored, never too much.
MOST_REMEMBERED = 10_000


class Kind(IntEnum):
    """What a purge names."""

    KEY = 0
    TAG = 1
    PREFIX = 2


class Verdict(Enum):
    """What purges have made of something: the worst of them counts."""

    KEPT = "kept"
    STALE = "stale"
    GONE = "gone"


class Purges:
    """
    :ivar number: that of the latest purge; 0 before the first.
    """

    def __init__(self) -> None:
        self.number = 0
        # By kind and name, the numbers of the latest hard and of the latest soft purge.
        self._latest: tuple[dict[bytes, tuple[int, int]], ...] = ({}, {}, {})
        self._log: deque[tuple[int, Kind, bytes]] = deque()
        self._forgotten = 0

    def note(self, kind: Kind, name: bytes, is_soft: bool, is_remembered: bool) -> int:
        """
        A purge came; its number.

        :param is_remembered: whether any fill is under way.
        """
        self.number += 1
        if is_remembered:
            hard, soft = self._latest[kind].get(name, (0, 0))
            self._latest[kind][name] = (hard, self.number) if is_soft else (self.number, soft)
            self._log.append((self.number, kind, name))
            if len(self._log) > MOST_REMEMBERED:
                self._forgotten = self._log[0][0]
                self.forget(self._forgotten)
        return self.number

    def verdict(self, key: bytes, tags: Iterable[bytes], since: int) -> Verdict:
        """What the purges after this number have made of something with this key and these tags."""
        if since == self.number:
            return Verdict.KEPT
        if since < self._forgotten:
            return Verdict.GONE
        keys, tagged, prefixes = self._latest
        found = [keys[key]] if key in keys else []
        found += [tagged[tag] for tag in tags if tag in tagged]
        found += [numbers for prefix, numbers in prefixes.items() if key.startswith(prefix)]
        if any(hard > since for hard, _ in found):
            return Verdict.GONE
        return Verdict.STALE if any(soft > since for _, soft in found) else Verdict.KEPT

    def forget(self, number: int) -> None:
        """No fill is left that began before this purge."""
        while self._log and self._log[0][0] <= number:
            _, kind, name = self._log.popleft()
            latest = self._latest[kind].get(name)
            if latest is not None and max(latest) <= number:
                del self._latest[kind][name]

    def __len__(self) -> int:
        """How many are remembered."""
        return len(self._log)

    def __repr__(self) -> str:
        return f"<Purges up to {self.number}, {len(self._log)} remembered>"
