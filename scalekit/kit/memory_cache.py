"""
A cache in memory, with the interfaces of `Cache` and `AsyncCache`, for the tests of applications.

::

    cache = MemoryCache()                   # or AsyncMemoryCache(reactor), where functions are async
    newest = kit.cached(cache, max_age=60, tags=["posts"])(newest)

It keeps all that it is given until that expires, gives leases, and waits for who has one, as the service does; it is
never away.  Both are the real clients, asking a `Memory` in place of a service; it is told the time.
"""

from __future__ import annotations

import json
import re
import threading
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import unquote

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.web.http_headers import Headers

from scalekit.kit.cache import AsyncCache
from scalekit.kit.cache_requests import Request, Times
from scalekit.kit.client import Answer, Client
from scalekit.kit.connections import Answer as ThreadAnswer
from scalekit.kit.connections import Connections
from scalekit.kit.lookup import Look, Looked
from scalekit.kit.thread_cache import Cache

_URL = "http://memory"
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPED = re.compile(r"\\(.)")
_SECONDS = re.compile(r"([a-z-]+)=(\d+)")


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

    def purge_as_asked(self, body: bytes, now: float) -> None:
        """The same as the JSON of a request says it."""
        said = json.loads(body)
        self.purge(said["keys"], said["tags"], said.get("prefix", ""), said["all"], said["soft"], now)


class _Asked(NamedTuple):
    """
    What became of a request: status, fields by their lower-case names, and body.

    :ivar look: what is waited for, if somebody else makes it.
    """

    status: int
    fields: dict[str, str] = {}
    body: bytes = b""
    look: Look | None = None


def _answer(
    memory: Memory, method: str, path: str, headers: Mapping[str, str], body: bytes | None, now: float
) -> _Asked:
    """What the cache service answers to the requests of `scalekit.kit.cache_requests`."""
    place, _, name = path.removeprefix("/v1/").partition("/")
    name = unquote(name)
    if (method, place) == ("GET", "keys"):
        look = _look_of(name, headers)
        looked = memory.look(look, now)
        is_waiting = looked.value is None and not looked.lease and look.wait_seconds > 0
        return _looked(look, looked)._replace(look=look if is_waiting else None)
    if (method, place) == ("PUT", "keys"):
        lease = headers.get("Cache-Lease", "").strip('"')
        tags = [_ESCAPED.sub(r"\1", tag) for tag in _QUOTED.findall(headers.get("Cache-Groups", ""))]
        times = {key: int(value) for key, value in _SECONDS.findall(headers["Cache-Control"])}
        kept = Times(times["max-age"], times.get("stale-while-revalidate", 0), times.get("stale-if-error", 0))
        return _Asked(201 if memory.put(name, body or b"", kept, tags, lease, now) else 409)
    if (method, place) == ("DELETE", "leases"):
        return _Asked(204 if memory.give_back(name) else 404)
    if (method, place) == ("POST", "purge"):
        memory.purge_as_asked(body or b"", now)
        return _Asked(204)
    if (method, place) == ("POST", "keys:get"):
        found = {key: memory.look(Look(key), now).value for key in json.loads(body or b"")["keys"]}
        values = {key: {"value": b64encode(value).decode()} for key, value in found.items() if value is not None}
        return _Asked(200, body=json.dumps({"values": values}).encode())
    return _Asked(200 if path.startswith("/ping") else 404)


def _look_of(key: str, headers: Mapping[str, str]) -> Look:
    lease, wait = headers.get("Cache-Lease", "").partition("=")[2], headers.get("Prefer", "").partition("=")[2]
    return Look(key, int(lease or 0), int(wait or 0), headers.get("Cache-Control") == "stale-if-error")


def _looked(look: Look, looked: Looked) -> _Asked:
    fields = {}
    if look.lease_seconds:
        fields["cache-lease"] = f'"{looked.lease}"' if looked.lease else "taken"
    return _Asked(404 if looked.value is None else 200, fields, looked.value or b"")


class _Connections(Connections):
    """To a memory; who waits for somebody else waits in real time."""

    def __init__(self, now: Callable[[], float]) -> None:
        super().__init__(_URL, "", now)
        self._memory = Memory()
        self._changed = threading.Condition()

    def ask(self, request: Request, headers: dict[str, str]) -> ThreadAnswer:
        """See `Connections.ask`."""
        memory, now = self._memory, self._now
        with self._changed:
            asked = _answer(memory, request.method, request.path, headers, request.body, now())
            look = asked.look
            if look is not None:
                self._changed.wait_for(lambda: not memory.is_made(look.key, now()), look.wait_seconds)
                asked = _looked(look, memory.look(look, now()))
            self._changed.notify_all()
        return ThreadAnswer(asked.status, asked.fields.get, asked.body)

    def warm_up(self) -> None:
        """There is no connection."""


class MemoryCache(Cache):
    """
    :param now: as `time.monotonic`; without it no time passes, and nothing expires.
    """

    def __init__(self, now: Callable[[], float] = lambda: 0.0) -> None:
        super().__init__(_URL, "", now)
        self._connections = _Connections(now)

    def __repr__(self) -> str:
        return "<MemoryCache>"


class _Client(Client):
    """To a memory."""

    def __init__(self, clock: IReactorTime) -> None:
        super().__init__(None, clock)
        self._memory = Memory()
        self._waiting: list[Deferred[None]] = []  # for a change

    def fetch(
        self, method: str, url: str, *, seconds: float, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> Deferred[Answer]:
        """See `Client.fetch`."""
        asked = _answer(self._memory, method, url.removeprefix(_URL), headers or {}, body, self._clock.seconds())
        if asked.look is not None:
            return Deferred.fromCoroutine(self._await(asked.look, self._clock.seconds() + asked.look.wait_seconds))
        self._change()
        return succeed(_as_answer(asked))

    async def _await(self, look: Look, until: float) -> Answer:
        now = self._clock.seconds
        while self._memory.is_made(look.key, now()) and now() < until:
            changed: Deferred[None] = Deferred()
            self._waiting.append(changed)
            timer = self._clock.callLater(until - now(), self._change)
            try:
                await changed
            finally:
                if timer.active():
                    timer.cancel()
        return _as_answer(_looked(look, self._memory.look(look, now())))

    def _change(self) -> None:
        waiting, self._waiting = self._waiting, []
        for changed in waiting:
            changed.callback(None)


def _as_answer(asked: _Asked) -> Answer:
    return Answer(asked.status, Headers({name: [value] for name, value in asked.fields.items()}), asked.body)


class AsyncMemoryCache(AsyncCache):
    """
    :param clock: by which what it holds expires, and nobody waits for ever.
    """

    def __init__(self, clock: IReactorTime) -> None:
        super().__init__(_URL, _Client(clock), clock)

    def __repr__(self) -> str:
        return "<AsyncMemoryCache>"
