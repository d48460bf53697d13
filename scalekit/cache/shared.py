"""
The key/value service of several caches that share their values by Redis, each with a near cache in its memory.

What is fresh in the near cache is answered at once; the others' purges and stores keep it right (`PurgeLog`).
Everything else is asked of Redis, and that takes 50 ms at most.  While Redis is away each goes by its own
memory; what it stores and purges then is purged in Redis before it is used again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from scalekit.cache.ageing import Lifetimes
from scalekit.cache.conditions import etag
from scalekit.cache.entry import Entry, Tag, charge_of
from scalekit.cache.fills import Fill
from scalekit.cache.keyvalue import LONGEST_WAIT_SECONDS, MOST_WAITING, Found, KeyValue, Purged
from scalekit.cache.leases import LONGEST_SECONDS, USUAL_SECONDS, Lease
from scalekit.cache.purge_log import ALL, Away, PurgeLog
from scalekit.cache.purges import Kind, Verdict
from scalekit.cache.redis_records import Purge, Reply, digest_of, reply_of
from scalekit.cache.redis_scripts import ASK, PUT, READ, RELEASE
from scalekit.cache.store import Put, Window
from scalekit.interfaces import ICacheStore, IPurgeObserver

#: Entries; where others purge by prefix faster than this cache can sweep, they wait for it.
SWEPT_AT_ONCE = 10_000

_OUTCOMES = {
    b"created": Put.CREATED,
    b"replaced": Put.REPLACED,
    b"unmatched": Put.UNMATCHED,
    b"purged": Put.PURGED,
}


class _Asked(NamedTuple):
    """What Redis knows of a key; ``left``: seconds until somebody else's lease of it ends."""

    found: Found
    left: float = 0.0


class _Storing(NamedTuple):
    """What `KeyValue.put` takes."""

    key: bytes
    value: bytes
    lifetimes: Lifetimes
    tags: tuple[bytes, ...]
    fill: Fill
    token: bytes
    expected: bytes | None


