"""The store's numbers, as `bulk`, `metrics` and the dashboard tell them."""

from __future__ import annotations

import msgspec


class Stats(msgspec.Struct, frozen=True):
    """
    The store's counters (since it was made) and its size now; ``bytes`` and ``max_bytes`` include the overhead.

    ``stale`` is how many of the ``hits`` were stale, ``refused`` what was too big or had no room, ``voided`` the fills
    that a purge overtook.
    """

    hits: int
    stale: int
    misses: int
    stored: int
    replaced: int
    expired: int
    evicted: int
    invalidated: int
    refused: int
    voided: int
    purges: int
    entries: int
    tags: int
    fills: int
    reserved_bytes: int
    bytes: int
    max_bytes: int
