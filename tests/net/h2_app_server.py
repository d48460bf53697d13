"""An app server in memory that speaks HTTP/2, by a server's session of our own."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.http.h2.owner import FieldList
from scalekit.http.h2.session import ServerSession
from scalekit.net.deadlines import Wheel
from scalekit.net.h2_stream import H2Stream
from scalekit.net.pooled import UpstreamTimeouts
from scalekit.net.shared_pool import SharedPool, Wish
from tests.http.h2.recorder import Recorder
from tests.net.app_server import AppServer, Attempt, Receiver
from tests.net.conversation import MemoryTransport

OK = [(b":status", b"200")]
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


class Peer(Recorder):
    """
    The app server's end of one connection.

    :ivar takes: whether bodies are taken as they come; else `take_body` takes.
    :ivar bodies: what has come, by stream.
    """

    def __init__(self, wire: MemoryTransport, streams: int) -> None:
        super().__init__()
        self.wire = wire
        self.session = ServerSession(self, streams)
        self.takes = True
        self.bodies: dict[int, bytes] = {}
        self._waiting: dict[int, int] = {}
        self._heard = 0

    def data(self, stream: int, piece: bytes, has_ended: bool) -> None:
        super().data(stream, piece, has_ended)
        self.bodies[stream] = self.bodies.get(stream, b"") + piece
        if self.takes:
            self.session.acknowledge(stream, len(piece))
        else:
            self._waiting[stream] = self._waiting.get(stream, 0) + len(piece)

    def take_body(self, stream: int) -> None:
        """Take what has come of this stream."""
        self.session.acknowledge(stream, self._waiting.pop(stream))
        self.talk()

    def talk(self) -> None:
        """Carry bytes until nobody has any."""
        while True:
            self.wire.settle()
            new = bytes(self.wire.sent[self._heard :])
            self._heard += len(new)
            if new:
                self.session.receive(new)
            out = self.session.output(1 << 20)
            if out:
                self.wire.hear(out)
            if not new and not out:
                return

    def hears(self) -> list[tuple[Any, ...]]:
        """What it was told since the last time."""
        self.talk()
        return self.take()

    def answers(self, stream: int, body: bytes = b"", fields: FieldList = ()) -> None:
        """A whole answer."""
        self.talk()
        self.session.respond(stream, [*OK, *fields], not body)
        if body:
            self.session.send_data(stream, body, True)
        self.talk()

    def begins(self, stream: int, *pieces: bytes, fields: FieldList = ()) -> None:
        """The head of an answer, and pieces of its body."""
        self.talk()
        self.session.respond(stream, [*OK, *fields], False)
        for piece in pieces:
            self.session.send_data(stream, piece)
        self.talk()

    def sends(self, stream: int, piece: bytes, has_ended: bool = False) -> None:
        self.session.send_data(stream, piece, has_ended)
        self.talk()


class H2AppServer(AppServer):
    """
    :param streams: how many a connection takes.
    :param knows_http2: whether it is ``h2c``.

    :ivar old_attempts: connections that will speak HTTP/1.1.
    :ivar wish: what it has asked for.
    """

    def __init__(
        self,
        clock: Clock,
        wheel: Wheel,
        timeouts: UpstreamTimeouts | None = None,
        streams: int = 100,
        knows_http2: bool = True,
        wish: Wish | None = None,
    ) -> None:
        super().__init__(clock, wheel, timeouts)
        self.streams = streams
        self.wish = wish or Wish()
        self.old_attempts: list[Attempt] = []
        self.peers: list[Peer] = []
        self.shared = self.pool = SharedPool(
            self._open,
            wheel,
            timeouts or UpstreamTimeouts(),
            lambda callback: clock.callLater(0, callback),
            None if knows_http2 else self._open_old,
            self.wish,
        )

    def _open_old(self, protocol: Any, failed: Any) -> Any:
        give_up = self._open(protocol, failed)
        self.old_attempts.append(self.attempts[-1])
        return give_up

    @property
    def peer(self) -> Peer:
        """Its end of the newest connection."""
        return self.peers[-1]

    def meets(self, attempt: Attempt | None = None, take: bool = True) -> Peer:
        """
        The last attempt succeeds, or this one, and it speaks HTTP/2.

        :param take: whether what it hears at once is forgotten.
        """
        wire = (attempt or self.attempts[-1]).succeed("h2")
        peer = Peer(wire, self.streams)
        self.peers.append(peer)
        peer.talk()
        if take:
            peer.take()
        return peer


class Asked(Receiver):
    """
    A request on its way, and what comes of it.

    :ivar stream: what carries it; None as long as it waits.
    """

    def __init__(self, app: H2AppServer, head: bytes = GET, body: bytes | None = None, streams: bool = False) -> None:
        """
        :param body: of the request, whole.
        :param streams: whether the test sends the body, by `stream`.
        """
        super().__init__()
        self.stream: Any = None
        self._head = head
        self._body = body
        self._streams = streams
        stream = app.shared.take()
        self.give_up: Any = None
        if stream is not None:
            self.go(stream)
        else:
            self.give_up = app.shared.open(self.go, self.failed)

    def go(self, stream: H2Stream) -> None:
        self.stream = stream
        stream.send(self._head, self._head.partition(b" ")[0], self, self._streams or self._body is not None, True)
        if self._body is not None:
            stream.write(self._body)
            stream.finish([])


class Case(SynchronousTestCase):
    """A test with an app server that speaks HTTP/2, and what talks to it."""

    timeouts = UpstreamTimeouts()
    streams = 100

    def setUp(self) -> None:
        self.clock = Clock()
        self.wheel = Wheel(self.clock)
        self.wheel.start()
        self.app = H2AppServer(self.clock, self.wheel, self.timeouts, self.streams)

    def connect(self) -> Peer:
        """A connection that stands and has carried one request."""
        asked = Asked(self.app)
        peer = self.app.meets()
        peer.answers(1)
        self.assertEqual(asked.events, [("answered", 200, b"")])
        peer.take()
        return peer

    def waits(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.25)):
            self.clock.advance(0.25)
            for peer in self.app.peers:
                peer.talk()

    def check(self, asked: Asked, *events: Any) -> None:
        self.assertEqual(asked.events, list(events))
        asked.events.clear()

    def body_of(self, asked: Asked) -> bytes:
        return b"".join(event for event in asked.events if isinstance(event, bytes))
