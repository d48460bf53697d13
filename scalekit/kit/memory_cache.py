"""
A cache in memory, with the interfaces of `Cache` and `AsyncCache`, for the tests of applications.

::

    cache = MemoryCache()                   # or AsyncMemoryCache(reactor), where functions are async
    newest = kit.cached(cache, max_age=60, tags=["posts"])(newest)

It keeps all that it is given until that expires, gives leases, and waits for who has one, as the service does; it is
never away.  Both are fronts of `Memory`, which is told the time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from scalekit.kit.cache import AsyncCache
from scalekit.kit.cache_requests import Times
from scalekit.kit.lookup import Look, Looked
from scalekit.kit.thread_cache import Cache


class _Entry(NamedTuple):
    """A value, until when it is fresh, and for how long it is good for what after that, see `Times`."""

    value: bytes
    tags: frozenset[str]
    fresh_until: float
    while_revalidating: int
    if_error: int


class _Lease(NamedTuple):
    key: str
    until: float
    purges: int  # that had been when it was given


class Memory:
    """What is stored, who makes what, and what was purged.  Times are those of one clock, in seconds."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._leases: dict[str, _Lease] = {}
        self._purges: list[Callable[[str, Iterable[str]], bool]] = []
        self._count = 0

    def look(self, look: Look, now: float) -> Looked:
        entry = self._entries.get(look.key)
        value = None
        if entry is not None:
            if now < entry.fresh_until:
                return Looked(entry.value)
            stale = max(entry.while_revalidating, entry.if_error) if look.takes_stale else entry.while_revalidating
            value = entry.value if now < entry.fresh_until + stale else None
        if not look.lease_seconds or self.is_made(look.key, now):
            return Looked(value)
        self._count += 1
        token = f"lease-{self._count}"
        self._leases[token] = _Lease(look.key, now + look.lease_seconds, len(self._purges))
        return Looked(value, token)

    def is_made(self, key: str, now: float) -> bool:
        """Whether somebody has a lease on it."""
        self._leases = {token: lease for token, lease in self._leases.items() if now < lease.until}
        return any(lease.key == key and not self._is_over(lease, ()) for lease in self._leases.values())

    def put(self, key: str, value: bytes, times: Times, tags: Iterable[str], lease: str, now: float) -> bool:
        """Whether it is stored: under a lease only what nobody has purged since it was given."""
        tags = frozenset(tags)
        if lease:
            given = self._leases.pop(lease, None)
            if given is None or now >= given.until or self._is_over(given, tags):
                return False
        max_age, while_revalidating, if_error = map(int, times)
        self._entries[key] = _Entry(value, tags, now + max_age, while_revalidating, if_error)
        return True

    def _is_over(self, lease: _Lease, tags: Iterable[str]) -> bool:
        return any(is_purged(lease.key, tags) for is_purged in self._purges[lease.purges :])

    def give_back(self, lease: str) -> bool:
        return self._leases.pop(lease, None) is not None

    def purge(
        self, keys: Sequence[str], tags: Sequence[str], prefix: str, everything: bool, soft: bool, now: float
    ) -> None:
        def is_purged(key: str, its: Iterable[str]) -> bool:
            return everything or key in keys or bool(prefix and key.startswith(prefix)) or not set(tags).isdisjoint(its)

        if self._leases:
            self._purges.append(is_purged)
        else:
            self._purges.clear()  # they are remembered for those who make something only
        for key, entry in list(self._entries.items()):
            if not is_purged(key, entry.tags):
                continue
            if soft:
                self._entries[key] = entry._replace(fresh_until=min(now, entry.fresh_until))
            else:
                del self._entries[key]


