"""A client's HTTP/2 session and an `H2Connection` in memory, so that a test reads as a conversation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock

from scalekit.http.h2.limits import Limits
from scalekit.http.h2.session import ClientSession
from scalekit.net.deadlines import Timeouts
from scalekit.net.factory import HTTPFactory
from scalekit.net.h2_server import H2Connection
from tests.http.h2.frames import PREFACE, SETTINGS, frame, split
from tests.http.h2.recorder import Recorder
from tests.net.conversation import MemoryTransport, Seen

GET = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a")]
POST = [(b":method", b"POST"), *GET[1:]]


class H2Listener:
    """
    The server's side, and a client that sends frames made by hand.

    :param then: what the responder does with each exchange, a `Seen`; nothing by default: the test answers.

    :ivar seen: every exchange so far.
    :ivar outcomes: what was reported: ``(target, status, reason)``.
    """

    def __init__(
        self,
        then: Callable[[Any], object] | None = None,
        timeouts: Timeouts | None = None,
        limits: Limits | None = None,
        is_trusted: bool = False,
    ) -> None:
        self.clock = Clock()
        self.clock.advance(1000)  # nothing may hang on what the clock says at first
        self.seen: list[Any] = []
        self.outcomes: list[tuple[bytes, int, str]] = []
        self._then = then
        self.factory = HTTPFactory(
            self,
            self.clock,
            self.clock.seconds,
            b"t",
            timeouts=timeouts,
            outcomes=self._report,
            h2=limits or Limits(),
            is_trusted=lambda client: is_trusted,
        )
        self.factory.startFactory()
        self.connection = H2Connection(self.factory)
        self.wire = MemoryTransport(self.clock)
        self.wire.connect(self.connection)
        self._heard = 0

    def respond(self, exchange: Any) -> None:
        seen = Seen(exchange)
        self.seen.append(seen)
        exchange.observe(seen)
        if self._then is not None:
            self._then(seen)

    def _report(self, exchange: Any, seconds: float) -> None:
        self.outcomes.append((exchange.head.target, exchange.record.status, exchange.record.reason))

    def settle(self) -> None:
        """Let everything happen that can happen without time going on."""
        self.wire.settle()

    def says(self, data: bytes) -> None:
        """The client sends bytes."""
        self.wire.hear(data)
        self.settle()

    def waits(self, seconds: float) -> None:
        """Time goes on, in the wheel's ticks."""
        for _ in range(round(seconds / 0.25)):
            self.clock.advance(0.25)
            self.settle()

    def takes(self, room: int | None) -> None:
        """The client reads so many bytes more, or everything."""
        self.wire.room = room
        self.settle()

    def sent(self) -> bytes:
        """What the server has sent since the last time."""
        self.settle()
        sent = bytes(self.wire.sent[self._heard :])
        self._heard = len(self.wire.sent)
        return sent

    def greets(self) -> None:
        """The client's preface, by hand."""
        self.says(PREFACE + frame(SETTINGS))
        self.sent()

    def frames(self) -> list[tuple[int, int, int, bytes]]:
        """The frames that the server has sent since the last time."""
        return split(self.sent())

    @property
    def is_over(self) -> bool:
        """Whether the connection has ended, or our direction of it."""
        return self.wire.loss is not None or self.wire.has_shut


class H2Conversation(H2Listener):
    """The same with a client that knows HTTP/2."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.told = Recorder()
        self.client = ClientSession(self.told, 1000)
        self.talk()

    def talk(self) -> None:
        """Carry bytes both ways until nobody has any."""
        while True:
            up = self.client.output(1 << 20)
            if up:
                self.says(up)
            down = self.sent()
            if down:
                self.client.receive(down)
            if not up and not down:
                return

    def asks(self, *fields: tuple[bytes, bytes], start: Any = GET, body: bytes | None = None, ends: bool = True) -> int:
        """A request; its stream."""
        stream = self.client.request([*start, *fields], body is None and ends)
        if body:
            self.client.send_data(stream, body, ends)
        self.talk()
        return stream

    def hears(self) -> list[tuple[Any, ...]]:
        """What the client was told since the last time, without dates and request ids."""
        self.talk()
        events = []
        for event in self.told.take():
            if event[0] in ("answered", "informed"):
                fields = [field for field in event[2] if field[0] not in (b"date", b"x-request-id")]
                event = (*event[:2], fields, *event[3:])
            events.append(event)
        return events
