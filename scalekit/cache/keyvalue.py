"""
The key/value service without its HTTP: a store, the leases of what is missing, and those who wait for it.

Whoever waits for a key is told when it is stored, or gets the lease when the one who had it has given it back, was
overtaken by a purge, or has run out of time.  One after the other, as what has failed once may fail again; but of a
value that was made and cannot be kept, being too big, nobody waits for another's for a while: all make their own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall
from zope.interface import implementer

from scalekit.cache.ageing import Lifetimes
from scalekit.cache.conditions import etag_of
from scalekit.cache.entry import Entry
from scalekit.cache.fills import Fill
from scalekit.cache.leases import USUAL_SECONDS, Lease, Leases
from scalekit.cache.marks import Marks
from scalekit.cache.store import Put, Store, Window
from scalekit.interfaces import ICacheStore

# Each is a connection and a timer.  Who comes beyond it is answered at once, as if its time were over.
MOST_WAITING = 10_000
LONGEST_WAIT_SECONDS = 60.0


class Found(NamedTuple):
    """
    What there is for somebody who asked with a lease in mind.

    :ivar entry: fresh or stale; None: nothing.
    :ivar lease: for the one who is to make it.
    :ivar is_taken: whether somebody else is making it.
    :ivar has_waited: whether it was waited for.
    """

    entry: Entry | None
    lease: Lease | None = None
    is_taken: bool = False
    has_waited: bool = False


class Purged(Enum):
    """Where a purge holds from its answer on, among caches that share their values."""

    EVERYWHERE = "everywhere"
    HERE = "here"  # the others are told once that is possible


class _Waiter(NamedTuple):
    found: Deferred[Found]
    patience: IDelayedCall
    lease_seconds: float


@implementer(ICacheStore)
class KeyValue:
    """
    All of it in the memory of this process.

    :param clock: what the store's seconds are taken from, and waiting is timed with; an `IReactorTime`.
    :param new_token: makes the tokens of leases.
    :param hurry: called after a purge that has left something to `Store.sweep`.

    :ivar waiting: how many wait.
    """

    def __init__(
        self, store: Store, clock: Any, new_token: Callable[[], bytes], hurry: Callable[[], None] = lambda: None
    ) -> None:
        self.store = store
        self.clock = clock
        self.leases = Leases(store, new_token)
        self.waiting = 0
        self._unkept = Marks()
        #: See `ICacheStore`; on the instance, as most requests are this.
        self.look = store.get
        self._hurry = hurry
        self._waiters: dict[bytes, deque[_Waiter]] = {}
        self._lapses: dict[bytes, IDelayedCall] = {}  # by token

    def get(self, key: bytes, window: Window = Window.REVALIDATING) -> Entry | None:
        """What is stored under this key."""
        return self.store.get(key, self.clock.seconds(), window)

    def peek(self, key: bytes) -> Entry | None:
        """The same, however stale."""
        return self.store.peek(key, self.clock.seconds())

    def ask(self, key: bytes, lease_seconds: float = USUAL_SECONDS) -> Found:
        """What is stored, and if that is not fresh, the lease, unless somebody has it."""
        now = self.clock.seconds()
        entry = self.store.get(key, now, Window.REVALIDATING)
        if (entry is not None and entry.expires > now) or self._unkept.has(key, now):
            return Found(entry)
        lease = self._granted(key, lease_seconds)
        return Found(entry, lease, lease is None)

    def wait(self, key: bytes, lease_seconds: float, wait_seconds: float) -> Deferred[Found]:
        """The same, but if there is nothing and somebody makes it, after it is done or so many seconds have passed."""
        found = self.ask(key, lease_seconds)
        if found.entry is not None or found.lease is not None or wait_seconds <= 0:
            return succeed(found)
        if self.leases.of_key(key) is None or self.waiting >= MOST_WAITING:  # nobody could tell us
            return succeed(found)
        waiting: Deferred[Found] = Deferred(lambda _: self._leave(key, waiter))
        patience = self.clock.callLater(min(wait_seconds, LONGEST_WAIT_SECONDS), self._give_up, key, waiting)
        waiter = _Waiter(waiting, patience, lease_seconds)
        self._waiters.setdefault(key, deque()).append(waiter)
        self.waiting += 1
        return waiting

    def begin(self, key: bytes) -> Fill:
        """A value comes in."""
        return self.store.begin(key)

    def put(
        self,
        key: bytes,
        value: bytes,
        lifetimes: Lifetimes,
        tags: tuple[bytes, ...],
        fill: Fill,
        token: bytes = b"",
        expected: bytes | None = None,
    ) -> Put:
        """
        Store a value, and tell those who wait.

        :param fill: in which it was received; it is over now.
        :param token: of the lease in which it was made; the lease is over now, of whomever it was.
        :param expected: the entity tag that must be there, empty for nothing at all; None: whatever is there.
        """
        now = self.clock.seconds()
        if expected is not None:
            held = self.store.peek(key, now)
            if expected != (b"" if held is None else etag_of(held)):
                self.store.abandon(fill)
                return Put.UNMATCHED
        lease = None
        if token:
            lease = self.leases.shown(token, now)
            self.store.abandon(fill)
            if lease is None or lease.key != key:
                self.store.count_void()
                return Put.PURGED
            fill = lease.fill
        outcome = self.store.put(
            key,
            value,
            lifetimes.max_age,
            now,
            tags=tags,
            while_revalidating=lifetimes.while_revalidating,
            if_error=lifetimes.if_error,
            fill=fill,
        )
        if outcome in (Put.CREATED, Put.REPLACED):
            self._unkept.remove(key)
            self._end(lease or self.leases.of_key(key))
            self._wake(key)
        elif lease is not None:
            self._end(lease)
            if outcome is Put.PURGED:
                self._wake(key)
            else:
                self.note_unkept(key)
        return outcome

    def release(self, token: bytes) -> bool:
        """Give a lease back, so that the next one may try; whether there was one."""
        lease = self.leases.shown(token, self.clock.seconds())
        if lease is None:
            return False
        self._end(lease)
        self._wake(lease.key)
        return True

    def refuse(self, token: bytes) -> bool:
        lease = self.leases.shown(token, self.clock.seconds())
        if lease is None:
            return False
        self._end(lease)
        self.note_unkept(lease.key)
        return True

    def note_unkept(self, key: bytes) -> None:
        """A value of this key cannot be kept: nobody waits for it."""
        self._unkept.add(key, self.clock.seconds())
        for waiter in list(self._waiters.get(key, ())):
            self._take(key, waiter).callback(Found(None, has_waited=True))

    def is_unkept(self, key: bytes) -> bool:
        """Whether nobody is to wait for it."""
        return self._unkept.has(key, self.clock.seconds())

    def purge(
        self,
        keys: Sequence[bytes] = (),
        tags: Sequence[bytes] = (),
        prefix: bytes | None = None,
        is_soft: bool = False,
    ) -> bool:
        """Purge all of it; False, and nothing has changed, if too much waits to be swept."""
        now = self.clock.seconds()
        overtaken: list[Lease] = []
        if prefix is not None:
            if not self.store.purge_prefix(prefix, now, is_soft):
                return False
            overtaken += self.leases.with_prefix(prefix)
        for tag in tags:
            self.store.purge_tag(tag, now, is_soft)
        for key in keys:
            self.store.purge_key(key, now, is_soft)
            lease = self.leases.of_key(key)
            if lease is not None:
                overtaken.append(lease)
        for lease in overtaken:
            if self.store.is_void(lease.fill):
                self._end(lease)
                self._wake(lease.key)
        if not self.store.is_swept:
            self._hurry()
        return True

    def _granted(self, key: bytes, seconds: float) -> Lease | None:
        lease = self.leases.grant(key, seconds, self.clock.seconds())
        if lease is not None:
            left = lease.ends - self.clock.seconds()
            self._lapses[lease.token] = self.clock.callLater(left, self._lapse, lease)
        return lease

    def _lapse(self, lease: Lease) -> None:
        del self._lapses[lease.token]
        self.leases.end(lease)
        self._wake(lease.key)

    def _end(self, lease: Lease | None) -> None:
        if lease is not None:
            self.leases.end(lease)
            lapse = self._lapses.pop(lease.token, None)
            if lapse is not None:
                lapse.cancel()

    def _wake(self, key: bytes) -> None:
        """Something has changed about this key: tell those who wait, all or the next one."""
        if key not in self._waiters:
            return
        entry = self.store.get(key, self.clock.seconds(), Window.REVALIDATING)
        while key in self._waiters:
            waiter = self._waiters[key][0]
            lease = None if entry is not None else self._granted(key, waiter.lease_seconds)
            if entry is None and lease is None:
                break  # somebody has it, and will wake the others
            self._take(key, waiter).callback(Found(entry, lease, has_waited=True))

    def _give_up(self, key: bytes, waiting: Deferred[Found]) -> None:
        """Its time is over; what is too stale for others is better than nothing."""
        waiter = next(one for one in self._waiters[key] if one.found is waiting)
        entry = self.store.get(key, self.clock.seconds(), Window.FAILING)
        self._take(key, waiter).callback(Found(entry, is_taken=True, has_waited=True))

    def _leave(self, key: bytes, waiter: _Waiter) -> None:
        """It waits no more, as its client is gone."""
        self._take(key, waiter)

    def _take(self, key: bytes, waiter: _Waiter) -> Deferred[Found]:
        waiters = self._waiters[key]
        waiters.remove(waiter)
        if not waiters:
            del self._waiters[key]
        self.waiting -= 1
        if waiter.patience.active():
            waiter.patience.cancel()
        return waiter.found

    def __repr__(self) -> str:
        return f"<KeyValue {self.store!r}, {len(self.leases)} leases, {self.waiting} waiting>"
