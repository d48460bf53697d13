"""
Where entries lie: on shelves by key, in the expiry wheel by time, by tag, and by worth.  An entry is in all of them or
in none, and the sums go along; what may be served is the store's matter.
"""

from __future__ import annotations

from scalekit.cache.entry import Entry
from scalekit.cache.eviction import Eviction
from scalekit.cache.tags import Tags
from scalekit.cache.wheel import Wheel

#: Entries lie on so many shelves, so that a sweep can look through one at a time: 4,000 of a million.
SHELVES = 256
# Removing an entry takes 1 to 3 us, giving its memory back to the system another 80 us a MiB (measured; munmap).
_LARGE_BYTES = 32 * 1024


class Holding:
    """
    :param eviction: tells what is to be given up.

    :ivar shelves: a key's is that of the number ``hash(key) % SHELVES``.
    :ivar bytes: what the entries are charged for; ``count``: how many there are.
    """

    def __init__(self, eviction: Eviction) -> None:
        self.shelves: list[dict[bytes, Entry]] = [{} for _ in range(SHELVES)]
        self.eviction = eviction
        self.wheel = Wheel()
        self.tags = Tags()
        self.bytes = self.count = 0

    def find(self, key: bytes) -> Entry | None:
        """What lies under this key."""
        return self.shelves[hash(key) % SHELVES].get(key)

    def put(self, entry: Entry, old: Entry | None, tags: tuple[bytes, ...], now: float) -> None:
        """
        Take in an entry.

        :param old: in whose place it comes; None: nothing lies under its key.
        """
        key = entry.key
        if old is None:
            self.eviction.add(entry)
            self.count += 1
            self.bytes += entry.charge
        else:
            self.wheel.remove(key, old.due)
            self.tags.leave(old)
            self.eviction.replace(old, entry)
            self.bytes += entry.charge - old.charge
        entry.due = self.wheel.add(key, entry.leaves, now)
        if tags:
            entry.tags = self.tags.bear(key, tags)
        self.shelves[hash(key) % SHELVES][key] = entry

    def drop(self, entry: Entry) -> None:
        """Let it go."""
        self.wheel.remove(entry.key, entry.due)
        self.eviction.remove(entry)
        self._forget(entry)

    def give_up(self) -> Entry:
        """Let go what is worth least."""
        entry = self.eviction.evict()
        self.wheel.remove(entry.key, entry.due)
        self._forget(entry)
        return entry

    def take_due(self, now: float) -> Entry | None:
        """An entry whose time has come, out of the wheel: for `drop_due` or `put_off`; None: there is none."""
        key = self.wheel.take(now)
        return None if key is None else self.shelves[hash(key) % SHELVES][key]

    def drop_due(self, entry: Entry) -> None:
        """It is over."""
        self.eviction.remove(entry)
        self._forget(entry)

    def put_off(self, entry: Entry, now: float) -> None:
        """It is not over yet."""
        entry.due = self.wheel.add(entry.key, entry.leaves, now)

    def soften(self, entry: Entry, moment: float, now: float) -> None:
        """It is stale since that moment, where its windows begin; if it was so before, nothing changes."""
        if entry.expires <= moment:
            return
        self.wheel.remove(entry.key, entry.due)
        entry.revalidates = moment + (entry.revalidates - entry.expires)
        entry.leaves = moment + (entry.leaves - entry.expires)
        entry.expires = moment
        entry.due = self.wheel.add(entry.key, entry.leaves, now)

    def renew_tags(self, entry: Entry) -> None:
        """It bears tags of the same names, of which no purge knows."""
        names = [tag.name for tag in entry.tags]
        self.tags.leave(entry)
        entry.tags = self.tags.bear(entry.key, names)

    def _forget(self, entry: Entry) -> None:
        """The one way out, for an entry that neither the wheel nor the eviction has any more."""
        del self.shelves[hash(entry.key) % SHELVES][entry.key]
        if entry.tags:
            self.tags.leave(entry)
        self.bytes -= entry.charge
        self.count -= 1

    def __repr__(self) -> str:
        return f"<Holding {self.count} entries, {self.bytes} bytes>"


def removals(entry: Entry) -> int:
    """Removing it takes as long as removing so many small ones."""
    return 1 + len(entry.value) // _LARGE_BYTES
