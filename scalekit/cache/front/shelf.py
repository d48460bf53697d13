"""
Stored answers: under one key lie the variants of one URL, as one value of the store; pure.

What lies there never changes: a new variant, or a 304, puts another `Kept` in its place, so that who holds one may go
on with it.  A soft purge is the store's, which knows the whole key only: what is found later than that purge was made
fresh by the store's reckoning is told so here.
"""

from __future__ import annotations

from copy import copy
from itertools import count
from math import inf
from typing import cast

from scalekit.cache.entry import TAG_OVERHEAD_BYTES
from scalekit.cache.fills import Fill
from scalekit.cache.front.bodies import Body
from scalekit.cache.purges import Verdict
from scalekit.cache.rules.stored import Stored
from scalekit.cache.store import Put, Store, Window
from scalekit.http.heads import ResponseHead

#: More forms of one URL are of a Vary that tells users apart, and each look-up compares them one by one.
MOST_VARIANTS = 32
#: What a variant costs beside its body, measured with tracemalloc: 1,300 bytes and 200 a field, of whose own bytes the
#: head that is ready for HTTP/1.1 holds a copy; where it was answered over HTTP/2 as well, 1,900 and 300.
VARIANT_OVERHEAD_BYTES = 1600
_FIELD_OVERHEAD_BYTES = 200

_NOT_READY = ResponseHead(500, [])


class Variant:
    """
    One stored answer.

    :ivar stored: what the rules know of it.
    :ivar owner: whose it is, see `Owners`: another one's answers are not for who is routed elsewhere meanwhile.
    :ivar head: that of a whole answer made of it, good for plain requests until ``ready_until``, see `telling`.
    :ivar whole: its body, if that can be sent in one write.
    """

    __slots__ = ("body", "charge", "head", "owner", "ready_until", "stored", "whole")

    def __init__(self, stored: Stored, body: Body, owner: str) -> None:
        self.stored = stored
        self.body = body
        self.whole = body.whole
        self.owner = owner
        self.charge = body.charge + _overhead_of(stored)
        self.ready_until = -inf
        self.head = _NOT_READY

    def __repr__(self) -> str:
        return f"<Variant of {self.owner}: {self.stored!r} {self.body!r}>"


_numbers = count(1)


class Kept:
    """
    What lies under one key.

    :param variants: the newest first.

    :ivar number: its own, never given twice: what was found out about it may be kept by this without keeping it.
    :ivar stored: the same as ``variants``, for the rules.
    :ivar fresh_until: until then one of them may be fresh.
    """

    __slots__ = ("charge", "fresh_until", "leaves", "number", "stored", "variants")

    def __init__(self, variants: tuple[Variant, ...]) -> None:
        self.variants = variants
        self.stored = tuple(variant.stored for variant in variants)
        self.number = next(_numbers)
        self.charge = sum(variant.charge for variant in variants)
        self.fresh_until = max(stored.fresh_until for stored in self.stored)
        self.leaves = max(stored.leaves for stored in self.stored)

    def of(self, stored: Stored) -> Variant:
        """The variant that the rules have chosen."""
        return self.variants[self.stored.index(stored)]

    def has_fresh(self, like: Variant, wall: float) -> bool:
        """Whether there is something fresh for the requests that this one is for."""
        return any(_is_for_the_same(like, one) and one.stored.fresh_until > wall for one in self.variants)

    def __len__(self) -> int:
        return self.charge

    def __repr__(self) -> str:
        return f"<Kept {self.variants!r}>"


class Shelf:
    """
    The store as the caching front uses it.

    :param skew: how far the rules' clock is ahead of the store's, in seconds: ``now`` is the store's everywhere here.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.skew = 0.0

    def find(self, key: bytes, now: float, counts: bool = False) -> Kept | None:
        """
        What lies under this key, fresh or stale.

        :param counts: whether this is a request's first look, which the store counts, and what it finds as used.
        """
        entry = self.store.get(key, now, Window.FAILING) if counts else self.store.peek(key, now)
        if entry is None:
            return None
        kept = cast(Kept, entry.value)
        if entry.expires <= now and now + self.skew < kept.fresh_until:
            # A soft purge came.  The store keeps the value: it is another one only for who asks.
            return Kept(tuple(_softened(variant, entry.expires + self.skew) for variant in kept.variants))
        return kept

    def keep(self, fill: Fill, variant: Variant, now: float) -> Put:
        """
        Put a variant in front of the others under the fill's key, in the place of the one that it is for the same
        requests as; the fill is over then.
        """
        kept = self.find(fill.key, now)
        is_stale = self.store.verdict(fill, variant.stored.tags) is Verdict.STALE
        if kept is not None and is_stale and kept.has_fresh(variant, now + self.skew):
            # That one has been fetched since the soft purge: better than what would be stale at once.
            self.store.abandon(fill)
            self.store.count_void()
            return Put.PURGED
        others: list[Variant] = []
        charge = variant.charge
        if kept is not None:
            for other in kept.variants:
                is_over = other.stored.leaves <= now + self.skew
                if is_over or _is_for_the_same(variant, other) or charge + other.charge > self.store.largest // 2:
                    continue
                others.append(other)
                charge += other.charge
        shelved = Kept((variant, *others[: MOST_VARIANTS - 1]))
        wall = now + self.skew
        max_age = shelved.fresh_until - wall if shelved.fresh_until > -inf else 0.0
        tags = tuple({tag: None for one in shelved.stored for tag in one.tags})
        return self.store.put(
            fill.key,
            shelved,
            max_age,
            now,
            tags=tags,
            if_error=max(0.0, shelved.leaves - wall - max_age),
            fill=fill,
        )

    def begin(self, key: bytes) -> Fill:
        """An answer is asked for; ends with `keep` or `abandon`."""
        return self.store.begin(key)

    def reserve(self, fill: Fill, stored: Stored, length: int) -> bool:
        """Keep room for this answer with a body of so many bytes; whether there is that much."""
        tags = sum(TAG_OVERHEAD_BYTES + len(tag) for tag in stored.tags)
        return self.store.reserve(fill, length + _overhead_of(stored) + tags)

    def abandon(self, fill: Fill) -> None:
        """Nothing will be stored of it."""
        self.store.abandon(fill)

    def was_purged(self, fill: Fill, tags: tuple[bytes, ...] = ()) -> bool:
        """Whether a purge, hard or soft, came since it began: who asks after that is not to get it."""
        return self.store.verdict(fill, tags) is not Verdict.KEPT

    def invalidate(self, key: bytes, now: float) -> None:
        """Something has changed what lies under this key."""
        self.store.purge_key(key, now)

    def __repr__(self) -> str:
        return f"<Shelf {self.store!r}>"


def _overhead_of(stored: Stored) -> int:
    """What it costs beside its body."""
    fields = sum(2 * (len(name) + len(value)) + _FIELD_OVERHEAD_BYTES for name, value in stored.fields)
    return VARIANT_OVERHEAD_BYTES + fields


def _is_for_the_same(one: Variant, other: Variant) -> bool:
    """Whether they are for the same requests."""
    return (one.stored.names, one.stored.variant) == (other.stored.names, other.stored.variant)


def _softened(variant: Variant, moment: float) -> Variant:
    """The same, stale since then at the latest; its windows begin there."""
    stored = variant.stored
    if stored.fresh_until <= moment:
        return variant
    earlier = stored.fresh_until - moment
    stored = copy(stored)
    stored.fresh_until = moment
    stored.revalidates_until -= earlier
    stored.fails_until -= earlier
    return Variant(stored, variant.body, variant.owner)
