"""
Both sides of a connection in memory, so that a test reads as a conversation: what one says, what the other hears.

`MemoryTransport` keeps the contract of `scalekit.net.transports`: what is written goes out as far as the peer takes it,
the rest waits; producers are paused and resumed; closing waits for the last byte; a loss is told in a later turn.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from scalekit.errors import Fault
from scalekit.net.deadlines import Timeouts
from scalekit.net.factory import HTTPFactory
from scalekit.net.transports import QUEUE_BYTES, READ_BYTES

#: The lines of an answer that differ from answer to answer.
_VARYING = re.compile(rb"(?:Date|X-Request-ID): [^\r]*\r\n")


class MemoryTransport:
    """
    :ivar room: how many bytes more the peer takes; None: any number.
    :ivar sent: what the peer has heard.
    :ivar unacknowledged: of what was sent, how many bytes have not arrived: the kernel has them.
    :ivar is_reading: whether the protocol wants to hear.
    :ivar has_shut: whether the protocol has closed its direction.
    :ivar loss: why the connection ended; None as long as it stands.
    """

    is_secure = False
    negotiated_protocol: str | None = None

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.protocol: Any = None
        self.sent = bytearray()
        self.room: int | None = None
        self.unacknowledged = 0
        self.is_reading = True
        self.has_shut = False
        self.loss: type[Exception] | None = None
        self.producer: Any = None
        self._queue = bytearray()
        self._inbox = bytearray()
        self._is_end_near = self._is_end_told = False
        self._is_paused = self._is_closing = self._is_shutting = self._is_aborting = False

    def connect(self, protocol: Any) -> None:
        self.protocol = protocol
        protocol.makeConnection(self)

    # What the protocol calls.

    def getPeer(self) -> IPv4Address:
        return IPv4Address("TCP", "192.0.2.7", 40000)

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "192.0.2.1", 2000)

    @property
    def queued_bytes(self) -> int:
        return len(self._queue)

    @property
    def untaken_bytes(self) -> int:
        return len(self._queue) + self.unacknowledged

    @property
    def unread_bytes(self) -> int:
        return len(self._inbox)

    def write(self, data: bytes) -> None:
        if self.loss is not None or self.has_shut or self._is_aborting:
            return
        self._queue += data
        self._flush()
        if len(self._queue) > QUEUE_BYTES and self.producer is not None:
            self._is_paused = True
            self.producer.pauseProducing()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming and self.producer is None
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def pauseProducing(self) -> None:
        self.is_reading = False

    def resumeProducing(self) -> None:
        if self.loss is None and not self._is_closing:
            self.is_reading = True

    def loseConnection(self) -> None:
        self.is_reading = False
        self._is_closing = True
        if self.has_shut:
            self.lose(ConnectionDone)

    def loseWriteConnection(self) -> None:
        self._is_shutting = True

    def abortConnection(self) -> None:
        self.is_reading = False
        self._is_aborting = True

    # What the peer does.

    def hear(self, data: bytes) -> None:
        """The peer sends; it arrives when the protocol reads."""
        self._inbox += data

    def end(self) -> None:
        """The peer closes its direction."""
        self._is_end_near = True

    def lose(self, reason: type[Exception] = ConnectionLost) -> None:
        """The connection ends."""
        if self.loss is None:
            self.loss = reason
            self.is_reading = False
            self.protocol.connectionLost(Failure(reason()))

    def settle(self) -> None:
        """Let everything happen that can happen without time going on."""
        for _ in range(1000):
            self._clock.advance(0)
            if self.loss is not None or not self._turn():
                return
        raise AssertionError("it never comes to rest")

    def _turn(self) -> bool:
        if self._is_aborting:
            self.lose(ConnectionAborted)
        elif self._inbox and self.is_reading:
            data = bytes(self._inbox[:READ_BYTES])
            del self._inbox[:READ_BYTES]
            self.protocol.dataReceived(data)
        elif self._is_end_near and not self._inbox and self.is_reading and not self._is_end_told:
            self._is_end_told = True
            if hasattr(self.protocol, "readConnectionLost"):
                self.protocol.readConnectionLost()
            else:
                self.lose(ConnectionDone)
        else:
            return self._flush_turn()
        return True

    def _flush(self) -> None:
        size = len(self._queue) if self.room is None else min(self.room, len(self._queue))
        self.sent += self._queue[:size]
        del self._queue[:size]
        if self.room is not None:
            self.room -= size

    def _flush_turn(self) -> bool:
        self._flush()
        if self._queue:
            return False
        if self.producer is not None and self._is_paused:
            self._is_paused = False
            self.producer.resumeProducing()
        elif self._is_closing:
            self.lose(ConnectionDone)
        elif self._is_shutting and not self.has_shut:
            self.has_shut = True
            self.protocol.writeConnectionLost()
        else:
            return False
        return True


class Seen:
    """
    One exchange as its responder sees it; also receives its body and observes its answer.

    :ivar events: in order: pieces of the body, ``"end"``, ``"pause"``, ``"resume"``, ``"aborted <reason>"``; of a
        tunnel ``"go away"``, too.
    """

    def __init__(self, exchange: Any) -> None:
        self.exchange = exchange
        self.events: list[Any] = []
        self.trailers: Any = None

    def data(self, piece: bytes) -> None:
        self.events.append(piece)

    def end(self, trailers: Any) -> None:
        self.trailers = trailers
        self.events.append("end")

    def go_away(self) -> None:
        self.events.append("go away")

    def aborted(self, fault: Any) -> None:
        self.events.append(f"aborted {fault.reason if isinstance(fault, Fault) else type(fault).__name__}")

    def pause(self) -> None:
        self.events.append("pause")

    def resume(self) -> None:
        self.events.append("resume")

    @property
    def body(self) -> bytes:
        """What has come of the body."""
        return b"".join(event for event in self.events if isinstance(event, bytes))


def take_body(seen: Seen) -> None:
    """For a responder that wants every body."""
    seen.exchange.receive(seen)


class Listener:
    """
    The server's side of a connection, in any HTTP version: our factory, and a responder that notes what it sees.

    :param then: what the responder does with each exchange, a `Seen`; nothing by default: the test answers.
    :param options: of the `HTTPFactory`.

    :ivar seen: every exchange so far.
    :ivar outcomes: what was reported: ``(target, status, reason)``.
    """

    def __init__(self, clock: Clock, then: Callable[[Any], object] | None, **options: Any) -> None:
        self.clock = clock
        self.seen: list[Any] = []
        self.outcomes: list[tuple[bytes, int, str]] = []
        self._then = then
        self.factory = HTTPFactory(self, clock, clock.seconds, b"t", outcomes=self._report, **options)
        self.factory.startFactory()

    def _accept(self, connection: Any) -> None:
        """A client connects, and this is what it talks to."""
        self.connection = connection
        self.wire = MemoryTransport(self.clock)
        self.wire.connect(connection)
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

    def says(self, *pieces: bytes) -> None:
        """The client sends, each piece in a packet of its own."""
        for piece in pieces:
            self.wire.hear(piece)
            self.settle()

    def takes(self, room: int | None) -> None:
        """The client reads so many bytes more, or everything."""
        self.wire.room = room
        self.settle()

    def waits(self, seconds: float) -> None:
        """Time goes on, in the wheel's ticks."""
        for _ in range(round(seconds / 0.25)):
            self.clock.advance(0.25)
            self.settle()

    def sent(self) -> bytes:
        """What the server has sent since the last time."""
        self.settle()
        sent = bytes(self.wire.sent[self._heard :])
        self._heard = len(self.wire.sent)
        return sent


class Conversation(Listener):
    """A client and a `ServerConnection`."""

    def __init__(self, then: Callable[[Any], object] | None = None, timeouts: Timeouts | None = None) -> None:
        super().__init__(Clock(), then, timeouts=timeouts)
        self.connect()

    def connect(self) -> None:
        """A new connection of the same client."""
        self._accept(self.factory.buildProtocol(None))

    def leaves(self) -> None:
        """The client closes its direction."""
        self.wire.end()
        self.settle()

    def hears(self) -> bytes:
        """What the client has got since it was last asked, without Date and request ids."""
        return _VARYING.sub(b"", self.sent())

    @property
    def is_over(self) -> bool:
        """Whether the connection has ended, orderly or not."""
        return self.wire.loss is not None

    @property
    def was_cut(self) -> bool:
        """Whether it was ended in a way that the client notices."""
        return self.wire.loss is ConnectionAborted
