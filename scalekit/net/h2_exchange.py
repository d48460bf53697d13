"""
`H2Exchange`: one stream of an HTTP/2 connection (RFC 9113 section 8.1), as an `IExchange`.

It keeps the state of its request's body and of its answer; its connection (`h2_server`) has the session, the deadlines
and the budgets.  Bytes of a body are acknowledged to the client, which may send as many more then, when the receiver
has taken them and does not ask for a pause.  Once it is over it has no connection, and every call is without effect.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

from zope.interface import implementer

from scalekit.errors import ClientFault, OurFault
from scalekit.http.h2.owner import ErrorCode
from scalekit.http.h2.responses import plain_fields, response_fields
from scalekit.http.heads import Amend, Client, Fields, Outcome, RequestHead
from scalekit.interfaces import IExchange
from scalekit.net.answering import NOWHERE, Answering

if TYPE_CHECKING:
    from scalekit.net.h2_server import H2Connection

#: Of an answer's body, that waits for the client's window: more, and its source is paused.  nghttpx has 64 KiB too.
STREAM_QUEUE = 64 * 1024

#: A client takes any 2xx to an extended CONNECT for the beginning of a tunnel (RFC 8441 section 5).
_NO_TUNNEL = OurFault(501, "no-tunnel", "What answers here does not speak the protocol that was asked for.")


@implementer(IExchange)
class H2Exchange(Answering):
    """
    See `IExchange`; `new_exchange` makes it.

    :ivar stream: its number.
    :ivar started: the clock's seconds when the head was complete.
    :ivar has_begun: whether the answer's head has been submitted.
    :ivar has_ended: whether the request is complete.
    :ivar is_stuck: whether the observer has been told to pause.
    :ivar body_bytes: of the request's body, taken since ``body_since``, from when its rate counts.
    :ivar moved_at: when a tunnel's last byte passed.
    :ivar taken_bytes: of the answer, when the connection looked last, and ``taken_at``: since when they are so many.
    """

    connection: H2Connection | None
    stream: int
    head: RequestHead
    client: Client
    request_id: bytes
    started: float
    record: Outcome
    has_ended: bool
    receiver: Any
    has_begun: bool
    body_bytes: int
    body_since: float
    taken_at: float
    _left: int | None

    # Not slots: what most exchanges never change stands here once, and is not stored a thousand times a second.
    amend: Amend | None = None
    observer: Any = None
    is_held = False
    is_stuck = False
    taken_bytes = 0
    moved_at = 0.0
    _suppressed = False
    _is_tunnel = False
    _has_finished = False
    _is_end_told = False
    _trailers: Fields = []
    #: Pieces that nobody has asked for, or that are held; as much as the stream's window at most.
    _waiting: deque[bytes] | None = None
    _unacknowledged = 0

    # The request's body.

    def receive(self, receiver: object) -> None:
        connection = self.connection
        if connection is None or self.receiver is not None:
            return
        self.receiver = receiver
        if self.has_ended and not self._waiting:
            self._is_end_told = True
            self.receiver.end(self._trailers)
            return
        self.body_since = connection.now
        self.body_bytes = 0
        if self.head.expects_continue and not self._waiting and not self.has_begun:
            connection.session.inform(self.stream, [(b":status", b"100")])
            connection.flush_soon()
        self._deliver()

    def discard(self) -> None:
        self.receive(NOWHERE)

    def pause(self) -> None:
        # As over HTTP/1.1: what does not flow cannot be held.
        if self.receiver is not None and not self._is_end_told:
            self.is_held = True

    def resume(self) -> None:
        if self.is_held and self.connection is not None:
            self.is_held = False
            self.body_since = self.connection.now
            self.body_bytes = 0
            size, self._unacknowledged = self._unacknowledged, 0
            self._acknowledge(size)
            self._deliver()

    def arrived(self, piece: bytes) -> None:
        """A piece of the body."""
        self.body_bytes += len(piece)
        if self._is_tunnel and self.connection is not None:
            self.moved_at = self.connection.now
        if self.receiver is None or self.is_held:
            if self._waiting is None:
                self._waiting = deque()
            self._waiting.append(piece)
        else:
            self._give(piece)

    def ended(self, trailers: Fields) -> None:
        """The request is complete."""
        self.has_ended = True
        self._trailers = trailers
        if self.receiver is not None and not self._waiting and not self.is_held:
            self._give_end()

    def _deliver(self) -> None:
        while self._waiting and not self.is_held:
            self._give(self._waiting.popleft())
            if self.connection is None:
                return
        if self.has_ended and not self.is_held:
            self._give_end()

    def _give(self, piece: bytes) -> None:
        connection = self.connection
        assert connection is not None
        try:
            self.receiver.data(piece)
        except Exception as fault:
            connection.session.acknowledge(self.stream, len(piece))
            connection.failed(self, fault)
            return
        if self.is_held:
            self._unacknowledged += len(piece)
        else:
            self._acknowledge(len(piece))

    def _give_end(self) -> None:
        connection = self.connection
        # A receiver that pauses and resumes inside its `data` has had the rest in the meantime, and the end.
        if connection is None or self._is_end_told:
            return
        self._is_end_told = True
        try:
            self.receiver.end(self._trailers)
        except Exception as fault:
            connection.failed(self, fault)
            return
        if self._is_tunnel and self._has_finished and self.connection is not None:
            connection.done(self)

    def _acknowledge(self, size: int) -> None:
        if size and self.connection is not None:
            self.connection.session.acknowledge(self.stream, size)
            self.connection.flush_soon()

    def leave(self) -> None:
        """It is over: what has not been used is acknowledged, as the other streams share the connection's window."""
        connection, self.connection = self.connection, None
        if connection is not None and (self._waiting or self._unacknowledged):
            size = self._unacknowledged + sum(map(len, self._waiting or ()))
            self._unacknowledged = 0
            self._waiting = None
            connection.session.acknowledge(self.stream, size)

    # The answer.

    def inform(self, status: int, fields: Fields) -> None:
        connection = self.connection
        if connection is not None and not self.has_begun:
            connection.session.inform(self.stream, [(b":status", b"%d" % status), *plain_fields(fields)])
            connection.flush_soon()

    def answer(self, head: Any, body: bytes = b"") -> None:
        connection = self.connection
        if connection is None or self.has_begun:
            return
        amend = self.amend
        if amend is not None:
            head = amend(head, len(body) if head.length is None else head.length)
        status, length, asked, size = head.status, head.length, self.head, len(body)
        if asked.upgrade and 200 <= status < 300:
            self.fail(_NO_TUNNEL)
            return
        if status == 204:
            length, body = None, b""
        elif status == 304 or asked.method == b"HEAD":
            if length is None and status != 304 and body:
                length = size
            body = b""
        elif length != size:
            if length is not None:
                self.fail(OurFault(500, "bad-length", "The answer's body is not as long as it says."))
                return
            length = size
        try:
            fields = response_fields(head, length, connection.factory.date, self.request_id)
        except OurFault as fault:
            self.fail(fault)
            return
        self.has_begun = True
        record = self.record
        record.status = status
        record.sent = len(body)
        connection.session.answer(self.stream, fields, body)
        connection.done(self)

    def begin(self, head: Any) -> None:
        connection = self.connection
        if connection is None or self.has_begun:
            return
        if self.amend is not None:
            head = self.amend(head, head.length)
        status, length = head.status, head.length
        if self.head.upgrade and 200 <= status < 300:
            self.fail(_NO_TUNNEL)
            return
        if status == 204 or status == 304 or self.head.method == b"HEAD":
            self._suppressed = True
            if status == 204:
                length = None
        else:
            self._left = length
        try:
            fields = response_fields(head, length, connection.factory.date, self.request_id)
        except OurFault as fault:
            self.fail(fault)
            return
        self.has_begun = True
        self.record.status = status
        connection.session.respond(self.stream, fields, False)
        connection.flush_soon()

    def write(self, data: bytes) -> None:
        connection = self.connection
        if connection is None or self._suppressed or not data or not self.has_begun or self._has_finished:
            return
        size = len(data)
        if not self._owes(size):
            return
        if self._is_tunnel:
            self.moved_at = connection.now
        self.record.sent += size
        connection.session.send_data(self.stream, data)
        connection.wrote(self)

    def finish(self, trailers: Any = ()) -> None:
        connection = self.connection
        if connection is None or self._has_finished or not self._may_finish():
            return
        try:
            fields = plain_fields(list(trailers))
        except OurFault as fault:
            self.abort(fault)
            return
        self._has_finished = True
        connection.session.end(self.stream, fields)
        if self._is_tunnel and not self.has_ended:
            connection.flush_soon()
        else:
            connection.done(self)

    def switch(self, head: Any, receiver: object) -> None:
        connection = self.connection
        if connection is None or not self._may_switch():
            return
        try:
            # The handshake's own fields have no meaning here (RFC 8441 section 5.1).
            fields = [field for field in plain_fields(head.fields) if field[0] != b"sec-websocket-accept"]
        except OurFault as fault:
            self.fail(fault)
            return
        self.has_begun = self._is_tunnel = True
        self.moved_at = connection.now
        self.record.status = 101
        connection.session.respond(self.stream, [(b":status", b"200"), *fields], False)
        connection.flush_soon()
        self.receive(receiver)

    def abort(self, fault: Exception) -> None:
        connection = self.connection
        if connection is None:
            return
        self._note(fault)
        # Where the answer is complete but for the client's part of a tunnel, or broken: the client sees no end.
        connection.cut(self, ErrorCode.CANCEL if isinstance(fault, ClientFault) else ErrorCode.INTERNAL_ERROR)

    @property
    def is_tunnel(self) -> bool:
        """Whether it has switched protocols."""
        return self._is_tunnel

    @property
    def is_awaited(self) -> bool:
        """Whether the client owes some of its body, and could send it."""
        return not self.has_ended and self.receiver is not None and not self.is_held and not self._is_tunnel

    @property
    def is_conversation(self) -> bool:
        """Whether the request's body is a stream of messages: gRPC's."""
        return (self.head.get(b"content-type") or b"").startswith(b"application/grpc")


_new = object.__new__


def new_exchange(
    connection: H2Connection,
    stream: int,
    head: RequestHead,
    client: Client,
    request_id: bytes,
    started: float,
    has_ended: bool,
) -> H2Exchange:
    """An exchange that begins.  Not its class' constructor: the call of one costs as much as all that it stores."""
    it = _new(H2Exchange)
    it.connection = connection
    it.stream = stream
    it.head = head
    it.client = client
    it.request_id = request_id
    it.started = it.body_since = it.taken_at = started
    it.record = Outcome()
    it.has_ended = has_ended
    # What every exchange is asked for: it is found on the instance in a tenth of the time.
    it.receiver = it._left = None
    it.has_begun = False
    it.body_bytes = 0
    return it
