"""
The store: bytes by key, bounded by bytes, each with a moment from which on it is never served.  Pure: ``now`` is an
argument, in seconds of any clock that never goes back.

Its rules:

* an entry is fresh until it expires; then it is stale, served only to those who take that, until its windows end; from
  then on (``leaves <= now``) it is never served, whether or not it has been removed;
* `expire` removes what has left, and only that;
* the bytes counted are the sum over all entries, overhead included, and what fills have reserved, and never above
  ``max_bytes``;
* an entry of over an eighth of ``max_bytes`` is not admitted, so that no single one can sweep the cache empty;
* a hard purge removes, a soft one makes stale, and both take effect at once: entries that a purge of many has not come
  to yet are held against it when they are read (`unswept`), and fills that began before it when they end (`purges`);
* every entry leaves by `holding`, and exactly one of the counters ``replaced``, ``expired``, ``evicted`` and
  ``invalidated`` tells which way.
"""

from __future__ import annotations

from collections.abc import Sized
from enum import Enum

from scalekit.cache.entry import Entry, Tag, charge_of, charge_of_length
from scalekit.cache.eviction import Eviction
from scalekit.cache.fills import Fill, Fills
from scalekit.cache.holding import SHELVES, Holding, removals
from scalekit.cache.hottest import Hottest
from scalekit.cache.purges import Kind, Purges, Verdict
from scalekit.cache.s3fifo import S3FIFO
from scalekit.cache.stats import Stats
from scalekit.cache.sweeping import Sweeping

_LARGEST_SHARE = 8
# Every read is held against those that are not done, some 0.1 us each; a million entries are swept in seconds.
MOST_PREFIXES = 64


class Put(Enum):
    """What came of a put."""

    CREATED = "created"
    REPLACED = "replaced"
    TOO_BIG = "too big"
    NO_ROOM = "no room"  # fills that are under way have reserved all
    PURGED = "purged"  # while it was being made
    UNMATCHED = "unmatched"  # what is there is not what was expected


class Window(Enum):
    """How stale a reader takes it."""

    FRESH = "fresh"
    REVALIDATING = "while it is made anew"
    FAILING = "where making it anew has failed"


