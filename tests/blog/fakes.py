"""A data service, a cache and a log sink in memory, for tests of the blog."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred, execute, succeed
from zope.interface import implementer

from scalekit.blog.data import Database
from scalekit.blog.store import Store, open_store
from scalekit.interfaces import ILogSink

T = TypeVar("T")

NOW = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC


class FakeDatabase:
    """As `Database`, but in memory and at once."""

    def __init__(self) -> None:
        self.store = open_store(":memory:")

    def run(self, query: Callable[[Store], T]) -> Deferred[T]:
        return execute(query, self.store)

    def as_database(self) -> Database:
        return cast(Database, self)


class FakeCache:
    """As `AsyncCache`, but a dict; with ``is_away`` it misses and confirms nothing; ``held`` answers keep waiting."""

    def __init__(self) -> None:
        self.stored: dict[str, bytes] = {}
        self.told: list[str] = []
        self.is_away = False
        self.is_held = False
        self.held: list[Callable[[], None]] = []

    def get(self, key: str) -> Deferred[bytes | None]:
        self.told.append(f"get {key}")
        return succeed(None if self.is_away else self.stored.get(key))

    def put(self, key: str, value: bytes, max_age_seconds: float) -> Deferred[bool]:
        self.told.append(f"put {key} {max_age_seconds:g}")
        return self._do(lambda: self.stored.__setitem__(key, value))

    def delete(self, key: str) -> Deferred[bool]:
        self.told.append(f"delete {key}")
        return self._do(lambda: self.stored.pop(key, None))

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


@implementer(ILogSink)
class FakeSink:
    """Keeps entries as ``LEVEL message``."""

    def __init__(self) -> None:
        self.entries: list[str] = []

    def log(self, level: str, message: str, timestamp: float | None = None) -> None:
        self.entries.append(f"{level} {message}")
