"""
A client's HTTP/2 connection: frames to exchanges, many at a time (RFC 9113).

The session (`scalekit.http.h2.session`) knows the protocol; here are the socket and the streams' exchanges, and in
`scalekit.net.h2_patience` deadlines and budgets.  Whatever the answers of one turn of the loop are, they leave in one
write at its end; one that is the only one under way leaves at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from zope.interface import implementer

from scalekit.errors import ClientFault
from scalekit.http.h2.budget import Budget
from scalekit.http.h2.owner import ErrorCode, FieldList
from scalekit.http.h2.requests import Malformed, request_head, trailer_fields
from scalekit.http.h2.responses import response_fields
from scalekit.http.h2.session import ServerSession
from scalekit.http.heads import RequestHead
from scalekit.http.problems import problem_answer
from scalekit.net.answering import tell_aborted
from scalekit.net.deadlines import FAR
from scalekit.net.exchange import CLIENT_GONE
from scalekit.net.h2_exchange import STREAM_QUEUE, H2Exchange, new_exchange
from scalekit.net.h2_patience import IDLE, LINGER, NOTICE_TICKS, PatientConnection
from scalekit.net.transports import client_of

if TYPE_CHECKING:
    from scalekit.net.factory import HTTPFactory

#: One write: four times a socket's usual room, so that what the client does not take shows soon.
OUTPUT_BYTES = 256 * 1024
#: Of all answers of a connection, waiting for the client: more, and each source is paused at its first piece.
CONNECTION_QUEUE = 1024 * 1024


@implementer(IHalfCloseableProtocol, IPushProducer)
class H2Connection(PatientConnection):
    """One client's connection."""

    __slots__ = (
        "_is_flush_due",
        "_is_flushing",
        "_is_receiving",
        "_last_ended",
        "_last_fields",
        "_last_head",
        "_unwanted",
    )

    def __init__(self, factory: HTTPFactory) -> None:
        self.factory = factory
        self.deadline = self.scheduled = FAR
        self.streams = {}
        self._wheel = factory.wheel
        self._wait = IDLE
        self._last_fields: FieldList = ()
        self._last_ended = False
        self._last_head: RequestHead | None = None
        self._reset = set()
        self._stuck = set()
        #: Answered before their request was complete: what the client still sends of it is not wanted.
        self._unwanted: set[int] = set()
        self._is_stuck = self._is_parting = self._is_closing = self._is_calmed = False
        self._is_flushing = self._is_flush_due = self._is_receiving = False
        self._useless_bytes = self._credit_requests = 0
        self._notice_ticks = 0
        self._lingering = None
        self._written_bytes = self._taken_bytes = 0
        self._taken_at = factory.wheel.now

    # What the transport tells.

    def connectionMade(self) -> None:
        factory, transport = self.factory, self.transport
        factory.connections.add(self)
        client = self.client = client_of(transport)
        limits = self._limits = factory.h2_limits(client)
        now = factory.seconds()
        self._resets = Budget(limits.resets, now)
        self._controls = Budget(limits.controls, now)
        self._empties = Budget(limits.empties, now)
        self._updates = Budget(limits.updates, now)
        self.session = ServerSession(self, limits.streams)
        transport.registerProducer(self, True)
        self._wheel.arm(self, factory.timeouts.request_head)
        self.flush()
        if factory.is_draining:
            self.close_when_idle()

    def dataReceived(self, data: bytes) -> None:
        if self._is_closing:
            return
        self._useless_bytes += len(data)
        self._is_receiving = True
        try:
            self.session.receive(data)
        finally:
            self._is_receiving = False
        if self._useless_bytes > self._limits.useless_bytes:
            self._calm("useless-frames")
        if self._is_stuck and self.session.is_ending and not self._is_parting and self._wait != LINGER:
            # Which rule it has broken waits behind what it does not take.
            self._await_end(0.0)
        if self._unwanted or self._stuck or not self.session.is_quiet:
            self.flush()

    def connectionLost(self, reason: Any = None) -> None:
        self._leave()
        self._wheel.forget(self)
        self.factory.lost(self)

    def pauseProducing(self) -> None:
        self._is_stuck = True

    def resumeProducing(self) -> None:
        self._is_stuck = False
        self.flush()

    def stopProducing(self) -> None:
        pass

    # What the session tells.

    def requested(self, stream: int, fields: FieldList, has_ended: bool) -> None:
        """A request's head."""
        self._useless_bytes = 0
        if self._is_calmed:
            return
        factory = self.factory
        if fields == self._last_fields and has_ended is self._last_ended:
            head = self._last_head
            assert head is not None
        else:
            try:
                head = request_head(fields, has_ended)
            except Malformed as fault:
                factory.refused(fault, self.client)
                self.session.reset(stream, ErrorCode.PROTOCOL_ERROR)
                return
            except ClientFault as fault:
                self._refuse(stream, fault, has_ended, (b":method", b"HEAD") in fields)
                return
            self._last_fields, self._last_ended, self._last_head = fields, has_ended, head
        self._credit_requests += 1
        client, seconds, respond = self.client, factory.seconds, factory.respond
        exchange = new_exchange(self, stream, head, client, factory.request_id(head, client), seconds(), has_ended)
        if not self.streams:
            self._look_later()
        self.streams[stream] = exchange
        try:
            respond(exchange)
        except Exception as fault:
            self.failed(exchange, fault)

    def done(self, exchange: H2Exchange) -> None:
        """The answer has been submitted whole; called by the exchange."""
        if exchange.receiver is None and not exchange.body_bytes:
            exchange.connection = None  # Nothing can be left of a body that has not come.
        else:
            exchange.leave()
        exchange.observer = None
        if not exchange.has_ended:
            self._unwanted.add(exchange.stream)
        if len(self.streams) == 1 and not self._is_receiving:
            # There is no other whose answer could leave in the same write.
            self.flush()
        elif not self._is_flush_due:
            self.flush_soon()
        self.factory.report(exchange)

    def answered(self, stream: int, fields: FieldList, has_ended: bool) -> None:
        """Never told to a server."""

    def informed(self, stream: int, fields: FieldList) -> None:
        """Nor this."""

    def data(self, stream: int, piece: bytes, has_ended: bool) -> None:
        """A piece of a request's body."""
        exchange = self.streams.get(stream)
        if piece:
            self._useless_bytes = 0
            if exchange is None or exchange.connection is None:
                self.session.acknowledge(stream, len(piece))
            else:
                exchange.arrived(piece)
        elif not has_ended and not self._empties.spend(self.factory.seconds()):
            self._calm("empty-data")
        if has_ended and exchange is not None and exchange.connection is not None:
            exchange.ended([])
        elif has_ended:
            self._unwanted.discard(stream)

    def trailers(self, stream: int, fields: FieldList) -> None:
        """The end of a request's body."""
        exchange = self.streams.get(stream)
        if exchange is None or exchange.connection is None:
            self._unwanted.discard(stream)
            return
        try:
            trailers = trailer_fields(fields)
        except Malformed as fault:
            self.factory.refused(fault, self.client)
            is_premature = not exchange.has_begun
            self._reset.add(stream)
            self.session.reset(stream, ErrorCode.PROTOCOL_ERROR)
            self._abort(exchange, fault)
            if is_premature:
                self._count_premature()
            return
        exchange.ended(trailers)

    def reset(self, stream: int, code: int) -> None:
        """The client does not want the answer any more."""
        self._useless_bytes = 0
        self._reset.add(stream)
        exchange = self.streams.get(stream)
        if exchange is None:
            self._count_premature()  # It came with its request.
            return
        if exchange.connection is None:
            return
        is_premature = not exchange.has_begun
        self._abort(exchange, CLIENT_GONE)
        if is_premature:
            self._count_premature()

    def closed(self, stream: int, code: int) -> None:
        """The stream is over."""
        exchange = self.streams.pop(stream, None)
        if self._unwanted:
            self._unwanted.discard(stream)
        if stream in self._reset:
            self._reset.discard(stream)
        elif code and (exchange is None or exchange.connection is not None):
            # The client has broken a rule: in the head, which nobody has seen, or in the body.
            is_premature = exchange is None or not exchange.has_begun
            if exchange is not None:
                self._abort(exchange, ClientFault(400, "stream-error", "The client broke a rule of HTTP/2."))
            if is_premature:
                self._count_premature()
        if exchange is not None and self._stuck:
            self._stuck.discard(exchange)
        if not self.streams and not self._is_closing and self._wait != LINGER:
            self._wait = IDLE
            self._wheel.arm(self, self.factory.timeouts.idle)
            if self._notice_ticks > NOTICE_TICKS:
                self._part()
                self.flush_soon()

    def going_away(self, last_stream: int, code: int) -> None:
        """The client opens no more streams."""

    # Faults.

    def _refuse(self, stream: int, fault: ClientFault, has_ended: bool, is_head: bool) -> None:
        """Answer a request whose head is one, but not one that we take."""
        factory = self.factory
        factory.refused(fault, self.client)
        request_id = factory.new_request_id()
        head, body = problem_answer(fault, None, request_id, proxy=factory.proxy)
        fields = response_fields(head, len(body), factory.date, request_id)
        self.session.answer(stream, fields, b"" if is_head else body)
        if not has_ended:
            self._unwanted.add(stream)

    def failed(self, exchange: H2Exchange, fault: Exception) -> None:
        """Its responder, or the receiver of its body, has raised: answer, and let it stop what it has begun."""
        observer, exchange.observer = exchange.observer, None
        exchange.fail(fault)
        tell_aborted(observer, fault)

    def cut(self, exchange: H2Exchange, code: ErrorCode) -> None:
        """End the stream in a way that the client cannot take for the answer's end."""
        self._reset.add(exchange.stream)
        self.session.reset(exchange.stream, code)
        self._abort(exchange, None)
        self.flush_soon()

    def _abort(self, exchange: H2Exchange, fault: ClientFault | None) -> None:
        """The exchange ends without a complete answer."""
        if exchange.connection is None:
            return
        if fault is not None and not exchange.record.reason:
            exchange.record.reason = fault.reason
        self.factory.report(exchange)
        exchange.leave()
        self._stuck.discard(exchange)
        observer, exchange.observer = exchange.observer, None
        if fault is not None:
            tell_aborted(observer, fault)

    # Sending.

    def wrote(self, exchange: H2Exchange) -> None:
        """A piece of an answer has been submitted: pause its source if too much waits."""
        session = self.session
        limit = STREAM_QUEUE if session.queued_total <= CONNECTION_QUEUE else 0
        if session.queued(exchange.stream) > limit and not exchange.is_stuck:
            exchange.is_stuck = True
            self._stuck.add(exchange)
            if exchange.observer is not None:
                exchange.observer.pause()
        self.flush_soon()

    def flush_soon(self) -> None:
        """Send what has been submitted, at the end of this turn of the loop."""
        if not self._is_flush_due and not self._is_receiving:
            self._is_flush_due = True
            self.factory.at_turn_end(self._flush_due)

    def _flush_due(self) -> None:
        self._is_flush_due = False
        self.flush()

    def flush(self) -> None:
        """Send what has been submitted, as far as the client takes it."""
        if self._is_flushing or self._is_closing:
            return
        session, transport = self.session, self.transport
        self._is_flushing = True
        try:
            while not self._is_stuck:
                data = session.output(OUTPUT_BYTES, transport.write)
                if not data:
                    if (self._unwanted or self._stuck) and self._settle():
                        continue
                    break
                self._updates.earn(len(data) / 1024)
                self._written_bytes += len(data)
        finally:
            self._is_flushing = False
        if session.is_over and not self._is_stuck:
            self._linger()

    def _settle(self) -> bool:
        """After all that can be sent is: what follows from it; True if there may be something to send again."""
        session = self.session
        for stream in [stream for stream in self._unwanted if not session.queued(stream)]:
            # Not before the answer is out: a reset takes back what is queued (RFC 9113 section 8.1).
            self._unwanted.discard(stream)
            self._reset.add(stream)
            session.reset(stream, ErrorCode.NO_ERROR)
            return True
        for exchange in [one for one in self._stuck if session.queued(one.stream) <= STREAM_QUEUE // 2]:
            self._stuck.discard(exchange)
            exchange.is_stuck = False
            if exchange.connection is not None and exchange.observer is not None:
                exchange.observer.resume()
                return True
        return False

    def __repr__(self) -> str:
        return f"<H2Connection {len(self.streams)} streams{' closing' if self._is_closing else ''}>"
