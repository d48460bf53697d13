"""
`H2Stream`: one request to an app server on a shared HTTP/2 connection, and its answer as it comes.

For whoever sends a request it is what `scalekit.net.upstream.UpstreamConnection` is: the same calls, the same faults.

==============  ==========================================  ====================================================
deadline        from                                        until
==============  ==========================================  ====================================================
first byte      the whole request is handed over            the answer's head
read            the head, a piece of either body            the next; none while we do not want to read
read            too much of the body waits                  the app server takes some of it
tunnel idle     instead of read, once it is a tunnel
==============  ==========================================  ====================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.logger import Logger

from scalekit.errors import Fault, OurFault, UpstreamFault
from scalekit.http.h2.answers import answer_head, interim_head
from scalekit.http.h2.outgoing import connect_fields, request_fields, trailer_list
from scalekit.http.h2.owner import ErrorCode, FieldList
from scalekit.http.h2.requests import Malformed, trailer_fields
from scalekit.http.heads import Fields, ResponseHead
from scalekit.http.responses import malformed
from scalekit.http.upgrade import Handshake
from scalekit.net.deadlines import FAR, Wheel
from scalekit.net.pooled import UpstreamTimeouts
from scalekit.net.tunnel import HALF_CLOSED_SECONDS

if TYPE_CHECKING:
    from scalekit.net.h2_upstream import H2Upstream

#: What may wait of a request's body for the app server's window: more, and the client is held back; at a half of it
#: there is room again.
STREAM_QUEUE = 64 * 1024

REFUSED = UpstreamFault(502, "stream-refused", "The app server did not take the request.")
HTTP_1_REQUIRED = UpstreamFault(502, "http-1-required", "The app server wants HTTP/1.1 for this.")

_log = Logger()


class H2Stream:
    """
    `new_stream` makes it.

    :ivar is_reused: whether the connection has carried an exchange before this one.
    :ivar has_answered: whether something of the answer has arrived.
    :ivar was_refused: whether the app server has said that it did nothing of the request (RFC 9113 section 8.7).
    """

    __slots__ = (
        "_connection",
        "_handshake",
        "_has_head",
        "_has_peer_ended",
        "_head",
        "_is_held",
        "_is_paused",
        "_is_sending",
        "_is_tunnel",
        "_pause_seconds",
        "_pieces",
        "_queued",
        "_receiver",
        "_stream",
        "_timeouts",
        "_unacknowledged",
        "_was_reset",
        "_wheel",
        "deadline",
        "has_answered",
        "is_reused",
        "scheduled",
        "was_refused",
    )

    #: Trailers of a request go through.
    takes_trailers = True

    _connection: H2Upstream
    _wheel: Wheel
    _timeouts: UpstreamTimeouts
    _receiver: Any
    _stream: int
    _has_head: bool
    _is_sending: bool
    _is_paused: bool
    _is_held: bool
    _was_reset: bool
    _handshake: Handshake | None
    _is_tunnel: bool
    _has_peer_ended: bool
    #: The longest between two pieces.
    _pause_seconds: float
    #: Kept until this turn is over: the answer may turn out to be whole.
    _head: ResponseHead | None
    _pieces: list[bytes]
    _unacknowledged: int
    _queued: int
    deadline: float
    scheduled: float
    is_reused: bool
    has_answered: bool
    was_refused: bool

    # The request.

    @property
    def takes_tunnels(self) -> bool:
        """Whether it may be sent with a handshake."""
        return self._connection.takes_tunnels

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

        :param head: as HTTP/1.1 would have it, see `scalekit.http.h2.outgoing`.
        :param has_body: whether `write` and `finish` follow; how it would be framed in HTTP/1.1 does not matter.
        :param handshake: what the head asks for by Upgrade.
        """
        connection = self._connection
        self._receiver = receiver
        self._is_sending = has_body or handshake is not None
        self._handshake = handshake
        fields = request_fields(head, connection.scheme)
        if handshake is not None:
            fields = connect_fields(fields)
        self._stream = connection.open(self, fields, not self._is_sending)
        if not self._stream:
            self._is_sending = False
            connection.soon(self._refuse)
        elif not has_body:
            # A handshake is whole, too: nothing follows before its answer.
            self._wheel.arm(self, self._timeouts.first_byte)

    def write(self, piece: bytes) -> None:
        """Send a piece of the body."""
        if self._receiver is None or not self._is_sending:
            return
        connection = self._connection
        connection.session.send_data(self._stream, piece)
        connection.flush_soon()
        if self._has_head and not self._is_paused:
            self._wheel.arm(self, self._pause_seconds)
        if not self._is_held:
            self._queued = connection.session.queued(self._stream)
            if self._queued > STREAM_QUEUE:
                self._is_held = True
                connection.held.add(self)
                if not self._is_paused:
                    self._wheel.arm(self, self._pause_seconds)
                self._receiver.hold()

    def finish(self, trailers: Fields) -> None:
        """The body is complete."""
        if self._receiver is not None and self._is_sending:
            self._is_sending = False
            self._connection.session.end(self._stream, trailer_list(trailers))
            self._connection.flush_soon()
            if not self._has_head:
                self._wheel.arm(self, self._timeouts.first_byte)
            elif self._has_peer_ended:
                self._leave()
            elif self._is_tunnel:
                self._expect_end()

    def cancel(self) -> None:
        """Nobody wants the answer any more; the receiver hears nothing."""
        if self._receiver is not None:
            self._leave()
            self._connection.reset_stream(self._stream, ErrorCode.CANCEL)

    # Back-pressure.

    def drained(self) -> None:
        """Something of what waited may have been sent; called by the connection while the receiver is held."""
        queued = self._connection.session.queued(self._stream)
        if queued <= STREAM_QUEUE // 2:
            self._is_held = False
            self._connection.held.discard(self)
            if self._has_head:
                if not self._is_paused:
                    self._wheel.arm(self, self._pause_seconds)
            elif self._is_sending:
                self._wheel.disarm(self)
            else:
                self._wheel.arm(self, self._timeouts.first_byte)
            self._receiver.release()
        elif queued < self._queued and not self._is_paused:
            self._wheel.arm(self, self._pause_seconds)
        self._queued = queued

    def pause(self) -> None:
        """Take no more of the answer until `resume`, beyond what the app server may have sent already."""
        if self._receiver is not None and not self._is_paused:
            self._is_paused = True
            self._wheel.disarm(self)

    def resume(self) -> None:
        """Go on."""
        if self._receiver is not None and self._is_paused:
            self._is_paused = False
            self._wheel.arm(self, self._pause_seconds)
            self._acknowledge()

    def _acknowledge(self) -> None:
        size, self._unacknowledged = self._unacknowledged, 0
        if size:
            self._connection.acknowledge(self._stream, size)

    # The answer, as the connection tells of it.

    def informed(self, fields: FieldList) -> None:
        """An interim answer."""
        if self._receiver is None:
            return
        self.has_answered = True
        status, kept = interim_head(fields)
        if status == 100:
            self._receiver.continued()
        else:
            self._receiver.informed(status, kept)

    def answered(self, fields: FieldList, has_ended: bool) -> None:
        """The answer's head."""
        receiver = self._receiver
        if receiver is None:
            return
        self.has_answered = True
        head = answer_head(fields)
        self._has_head = True
        if self._handshake is not None and head.status < 300:
            self._switch(head, self._handshake)
            if has_ended:
                self._half_close()
        elif has_ended:
            self._answer(head, b"")
        else:
            self._head = head
            self._connection.begun.append(self)

    def data(self, piece: bytes, has_ended: bool) -> None:
        """A piece of the body."""
        self._unacknowledged += len(piece)
        receiver = self._receiver
        if receiver is None:
            self._acknowledge()
            return
        if self._head is not None:
            self._pieces.append(piece)
            if has_ended:
                self._answer(self._head, b"".join(self._pieces))
            return
        if piece:
            if not self._is_paused:
                self._wheel.arm(self, self._pause_seconds)
            receiver.data(piece)
            if not self._is_paused:
                self._acknowledge()
        if has_ended and self._receiver is receiver:
            if self._is_tunnel:
                self._half_close()
            else:
                self._complete()
                receiver.ended([])

    def _switch(self, head: ResponseHead, handshake: Handshake) -> None:
        """It is a tunnel now (RFC 8441 section 5)."""
        self._is_tunnel = True
        self._pause_seconds = self._timeouts.tunnel_idle
        self._wheel.arm(self, self._pause_seconds)
        # To clients of HTTP/1.1 the answer to their key is due; HTTP/2 has none.
        head.fields.append((b"Sec-WebSocket-Accept", handshake.accept))
        self._receiver.switched(head)

    def _half_close(self) -> None:
        """The app server's direction of a tunnel has ended."""
        receiver = self._receiver
        if receiver is not None:
            self._has_peer_ended = True
            receiver.ended([])
            if not self._is_sending:
                self._leave()
            elif self._receiver is receiver:
                self._expect_end()

    def _expect_end(self) -> None:
        """One direction of a tunnel has ended: the other should soon."""
        self._pause_seconds = min(self._pause_seconds, HALF_CLOSED_SECONDS)
        if not self._is_paused:
            self._wheel.arm(self, self._pause_seconds)

    def trailers(self, fields: FieldList) -> None:
        """The end of the body."""
        self.tell()
        receiver = self._receiver
        if receiver is None:
            return
        if self._is_tunnel:
            raise malformed("a tunnel has no trailers.")
        try:
            trailers = trailer_fields(fields)
        except Malformed as fault:
            raise malformed(fault.detail) from None
        self._complete()
        receiver.ended(trailers)

    def tell(self) -> None:
        """The answer is not whole yet: begin with what is there."""
        receiver, head = self._receiver, self._head
        if receiver is None or head is None:
            return
        if not self._is_paused:
            self._wheel.arm(self, self._pause_seconds)
        pieces, self._head, self._pieces = self._pieces, None, []
        receiver.began(head)
        for piece in pieces:
            if self._receiver is receiver and piece:
                receiver.data(piece)
        if not self._is_paused:
            self._acknowledge()

    def _answer(self, head: ResponseHead, body: bytes) -> None:
        """The answer is whole: it goes on its way before anything else is done."""
        receiver, self._receiver = self._receiver, None
        try:
            receiver.answered(head, body)
        finally:
            self._complete()

    def _complete(self) -> None:
        """The answer has ended."""
        is_sending = self._is_sending
        self._leave()
        if is_sending:
            # The rest of the body is of no use to anybody (RFC 9113 section 8.1).
            self._connection.reset_stream(self._stream, ErrorCode.CANCEL)

    # Its end.

    def _leave(self) -> None:
        """Take leave of the receiver."""
        self._receiver = self._head = None
        self._pieces = []
        self._is_sending = self._is_paused = False
        self._wheel.forget(self)
        self._connection.held.discard(self)
        self._acknowledge()

    def _refuse(self) -> None:
        self.was_refused = True
        self.fail(REFUSED)

    def reset(self) -> None:
        """The app server has reset it; `closed` follows."""
        self._was_reset = True

    def closed(self, code: int) -> None:
        """It is over, whether or not the answer is complete."""
        if self._receiver is None:
            return
        if code == ErrorCode.REFUSED_STREAM and not self.has_answered:
            self._refuse()
        elif code == ErrorCode.HTTP_1_1_REQUIRED and self._was_reset and not self.has_answered:
            # It is as good as refused (RFC 9113 section 7): nothing was done, and elsewhere it will be.
            self.was_refused = self._connection.wants_http_1()
            self.fail(HTTP_1_REQUIRED)
        elif code and not self._was_reset:
            # libnghttp2 has reset it, for what the app server has sent.
            self.fail(malformed("it breaks a rule of HTTP/2."))
        else:
            self.fail(UpstreamFault(502, "stream-reset", f"The app server reset the stream with code {code}."))

    def broke(self, why: Exception) -> None:
        """The answer is not to be taken, or whoever takes it has raised."""
        if not isinstance(why, Fault):
            _log.failure("the receiver of an answer failed")
            why = OurFault(500, "internal-error", "Something went wrong here; the log has more.")
        self._connection.reset_stream(self._stream, ErrorCode.CANCEL)
        self.fail(why)

    def deadline_passed(self) -> None:
        """The armed time is over."""
        if self._receiver is None:
            return
        if self._is_tunnel:
            fault = UpstreamFault(504, "tunnel-idle", "Nothing has come through the tunnel for too long.")
        elif self._has_head:
            fault = UpstreamFault(504, "answer-stalled", "The app server stopped in the middle of its answer.")
        elif self._is_held or self._is_sending:
            fault = UpstreamFault(504, "body-stalled", "The app server took nothing of the request for too long.")
        else:
            fault = UpstreamFault(504, "answer-timeout", "The app server did not answer in time.")
        self._connection.reset_stream(self._stream, ErrorCode.CANCEL)
        self.fail(fault)

    def fail(self, fault: Fault) -> None:
        """No complete answer will come."""
        receiver = self._receiver
        if receiver is not None:
            self._leave()
            receiver.failed(fault)

    def __repr__(self) -> str:
        state = "over" if self._receiver is None else "answering" if self._has_head else "waiting"
        return f"<H2Stream {self._stream} {state}>"


_new = object.__new__


def new_stream(connection: H2Upstream, wheel: Wheel, timeouts: UpstreamTimeouts) -> H2Stream:
    """A stream that begins.  Not its class' constructor: the call of one costs as much as all that it stores."""
    it = _new(H2Stream)
    it._connection = connection
    it._wheel = wheel
    it._timeouts = timeouts
    it._receiver = it._handshake = it._head = None
    it._has_head = it._is_sending = it._is_paused = it._is_held = it._was_reset = False
    it._is_tunnel = it._has_peer_ended = it.has_answered = it.was_refused = False
    it._pause_seconds = timeouts.read
    it._pieces = []
    it._stream = it._unacknowledged = it._queued = 0
    it.deadline = it.scheduled = FAR
    it.is_reused = connection.was_used
    return it
