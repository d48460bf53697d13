"""
A connection to an app server that speaks HTTP/2: many requests at a time (RFC 9113).

The session (`scalekit.http.h2.session`) knows the protocol and `scalekit.net.h2_stream` what one request needs; here
are the socket and what concerns all streams.  It belongs to a `SharedPool`, which gives its streams away.

==========  ==========================================  =========================================================
deadline    while                                       when it passes
==========  ==========================================  =========================================================
connect     the server's SETTINGS have not come         it is no HTTP/2 server, or not there: whoever waits hears
idle        no stream is open                           it closes
silence     streams wait and nothing at all comes       PING
patience    the PING is not answered                    it is dead: every stream fails, and it closes
==========  ==========================================  =========================================================

A server that announces its end (GOAWAY) gets no new streams; it closes after the open ones.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from scalekit.errors import UpstreamFault
from scalekit.http.h2.client_session import ClientSession
from scalekit.http.h2.owner import ErrorCode, FieldList, Noise
from scalekit.http.heads import Fields
from scalekit.net.deadlines import FAR, Wheel
from scalekit.net.h2_stream import H2Stream
from scalekit.net.pooled import UNUSED, Pooled, UpstreamTimeouts

#: At once on one connection, if the server takes as many (RFC 9113 section 6.5.2 recommends no fewer; nginx, HAProxy
#: and Go's server take 128, 100 and 250; gRPC's any number).
STREAMS = 100
#: A turn's output goes out in writes of so much: four TLS records, or DATA frames.
OUTPUT_BYTES = 64 * 1024
#: A path that has gone is noticed before an answer's deadline (30 s): what is sent into it meanwhile is lost, where a
#: new connection would tell within 2 s.
SILENCE_SECONDS = 10.0
#: An app may be at work for so long without looking at its connections; gRPC's keep-alive gives 20 s.
PATIENCE_SECONDS = 15.0

#: After so many streams that we have reset, the next go on another connection.  Clients that take back their requests
#: could otherwise make the server take us for an attacker, who loses all that the connection carries (CVE-2023-44487;
#: nghttp2's and Node's servers bear 1000 at once and 33 a second).
MOST_RESETS = 500

Soon = Callable[[Callable[[], None]], object]


@implementer(IPushProducer)
class H2Upstream(Pooled):
    """
    :param pool: the `SharedPool` that it belongs to.
    :param soon: calls its argument at the end of this turn of the loop: what the turn caused leaves in one write.
    :param scheme: ``http`` or ``https``.

    :ivar was_used: whether it has carried a stream.
    :ivar held: streams whose receiver is to send no more for now; ``begun`` those whose answer has begun in this turn.
    """

    def __init__(self, pool: Any, wheel: Wheel, timeouts: UpstreamTimeouts, soon: Soon, scheme: bytes) -> None:
        self._pool = pool
        self._wheel = wheel
        self._timeouts = timeouts
        self.soon = soon
        self.scheme = scheme
        self._streams: dict[int, H2Stream] = {}
        self.held: set[H2Stream] = set()
        self.begun: list[H2Stream] = []
        self._most = self._resets = 0
        self._is_settled = self._is_leaving = self._is_closed = False
        self._is_pinging = self._has_pinged = False
        self._is_stuck = self._is_flushing = self._is_flush_due = False
        self.deadline = self.scheduled = FAR
        self.was_used = False

    # What the pool asks.

    @property
    def room(self) -> int:
        """How many more streams it takes now."""
        room = self._most - len(self._streams)  # 0 until it is settled
        if room <= 0 or self._is_leaving or self._is_closed or self._is_pinging or not self.session.can_request:
            return 0
        return room

    @property
    def most(self) -> int:
        """How many streams it takes in all."""
        return self._most

    @property
    def takes_tunnels(self) -> bool:
        """Whether it takes extended CONNECT."""
        return self.session.has_connect_protocol

    def wants_http_1(self) -> bool:
        """The app server has asked for HTTP/1.1; whether there is a way to speak it."""
        wants: bool = self._pool.wants_http_1()
        return wants

    def leave_when_idle(self) -> None:
        """Close after the streams that are open."""
        self._is_leaving = True
        self._pool.forget(self)
        if not self._streams and not self._is_closed:
            self.retire()

    # What the transport tells.

    def connectionMade(self) -> None:
        self.session = ClientSession(self, STREAMS)
        self.transport.registerProducer(self, True)
        self._wheel.arm(self, self._timeouts.connect)
        self.flush()

    def dataReceived(self, data: bytes) -> None:
        if self._is_closed:
            return
        self._is_pinging = False
        self.session.receive(data)
        if self._streams:  # Not before: who waits for what has come need not wait for this.
            self._wheel.arm(self, SILENCE_SECONDS)
        self.flush_soon()

    def connectionLost(self, reason: Failure | None = None) -> None:
        cut = UpstreamFault(502, "answer-cut", "The connection to the app server broke in its answer.")
        self._end(cut, UNUSED)

    def pauseProducing(self) -> None:
        self._is_stuck = True

    def resumeProducing(self) -> None:
        self._is_stuck = False
        self.flush()

    def stopProducing(self) -> None:
        pass

    # What its streams ask.

    def open(self, stream: H2Stream, fields: Fields, has_ended: bool) -> int:
        """Send a request's head; its stream's number, or 0 if there can be no more."""
        session = self.session
        number = 0 if self._is_closed else session.request(fields, has_ended)
        if number:
            if not self._streams:
                if has_ended and not self._is_stuck and not self._is_flushing:
                    # There is nothing else that could leave in the same write, as far as is known.
                    session.hasten(OUTPUT_BYTES, self.transport.write)
                self._wheel.arm(self, SILENCE_SECONDS)
            self._streams[number] = stream
            self.was_used = True
            # Servers of gRPC close the connection after a few PINGs without anything between.
            self._has_pinged = False
            self.flush_soon()
        return number

    def acknowledge(self, stream: int, size: int) -> None:
        """So much of an answer has gone on its way."""
        if not self._is_closed:
            self.session.acknowledge(stream, size)
            self.flush_soon()

    def reset_stream(self, stream: int, code: ErrorCode) -> None:
        """End it both ways."""
        if stream and not self._is_closed:
            self.session.reset(stream, code)
            self.flush_soon()
            self._resets += 1
            if self._resets >= MOST_RESETS and not self._is_leaving:
                self.leave_when_idle()

    # What the session tells.

    def requested(self, stream: int, fields: FieldList, has_ended: bool) -> None:
        """Never told to a client."""

    def informed(self, stream: int, fields: FieldList) -> None:
        it = self._heard(stream)
        if it is not None:
            try:
                it.informed(fields)
            except Exception as why:
                it.broke(why)

    def answered(self, stream: int, fields: FieldList, has_ended: bool) -> None:
        it = self._heard(stream)
        if it is not None:
            try:
                it.answered(fields, has_ended)
            except Exception as why:
                it.broke(why)

    def data(self, stream: int, piece: bytes, has_ended: bool) -> None:
        it = self._heard(stream)
        if it is None:
            self.session.acknowledge(stream, len(piece))
            return
        try:
            it.data(piece, has_ended)
        except Exception as why:
            it.broke(why)

    def trailers(self, stream: int, fields: FieldList) -> None:
        it = self._heard(stream)
        if it is not None:
            try:
                it.trailers(fields)
            except Exception as why:
                it.broke(why)

    def _heard(self, stream: int) -> H2Stream | None:
        self._has_pinged = False
        return self._streams.get(stream)

    def reset(self, stream: int, code: int) -> None:
        it = self._streams.get(stream)
        if it is not None:
            it.reset()

    def closed(self, stream: int, code: int) -> None:
        it = self._streams.pop(stream, None)
        if it is not None:
            it.closed(code)
        if not self._streams and not self._is_closed:
            if self._is_leaving:
                self.soon(self.retire)
            else:
                self._wheel.arm(self, self._timeouts.idle)

    def heard(self, noise: Noise) -> None:
        if noise is Noise.SETTINGS:
            self._most = min(STREAMS, self.session.server_streams)
            if not self._is_settled:
                self._is_settled = True
                self._wheel.arm(self, self._timeouts.idle)
                self._pool.settled(self)

    def going_away(self, last_stream: int, code: int) -> None:
        # The streams after that one are told as refused; the others go on.
        self._is_leaving = True
        self._pool.forget(self)
        if code == ErrorCode.HTTP_1_1_REQUIRED:
            self._pool.wants_http_1()
        if not self._streams:
            self.soon(self.retire)

    # Sending.

    def flush_soon(self) -> None:
        """Send what has been submitted, at the end of this turn of the loop."""
        if not self._is_flush_due:
            self._is_flush_due = True
            self.soon(self._flush_due)

    def _flush_due(self) -> None:
        self._is_flush_due = False
        self.flush()
        # Only now: of a body that broke a rule libnghttp2 tells when its reset is sent, and the head need not go out.
        begun, self.begun = self.begun, []
        for stream in begun:
            try:
                stream.tell()
            except Exception as why:
                stream.broke(why)

    def flush(self) -> None:
        """Send what has been submitted, as far as the app server takes it."""
        if self._is_closed or self._is_flushing:
            return
        session, transport = self.session, self.transport
        self._is_flushing = True
        try:
            while not self._is_stuck:
                if not session.output(OUTPUT_BYTES, transport.write) and not self._release():
                    break
            if self._is_stuck:
                self._release()
        finally:
            self._is_flushing = False
        if session.is_over and not self._is_stuck and not self._is_closed:
            if self._is_leaving and not self._streams:
                self.retire()
            else:
                self._end(
                    UpstreamFault(502, "malformed-answer", "The app server broke a rule of HTTP/2, or speaks another.")
                )

    def _release(self) -> bool:
        """Tell those that are held back of room; whether something may have come of it that can be sent."""
        waiting = len(self.held)
        for stream in list(self.held):
            stream.drained()
        return len(self.held) < waiting

    # Its end.

    def deadline_passed(self) -> None:
        """The armed time is over."""
        if not self._is_settled:
            self._end(UpstreamFault(504, "connect-timeout", "The app server said nothing of HTTP/2 in time."))
        elif not self._streams:
            self.retire()
        elif self._is_pinging:
            self._end(UpstreamFault(504, "connection-dead", "The connection to the app server has gone dead."))
        elif not self._has_pinged:
            # Once, until there is something else: more PINGs may be taken for an attack, and each stream has a deadline
            # of its own.
            self._is_pinging = self._has_pinged = True
            self._wheel.arm(self, PATIENCE_SECONDS)
            self.session.ping()
            self.flush()

    def retire(self) -> None:
        """Close orderly, without streams."""
        if self._is_closed or self._streams:
            return
        self.session.terminate(ErrorCode.NO_ERROR)
        if self._is_stuck:
            self.close()
            return
        data = self.session.output(OUTPUT_BYTES)
        self._leave_pool()
        self.transport.write(data)
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def _end(self, fault: UpstreamFault, unanswered: UpstreamFault | None = None) -> None:
        """
        It is broken: whoever waits is told.

        :param unanswered: what those hear whose answer has not begun, if it is something else.
        """
        if self._is_closed:
            return
        self.close()
        if not self._is_settled:
            self._pool.lost(self, unanswered or fault)
        streams, self._streams = list(self._streams.values()), {}
        for stream in streams:
            try:
                stream.fail(fault if stream.has_answered else unanswered or fault)
            except Exception as why:
                stream.broke(why)

    def __repr__(self) -> str:
        state = (
            "closed"
            if self._is_closed
            else "leaving"
            if self._is_leaving
            else f"{len(self._streams)} of {self._most} streams"
        )
        return f"<H2Upstream {state}>"
