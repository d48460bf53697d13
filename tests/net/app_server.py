"""The other side of `UpstreamConnection`: an app server in memory that says what the test lets it say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import UpstreamFault
from scalekit.net.connecting import CONNECT_SECONDS
from scalekit.net.deadlines import Wheel
from scalekit.net.pool import Pool
from scalekit.net.pooled import UpstreamTimeouts
from scalekit.net.upstream import UpstreamConnection
from tests.net.conversation import MemoryTransport

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"


class Attempt:
    """
    A connection that the pool wants opened.

    :ivar wire: when it stands.
    """

    def __init__(self, clock: Clock, protocol: UpstreamConnection, failed: Callable[[UpstreamFault], None]) -> None:
        self._clock = clock
        self._protocol = protocol
        self._failed = failed
        self.was_given_up = False
        self.wire: MemoryTransport | None = None
        self._deadline = clock.callLater(CONNECT_SECONDS, self.fail, "connect-timeout", 504)

    def succeed(self, speaks: str | None = None) -> MemoryTransport:
        """:param speaks: what ALPN agrees on."""
        self._stop()
        self.wire = MemoryTransport(self._clock)
        self.wire.negotiated_protocol = speaks
        self.wire.connect(self._protocol)
        self.wire.settle()
        return self.wire

    def fail(self, reason: str = "connect-refused", status: int = 502) -> None:
        self._stop()
        self._failed(UpstreamFault(status, reason, "Nobody there."))

    def give_up(self) -> None:
        self._stop()
        self.was_given_up = True

    def _stop(self) -> None:
        if self._deadline.active():
            self._deadline.cancel()


class AppServer:
    """
    :param clock: shared with whatever is tested.
    :ivar attempts: every connection that was asked for, in order.
    """

    def __init__(self, clock: Clock, wheel: Wheel, timeouts: UpstreamTimeouts | None = None) -> None:
        self.clock = clock
        self.attempts: list[Attempt] = []
        self.pool = Pool(self._open, wheel, timeouts or UpstreamTimeouts())
        self._heard: dict[MemoryTransport, int] = {}

    def _open(self, protocol: UpstreamConnection, failed: Callable[[UpstreamFault], None]) -> Callable[[], None]:
        attempt = Attempt(self.clock, protocol, failed)
        self.attempts.append(attempt)
        return attempt.give_up

    def accepts(self) -> MemoryTransport:
        """The last attempt succeeds."""
        return self.attempts[-1].succeed()

    @property
    def wire(self) -> MemoryTransport:
        """The newest connection."""
        wire = self.attempts[-1].wire
        assert wire is not None
        return wire

    def hears(self, wire: MemoryTransport | None = None) -> bytes:
        """What it has got since it was last asked, on this connection or the newest."""
        wire = wire or self.wire
        wire.settle()
        start = self._heard.get(wire, 0)
        self._heard[wire] = len(wire.sent)
        return bytes(wire.sent[start:])

    def says(self, *pieces: bytes, wire: MemoryTransport | None = None) -> None:
        wire = wire or self.wire
        for piece in pieces:
            wire.hear(piece)
            wire.settle()

    def closes(self, reason: type[Exception] = ConnectionDone, wire: MemoryTransport | None = None) -> None:
        wire = wire or self.wire
        wire.settle()
        wire.lose(reason)


class Receiver:
    """
    An `IAnswerReceiver` that notes what it is told.

    :ivar events: ``("answered", status, body)``, ``("began", status)``, pieces, ``"ended"``, ``("failed", reason)``.
    """

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.fault: Any = None
        self.head: Any = None
        self.trailers: Any = None

    def informed(self, status: int, fields: Any) -> None:
        self.events.append(("informed", status))

    def continued(self) -> None:
        self.events.append("continued")

    def answered(self, head: Any, body: bytes) -> None:
        self.head = head
        self.events.append(("answered", head.status, body))

    def began(self, head: Any) -> None:
        self.events.append(("began", head.status))

    def data(self, piece: bytes) -> None:
        self.events.append(piece)

    def ended(self, trailers: Any) -> None:
        self.trailers = trailers
        self.events.append("ended")

    def failed(self, fault: Any) -> None:
        self.fault = fault
        self.events.append(("failed", fault.reason))

    def hold(self) -> None:
        self.events.append("hold")

    def release(self) -> None:
        self.events.append("release")


class Case(SynchronousTestCase):
    """A test with an app server, and one connection to it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.wheel = Wheel(self.clock)
        self.wheel.start()
        self.app = AppServer(self.clock, self.wheel)
        self.connection = self.open()

    def open(self) -> UpstreamConnection:
        ready: list[UpstreamConnection] = []
        self.app.pool.open(ready.append, self.fail)
        self.app.accepts()
        return ready[0]

    def ask(
        self, connection: UpstreamConnection | None = None, method: bytes = b"GET", receiver: Receiver | None = None
    ) -> Receiver:
        receiver = receiver or Receiver()
        (connection or self.connection).send(GET, method, receiver)
        return receiver

    def upload(self, is_chunked: bool = False) -> Receiver:
        receiver = Receiver()
        self.connection.send(GET, b"PUT", receiver, True, is_chunked)
        return receiver

    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.25)):
            self.clock.advance(0.25)
            self.app.wire.settle()

    def assert_kept(self) -> None:
        self.assertEqual(self.app.pool.idle, [self.connection])
        again = self.app.pool.take()
        assert again is not None
        receiver = self.ask(again)
        self.app.says(OK + b"again")
        self.assertEqual(receiver.events, [("answered", 200, b"again")])

    def assert_closed(self) -> None:
        self.app.wire.settle()
        self.assertEqual(self.app.pool.idle, [])
        self.assertIsNotNone(self.app.wire.loss)
        self.assertEqual(repr(self.wheel), "<Wheel 0 waiting>")