class MemoryCache(Cache):
    """
    :param now: as `time.monotonic`; without it no time passes, and nothing expires.
    """

    def __init__(self, now: Callable[[], float] = lambda: 0.0) -> None:
        self._now = now
        self._memory = Memory()
        self._changed = threading.Condition()

    def look(self, look: Look) -> Looked:
        with self._changed:
            looked = self._memory.look(look, self._now())
            if looked.value is not None or looked.lease or not look.wait_seconds:
                return looked
            self._changed.wait_for(lambda: not self._memory.is_made(look.key, self._now()), look.wait_seconds)
            return self._memory.look(look, self._now())

    def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        found = {key: self.get(key) for key in keys}
        return {key: value for key, value in found.items() if value is not None}

    def put(
        self,
        key: str,
        value: bytes,
        max_age: float,
        *,
        tags: Sequence[str] = (),
        while_revalidating: float = 0,
        if_error: float = 0,
        lease: str = "",
    ) -> bool:
        times = Times(max_age, while_revalidating, if_error)
        with self._changed:
            self._changed.notify_all()
            return self._memory.put(key, value, times, tags, lease, self._now())

    def give_back(self, lease: str) -> bool:
        with self._changed:
            self._changed.notify_all()
            return self._memory.give_back(lease)

    def purge(
        self,
        keys: Sequence[str] = (),
        *,
        tags: Sequence[str] = (),
        prefix: str = "",
        everything: bool = False,
        soft: bool = False,
    ) -> bool:
        with self._changed:
            self._changed.notify_all()
            self._memory.purge(keys, tags, prefix, everything, soft, self._now())
        return True

    def warm_up(self) -> None:
        """There is no connection."""

    def close(self) -> None:
        """Nothing is open."""

    def __repr__(self) -> str:
        return "<MemoryCache>"


class AsyncMemoryCache(AsyncCache):
    """
    :param clock: by which what it holds expires, and nobody waits for ever.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._memory = Memory()
        self._waiting: list[Deferred[None]] = []  # for a change

    def look(self, look: Look) -> Deferred[Looked | None]:
        looked = self._memory.look(look, self._clock.seconds())
        if looked.value is not None or looked.lease or not look.wait_seconds:
            return succeed(looked)
        return Deferred.fromCoroutine(self._await(look, self._clock.seconds() + look.wait_seconds))

    async def _await(self, look: Look, until: float) -> Looked | None:
        while self._memory.is_made(look.key, self._clock.seconds()) and self._clock.seconds() < until:
            changed: Deferred[None] = Deferred()
            self._waiting.append(changed)
            timer = self._clock.callLater(until - self._clock.seconds(), self._change)
            await changed
            if timer.active():
                timer.cancel()
        return self._memory.look(look, self._clock.seconds())

    def _change(self) -> None:
        waiting, self._waiting = self._waiting, []
        for changed in waiting:
            changed.callback(None)

    def get_many(self, keys: Sequence[str]) -> Deferred[dict[str, bytes]]:
        found = {key: self._memory.look(Look(key), self._clock.seconds()).value for key in keys}
        return succeed({key: value for key, value in found.items() if value is not None})

    def put(
        self,
        key: str,
        value: bytes,
        max_age: float,
        *,
        tags: Sequence[str] = (),
        while_revalidating: float = 0,
        if_error: float = 0,
        lease: str = "",
    ) -> Deferred[bool]:
        times = Times(max_age, while_revalidating, if_error)
        is_stored = self._memory.put(key, value, times, tags, lease, self._clock.seconds())
        self._change()
        return succeed(is_stored)

    def give_back(self, lease: str) -> Deferred[bool]:
        is_known = self._memory.give_back(lease)
        self._change()
        return succeed(is_known)

    def purge(
        self,
        keys: Sequence[str] = (),
        *,
        tags: Sequence[str] = (),
        prefix: str = "",
        everything: bool = False,
        soft: bool = False,
    ) -> Deferred[bool]:
        self._memory.purge(keys, tags, prefix, everything, soft, self._clock.seconds())
        self._change()
        return succeed(True)

    def warm_up(self) -> None:
        """There is no connection."""

    def __repr__(self) -> str:
        return "<AsyncMemoryCache>"
