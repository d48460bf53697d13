"""A client's HTTP/2 session and an `H2Connection` in memory, so that a test reads as a conversation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock

from scalekit.http.h2.client_session import ClientSession
from scalekit.http.h2.limits import Limits
from scalekit.http.heads import ResponseHead
from scalekit.net.deadlines import Timeouts
from scalekit.net.h2_server import H2Connection
from tests.http.h2.frames import PREFACE, SETTINGS, frame, split
from tests.http.h2.recorder import Recorder
from tests.net.conversation import Listener, Seen

GET = [(b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a")]
HEAD = [(b":method", b"HEAD"), *GET[1:]]
POST = [(b":method", b"POST"), *GET[1:]]
OK = (b":status", b"200")


def head(status: int = 200, *fields: tuple[bytes, bytes], length: int | None = None) -> ResponseHead:
    return ResponseHead(status, list(fields), length)


def say_hello(seen: Seen) -> None:
    seen.exchange.answer(ResponseHead(200, [(b"Content-Type", b"text/plain")]), b"hello")


class H2Listener(Listener):
    """The server's side, and a client that sends frames made by hand."""

    def __init__(
        self,
        then: Callable[[Any], object] | None = None,
        timeouts: Timeouts | None = None,
        limits: Limits | None = None,
        is_trusted: bool = False,
    ) -> None:
        clock = Clock()
        clock.advance(1000)  # nothing may hang on what the clock says at first
        super().__init__(clock, then, timeouts=timeouts, h2=limits or Limits(), is_trusted=lambda client: is_trusted)
        self._accept(H2Connection(self.factory))

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
