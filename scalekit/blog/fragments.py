"""
Ready-made pieces of HTML, kept in the cache service for a day, and made at most once at a time.

**An update is seen at once.**  Whoever changes a post calls `Fragments.invalidate` after the change is in the database,
and waits for it before the reader is sent on.  What could put an old piece back afterwards is a fill that read the
database before the change:

* a fill in this process: it remembers the generation in which it began, and does not store if there was an invalidation
  since;
* a fill in another app server, or one whose store overtook the invalidation on the way: after each store the fill asks
  the data service (an ETag, answered from one row) whether what it read is still true, and removes the piece if not.
  The change comes before the invalidation.  So if the answer is "yes", the store came before the change, and the
  invalidation removes it; if it is "no", we do.

What is left is the moment between such a store and its check, one round trip, in which another reader may see the old
piece; and an app server that is killed in that moment leaves it for its day.  Leases in the cache service will close
both.

An invalidation that the cache does not confirm is tried again until it does; meanwhile this process makes these pieces
anew for every reader, but other app servers may show the old ones.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

import msgspec
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

MAX_AGE_SECONDS = 86400.0  # the tutorial's day
AGAIN_SECONDS = 1.0
# Each is a change somebody made while the cache was away; far more than people make by hand in a long outage.
UNCONFIRMED_LIMIT = 10_000

_log = Logger()


class Fragment(msgspec.Struct, frozen=True):
    """A piece of HTML, the title of the page it stands on, and the ETag of the data it was made of."""

    title: str
    html: str
    etag: str = ""


class Cache(Protocol):
    """Bytes by key, as `scalekit.kit.cache.AsyncCache`: being away is a miss, or not confirmed."""

    def get(self, key: str) -> Deferred[bytes | None]: ...

    def put(self, key: str, value: bytes, max_age_seconds: float) -> Deferred[bool]: ...

    def delete(self, key: str) -> Deferred[bool]: ...


Build = Callable[[], Awaitable[Fragment]]
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Fragment).decode


class Fragments:
    """
    :param is_current: (path, ETag) -> whether a piece made of that data is still true.
    """

    def __init__(self, cache: Cache, clock: IReactorTime, is_current: Callable[[str, str], Awaitable[bool]]) -> None:
        self._cache = cache
        self._clock = clock
        self._is_current = is_current
        self._generation = 0
        self._fills: dict[str, list[Deferred[Fragment]]] = {}  # who waits for the fill under way
        self._unconfirmed: dict[str, None] = {}
        self._retry: IDelayedCall | None = None

    async def get(self, path: str, build: Build) -> tuple[Fragment, bool]:
        """
        The piece for this canonical path, and whether it came from the cache; fails as ``build`` does.

        :param build: makes the piece; called once for all who ask while it is at work.
        """
        if path not in self._unconfirmed:
            generation = self._generation
            stored = await self._cache.get(path)
            # An invalidation that began while we asked may have come too late for the answer.
            if stored is not None and generation == self._generation:
                try:
                    return _decode(stored), True
                except msgspec.MsgspecError:
                    _log.warn("What the cache holds for {path} is not a piece of ours.", path=path)
        return await self._join(path, build), False

    async def invalidate(self, paths: Iterable[str]) -> bool:
        """Forget these pieces; returns when the cache has confirmed it (True), or could not (False)."""
        paths = list(paths)
        self._generation += 1
        for path in paths:
            self._fills.pop(path, None)  # who comes from now on does not join a fill that began before
        deletions: list[Deferred[bool]] = [self._cache.delete(path) for path in paths]
        confirmed = [result is True for _, result in await DeferredList(deletions)]
        for path, is_confirmed in zip(paths, confirmed, strict=True):
            if not is_confirmed:
                self._keep_unconfirmed(path)
        return all(confirmed)

    def stop(self) -> None:
        """Try no more."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _join(self, path: str, build: Build) -> Deferred[Fragment]:
        """
        Wait for the fill of this path, which begins with the first who waits.

        The fill belongs to nobody: a reader who leaves cancels its own waiting, not the work that others wait for.
        """
        waiting: Deferred[Fragment] = Deferred()
        waiters = self._fills.get(path)
        if waiters is not None:
            waiters.append(waiting)
            return waiting
        waiters = self._fills[path] = [waiting]
        generation = self._generation

        def leave() -> None:
            if self._fills.get(path) is waiters:
                del self._fills[path]

        def filled(fragment: Fragment) -> None:
            leave()
            for waiter in waiters:
                waiter.callback(fragment)
            if generation == self._generation and path not in self._unconfirmed:
                self._store(path, fragment)

        def failed(failure: Failure) -> None:
            leave()
            for waiter in waiters:
                waiter.errback(failure)

        async def fill() -> Fragment:
            return await build()

        Deferred.fromCoroutine(fill()).addCallbacks(filled, failed)
        return waiting

    def _store(self, path: str, fragment: Fragment) -> None:
        async def store() -> None:
            # Checked also if the cache has not confirmed: that is not the same as not stored.
            await self._cache.put(path, _encode(fragment), MAX_AGE_SECONDS)
            if not await self._is_current(path, fragment.etag):
                await self.invalidate([path])

        Deferred.fromCoroutine(store()).addErrback(lambda failure: _log.failure("storing {path}", failure, path=path))

    def _keep_unconfirmed(self, path: str) -> None:
        if path not in self._unconfirmed and len(self._unconfirmed) >= UNCONFIRMED_LIMIT:
            _log.error("Too many changes wait for the cache; {path} may be shown as it was for a day.", path=path)
            return
        if path not in self._unconfirmed:
            _log.warn("The cache has not confirmed that it forgot {path}; trying again.", path=path)
        self._unconfirmed[path] = None
        if self._retry is None:
            self._retry = self._clock.callLater(AGAIN_SECONDS, self._try_again)

    def _try_again(self) -> None:
        self._retry = None

        async def ask() -> None:
            for path in list(self._unconfirmed):
                if not await self._cache.delete(path):
                    break  # still away
                self._unconfirmed.pop(path, None)

        def plan(failure: Failure | None) -> None:
            if failure is not None:
                _log.failure("invalidating again", failure)
            if self._unconfirmed and self._retry is None:
                self._retry = self._clock.callLater(AGAIN_SECONDS, self._try_again)

        Deferred.fromCoroutine(ask()).addBoth(plan)

    def __repr__(self) -> str:
        return f"<Fragments {len(self._fills)} in the making, {len(self._unconfirmed)} invalidations unconfirmed>"
