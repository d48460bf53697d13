"""
Ready-made pieces of HTML, kept in the cache service for a day, and made by one app server at a time.

**An update is seen at once.**  Whoever changes a post calls `Fragments.invalidate` after the change is in the database,
and waits for it before the reader is sent on.  What could put an old piece back afterwards is a fill that read the
database before the change; but a fill has a lease, and the purge voids it: the cache refuses what it makes.  Whoever
waited for that fill makes the piece anew.

A purge that the cache does not confirm is tried again until it does; meanwhile this process makes these pieces anew for
every reader, but other app servers may show the old ones.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

MAX_AGE_SECONDS = 86400.0  # the tutorial's day
AGAIN_SECONDS = 1.0
# Each is a change somebody made while the cache was away; far more than people make by hand in a long outage.
UNCONFIRMED_LIMIT = 10_000

_log = Logger()


class Fragment(msgspec.Struct, frozen=True):
    """A piece of HTML, and the title of the page it stands on."""

    title: str
    html: str


Build = Callable[[], Awaitable[Fragment]]


class Fragments:
    """
    :param kept: (path, tag, build) -> the piece, from the cache or made, as `scalekit.blog.tap.kept_in` has it.
    :param purge: purges tags; whether the cache has confirmed it.
    """

    def __init__(
        self,
        kept: Callable[[str, str, Build], Awaitable[Fragment]],
        purge: Callable[[Sequence[str]], Awaitable[bool]],
        clock: IReactorTime,
    ) -> None:
        self._kept = kept
        self._purge = purge
        self._clock = clock
        self._unconfirmed: dict[str, None] = {}
        self._retry: IDelayedCall | None = None

    async def get(self, path: str, tag: str, build: Build) -> tuple[Fragment, bool]:
        """
        The piece for this canonical path, and whether it came from the cache; fails as ``build`` does.

        :param tag: by which it is invalidated.
        """
        is_cached = True

        async def made() -> Fragment:
            nonlocal is_cached
            is_cached = False
            return await build()

        if tag in self._unconfirmed:
            return await made(), False
        fragment = await self._kept(path, tag, made)
        # An invalidation that was not confirmed meanwhile: what the cache told us may be from before.
        if is_cached and tag in self._unconfirmed:
            return await made(), False
        return fragment, is_cached

    async def invalidate(self, tags: Sequence[str]) -> bool:
        """Forget what bears these tags; returns when the cache has confirmed it (True), or could not (False)."""
        is_confirmed = await self._purge(tags)
        if not is_confirmed:
            for tag in tags:
                self._keep_unconfirmed(tag)
        return is_confirmed

    def stop(self) -> None:
        """Try no more."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _keep_unconfirmed(self, tag: str) -> None:
        if tag not in self._unconfirmed and len(self._unconfirmed) >= UNCONFIRMED_LIMIT:
            _log.error("Too many changes wait for the cache; {tag} may be shown as it was for a day.", tag=tag)
            return
        if tag not in self._unconfirmed:
            _log.warn("The cache has not confirmed that it forgot {tag}; trying again.", tag=tag)
        self._unconfirmed[tag] = None
        if self._retry is None:
            self._retry = self._clock.callLater(AGAIN_SECONDS, self._try_again)

    def _try_again(self) -> None:
        self._retry = None

        async def ask() -> None:
            for tag in list(self._unconfirmed):
                if not await self._purge([tag]):
                    break  # still away
                self._unconfirmed.pop(tag, None)

        def plan(failure: Failure | None) -> None:
            if failure is not None:
                _log.failure("invalidating again", failure)
            if self._unconfirmed and self._retry is None:
                self._retry = self._clock.callLater(AGAIN_SECONDS, self._try_again)

        Deferred.fromCoroutine(ask()).addBoth(plan)

    def __repr__(self) -> str:
        return f"<Fragments, {len(self._unconfirmed)} invalidations unconfirmed>"
