"""
What a client's HTTP/2 connection bears with, and for how long, and how it ends: the part of `scalekit.net.h2_server`
that has to do with limits.

========== =========================================== ====================================================
deadline   while                                       what it is for
========== =========================================== ====================================================
IDLE       no stream is open                           the next request, whatever else arrives
LOOK       streams are open                            bodies that come too slowly, answers that are not taken
LINGER     GOAWAY is out, our direction is closed      the client is to take the rest and close, or is cut
========== =========================================== ====================================================

What costs work and brings nothing has budgets (`scalekit.http.h2.budget`); over them a client loses its connection.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import Protocol

from scalekit.errors import ClientFault
from scalekit.http.h2.budget import Budget
from scalekit.http.h2.limits import Limits
from scalekit.http.h2.owner import ErrorCode, Noise
from scalekit.http.h2.session import ServerSession
from scalekit.http.heads import Client
from scalekit.net.deadlines import Wheel
from scalekit.net.exchange import CLIENT_GONE
from scalekit.net.lingering import LINGER_SECONDS, Lingering, untaken_bytes

if TYPE_CHECKING:
    from scalekit.net.factory import HTTPFactory
    from scalekit.net.h2_exchange import H2Exchange

#: Streams are looked at this often; their limits are tens of seconds.
_LOOK_SECONDS = 5.0
#: From the first GOAWAY to the real one: what is on its way meanwhile is still taken (RFC 9113 section 6.8).
NOTICE_TICKS = 4

#: gRPC's clients open windows several times a call, however small it is.
UPDATES_PER_REQUEST = 8

IDLE, LOOK, LINGER = range(3)


class PatientConnection(Protocol):
    """
    The base of `scalekit.net.h2_server.H2Connection`, which sets all of this.

    :ivar session: see `scalekit.http.h2.session`.
    :ivar streams: the open ones: whose exchange is over, too, until all of the answer is sent.
    """

    # With the connection's own they are more than the 30 that Python finds quickly in a dictionary of an object's own.
    __slots__ = (
        "_controls",
        "_credit_requests",
        "_empties",
        "_is_calmed",
        "_is_closing",
        "_is_parting",
        "_is_stuck",
        "_limits",
        "_lingering",
        "_notice_ticks",
        "_reset",
        "_resets",
        "_stuck",
        "_taken_at",
        "_taken_bytes",
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

    client: Client
    deadline: float
    factory: HTTPFactory
    scheduled: float
    session: ServerSession
    streams: dict[int, H2Exchange]
    transport: Any
    _controls: Budget
    _credit_requests: int
    _empties: Budget
    _is_calmed: bool
    _is_closing: bool
    _is_parting: bool
    _is_stuck: bool
    _limits: Limits
    _lingering: Lingering | None
    _notice_ticks: int
    #: Streams that were reset and counted, until the session tells that they are closed.
    _reset: set[int]
    _resets: Budget
    #: Exchanges that were told to pause.
    _stuck: set[H2Exchange]
    _taken_at: float
    _taken_bytes: int
    _updates: Budget
    _useless_bytes: int
    _wait: int
    _wheel: Wheel
    #: Bytes given to the transport; ``_taken_bytes`` is how many of them the client had taken when it was looked last.
    _written_bytes: int

    def flush(self) -> None:
        """Send what has been submitted, as far as the client takes it."""
        raise NotImplementedError

    def flush_soon(self) -> None:
        """The same at the end of this turn of the loop."""
        raise NotImplementedError

    def failed(self, exchange: H2Exchange, fault: Exception) -> None:
        """Answer with the fault, and let whoever answers stop."""
        raise NotImplementedError

    def _abort(self, exchange: H2Exchange, fault: ClientFault | None) -> None:
        """The exchange ends without a complete answer."""
        raise NotImplementedError

    @property
    def now(self) -> float:
        """The wheel's seconds, a tick old at most."""
        return self._wheel.now

    # What it bears with.

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

    # What it waits for.

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
            if exchange.is_awaited:
                self._check_rate(exchange, now)
        self.flush()

    def _check_rate(self, exchange: H2Exchange, now: float) -> None:
        """End it if its request's body comes too slowly."""
        timeouts = self.factory.timeouts
        elapsed = now - exchange.body_since
        if elapsed < timeouts.body_grace or exchange.body_bytes >= timeouts.body_rate * elapsed:
            return
        if exchange.is_conversation:
            # Messages come when there is something to say; once the answer has begun, how long both sides may be
            # silent is for the app server's limits.
            if exchange.has_begun or elapsed < timeouts.answer_progress:
                return
            if exchange.body_bytes:
                exchange.body_since, exchange.body_bytes = now, 0
                return
        fault = ClientFault(408, "body-timeout", "The body of the request came too slowly.")
        if exchange.has_begun:
            self._give_up(exchange, fault.reason, fault.detail)
        else:
            self.failed(exchange, fault)

    def _give_up(self, exchange: H2Exchange, reason: str, detail: str) -> None:
        self._reset.add(exchange.stream)
        self.session.reset(exchange.stream, ErrorCode.CANCEL)
        self._abort(exchange, ClientFault(408, reason, detail))

    # Its end.

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
        if self._notice_ticks <= NOTICE_TICKS:
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

    def readConnectionLost(self) -> None:
        # Who cannot open a window any more, nor acknowledge anything, is gone.
        self._leave()
        self._await_end(self.factory.timeouts.answer_progress)
        self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """The last words are out; the deadline for the rest is armed already."""

    def _leave(self) -> None:
        """No exchange goes on from here."""
        if not self._is_closing:
            self._is_closing = True
            self.transport.unregisterProducer()
        for exchange in list(self.streams.values()):
            self._abort(exchange, CLIENT_GONE)
        self.streams.clear()
