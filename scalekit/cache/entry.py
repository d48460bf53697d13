"""What the store holds for one key, and what that costs in memory."""

from __future__ import annotations

import msgspec

# What an entry costs beside the bytes of its key and its value: 420 to 500, measured with tracemalloc on 64-bit CPython
# 3.11 with 1,000 to 400,000 entries of any lifetimes (most when the tables have just doubled); the rest is for what the
# allocator rounds up.
ENTRY_OVERHEAD_BYTES = 600
# Values of mixed sizes leave holes between them that glibc cannot fill.  With only the bytes themselves counted,
# 200,000 puts into a budget of 64 MiB made the process grow by 1.06 x that for uniform sizes up to 20 kB, but by 1.33 x
# for log-uniform ones up to 1 MB; the bound is to be under 1.3 x, so a value counts for an eighth more than it is long.
HOLES_SHARE = 8


class Entry(msgspec.Struct, gc=False, eq=False):
    """
    One key's value; never changed, only replaced.

    It refers to nothing that could refer back, so the garbage collector need not know of it (``gc=False``): 16 bytes
    less each, and fewer collections.

    :ivar stored: when it was put, in the store's seconds.
    :ivar expires: from this moment on it is never served.
    :ivar charge: the bytes it counts for: key, value and what surrounds them.
    :ivar due: the tick under which the expiry wheel keeps it.
    """

    key: bytes
    value: bytes
    stored: float
    expires: float
    charge: int
    due: int

    def __repr__(self) -> str:
        return f"<Entry {self.key!r} {len(self.value)} bytes, {self.stored:g} to {self.expires:g}>"


def charge_of(key: bytes, value: bytes) -> int:
    """The bytes that an entry of this key and value counts for."""
    return len(key) + len(value) + len(value) // HOLES_SHARE + ENTRY_OVERHEAD_BYTES
