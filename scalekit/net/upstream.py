"""
A connection to an app server: one request at a time, its answer as it comes.

Between requests it lies in its `Pool`.  Whatever arrives while it lies there, or after an answer, ends it: the framing
of that server is not to be trusted any more.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from scalekit.errors import Fault, UpstreamFault
from scalekit.http.heads import Fields, ResponseHead
from scalekit.http.reader import ResponseReader
from scalekit.http.responses import malformed
from scalekit.http.serializer import chunk, last_chunk
from scalekit.http.upgrade import Handshake
from scalekit.net.deadlines import FAR, TICK_SECONDS, Wheel
from scalekit.net.pooled import UNUSED, Pooled, UpstreamTimeouts
from scalekit.net.tunnel import UpstreamTunnel


@implementer(IPushProducer)
class UpstreamConnection(Pooled):
    """
    :param pool: where it goes back to after a complete exchange.

    :ivar is_reused: whether it has carried an exchange before the present one.
    :ivar has_answered: whether a byte of the present answer has arrived.
    :cvar takes_trailers: whether a request's trailers go through.
    :cvar was_refused: whether the app server has said that it did nothing of the present request.
    """

    takes_trailers = False
    was_refused = False

    def __init__(self, pool: Any, wheel: Wheel, timeouts: UpstreamTimeouts) -> None:
        self._pool = pool
        self._wheel = wheel
        self._timeouts = timeouts
        #: As `Wheel.arm` counts them.
        self._first_byte, self._idle = timeouts.first_byte + TICK_SECONDS, timeouts.idle + TICK_SECONDS
        self._reader = ResponseReader()
        self._receiver: Any = None
        self._method = b""
        self._has_head = False
        self._is_sending = False
        self._is_chunked = False
        self._is_closed = False
        self._is_paused = False
        self._handshake: Handshake | None = None
        self._tunnel: UpstreamTunnel | None = None
        self.deadline = self.scheduled = FAR
        self.is_reused = False
        self.has_answered = False
        # The last attributes that it gets: Python finds all of them faster if the first instances have them at once.
        self.transport = None
        self.connected = 0

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, True)
        self._pool.connected(self)

    # The request.

    def send(
        self,
        head: bytes,
        method: bytes,
        receiver: Any,
        has_body: bool = False,
        is_chunked: bool = False,
        handshake: Handshake | None = None,
    ) -> None:
        """
        Send a request's head; its answer goes to the `IAnswerReceiver`.

        :param has_body: whether `write` and `finish` follow.
        :param is_chunked: whether that body is to be sent in chunks.
        :param handshake: what the head asks for by Upgrade.
        """
        self._receiver = receiver
        self._method = method
        self._handshake = handshake
        self._has_head = self.has_answered = self._is_paused = False
        self._is_sending = has_body
        self._is_chunked = is_chunked
        # With a body the answer is awaited from the body's end on; until then the client's pace counts.
        if has_body:
            self.deadline = FAR
        else:
            # What `Wheel.arm` does, without a call where the connection need not be moved in it: nearly always.
            self.deadline = deadline = self._wheel.now + self._first_byte
            if deadline < self.scheduled:
                self._wheel.arm(self, self._timeouts.first_byte)
        self.transport.write(head)

    def write(self, piece: bytes) -> None:
        """Send a piece of the body."""
        if self._receiver is not None and self._is_sending:
            self.transport.write(chunk(piece) if self._is_chunked else piece)
        elif self._tunnel is not None:
            self._tunnel.write(piece)

    def finish(self, trailers: Fields) -> None:
        """The body is complete; or, of a tunnel, our direction."""
        if self._receiver is not None and self._is_sending:
            self._is_sending = False
            if self._is_chunked:
                self.transport.write(last_chunk(trailers))
            if not self._has_head:
                self._wheel.arm(self, self._timeouts.first_byte)
        elif self._tunnel is not None:
            self._tunnel.finish()

    @property
    def idle_seconds(self) -> float:
        """How long it has been lying in its pool."""
        # From the deadline that was armed then: a busy connection pays nothing for it.
        return self._wheel.now + self._timeouts.idle + TICK_SECONDS - self.deadline

    def cancel(self) -> None:
        """Nobody wants the answer any more; the receiver hears nothing."""
        self._receiver = None
        if self._tunnel is not None:
            self._tunnel.cut()
        else:
            self.close()

    # The answer.

    def dataReceived(self, data: bytes) -> None:
        receiver = self._receiver
        if receiver is None:
            self.close()
            return
        self.has_answered = True
        reader = self._reader
        try:
            if self._has_head:
                reader.feed(data)
                self._body(receiver)
                return
            # One step instead of five: 3 % of what a small answer costs outside the kernel.
            whole = reader.read_whole(data, self._method)
            if whole is None:
                reader.feed(data)
                self._head(receiver)
                return
            self._done()
            receiver.answered(*whole)
        except Fault as fault:
            self._fail(fault)

    def _head(self, receiver: Any) -> None:
        reader = self._reader
        head = reader.read_head(self._method)
        while head is not None and head.status < 200:
            if head.status == 101:
                self._switch(receiver, head)
                return
            if head.status == 100:
                receiver.continued()
            else:
                receiver.informed(head.status, head.fields)
            if self._receiver is not receiver:
                return
            head = reader.read_head(self._method)
        if head is None:
            return
        self._has_head = True
        decoder = reader.decoder
        if decoder is None:
            self._done()
            receiver.answered(head, b"")
            return
        piece = reader.read_body()
        if decoder.is_complete and not decoder.trailers:
            self._done()
            receiver.answered(head, piece)
            return
        self._wheel.arm(self, self._timeouts.read)
        receiver.began(head)
        if self._receiver is not receiver:
            return
        if piece:
            receiver.data(piece)
        if decoder.is_complete and self._receiver is receiver:
            self._done()
            receiver.ended(decoder.trailers)

    def _switch(self, receiver: Any, head: ResponseHead) -> None:
        """Leave the transport to a tunnel, with what has come since the head of its 101."""
        if self._handshake is None:
            raise malformed("it switches protocols without having been asked.")
        self._handshake.check(head)
        self._receiver = None
        self._wheel.forget(self)
        tunnel = self._tunnel = UpstreamTunnel(
            self.transport, self._wheel, self._timeouts.tunnel_idle, receiver, self._reader.ready
        )
        receiver.switched(head)
        tunnel.begin()

    def _body(self, receiver: Any) -> None:
        reader = self._reader
        piece = reader.read_body()
        decoder = reader.decoder
        assert decoder is not None
        if decoder.is_complete:
            # Look for bytes too many before the last piece goes out: they spoil the whole answer.
            if reader.ready:
                raise malformed("bytes follow it.")
            if piece:
                receiver.data(piece)
            if self._receiver is receiver:
                self._done()
                receiver.ended(decoder.trailers)
            return
        if not self._is_paused:
            self._wheel.arm(self, self._timeouts.read)
        if piece:
            receiver.data(piece)

    def _done(self) -> None:
        """The answer is complete: take leave of the receiver, and back to the pool."""
        reader = self._reader
        if reader.ready:
            raise malformed("bytes follow it.")
        self._receiver = None
        reader.decoder = None
        if self._is_paused:
            self._is_paused = False
            self.transport.resumeProducing()
        if reader.is_reusable and not self._is_sending and not self._is_closed:
            self.is_reused = True
            self.deadline = deadline = self._wheel.now + self._idle
            if deadline < self.scheduled:
                self._wheel.arm(self, self._timeouts.idle)
            self._pool.give_back(self)
        else:
            self.close()

    # Back-pressure.

    def pause(self) -> None:
        """Read no more of the answer until `resume`."""
        if self._receiver is not None and not self._is_paused:
            self._is_paused = True
            self.deadline = FAR
            self.transport.pauseProducing()
        elif self._tunnel is not None:
            self._tunnel.pause()

    def resume(self) -> None:
        """Read on."""
        if self._receiver is not None and self._is_paused:
            self._is_paused = False
            self._wheel.arm(self, self._timeouts.read)
            self.transport.resumeProducing()
        elif self._tunnel is not None:
            self._tunnel.resume()

    def pauseProducing(self) -> None:
        if self._receiver is not None:
            # A server that waits for us to take its answer need not take the request meanwhile.
            if not self._is_paused:
                self._wheel.arm(self, self._timeouts.read)
            self._receiver.hold()

    def resumeProducing(self) -> None:
        if self._receiver is not None:
            if self._has_head:
                if not self._is_paused:
                    self._wheel.arm(self, self._timeouts.read)
            elif self._is_sending:
                self.deadline = FAR
            else:
                self._wheel.arm(self, self._timeouts.first_byte)
            self._receiver.release()

    def stopProducing(self) -> None:
        pass

    # Its end.

    def deadline_passed(self) -> None:
        """The armed time is over."""
        if self._receiver is None:
            self.retire()
        elif self._has_head:
            self._fail(UpstreamFault(504, "answer-stalled", "The app server stopped in the middle of its answer."))
        elif self._is_sending:
            self._fail(UpstreamFault(504, "body-stalled", "The app server took nothing of the request for too long."))
        else:
            self._fail(UpstreamFault(504, "answer-timeout", "The app server did not answer in time."))

    def retire(self) -> None:
        """End an idle connection, orderly: the app server need not log a reset."""
        if self.transport.queued_bytes:
            # Of a request that was answered early: nobody says when the rest would be taken.
            self.close()
            return
        self._leave_pool()
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def _fail(self, fault: Fault) -> None:
        receiver, self._receiver = self._receiver, None
        self.close()
        if receiver is not None:
            receiver.failed(fault)

    def connectionLost(self, reason: Failure | None = None) -> None:
        self._leave_pool()
        receiver, self._receiver = self._receiver, None
        if receiver is None:
            return
        if not self._has_head:
            receiver.failed(
                UpstreamFault(502, "malformed-answer", "The app server closed the connection inside its answer's head.")
                if self.has_answered
                else UNUSED
            )
            return
        try:
            if reason is None or not reason.check(ConnectionDone):
                raise UpstreamFault(502, "answer-cut", "The connection to the app server broke in its answer.")
            trailers = self._reader.end_of_stream()
        except UpstreamFault as fault:
            receiver.failed(fault)
        else:
            receiver.ended(trailers)

    def __repr__(self) -> str:
        if self._tunnel is not None:
            return f"<UpstreamConnection {self._tunnel!r}>"
        state = "closed" if self._is_closed else "idle" if self._receiver is None else "busy"
        return f"<UpstreamConnection {state}{' reused' if self.is_reused else ''}>"
