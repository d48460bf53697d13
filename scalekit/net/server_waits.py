"""
What a client's HTTP/1.1 connection waits for, whether it reads, and how it ends: the part of `scalekit.net.server` that
has to do with time.

======== =============================================== ============================== ======================
``_wait`` is about                                        at most                        then
======== =============================================== ============================== ======================
IDLE     the first byte of a request                     ``idle``                       closed
HEAD     the rest of its head, from that byte on         ``request_head``               408
BODY     its body, faster than a rate, after a grace     ``body_grace``                 408
PROGRESS the client, who is to take what it was sent     ``answer_progress`` each time  reset
LINGER   the client's end, after the last answer         as long as it takes something  closed
======== =============================================== ============================== ======================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.protocol import Protocol

from scalekit.errors import ClientFault
from scalekit.http.reader import RequestReader
from scalekit.net.deadlines import Wheel
from scalekit.net.lingering import LINGER_SECONDS, Lingering, untaken_bytes

if TYPE_CHECKING:
    from scalekit.net.exchange import WireExchange
    from scalekit.net.factory import HTTPFactory

#: How the body of a request stands, see `scalekit.net.server_body`; and what is waited for.
NO_BODY, UNCLAIMED, FLOWING, HELD, DRAINING = range(5)
IDLE, HEAD, BODY, PROGRESS, LINGER = range(5)

#: A listener that drains waits so long, a round trip or two, for what its idle clients have sent and it has not seen:
#: closed at once, the connection would be reset over it, and a POST could not be sent again.  Over HTTP/2 a GOAWAY is
#: followed by the real one after as long.
FIRST_SECONDS = 1.0

#: Reads of under so many bytes, which no request fits in, count as tiny: each costs a hundred times its bytes.
TINY_BYTES = 16
#: After so many tiny reads in a row, in one tick, what follows gathers in the kernel until the next.  64 KiB that are
#: sent byte by byte at full speed cost some fifty reads then and not 65,536; who types is not held up.
_TINY_READS = 16

#: Chances for the peer of a body below the rate are looked at this often once the grace is over.
_RATE_CHECK_SECONDS = 5.0


class WaitingConnection(Protocol):
    """
    The base of `scalekit.net.server.ServerConnection`, which sets all of this.

    :ivar keeps_alive: whether the next request may come after this one.
    """

    factory: HTTPFactory
    transport: Any
    keeps_alive: bool
    deadline: float
    scheduled: float
    _wheel: Wheel
    _reader: RequestReader
    _exchange: WireExchange | None
    _body: int
    _wait: int
    _is_stuck: bool
    _is_read_closed: bool
    _is_reading: bool
    _is_closing: bool
    _body_bytes: int
    _body_since: float
    _untaken_before: int
    _lingering: Lingering | None
    _tiny_reads: int
    _tiny_tick: float
    _is_gathering: bool

    def _refuse(self, fault: ClientFault) -> None:
        """Answer bytes that are no request, and close."""
        raise NotImplementedError

    def _broken_body(self, exchange: WireExchange, fault: ClientFault) -> None:
        """Answer if nothing has been answered, and close in any case."""
        raise NotImplementedError

    def _gone(self, fault: ClientFault) -> None:
        """The client is given up."""
        raise NotImplementedError

    def close_when_idle(self) -> None:
        """End after what is under way (RFC 9112 section 9.6)."""
        self.keeps_alive = False
        # Of a head that has begun to arrive it is the last request.
        if self._exchange is None and not self._is_closing and not self._reader.held_bytes:
            self._wait_for(IDLE)

    def _close(self) -> None:
        self._is_closing = True
        self.transport.unregisterProducer()
        self._wait_for(PROGRESS)
        self.transport.loseConnection()

    def _linger(self) -> None:
        """Close our side when the answer is out, and the whole once the client has, or soon."""
        self._exchange = None
        self._is_closing = True
        self.transport.unregisterProducer()
        if self._is_read_closed:
            self._wait_for(PROGRESS)
            self.transport.loseConnection()
            return
        self._wait_for(PROGRESS if self._queued() else LINGER)
        self._read(True)
        self.transport.loseWriteConnection()

    def _read(self, is_wanted: bool) -> None:
        if is_wanted != self._is_reading and not self._is_read_closed:
            self._is_reading = is_wanted
            if not is_wanted:
                self.transport.pauseProducing()
            elif not self._is_gathering:
                self.transport.resumeProducing()

    def _count_tiny(self) -> None:
        """A read was tiny: after some of them, read no more before the next tick."""
        if self._tiny_tick != self._wheel.now:
            self._tiny_tick = self._wheel.now
            self._tiny_reads = 0
        self._tiny_reads += 1
        if self._tiny_reads == _TINY_READS and not self._is_gathering:
            self._is_gathering = True
            self.transport.pauseProducing()
            self._wheel.at_next_tick(self._gathered)

    def _gathered(self) -> None:
        self._is_gathering = False
        if self._is_reading and not self._is_read_closed:
            self.transport.resumeProducing()

    def _wait_for(self, what: int) -> None:
        if self._is_stuck and not self._is_closing:
            return  # It is the client's turn to take what it was sent, whatever else goes on.
        timeouts = self.factory.timeouts
        self._wait = what
        if what == IDLE:
            seconds = FIRST_SECONDS if self.factory.is_draining else timeouts.idle
        elif what == HEAD:
            seconds = timeouts.request_head
        elif what == BODY:
            seconds = timeouts.body_grace
            self._body_since = self._wheel.now
            self._body_bytes = 0 if self._body != DRAINING else self._body_bytes
        elif what == PROGRESS:
            self._watch_progress(untaken_bytes(self.transport))
            return
        else:
            self._lingering = Lingering(self.transport, self._wheel.now, timeouts.answer_progress)
            seconds = LINGER_SECONDS
        self._wheel.arm(self, seconds)

    def _watch_progress(self, untaken: int) -> None:
        self._wait = PROGRESS
        self._untaken_before = untaken
        self._wheel.arm(self, self.factory.timeouts.answer_progress)

    def _queued(self) -> int:
        return getattr(self.transport, "queued_bytes", 0)

    def deadline_passed(self) -> None:
        """The armed time is over; see `_wait`."""
        wait = self._wait
        if wait == PROGRESS or (wait == IDLE and self._queued() and self.keeps_alive):
            # The kernel's part counts, too: of megabytes there it asks for more only when a third has been taken.
            untaken = untaken_bytes(self.transport)
            if wait == IDLE or untaken < self._untaken_before:
                self._watch_progress(untaken)
            else:
                self._gone(ClientFault(408, "answer-stalled", "The client took nothing of its answer for too long."))
        elif wait == IDLE:
            self._close()
        elif wait == HEAD:
            self._refuse(ClientFault(408, "head-timeout", "The head of the request took too long."))
        elif wait == BODY:
            self._check_rate()
        else:
            assert self._lingering is not None
            if self._lingering.goes_on(self._wheel.now):
                self._wheel.arm(self, LINGER_SECONDS)
            elif self._body != NO_BODY or untaken_bytes(self.transport):
                self.transport.abortConnection()
            else:
                # It has all of it, and may look at it later: then the end of it is no error.
                self._wait_for(PROGRESS)
                self.transport.loseConnection()

    def _check_rate(self) -> None:
        exchange = self._exchange
        elapsed = self._wheel.now - self._body_since
        if exchange is None or self._body == HELD:
            return
        if self._body_bytes >= self.factory.timeouts.body_rate * elapsed:
            self._wheel.arm(self, _RATE_CHECK_SECONDS)
            return
        self._broken_body(exchange, ClientFault(408, "body-timeout", "The body of the request came too slowly."))
