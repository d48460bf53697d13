"""What the store holds for one key, and what that costs in memory."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

import msgspec

# What an entry costs beside the bytes of its key and its value: 460 to 560, measured with tracemalloc on 64-bit CPython
# 3.11 with 1,000 to 400,000 entries of any lifetimes (most when the tables have just doubled); the rest is for what the
# allocator rounds up.
ENTRY_OVERHEAD_BYTES = 600
# A tag of its own is a row with a set in it; one that many share costs each of them a sixth of that, but nobody can
# know beforehand which it will be.
TAG_OVERHEAD_BYTES = 400
# Values of mixed sizes leave holes between them that glibc cannot fill.  With only the bytes themselves counted,
# 200,000 puts into a budget of 64 MiB made the process grow by 1.06 x that for uniform sizes up to 20 kB, but by 1.33 x
# for log-uniform ones up to 1 MB; the bound is to be under 1.3 x, so a value counts for an eighth more than it is long.
HOLES_SHARE = 8


class Tag(msgspec.Struct, gc=False, eq=False):
    """
    A tag and the keys of the entries that bear it, while there are any.

    A purge takes the whole of it off the table of tags: entries that come later get another of the same name.

    :ivar is_gone: a hard purge; whatever bears it is gone, though it may not have been removed yet.
    :ivar softened: the moment of a soft purge, from which on what bears it is stale.
    """

    name: bytes
    keys: set[bytes]
    is_gone: bool = False
    softened: float | None = None

    def __repr__(self) -> str:
        state = ", gone" if self.is_gone else "" if self.softened is None else f", stale since {self.softened:g}"
        return f"<Tag {self.name!r} of {len(self.keys)} entries{state}>"


class Entry(msgspec.Struct, gc=False, eq=False):
    """
    One key's value; the value never changes, it is only replaced.  It is bytes, or, of the HTTP cache, something that
    tells by ``len`` how many bytes it takes (`scalekit.cache.front.shelf.Kept`).

    It refers to nothing that could refer back, so the garbage collector need not know of it (``gc=False``): 16 bytes
    less each, and fewer collections.

    :ivar stored: when it was put, in the store's seconds.
    :ivar expires: from this moment on it is stale.
    :ivar revalidates: until this moment it may be served stale while somebody makes it anew (RFC 5861 section 3).
    :ivar leaves: from this moment on it is never served, not even where making it anew has failed (section 4).
    :ivar charge: the bytes it counts for: key, value and what surrounds them.
    :ivar due: the tick under which the expiry wheel keeps it.
    :ivar tags: its tags.
    :ivar purges: the number of the latest purge that it came after, or has been held against.
    :ivar uses: how often it was served lately; ``queue``: which queue it is in.  Both are the eviction's.
    :ivar etag: its entity tag once somebody has asked for it.
    """

    key: bytes
    value: Any
    stored: float
    expires: float
    revalidates: float
    leaves: float
    charge: int
    due: int
    tags: tuple[Tag, ...] = ()
    purges: int = 0
    uses: int = 0
    queue: int = 0
    etag: bytes = b""

    def __repr__(self) -> str:
        until = f"{self.expires:g}" if self.leaves == self.expires else f"{self.expires:g}, stale to {self.leaves:g}"
        return f"<Entry {self.key!r} {len(self.value)} bytes, {self.stored:g} to {until}>"


def charge_of(key: bytes, value: Sized, tags: tuple[bytes, ...] = ()) -> int:
    """The bytes that an entry of this key, value and tags counts for."""
    return charge_of_length(key, len(value)) + sum(TAG_OVERHEAD_BYTES + len(tag) for tag in tags)


def charge_of_length(key: bytes, length: int) -> int:
    """The bytes that an untagged entry of a value of this length counts for."""
    return len(key) + length + length // HOLES_SHARE + ENTRY_OVERHEAD_BYTES
