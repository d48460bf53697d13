"""Clients, the caching front, and an origin behind it that says what the test lets it say, all in memory."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.front.front import CacheFront
from scalekit.cache.front.purging import Purging
from scalekit.cache.store import Store
from scalekit.http.heads import Fields, ResponseHead
from tests.net.conversation import Conversation, Listener, Seen

EPOCH = 1_700_000_000.0
ETAG = (b"ETag", b'"v1"')
_STATUS = re.compile(rb"Cache-Status: ([^\r]*)\r\n")
_AGE = re.compile(rb"Age: ([0-9]+)\r\n")


def get(path: bytes = b"/", *lines: bytes, method: bytes = b"GET", host: bytes = b"a") -> bytes:
    return b"%b %b HTTP/1.1\r\nHost: %b\r\n%b\r\n" % (method, path, host, b"".join(line + b"\r\n" for line in lines))


class Services:
    """One service, ``web``; hosts that begin with ``other`` are another's, ``plain`` is not cached."""

    def __init__(self) -> None:
        self.routing = self
        self.table = object()
        self.cookie = b""

    def service_of(self, head: Any) -> str:
        return "other" if head.host.startswith(b"other") else "plain" if head.host == b"plain" else "web"

    def is_cached(self, service: str) -> bool:
        return service != "plain"

    def is_secure(self, head: Any, client: Any) -> bool:
        return bool(client.is_secure)

    def is_told_otherwise(self, head: Any, client: Any) -> bool:
        return False

    def own_cookie(self, service: str) -> bytes:
        return self.cookie


class Client(Conversation):
    """One of the clients of a front; `says` and `hears` as ever."""

    def __init__(self, clock: Clock, front: CacheFront) -> None:
        Listener.__init__(self, clock, None)
        self.front = front
        self.records: list[Any] = []
        self.connect()

    def respond(self, exchange: Any) -> None:
        self.records.append(exchange.record)
        self.front.respond(exchange)

    def gets(self, *arguments: Any, **more: Any) -> Heard:
        """Ask, and take what is answered."""
        self.says(get(*arguments, **more))
        return self.heard()

    def heard(self) -> Heard:
        return Heard(self.hears())


class Heard:
    """An answer, or what there is of one."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.head, _, self.body = data.partition(b"\r\n\r\n")
        self.head += b"\r\n"

    @property
    def status(self) -> int:
        return int(self.head[9:12] or b"0")

    @property
    def said(self) -> bytes:
        """Of Cache-Status, what follows our name."""
        found = _STATUS.search(self.head)
        return b"" if found is None else found[1].partition(b"scalekit; ")[2]

    @property
    def age(self) -> int | None:
        found = _AGE.search(self.head)
        return None if found is None else int(found[1])


class Answering:
    """One request at the origin."""

    def __init__(self, exchange: Any) -> None:
        self.exchange = exchange
        self.seen = Seen(exchange)
        exchange.observe(self.seen)

    @property
    def fields(self) -> dict[bytes, bytes]:
        return {name.lower(): value for name, value in self.exchange.head.fields}

    def answers(self, body: bytes = b"hello", control: bytes = b"max-age=60", status: int = 200, *more: Any) -> None:
        self.exchange.answer(ResponseHead(status, self._fields(control, more)), body)

    def begins(self, control: bytes = b"max-age=60", length: int | None = None, status: int = 200, *more: Any) -> None:
        self.exchange.begin(ResponseHead(status, self._fields(control, more), length))

    def _fields(self, control: bytes, more: Any) -> Fields:
        return [*([(b"Cache-Control", control)] if control else []), *more]

    @property
    def is_given_up(self) -> bool:
        return any(str(event).startswith("aborted") for event in self.seen.events)


class Fronted:
    """
    :ivar asked: what the origin was asked, in order.
    """

    def __init__(self, max_bytes: int = 1_000_000, clock: Clock | None = None, **options: Any) -> None:
        if clock is None:
            clock = Clock()
            clock.advance(1000)
        self.clock = clock
        self.store = Store(max_bytes)
        self.services = Services()
        self.asked: list[Answering] = []
        self.purging = Purging(self.store, self.clock)
        self.front = CacheFront(
            self, self.store, self.services, self.clock, lambda: self.clock.seconds() + EPOCH, **options
        )
        self.clients: list[Client] = []

    def respond(self, exchange: Any) -> None:
        self.asked.append(Answering(exchange))

    def client(self) -> Client:
        """A new one."""
        client = Client(self.clock, self.front)
        self.clients.append(client)
        return client

    def get(self, *arguments: Any, **more: Any) -> Heard:
        """A new client asks, and this is what it hears at once."""
        return self.client().gets(*arguments, **more)

    def fill(self, path: bytes = b"/", *answer: Any, **more: Any) -> Heard:
        """A new client asks, and the origin answers."""
        client = self.client()
        client.says(get(path))
        self.origin.answers(*answer, **more)
        return client.heard()

    @property
    def origin(self) -> Answering:
        """What was asked last."""
        return self.asked[-1]

    def passes(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.front.tick()


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.it = Fronted()


class FetchCase(Case):
    def ask(self, count: int = 1, *lines: bytes, path: bytes = b"/x") -> list[Client]:
        """So many new clients ask."""
        clients = [self.it.client() for _ in range(count)]
        for client in clients:
            client.says(get(path, *lines))
        return clients

    def bodies(self, clients: list[Client]) -> list[bytes]:
        return [client.heard().body for client in clients]

    def assert_rest(self) -> None:
        """Nothing is left of what was under way."""
        stats = self.it.store.stats()
        self.assertEqual((stats.fills, stats.reserved_bytes), (0, 0))
        self.assertEqual(self.it.front._fetches, {})
