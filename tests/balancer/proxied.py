"""A client, the balancer between, and app servers, all in memory."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.error import ConnectionDone
from twisted.trial.unittest import SynchronousTestCase

from scalekit.balancer.instance import Endpoint, Instance
from scalekit.balancer.picking.turns import RoundRobin
from scalekit.balancer.proxy import ReverseProxy
from scalekit.balancer.roster import Roster
from scalekit.balancer.routes import Claim, Routing
from scalekit.balancer.traffic import Traffic
from scalekit.balancer.tunnels import Tunnels
from scalekit.errors import ClientFault
from scalekit.http.forwarding import Forwarder
from scalekit.http.reader import RequestReader
from scalekit.net.pool import Pool
from tests.net.app_server import AppServer
from tests.net.conversation import Conversation, MemoryTransport

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
HELLO = OK + b"hello"


def get(path: bytes = b"/", *lines: bytes, method: bytes = b"GET") -> bytes:
    return b"%b %b HTTP/1.1\r\nHost: a\r\n%b\r\n" % (method, path, b"".join(line + b"\r\n" for line in lines))


def send(method: bytes, length: int, *lines: bytes) -> bytes:
    return get(b"/", b"Content-Length: %d" % length, *lines, method=method)


class Proxied(Conversation):
    """
    :param count: how many app servers the service ``default`` has.
    :param claims: the routes; everything to ``default`` if empty.
    :param wrap: puts a decorator around the proxy.

    :ivar apps: the app servers; `app` is the one that was asked last.
    """

    def __init__(
        self, count: int = 2, claims: tuple[Claim, ...] = (), max_body_bytes: int | None = None, wrap: Any = None
    ) -> None:
        super().__init__()
        self.roster = Roster(lambda: 0.5)
        self.roster.settle_static("default", [Endpoint("http", f"192.0.2.{n + 10}", 80) for n in range(count)], 0.0)
        self.instances = self.roster.instances("default")
        self.apps = [AppServer(self.clock, self.factory.wheel) for _ in range(count)]
        self.asked: list[AppServer] = []
        self.blamed: list[str] = []
        self.tunnels = Tunnels(self.factory.wheel, lambda: 0.5)
        self.roster.observe(self.tunnels.transition)
        forwarder = Forwarder(b"test", (), lambda: 1 << 64 | 2)
        self.routing = Routing(claims)
        self.proxy: Any = ReverseProxy(
            self.roster,
            self.routing,
            cast(Any, self),
            self.tunnels,
            forwarder,
            self.clock,
            lambda service: Traffic(RoundRobin(), max_body_bytes=max_body_bytes),
        )
        self.factory.wheel.every_tick(self.proxy.tick)
        self.roster.connect_failed = lambda instance, now: self.blamed.append(instance.id)  # type: ignore[method-assign]
        self._responder = self.proxy if wrap is None else wrap(self.proxy, self.clock)

    def respond(self, exchange: Any) -> None:
        self.seen.append(exchange)
        self._responder.respond(exchange)

    def pool(self, instance: Instance) -> Pool:
        """What the proxy asks its upstreams for."""
        app = self.apps[self.instances.index(instance)]
        self.asked.append(app)
        return app.pool

    @property
    def app(self) -> AppServer:
        return self.asked[-1]

    @property
    def other(self) -> AppServer:
        """Of two, the one that was not asked last."""
        return self.apps[1 - self.apps.index(self.app)]

    def wires(self) -> list[MemoryTransport]:
        """Every connection, the client's first."""
        return [self.wire, *(a.wire for app in self.apps for a in app.attempts if a.wire is not None)]

    def settle(self) -> None:
        before: Any = None
        while True:
            wires = self.wires()
            for wire in wires:
                wire.settle()
            now = [(len(w.sent), w.queued_bytes, w.loss, w.is_reading, w.has_shut) for w in wires]
            if now == before:
                return
            before = now

    def answers(self, *pieces: bytes, app: AppServer | None = None) -> None:
        """The app server that was asked last sends on its newest connection."""
        for piece in pieces:
            (app or self.app).says(piece)
            self.settle()

    def closes(self, reason: type[Exception] = ConnectionDone) -> None:
        """The app server that was asked last closes its newest connection."""
        self.settle()
        self.app.closes(reason)
        self.settle()

    def accepts(self) -> None:
        """The app server that was asked last accepts."""
        self.app.accepts()
        self.settle()

    def refuses(self, reason: str = "connect-refused", status: int = 502) -> None:
        """The app server that was asked last is not there."""
        self.app.attempts[-1].fail(reason, status)
        self.settle()

    @property
    def in_flight(self) -> list[int]:
        return [instance.in_flight for instance in self.instances]


class Received:
    """What came of one request on an app server's connection."""

    def __init__(self, head: Any) -> None:
        self.head = head
        self.body = b""
        self.is_complete = head.length == 0


def requests_on(wire: MemoryTransport) -> list[Received]:
    """Every request that the balancer has sent on this connection, the last one perhaps incomplete."""
    reader = RequestReader()
    reader.feed(bytes(wire.sent))
    found: list[Received] = []
    while True:
        try:
            head = reader.read_head()
        except ClientFault as fault:
            raise AssertionError(f"the balancer sent what it would refuse itself: {fault}") from fault
        if head is None:
            return found
        received = Received(head)
        found.append(received)
        while not received.is_complete:
            assert reader.decoder is not None
            piece = reader.read_body()
            received.body += piece
            received.is_complete = reader.decoder.is_complete
            if not piece and not received.is_complete and not reader.ready:
                return found


class Case(SynchronousTestCase):
    """Tests with a `Proxied`."""

    def ends(self, it: Proxied, *outcomes: tuple[int, str]) -> None:
        """Every exchange was reported once, and nothing is in flight."""
        it.settle()
        self.assertEqual([(status, reason) for _, status, reason in it.outcomes], list(outcomes))
        self.assertEqual(it.in_flight, [0] * len(it.apps))

    def warm(self, it: Proxied) -> None:
        """Each app server has one idle connection."""
        for _ in it.apps:
            it.says(GET)
            it.accepts()
            it.answers(HELLO)
        it.hears()
        it.outcomes.clear()
