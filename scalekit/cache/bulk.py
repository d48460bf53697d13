"""
The routes of the key/value service that are about many keys, or none.

======  ======================  ==========================================================================
method  route                   answer
======  ======================  ==========================================================================
POST    ``/v1/purge``           ``{"keys":[…],"tags":[…],"prefix":"…","all":true,"soft":true}``: purges
                                what any of them names; 200 with the number of the purge, 202 if other
                                caches can only be told later
POST    ``/v1/keys:get``        ``{"keys":[…]}``: ``{"values":{"key":{"value":"<base64>","etag":"…",
                                "age":2,"max_age":58,"stale":false}},"missing":[…],"left_out":[…]}``
GET     ``/v1/stats``           the counters of the store, as JSON; ``"hottest":[{"key":"…","share":0.12}]`` are
                                those that are served most, ``share`` of all hits
DELETE  ``/v1/leases/{token}``  gives a lease back, so that the next one may try: 204; 404
======  ======================  ==========================================================================
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import msgspec
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.web.resource import Resource
from twisted.web.server import Request

from scalekit.cache.conditions import etag_of
from scalekit.cache.entry import Entry
from scalekit.cache.keys import check_key
from scalekit.cache.keyvalue import Purged
from scalekit.cache.labels import check_tag
from scalekit.cache.later import rendered
from scalekit.cache.panel import store_stats
from scalekit.cache.store import Store
from scalekit.errors import ClientFault
from scalekit.interfaces import ICacheStore
from scalekit.web.answers import ProblemResource, json_answer, problem, read_body

# One by one they take some microseconds each, while nobody else is served; for more there are tags and prefixes.
MOST_NAMES = 1000
# What one answer may hold; the rest is named in "left_out".
MOST_BYTES = 4 * 1024 * 1024
# A thousand names of the usual lengths, many times over; it is also what the site takes.
_LARGEST_BODY = 1024 * 1024


class PurgeRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What to purge; ``soft``: make it stale instead of removing it."""

    keys: list[str] = []
    tags: list[str] = []
    prefix: str | None = None
    all: bool = False
    soft: bool = False


class GetRequest(msgspec.Struct, forbid_unknown_fields=True):
    keys: list[str]


_Body = TypeVar("_Body")


class Purger(Protocol):
    """What carries purges out."""

    @property
    def store(self) -> Store:
        """Whose purges are numbered."""

    def purge(self, keys: Sequence[bytes], tags: Sequence[bytes], prefix: bytes | None, is_soft: bool) -> Any:
        """See `ICacheStore.purge`; may raise `ClientFault`."""


class Purge(ProblemResource):
    """``/v1/purge``"""

    def __init__(self, service: Purger) -> None:
        super().__init__()
        self._service = service

    def render_POST(self, request: Request) -> bytes | int:
        asked = _body(request, PurgeRequest)
        keys = _names(asked.keys)
        tags = _names(asked.tags)
        for tag in tags:
            check_tag(tag)
        prefix = b"" if asked.all else None if asked.prefix is None else asked.prefix.encode()
        if prefix == b"" and not asked.all:
            raise ClientFault(
                400, "empty-prefix", 'Every key begins with an empty prefix; to purge all, say "all": true.'
            )
        if not keys and not tags and prefix is None:
            raise ClientFault(400, "nothing-named", "There is nothing to purge: name keys, tags, a prefix, or all.")

        def render(outcome: bool | Purged) -> bytes:
            if not outcome:
                request.setHeader(b"retry-after", b"1")
                return problem(request, 503, "purging", "Too many purges by prefix are being carried out.")
            status = 202 if outcome is Purged.HERE else 200
            return json_answer(request, status, {"purge": self._service.store.purges})

        return rendered(request, self._service.purge(keys, tags, prefix, asked.soft), render)


class GetMany(ProblemResource):
    """``/v1/keys:get``"""

    def __init__(self, service: ICacheStore) -> None:
        super().__init__()
        self._service = service

    def render_POST(self, request: Request) -> bytes | int:
        names = list(dict.fromkeys(_body(request, GetRequest).keys))
        found = [self._service.get(key) for key in [check_key(key) for key in _names(names)]]
        result: Any = found
        if any(isinstance(one, Deferred) for one in found):
            result = gatherResults([one if isinstance(one, Deferred) else succeed(one) for one in found])
        return rendered(request, result, lambda found: self._answer(request, names, found))

    def _answer(self, request: Request, names: list[str], found: list[Entry | None]) -> bytes:
        values: dict[str, Any] = {}
        missing, left_out = [], []
        room = MOST_BYTES
        now = self._service.clock.seconds()
        for name, entry in zip(names, found, strict=True):
            if entry is None:
                missing.append(name)
                continue
            if len(entry.value) > room:
                left_out.append(name)
                continue
            room -= len(entry.value)
            values[name] = {
                "value": b64encode(entry.value).decode(),
                "etag": etag_of(entry).decode(),
                "age": int(now - entry.stored),
                "max_age": max(0, int(entry.expires - now)),
                "stale": entry.expires <= now,
            }
        return json_answer(request, 200, {"values": values, "missing": missing, "left_out": left_out})


class StatsResource(ProblemResource):
    """``/v1/stats``"""

    def __init__(self, service: ICacheStore) -> None:
        super().__init__()
        self._service = service

    def render_GET(self, request: Request) -> bytes:
        waiting = {"leases": len(self._service.leases), "waiting": self._service.waiting}
        return json_answer(request, 200, store_stats(self._service.store) | waiting)


class LeasesResource(ProblemResource):
    """``/v1/leases``: the parent of its tokens."""

    def __init__(self, service: ICacheStore) -> None:
        super().__init__()
        self._service = service

    def getChild(self, path: bytes, request: Request) -> Resource:
        return _LeaseResource(self._service, path) if not request.postpath else super().getChild(path, request)


class _LeaseResource(ProblemResource):
    def __init__(self, service: ICacheStore, token: bytes) -> None:
        super().__init__()
        self._service = service
        self._token = token

    def render_DELETE(self, request: Request) -> bytes | int:
        def render(is_released: bool) -> bytes:
            if not is_released:
                return problem(request, 404, "no-lease", "There is no such lease, or it is over.")
            request.setResponseCode(204)
            return b""

        return rendered(request, self._service.release(self._token), render)


def _body(request: Request, kind: type[_Body]) -> _Body:
    try:
        return msgspec.json.decode(read_body(request, _LARGEST_BODY), type=kind)
    except msgspec.MsgspecError as why:
        raise ClientFault(400, "bad-body", f"The body is not as expected: {why}.") from None


def _names(names: list[str]) -> list[bytes]:
    if len(names) > MOST_NAMES:
        raise ClientFault(413, "too-many-names", f"One request may name {MOST_NAMES}.")
    try:
        return [name.encode() for name in names]
    except UnicodeEncodeError:
        raise ClientFault(400, "bad-name", "A name is no text.") from None