class Store:
    """
    :param max_bytes: the budget: keys, values and overhead of all entries together.
    :param eviction: what to give up when it is full; S3-FIFO by default.

    :ivar hottest: which keys are served most.
    """

    def __init__(self, max_bytes: int, eviction: Eviction | None = None) -> None:
        self.max_bytes = max_bytes
        self.largest = max_bytes // _LARGEST_SHARE
        self._held = Holding(S3FIFO(max_bytes) if eviction is None else eviction)
        # What every read needs, a step nearer.
        self._shelves = self._held.shelves
        self._use = self._held.eviction.use
        self.hottest = Hottest()
        self._purges = Purges()
        self._sweeping = Sweeping(self._held, self._purges)
        self._unswept = self._sweeping.unswept
        self._fills = Fills()
        # The keys that were put while what an earlier process held is being restored.
        self._arrived: set[bytes] | None = None
        self._hits = self._stale = self._misses = self._stored = self._refused = self._voided = 0
        self._replaced = self._expired = self._evicted = 0

    # Reading

    def get(self, key: bytes, now: float, window: Window = Window.FRESH) -> Entry | None:
        """The entry of this key, if it is not staler than that; else None."""
        entry = self._shelves[hash(key) % SHELVES].get(key)
        if entry is not None and self._unswept.is_waiting:
            entry = self._sweeping.settled(entry, now)
        if entry is None:
            self._misses += 1
            return None
        if entry.expires <= now:
            if entry.leaves <= now:
                self._held.drop(entry)
                self._expired += 1
                self._misses += 1
                return None
            if window is Window.FRESH or (window is Window.REVALIDATING and entry.revalidates <= now):
                self._misses += 1
                return None
            self._stale += 1
        self._hits += 1
        if self._hits >= self.hottest.due:
            self.hottest.note(key, self._hits)
        self._use(entry)
        return entry

    def peek(self, key: bytes, now: float) -> Entry | None:
        """The entry of this key, fresh or stale; neither counted nor used by it."""
        entry = self._held.find(key)
        if entry is not None and self._unswept.is_waiting:
            entry = self._sweeping.settled(entry, now)
        return None if entry is None or entry.leaves <= now else entry

    # Storing

    def put(
        self,
        key: bytes,
        value: Sized,
        max_age: float,
        now: float,
        *,
        tags: tuple[bytes, ...] = (),
        while_revalidating: float = 0.0,
        if_error: float = 0.0,
        fill: Fill | None = None,
        stored: float | None = None,
    ) -> Put:
        """
        Keep this value for ``max_age`` seconds from now, giving up others if there is no room.

        A value that is not stored changes nothing.

        :param value: bytes, or what tells by ``len`` how many bytes it takes.
        :param while_revalidating: seconds after ``max_age`` for which it may be served stale; ``if_error``: the same
            where making it anew has failed.
        :param fill: in which it was made; it is over now.
        :param stored: when it was stored first, if that was not now.
        """
        verdict = Verdict.KEPT
        if fill is not None:
            verdict = self._purges.verdict(key, tags, fill.since)
            self.abandon(fill)
        if verdict is Verdict.GONE or (verdict is Verdict.STALE and not (while_revalidating or if_error)):
            self._voided += 1
            return Put.PURGED
        tags = tuple(dict.fromkeys(tags)) if tags else ()
        charge = charge_of(key, value, tags)
        if charge > self.largest or self._fills.reserved + charge > self.max_bytes:
            self._refused += 1
            return Put.TOO_BIG if charge > self.largest else Put.NO_ROOM
        old = self.peek(key, now)
        outcome = Put.CREATED
        if old is not None:
            outcome = Put.REPLACED
            key = old.key  # the tables keep that one
        else:
            self._clear(key)
        old = self._make_room(charge, now, old)
        expires = now + (min(max_age, 0.0) if verdict is Verdict.STALE else max_age)
        revalidates = expires + while_revalidating if while_revalidating else expires
        leaves = expires + if_error if if_error > while_revalidating else revalidates
        made = now if stored is None else stored
        entry = Entry(key, value, made, expires, revalidates, leaves, charge, 0, (), self._purges.number)
        self._held.put(entry, old, tags, now)
        self._replaced += old is not None
        self._stored += 1
        if self._arrived is not None:
            self._arrived.add(key)
        return outcome

    def by_worth(self) -> list[Entry]:
        """All that is held, what would be given up first at the beginning; purged and expired ones may be among it."""
        return list(self._held.eviction)

    def use(self, key: bytes) -> None:
        """An entry that was put just now has been served lately."""
        entry = self._held.find(key)
        if entry is not None:
            self._use(entry)

    def note_arrivals(self) -> set[bytes]:
        """The keys that are put from now on, until `note_no_arrivals`."""
        self._arrived = set()
        return self._arrived

    def note_no_arrivals(self) -> None:
        """Nobody asks for them any more."""
        self._arrived = None

    @property
    def free_bytes(self) -> int:
        """How much room there is without giving anything up."""
        return self.max_bytes - self._held.bytes - self._fills.reserved

    def begin(self, key: bytes) -> Fill:
        """Somebody begins to make a value; ends with `put` or `abandon`."""
        return self._fills.begin(key, self._purges.number)

    def reserve(self, fill: Fill, length: int) -> bool:
        """
        Keep room for a value of this length (of what has come so far, if it is not known), giving up others; whether
        there is that much: False leaves the fill as it was.

        A shorter length gives nothing back: it is what has come of a value whose length is known.
        """
        charge = charge_of_length(fill.key, length)
        more = charge - fill.reserved
        if more <= 0:
            return True
        if charge > self.largest or self._fills.reserved + more > self.max_bytes:
            return False
        while more > self.free_bytes:
            self._held.give_up()
            self._evicted += 1
        self._fills.reserve(fill, charge)
        return True

    def is_too_big(self, key: bytes, length: int) -> bool:
        """Whether no value of this length is ever stored."""
        return charge_of_length(key, length) > self.largest

    def abandon(self, fill: Fill) -> None:
        """A fill is over, whatever came of it; once more does no harm."""
        if self._fills.end(fill):
            self._purges.forget(self._fills.earliest(self._purges.number))

    def count_void(self) -> None:
        """A value was made in a fill that is no more."""
        self._voided += 1

    def is_void(self, fill: Fill) -> bool:
        """Whether a hard purge of its key came since it began."""
        return self.verdict(fill) is Verdict.GONE

    def verdict(self, fill: Fill, tags: tuple[bytes, ...] = ()) -> Verdict:
        """What purges since it began have made of what is being made, if it will bear these tags."""
        return self._purges.verdict(fill.key, tags, fill.since)

    # Purging

    @property
    def purges(self) -> int:
        """The number of the latest purge."""
        return self._purges.number

    def purge_key(self, key: bytes, now: float, is_soft: bool = False) -> bool:
        """Remove this key, or make it stale; whether there was anything."""
        self._purges.note(Kind.KEY, key, is_soft, bool(self._fills))
        entry = self.peek(key, now)
        if entry is None:
            self._clear(key)
            return False
        self._sweeping.carry_out(entry, is_soft, now)
        return True

    def purge_tag(self, name: bytes, now: float, is_soft: bool = False) -> None:
        """Remove all that bears this tag, or make it stale: at once for readers, by `sweep` from memory."""
        self._purges.note(Kind.TAG, name, is_soft, bool(self._fills))
        tag = self._held.tags.take(name)
        if not is_soft:
            self._unswept.condemn(name)
        if tag is not None:
            if is_soft:
                tag.softened = now
            else:
                tag.is_gone = True
            self._unswept.add_tag(tag)

    def purge_prefix(self, prefix: bytes, now: float, is_soft: bool = False) -> bool:
        """
        The same with all keys that begin so; with an empty prefix, all.

        False, and nothing has changed, if `MOST_PREFIXES` wait for `sweep` already.
        """
        if self._unswept.prefixes >= MOST_PREFIXES:
            return False
        number = self._purges.note(Kind.PREFIX, prefix, is_soft, bool(self._fills))
        self._unswept.add_prefix(prefix, is_soft, number, now)
        return True

    def forget(self, key: bytes, now: float) -> None:
        """Remove a copy that is no longer right; what is being made of this key is not purged by that."""
        entry = self.peek(key, now)
        if entry is not None:
            self._held.drop(entry)
            self._replaced += 1

    @property
    def is_swept(self) -> bool:
        """Whether no purge waits for `sweep`."""
        return not self._unswept.is_waiting

    def sweep(self, now: float, budget: int) -> None:
        """
        Carry out what purges have left to do, as far as the budget goes.

        :param budget: entries to remove; one to make stale counts for five, a large one for several.
        """
        self._sweeping.sweep(now, budget)

    def expire(self, now: float, budget: int) -> int:
        """
        Remove what has left, as far as the budget goes; returns how many entries were removed.

        Reads are exact; here an entry is found from the first full second after it left on.  There is more to do if
        `next_deadline` is not later than now.

        :param budget: entries to look at; a large one counts for several, as it takes longer to give back.
        """
        removed = 0
        while budget > 0:
            entry = self._held.take_due(now)
            if entry is None:
                break
            if entry.leaves <= now:
                budget -= removals(entry)
                self._held.drop_due(entry)
                self._expired += 1
                removed += 1
            else:
                budget -= 1
                self._held.put_off(entry, now)
        return removed

    def next_deadline(self) -> float | None:
        """From when on `expire` has something to do; None if it never has."""
        return self._held.wheel.next_tick()

    def stats(self) -> Stats:
        return Stats(
            hits=self._hits,
            stale=self._stale,
            misses=self._misses,
            stored=self._stored,
            replaced=self._replaced,
            expired=self._expired,
            evicted=self._evicted,
            invalidated=self._sweeping.removed,
            refused=self._refused,
            voided=self._voided,
            purges=self._purges.number,
            entries=self._held.count,
            tags=len(self._held.tags),
            fills=len(self._fills),
            reserved_bytes=self._fills.reserved,
            bytes=self._held.bytes,
            max_bytes=self.max_bytes,
        )

    # Inside

    def _clear(self, key: bytes) -> None:
        """Remove what is under this key and has left."""
        entry = self._held.find(key)
        if entry is not None:
            self._held.drop(entry)
            self._expired += 1

    def _make_room(self, charge: int, now: float, old: Entry | None) -> Entry | None:
        """Give up entries until there is room in the place of the old one; returns that, unless it was given up."""
        while charge - (old.charge if old is not None else 0) > self.free_bytes:
            victim = self._held.give_up()
            if victim.leaves <= now:
                self._expired += 1
            else:
                self._evicted += 1
            if victim is old:
                old = None
        return old

    def entries(self) -> list[Entry]:
        """All that is held, purged and expired ones that have not been removed included; for tests."""
        return [entry for shelf in self._shelves for entry in shelf.values()]

    def tag(self, name: bytes) -> Tag | None:
        """The tag of this name, if any entry bears it."""
        return self._held.tags.get(name)

    def __len__(self) -> int:
        return self._held.count

    def __repr__(self) -> str:
        size = f"{self._held.count} entries, {self._held.bytes} of {self.max_bytes} bytes"
        return f"<Store {size}, {self._hits} hits, {self._misses} misses>"
