"""
A client's HTTP/2 connection: frames to exchanges, many at a time (RFC 9113).

The session (`scalekit.http.h2.session`) knows the protocol; here are the socket, the deadlines, the budgets and the
streams' exchanges.  Whatever the answers of one turn of the loop are, they leave in one write at its end;
one that is the only one under way leaves at once.

========== =========================================== ====================================================
deadline   while                                       what it is for
========== =========================================== ====================================================
IDLE       no stream is open                           the next request, whatever else arrives
LOOK       streams are open                            bodies that come too slowly, answers that are not taken
LINGER     GOAWAY is out, our direction is closed      the client is to take the rest and close, or is cut
========== =========================================== ====================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import Protocol
from zope.interface import implementer

from scalekit.errors import ClientFault
from scalekit.http.h2.budget import Budget
from scalekit.http.h2.owner import ErrorCode, FieldList, Noise
from scalekit.http.h2.requests import Malformed, request_head, trailer_fields
from scalekit.http.h2.responses import response_fields
from scalekit.http.h2.session import ServerSession
from scalekit.http.heads import RequestHead
from scalekit.http.problems import problem_answer
from scalekit.net.answering import tell_aborted
from scalekit.net.deadlines import FAR
from scalekit.net.exchange import CLIENT_GONE
from scalekit.net.h2_exchange import STREAM_QUEUE, H2Exchange, new_exchange
from scalekit.net.lingering import LINGER_SECONDS, Lingering, untaken_bytes
from scalekit.net.transports import client_of

if TYPE_CHECKING:
    from scalekit.net.factory import HTTPFactory

#: One write: four times a socket's usual room, so that what the client does not take shows soon.
OUTPUT_BYTES = 256 * 1024
#: Of all answers of a connection, waiting for the client: more, and each source is paused at its first piece.
CONNECTION_QUEUE = 1024 * 1024
#: Streams are looked at this often; their limits are tens of seconds.
_LOOK_SECONDS = 5.0
#: From the first GOAWAY to the real one: what is on its way meanwhile is still taken (RFC 9113 section 6.8).
_NOTICE_TICKS = 4

#: gRPC's clients open windows several times a call, however small it is.
UPDATES_PER_REQUEST = 8

IDLE, LOOK, LINGER = range(3)


@implementer(IHalfCloseableProtocol, IPushProducer)
class H2Connection(Protocol):
    """
    One client's connection.

    :ivar session: see `scalekit.http.h2.session`.
    :ivar streams: the open ones: whose exchange is over, too, until all of the answer is sent.
    """

    # They are more than the 30 that Python finds quickly in a dictionary of an object's own.
    __slots__ = (
        "_controls",
        "_credit_requests",
        "_empties",
        "_is_calmed",
        "_is_closing",
        "_is_flush_due",
        "_is_flushing",
        "_is_parting",
        "_is_receiving",
        "_is_stuck",
        "_last_ended",
        "_last_fields",
        "_last_head",
        "_limits",
        "_lingering",
        "_notice_ticks",
        "_reset",
        "_resets",
        "_stuck",
        "_taken_at",
        "_taken_bytes",
        "_unwanted",
        "_updates",
        "_useless_bytes",
        "_wait",
        "_wheel",
        "_written_bytes",
        "client",
        "deadline",
        "factory",
        "scheduled",
        "session",
        "streams",
    )

    transport: Any

    def __init__(self, factory: HTTPFactory) -> None:
        self.factory = factory
        self.deadline = self.scheduled = FAR
        self.streams: dict[int, H2Exchange] = {}
        self._wheel = factory.wheel
        self._wait = IDLE
        self._last_fields: FieldList = ()
        self._last_ended = False
        self._last_head: RequestHead | None = None
        #: Streams that were reset and counted, until the session tells that they are closed.
        self._reset: set[int] = set()
        #: Exchanges that were told to pause.
        self._stuck: set[H2Exchange] = set()
        #: Answered before their request was complete: what the client still sends of it is not wanted.
        self._unwanted: set[int] = set()
        self._is_stuck = self._is_parting = self._is_closing = self._is_calmed = False
        self._is_flushing = self._is_flush_due = self._is_receiving = False
        self._useless_bytes = self._credit_requests = 0
        self._notice_ticks = 0
        self._lingering: Lingering | None = None
        #: Bytes given to the transport, and how many of them the client had taken when it was looked last, or at first.
        self._written_bytes = self._taken_bytes = 0
        self._taken_at = factory.wheel.now

    @property
    def now(self) -> float:
        """The wheel's seconds, a tick old at most."""
        return self._wheel.now

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

    def readConnectionLost(self) -> None:
        # Who cannot open a window any more, nor acknowledge anything, is gone.
        self._leave()
        self._await_end(self.factory.timeouts.answer_progress)
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """The last words are out; the deadline for the rest is armed already."""

    def connectionLost(self, reason: Any = None) -> None:
        self._leave()
        self._wheel.forget(self)
        self.factory.lost(self)

    def _leave(self) -> None:
        """No exchange goes on from here."""
        if not self._is_closing:
            self._is_closing = True
            self.transport.unregisterProducer()
        for exchange in list(self.streams.values()):
            self._abort(exchange, CLIENT_GONE)
        self.streams.clear()

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
            if self._notice_ticks > _NOTICE_TICKS:
                self._part()
                self.flush_soon()

    def heard(self, noise: Noise) -> None:
        """A frame without content."""
        now = self.factory.seconds()
        self._useless_bytes = 0  # It has a budget of its own.
        if noise is Noise.WINDOW_UPDATE:
            if not self._updates.spend(now):
                # Credit for the requests since the last time, given only when it is needed.
                self._updates.earn(self._credit_requests * UPDATES_PER_REQUEST)
                self._credit_requests = 0
                if not self._updates.spend(now):
                    self._calm("window-updates")
        elif not self._controls.spend(now):
            self._calm("control-frames")

    def going_away(self, last_stream: int, code: int) -> None:
        """The client opens no more streams."""

    def _count_premature(self) -> None:
        if not self._resets.spend(self.factory.seconds()):
            self._calm("resets")

    def _calm(self, reason: str) -> None:
        """Too much of what brings nothing: it costs the client its connection (RFC 9113 section 10.5)."""
        if self._is_closing or self._is_calmed:
            return
        self._is_calmed = True
        self.factory.refused(ClientFault(429, reason, "Over budget."), self.client)
        for exchange in list(self.streams.values()):
            self._abort(exchange, CLIENT_GONE)
        self.session.terminate(ErrorCode.ENHANCE_YOUR_CALM)
        self.flush_soon()

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

    # Waiting and ending.

    def _look_later(self) -> None:
        self._wait = LOOK
        timeouts = self.factory.timeouts
        self._wheel.arm(self, min(_LOOK_SECONDS, timeouts.body_grace, timeouts.answer_progress))

    def deadline_passed(self) -> None:
        """See the module."""
        if self._wait == LOOK:
            self._look()
            if self.streams and not self._is_closing:
                self._look_later()
        elif self._wait == LINGER:
            assert self._lingering is not None
            if self._lingering.goes_on(self._wheel.now):
                self._wheel.arm(self, LINGER_SECONDS)
            else:
                self.transport.abortConnection()
        else:
            self._part()
            if self._is_stuck:
                # GOAWAY follows what it still takes.
                self._await_end(self.factory.timeouts.answer_progress)
            self.flush()

    def _look(self) -> None:
        now, timeouts, session = self._wheel.now, self.factory.timeouts, self.session
        queued = getattr(self.transport, "queued_bytes", 0)
        # What was taken counts, not how much waits: that is filled up as fast as it is taken.
        taken = self._written_bytes - untaken_bytes(self.transport)
        if not queued or taken > self._taken_bytes:
            self._taken_bytes, self._taken_at = taken, now
        elif now - self._taken_at >= timeouts.answer_progress:
            self._leave()
            self.transport.abortConnection()
            return
        for exchange in list(self.streams.values()):
            waiting = session.queued(exchange.stream)
            taken = exchange.record.sent - waiting
            # While the connection is what is full, nobody can say what the stream's own window would let through.
            if not waiting or taken > exchange.taken_bytes or self._is_stuck:
                exchange.taken_bytes, exchange.taken_at = taken, now
            elif now - exchange.taken_at >= timeouts.answer_progress:
                self._give_up(exchange, "answer-stalled", "The client took nothing of its answer for too long.")
                continue
            if exchange.connection is None:
                continue
            if exchange.is_tunnel and now - exchange.moved_at >= timeouts.tunnel_idle:
                self._give_up(exchange, "tunnel-idle", "Nobody has said anything for too long.")
                continue
            if not exchange.is_awaited:
                continue
            elapsed = now - exchange.body_since
            if elapsed >= timeouts.body_grace and exchange.body_bytes < timeouts.body_rate * elapsed:
                if exchange.is_conversation:
                    # Messages come when there is something to say; once the answer has begun, how long both sides may
                    # be silent is for the app server's limits.
                    if exchange.has_begun or elapsed < timeouts.answer_progress:
                        continue
                    if exchange.body_bytes:
                        exchange.body_since, exchange.body_bytes = now, 0
                        continue
                fault = ClientFault(408, "body-timeout", "The body of the request came too slowly.")
                if exchange.has_begun:
                    self._give_up(exchange, fault.reason, fault.detail)
                else:
                    self.failed(exchange, fault)
        self.flush()

    def _give_up(self, exchange: H2Exchange, reason: str, detail: str) -> None:
        self._reset.add(exchange.stream)
        self.session.reset(exchange.stream, ErrorCode.CANCEL)
        self._abort(exchange, ClientFault(408, reason, detail))

    def close_when_idle(self) -> None:
        """End after what is under way (RFC 9113 section 6.8): say so, and mean it a second later."""
        if not self._is_closing and not self._notice_ticks:
            for exchange in list(self.streams.values()):
                if exchange.is_tunnel and exchange.connection is not None:
                    exchange.receiver.go_away()
            self.session.announce_end()
            self.flush()
            self._count_notice()

    def _count_notice(self) -> None:
        self._notice_ticks += 1
        if self._is_closing:
            return
        if self._notice_ticks <= _NOTICE_TICKS:
            self._wheel.at_next_tick(self._count_notice)
        elif self.streams:
            self.session.refuse_more()
            self.flush()
        else:
            self._part()
            self.flush()

    def _part(self) -> None:
        """No stream is open, and none shall be: no fault of the client's."""
        self._is_parting = True
        self.session.terminate(ErrorCode.NO_ERROR)

    def _linger(self) -> None:
        """All is said: close our direction, and the whole once the client has, or soon."""
        self._leave()
        self._await_end(self.factory.timeouts.answer_progress)
        self.transport.loseWriteConnection()

    def _await_end(self, patience: float) -> None:
        self._wait = LINGER
        self._lingering = Lingering(self.transport, self._wheel.now, patience)
        self._wheel.arm(self, LINGER_SECONDS)

    def __repr__(self) -> str:
        return f"<H2Connection {len(self.streams)} streams{' closing' if self._is_closing else ''}>"
