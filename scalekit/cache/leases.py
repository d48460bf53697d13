"""
Leases: who makes the value that is missing, so that a stampede runs the slow query once (memcached's, NSDI 2013).

The first to ask for a missing key gets a token, and stores with it; the others wait, or take what is stale.  A purge of
the key voids the lease: what was read before it is not put back after it.  So does another's store, and the end of its
time, after which the next one to ask may try.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from scalekit.cache.fills import Fill
from scalekit.cache.store import Store

# Each is a value being made by some app server at this moment.  Beyond it nobody gets a lease, and all make their own.
MOST_LEASES = 4096
# memcached's: what takes longer is rare, and the cost of a second one making it is small.
USUAL_SECONDS = 10.0
LONGEST_SECONDS = 300.0


class Lease(msgspec.Struct, eq=False):
    """
    :ivar token: what shows that somebody has it.
    :ivar fill: what it is in the store, which knows what was purged since.
    :ivar ends: from this moment on it is nobody's.
    """

    token: bytes
    key: bytes
    fill: Fill
    ends: float

    def __repr__(self) -> str:
        return f"<Lease of {self.key!r} to {self.ends:g}>"


class Leases:
    """
    :param new_token: makes tokens that nobody can guess.
    """

    def __init__(self, store: Store, new_token: Callable[[], bytes]) -> None:
        self._store = store
        self._new_token = new_token
        self._by_key: dict[bytes, Lease] = {}
        self._by_token: dict[bytes, Lease] = {}

    def grant(self, key: bytes, seconds: float, now: float) -> Lease | None:
        """A lease of this key; None if somebody has it, or there are too many."""
        if self.holder(key, now) is not None or len(self._by_key) >= MOST_LEASES:
            return None
        lease = Lease(self._new_token(), key, self._store.begin(key), now + min(seconds, LONGEST_SECONDS))
        self._by_key[key] = self._by_token[lease.token] = lease
        return lease

    def holder(self, key: bytes, now: float) -> Lease | None:
        """The lease that somebody has of this key; None if nobody has a valid one."""
        lease = self._by_key.get(key)
        if lease is not None and (lease.ends <= now or self._store.is_void(lease.fill)):
            self.end(lease)
            return None
        return lease

    def shown(self, token: bytes, now: float) -> Lease | None:
        """The lease of this token; None if it is over, or never was."""
        lease = self._by_token.get(token)
        return None if lease is None else self.holder(lease.key, now)

    def of_key(self, key: bytes) -> Lease | None:
        """The lease of this key, valid or not."""
        return self._by_key.get(key)

    def with_prefix(self, prefix: bytes) -> list[Lease]:
        """The leases of keys that begin so."""
        return [lease for key, lease in self._by_key.items() if key.startswith(prefix)]

    def end(self, lease: Lease) -> None:
        """It is over, whatever came of it; once more does no harm."""
        if self._by_token.pop(lease.token, None) is not None:
            del self._by_key[lease.key]
            self._store.abandon(lease.fill)

    def __len__(self) -> int:
        return len(self._by_key)

    def __repr__(self) -> str:
        return f"<Leases {len(self)}>"