@implementer(ICacheStore, IPurgeObserver)
class SharedKeyValue:
    """
    :param near: the service of this process' own memory.
    :param new_token: makes the tokens of leases.
    :ivar lookups: what came of asking Redis for a key: ``hit``, ``miss`` or ``away``.
    """

    def __init__(self, near: KeyValue, log: PurgeLog, new_token: Callable[[], bytes]) -> None:
        self.store = near.store
        self.clock = near.clock
        self.leases = near.leases
        self._near = near
        self._log = log
        self._new_token = new_token
        # What comes back from Redis of a key that has changed meanwhile is not kept: then it is not here any more.
        self._asking: dict[bytes, list[Fill]] = {}
        self._waiters: dict[bytes, list[Deferred[None]]] = {}
        self._waiting = 0
        self.lookups = Counter(hit=0, miss=0, away=0)
        log.observe(self)

    @property
    def waiting(self) -> int:
        """How many wait for a value that somebody makes."""
        return self._near.waiting + self._waiting

    # Reading

    def get(self, key: bytes, window: Window = Window.REVALIDATING) -> Entry | Deferred[Entry | None] | None:
        return self.look(key, self.clock.seconds(), window)

    def look(self, key: bytes, now: float, window: Window) -> Entry | Deferred[Entry | None] | None:
        entry = self.store.get(key, now, window)
        if entry is not None or not self._log.is_asked:
            return entry
        return Deferred.fromCoroutine(self._get(key, window))

    def peek(self, key: bytes) -> Entry | Deferred[Entry | None] | None:
        if not self._log.is_asked:
            return self._near.peek(key)
        return Deferred.fromCoroutine(self._fetch(key))

    def ask(self, key: bytes, lease_seconds: float = USUAL_SECONDS) -> Found | Deferred[Found]:
        entry = self._near.get(key, Window.FRESH)
        if entry is not None:
            return Found(entry)
        if not self._log.is_asked:
            return self._near.ask(key, lease_seconds)
        if self._near.is_unkept(key):
            return Deferred.fromCoroutine(self._get(key, Window.REVALIDATING)).addCallback(Found)
        return Deferred.fromCoroutine(self._ask_once(key, lease_seconds))

    def wait(self, key: bytes, lease_seconds: float, wait_seconds: float) -> Deferred[Found]:
        entry = self._near.get(key, Window.FRESH)
        if entry is not None:
            return succeed(Found(entry))
        if not self._log.is_asked:
            return self._near.wait(key, lease_seconds, wait_seconds)
        if self._near.is_unkept(key):
            return Deferred.fromCoroutine(self._get(key, Window.REVALIDATING)).addCallback(Found)
        if self.waiting >= MOST_WAITING:
            wait_seconds = 0.0
        return Deferred.fromCoroutine(self._wait(key, lease_seconds, min(wait_seconds, LONGEST_WAIT_SECONDS)))

    async def _get(self, key: bytes, window: Window) -> Entry | None:
        return _within(await self._fetch(key), window, self.clock.seconds())

    async def _fetch(self, key: bytes) -> Entry | None:
        """What Redis has, however stale; the near cache's if it is away."""
        with self._asked(key) as fill:
            try:
                return self._kept(key, reply_of(await self._log.ask(READ, key)), fill)
            except Away:
                self.lookups["away"] += 1
                return self._near.peek(key)

    async def _ask_once(self, key: bytes, lease_seconds: float) -> Found:
        try:
            return (await self._ask(key, lease_seconds)).found
        except Away:
            self.lookups["away"] += 1
            return self._near.ask(key, lease_seconds)

    async def _ask(self, key: bytes, lease_seconds: float) -> _Asked:
        seconds = min(lease_seconds, LONGEST_SECONDS)
        digest = digest_of(key)
        token = digest + self._new_token()
        with self._asked(key) as fill:
            is_granted, left, found = await self._log.ask(ASK, key, digest, token, round(seconds * 1000))
            now = self.clock.seconds()
            entry = _within(self._kept(key, reply_of(found), fill), Window.REVALIDATING, now)
        if is_granted:
            return _Asked(Found(entry, Lease(token, key, fill, now + seconds)))
        if entry is not None and not left:  # it is fresh
            return _Asked(Found(entry))
        return _Asked(Found(entry, is_taken=True), max(0.0, left / 1000))

    async def _wait(self, key: bytes, lease_seconds: float, wait_seconds: float) -> Found:
        ends = self.clock.seconds() + wait_seconds
        has_waited = False
        self._waiting += 1
        try:
            while True:
                changed: Deferred[None] = Deferred()
                self._waiters.setdefault(key, []).append(changed)
                try:
                    if has_waited and self._near.is_unkept(key):
                        return Found(await self._get(key, Window.REVALIDATING), has_waited=True)
                    found, left = await self._ask(key, lease_seconds)
                    remaining = ends - self.clock.seconds()
                    if found.entry is None and found.lease is None and remaining > 0:
                        has_waited = True
                        await self._until(changed, min(left, remaining))
                        continue
                except Away:
                    return await self._near.wait(key, lease_seconds, ends - self.clock.seconds())
                finally:
                    self._forget(key, changed)
                if found.entry is None and found.lease is None and has_waited:
                    # Its time is over; what is too stale for others is better than nothing.
                    found = found._replace(entry=self._near.get(key, Window.FAILING))
                return found._replace(has_waited=has_waited)
        finally:
            self._waiting -= 1

    async def _until(self, changed: Deferred[None], seconds: float) -> None:
        patience = self.clock.callLater(seconds, changed.callback, None)
        try:
            await changed
        finally:
            if patience.active():
                patience.cancel()

    def _forget(self, key: bytes, changed: Deferred[None]) -> None:
        waiters = self._waiters.get(key, [])
        if changed in waiters:
            waiters.remove(changed)
            if not waiters:
                del self._waiters[key]

    def _wake(self, key: bytes) -> None:
        """Something has changed about this key: those who wait ask again."""
        for changed in self._waiters.pop(key, ()):
            if not changed.called:
                changed.callback(None)

    @contextmanager
    def _asked(self, key: bytes) -> Iterator[Fill]:
        fill = self.begin(key)
        self._asking.setdefault(key, []).append(fill)
        try:
            yield fill
        finally:
            self.store.abandon(fill)
            asking = self._asking.get(key, [])
            if fill in asking:
                asking.remove(fill)
                if not asking:
                    del self._asking[key]

    def _kept(self, key: bytes, reply: Reply | None, fill: Fill) -> Entry | None:
        """What Redis has answered, in the near cache if it may be."""
        self.lookups["miss" if reply is None else "hit"] += 1
        if reply is None:
            return None
        now = self.clock.seconds()
        stored, expires, revalidates, leaves = (now + (moment - reply.now) / 1000 for moment in reply[1:5])
        # Purges that are heard only now may have come before what Redis has: that is right, but not kept.
        if fill in self._asking.get(key, ()) and self.store.verdict(fill, reply.tags) is Verdict.KEPT:
            outcome = self.store.put(
                key,
                reply.value,
                expires - now,
                now,
                tags=reply.tags,
                while_revalidating=revalidates - expires,
                if_error=leaves - expires,
                fill=fill,
                stored=stored,
            )
            if outcome in (Put.CREATED, Put.REPLACED):
                return self.store.peek(key, now)
        tags = tuple(Tag(name, set()) for name in reply.tags)
        return Entry(key, reply.value, stored, expires, revalidates, leaves, charge_of(key, reply.value), 0, tags)

    # Writing

    def begin(self, key: bytes) -> Fill:
        fill = self.store.begin(key)
        fill.position = self._log.known
        return fill

    def put(
        self,
        key: bytes,
        value: bytes,
        lifetimes: Lifetimes,
        tags: tuple[bytes, ...],
        fill: Fill,
        token: bytes = b"",
        expected: bytes | None = None,
    ) -> Put | Deferred[Put]:
        storing = _Storing(key, value, lifetimes, tags, fill, token, expected)
        is_ours = bool(token) and self.leases.shown(token, self.clock.seconds()) is not None
        if is_ours or not self._log.is_asked:
            return self._put_here(storing)
        if self.store.is_too_big(key, len(value)):
            self.store.abandon(fill)
            return Put.TOO_BIG
        return Deferred.fromCoroutine(self._put(storing))

    def _put_here(self, storing: _Storing) -> Put:
        outcome = self._near.put(*storing)
        if outcome in (Put.CREATED, Put.REPLACED):
            self._log.publish([Purge(Kind.KEY, storing.key)])  # what Redis has is older
        return outcome

    async def _put(self, storing: _Storing) -> Put:
        try:
            outcome, is_soft = await self._put_there(storing)
        except Away:
            # It may be stored or not; after the purge that this publishes, it is not.
            return self._put_here(storing)
        if outcome not in (Put.CREATED, Put.REPLACED):
            if outcome is Put.PURGED:
                self.store.count_void()
            self.store.abandon(storing.fill)
            return outcome
        times = storing.lifetimes
        self._near.put(*storing[:2], times._replace(max_age=0.0) if is_soft else times, *storing[3:5])
        self._wake(storing.key)
        return outcome

    async def _put_there(self, storing: _Storing) -> tuple[Put, bool]:
        """What came of it, and whether it is stored as stale."""
        key, value, times, tags, fill, token, expected = storing
        what, is_stale = await self._log.ask(
            PUT,
            *(key, digest_of(key), token, b"" if token else fill.position, self._log.run, value, etag(value)),
            *(round(seconds * 1000) for seconds in times),
            b"*" if expected is None else expected,
            b"".join(name + b"\n" for name in (b"", *dict.fromkeys(tags))),  # the empty one is borne by all
        )
        return _OUTCOMES[what], bool(is_stale)

    def release(self, token: bytes) -> bool | Deferred[bool]:
        if self._near.release(token):
            return True
        if not self._log.is_asked:
            return False
        return Deferred.fromCoroutine(self._release(token))

    def refuse(self, token: bytes) -> bool | Deferred[bool]:
        # Each cache learns it by itself, from the first of its clients who has made one.
        if self._near.refuse(token):
            return True
        if not self._log.is_asked:
            return False
        return Deferred.fromCoroutine(self._release(token, is_unkept=True))

    async def _release(self, token: bytes, is_unkept: bool = False) -> bool:
        try:
            key = await self._log.ask(RELEASE, token[:16], token, self._log.run)
        except Away:
            return False
        if key is None:
            return False
        if is_unkept:
            self._near.note_unkept(key)
        self._wake(key)
        return True

    # Purging

    def purge(
        self,
        keys: Sequence[bytes] = (),
        tags: Sequence[bytes] = (),
        prefix: bytes | None = None,
        is_soft: bool = False,
    ) -> bool | Purged | Deferred[Purged]:
        if not self._near.purge(keys, tags, prefix, is_soft):
            return False
        purges = [Purge(Kind.TAG, tag, is_soft) for tag in tags] + [Purge(Kind.KEY, key, is_soft) for key in keys]
        if prefix is not None:
            purges.append(Purge(Kind.PREFIX, prefix, is_soft))
        said = self._log.publish(purges)
        for key in keys:
            self._wake(key)
        return self._log.confirm(said)

    # What others do

    def purged(self, purge: Purge) -> None:
        kind, name, is_soft = purge
        keys, tags = [name] if kind is Kind.KEY else [], [name] if kind is Kind.TAG else []
        while not self._near.purge(keys, tags, name if kind is Kind.PREFIX else None, is_soft):
            self.store.sweep(self.clock.seconds(), SWEPT_AT_ONCE)
        for key in keys:
            self._wake(key)

    def changed(self, key: bytes) -> None:
        self.store.forget(key, self.clock.seconds())
        self._asking.pop(key, None)
        self._wake(key)

    def doubted(self) -> None:
        self.purged(ALL._replace(is_soft=True))

    def __repr__(self) -> str:
        return f"<SharedKeyValue {self.store!r}, {self._log!r}, {self.waiting} waiting>"


def _within(entry: Entry | None, window: Window, now: float) -> Entry | None:
    """The entry, unless it is staler than that."""
    if entry is None or entry.leaves <= now:
        return None
    if window is Window.FRESH:
        return entry if entry.expires > now else None
    return entry if window is Window.FAILING or entry.revalidates > now else None
