"""
Purges that reach the HTTP caches of other balancers, and theirs this one, by a `PurgeLog`.

What is stored stays each one's own.  Whatever makes answers invalid here, a purge, an unsafe request or what an app
server says of groups, is said to the others; what they say is heard within milliseconds, and what was being fetched
meanwhile is held against it as against a purge here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from scalekit.cache.keyvalue import Purged
from scalekit.cache.purge_log import ALL, PurgeLog
from scalekit.cache.purges import Kind
from scalekit.cache.redis_records import Purge
from scalekit.cache.store import Store
from scalekit.interfaces import IPurgeObserver

#: What the keys in Redis begin with by which HTTP caches share their purges; another format would be another number.
HTTP_PURGES = "scalekit:1:http:"
#: Entries; where others purge by prefix faster than this cache can sweep, they wait for it.
SWEPT_AT_ONCE = 10_000


@implementer(IPurgeObserver)
class SharedStore(Store):
    """
    A store whose purges are published, and which carries out those of others.

    :param clock: tells the store's seconds.
    """

    def __init__(self, max_bytes: int, log: PurgeLog, clock: Any) -> None:
        super().__init__(max_bytes)
        self._log = log
        self._clock = clock
        self._said: Deferred[None] = succeed(None)
        #: Called after a purge of others that has left something to `sweep`.
        self.hurry: Callable[[], None] = lambda: None
        log.observe(self)

    def purge_key(self, key: bytes, now: float, is_soft: bool = False) -> bool:
        self._said = self._log.publish([Purge(Kind.KEY, key, is_soft)])
        return super().purge_key(key, now, is_soft)

    def purge_tag(self, name: bytes, now: float, is_soft: bool = False) -> None:
        self._said = self._log.publish([Purge(Kind.TAG, name, is_soft)])
        super().purge_tag(name, now, is_soft)

    def purge_prefix(self, prefix: bytes, now: float, is_soft: bool = False) -> bool:
        is_done = super().purge_prefix(prefix, now, is_soft)
        if is_done:
            self._said = self._log.publish([Purge(Kind.PREFIX, prefix, is_soft)])
        return is_done

    def confirm(self) -> Purged | Deferred[Purged]:
        """Where the latest purge holds, and so all before it."""
        return self._log.confirm(self._said)

    def purged(self, purge: Purge) -> None:
        now = self._clock.seconds()
        if purge.kind is Kind.KEY:
            super().purge_key(purge.name, now, purge.is_soft)
        elif purge.kind is Kind.TAG:
            super().purge_tag(purge.name, now, purge.is_soft)
        else:
            while not super().purge_prefix(purge.name, now, purge.is_soft):
                self.sweep(now, SWEPT_AT_ONCE)
        self.hurry()

    def changed(self, key: bytes) -> None:
        """Answers are not shared."""

    def doubted(self) -> None:
        self.purged(ALL._replace(is_soft=True))
