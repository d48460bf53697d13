"""A data service, a cache and a log sink in memory, for tests of the blog."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred, execute, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from scalekit.blog.data import Database
from scalekit.blog.fragments import Fragments
from scalekit.blog.store import Store as Posts
from scalekit.blog.store import open_store
from scalekit.blog.tap import kept_in
from scalekit.cache.ageing import Lifetimes
from scalekit.cache.keyvalue import Found, KeyValue
from scalekit.cache.store import Store
from scalekit.interfaces import ILogSink
from scalekit.kit.cache import AsyncCache
from scalekit.kit.lookup import Look, Looked

T = TypeVar("T")

NOW = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC


class FakeDatabase:
    """As `Database`, but in memory and at once."""

    def __init__(self) -> None:
        self.store = open_store(":memory:")

    def run(self, query: Callable[[Posts], T]) -> Deferred[T]:
        return execute(query, self.store)

    def as_database(self) -> Database:
        return cast(Database, self)


class FakeCache:
    """
    As `AsyncCache` to the real service, but in memory and at once.

    With ``is_away`` it misses and confirms nothing; ``held`` stores and purges keep waiting.
    """

    def __init__(self) -> None:
        self.clock = Clock()
        self.service = KeyValue(Store(1 << 24), self.clock, map(b"lease-%d".__mod__, count(1)).__next__)
        self.told: list[str] = []
        self.is_away = False
        self.is_held = False
        self.held: list[Callable[[], None]] = []

    @property
    def stored(self) -> dict[str, bytes]:
        """What there is."""
        return {one.key.decode(): one.value for one in self.service.store.entries() if self.service.get(one.key)}

    def look(self, look: Look) -> Deferred[Looked | None]:
        self.told.append(f"look {look.key}" + (", wait" if look.wait_seconds else ""))
        if self.is_away:
            return succeed(None)

        def read(found: Found) -> Looked:
            lease = "" if found.lease is None else found.lease.token.decode()
            return Looked(None if found.entry is None else found.entry.value, lease)

        return self.service.wait(look.key.encode(), look.lease_seconds, look.wait_seconds).addCallback(read)

    def put(
        self, key: str, value: bytes, max_age: float, *, tags: Sequence[str], lease: str, **windows: float
    ) -> Deferred[bool]:
        self.told.append(f"put {key} {max_age:g} {' '.join(tags)}")
        named = tuple(tag.encode() for tag in tags)

        def store() -> None:
            fill = self.service.store.begin(key.encode())
            self.service.put(key.encode(), value, Lifetimes(max_age), named, fill, lease.encode())

        return self._do(store)

    def give_back(self, lease: str) -> Deferred[bool]:
        return self._do(lambda: self.service.release(lease.encode()))

    def delete(self, key: str) -> Deferred[bool]:
        return self._do(lambda: self.service.purge([key.encode()]))

    def purge(self, tags: Sequence[str]) -> Deferred[bool]:
        self.told.append(f"purge {' '.join(tags)}")
        return self._do(lambda: self.service.purge(tags=[tag.encode() for tag in tags]))

    def _do(self, change: Callable[[], Any]) -> Deferred[bool]:
        result: Deferred[bool] = Deferred()

        def carry_out() -> None:
            if not self.is_away:
                change()
            result.callback(not self.is_away)

        if self.is_held:
            self.held.append(carry_out)
        else:
            carry_out()
        return result

    def fragments(self, clock: Clock) -> Fragments:
        """As the blog uses it."""
        return Fragments(kept_in(cast(AsyncCache, self)), self.purge, clock)


@implementer(ILogSink)
class FakeSink:
    """Keeps entries as ``LEVEL message``."""

    def __init__(self) -> None:
        self.entries: list[str] = []
        self.fields: list[Any] = []

    def log(self, level: str, message: str, timestamp: float | None = None, fields: Any = None) -> None:
        self.entries.append(f"{level} {message}")
        self.fields.append(fields)
