"""Asking a cache resource in memory, as a client would."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from twisted.internet.task import Clock

from scalekit.cache.resource import CacheResource
from scalekit.cache.store import Store
from scalekit.http.heads import Client, RequestHead
from scalekit.web import memory
from scalekit.web.site import Site


class Answer(NamedTuple):
    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        """The reason token of a problem."""
        assert self.fields["content-type"] == "application/problem+json", self
        return str(self.json["reason"])

    @property
    def token(self) -> str:
        """The token of the lease that came with it."""
        return self.fields["cache-lease"].partition(";")[0]


def answer_of(exchange: memory.MemoryExchange) -> Answer:
    """What the client of this exchange saw."""
    fields = {name.decode().lower(): value.decode() for name, value in exchange.fields}
    return Answer(exchange.status, fields, exchange.sent)


class Asking:
    """A cache of 64 MiB at second 1000, behind our own site."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.open(Store(64 << 20))

    def open(self, store: Store, **options: Any) -> None:
        self.store = store
        self.resource = CacheResource(store, self.clock, **options)
        self.service = self.resource.service
        self.site = Site(self.resource)

    def begin(
        self, method: str, target: str, fields: dict[str, str] | None = None, body: bytes = b"", **options: Any
    ) -> memory.MemoryExchange:
        """The exchange of a request that may not be answered yet."""
        pairs = [(name.encode(), value.encode()) for name, value in (fields or {}).items()]
        return memory.ask(self.site, method.encode(), target.encode(), pairs, body, **options)

    def ask(
        self, method: str, target: str, fields: dict[str, str] | None = None, body: bytes = b"", **options: Any
    ) -> Answer:
        exchange = self.begin(method, target, fields, body, **options)
        assert exchange.is_finished, exchange
        return answer_of(exchange)

    def sending(
        self, target: str, fields: dict[str, str] | None = None, length: int | None = None
    ) -> memory.MemoryExchange:
        """A PUT whose body the test feeds."""
        pairs = [
            (name.encode(), value.encode())
            for name, value in ({"Cache-Control": "max-age=60"} | (fields or {})).items()
        ]
        head = RequestHead(b"PUT", target.encode(), pairs, length=length)
        exchange = memory.MemoryExchange(head, is_ended=False, client=Client("127.0.0.1", 40000, False, 5000))
        memory.respond(self.site, exchange)
        return exchange

    def put(self, key: str = "a", value: bytes = b"value", cache: str = "max-age=60", **fields: str) -> Answer:
        named = {name.replace("_", "-"): text for name, text in fields.items()}
        return self.ask("PUT", f"/v1/keys/{key}", {"Cache-Control": cache, **named}, value)

    def get(self, key: str = "a", method: str = "GET", **fields: str) -> Answer:
        return self.ask(method, f"/v1/keys/{key}", {name.replace("_", "-"): text for name, text in fields.items()})
