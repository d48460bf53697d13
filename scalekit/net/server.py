"""
A client's HTTP/1.1 connection: bytes to exchanges, one after the other (RFC 9112 section 9).

State is in three places and nowhere else: ``_exchange`` (None between requests), ``_body`` (how the request's body
stands: see `scalekit.net.server_body`, which has what is done then) and ``_wait`` (what the armed deadline is about:
see `scalekit.net.server_waits` for the same).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from zope.interface import implementer

from scalekit.errors import ClientFault
from scalekit.http.h2.owner import PREFACE_HEAD
from scalekit.http.heads import RequestHead
from scalekit.http.limits import DRAINED_BODY_BYTES
from scalekit.http.problems import problem_answer
from scalekit.http.reader import RequestReader
from scalekit.http.serializer import CLOSE, content_length, response_head
from scalekit.net.answering import tell_aborted
from scalekit.net.deadlines import FAR
from scalekit.net.exchange import CLIENT_GONE, WireExchange
from scalekit.net.lingering import Lingering, unread_bytes
from scalekit.net.server_body import BodyConnection
from scalekit.net.server_waits import (
    BODY,
    DRAINING,
    FLOWING,
    HEAD,
    IDLE,
    LINGER,
    NO_BODY,
    PROGRESS,
    TINY_BYTES,
    UNCLAIMED,
)
from scalekit.net.transports import client_of
from scalekit.net.tunnel import ServerTunnel

if TYPE_CHECKING:
    from scalekit.net.factory import HTTPFactory


@implementer(IHalfCloseableProtocol, IPushProducer)
class ServerConnection(BodyConnection):
    """One client's connection."""

    def __init__(self, factory: HTTPFactory) -> None:
        self.factory = factory
        self.keeps_alive = True
        self.deadline = self.scheduled = FAR
        self._wheel = factory.wheel
        self._reader = RequestReader()
        self._exchange: WireExchange | None = None
        self._body = NO_BODY
        self._wait = IDLE
        self._is_looping = self._was_used = False
        #: Whether the transport has more than enough queued: nothing is begun until the client has taken it.
        self._is_stuck = False
        self._is_read_closed = False
        self._is_reading = True
        self._is_closing = False
        self._body_bytes = 0
        self._body_since = 0.0
        self._untaken_before = 0
        self._lingering: Lingering | None = None
        #: How many reads of this tick were tiny, since the last that was not: over TLS the lines between the chunks of
        #: an upload may be records of their own, and are no reason to hold it up.
        self._tiny_reads = 0
        self._tiny_tick = 0.0
        self._is_gathering = False

    # What the transport tells.

    def connectionMade(self) -> None:
        transport = self.transport
        self.factory.connections.add(self)
        self.client = client_of(transport)
        transport.registerProducer(self, True)
        self._wait_for(IDLE)

    def dataReceived(self, data: bytes) -> None:
        if self._exchange is None and not self._is_closing and not self._is_stuck:
            head = self._reader.read_whole(data)
            if head is not None:
                # One request, and nothing before or behind it that `_next` would have to look for.
                self._tiny_reads = 0
                self._begin(head)
                return
        if len(data) < TINY_BYTES:
            self._count_tiny()
        else:
            self._tiny_reads = 0
        if self._is_closing:
            return  # Lingering: the answer to what broke the rules is under way.
        self._reader.feed(data)
        if self._exchange is None:
            self._next()
        elif self._body == FLOWING or self._body == DRAINING:
            self._pump()
        else:
            # A pipelined request, or a body nobody asked for yet: one read's worth waits here, the rest at the client.
            self._read(False)

    def readConnectionLost(self) -> None:
        self._is_read_closed = True
        if self._is_closing:
            self.transport.loseConnection()
            return
        if self._reader.ready:
            return  # Pipelined requests, or a body: the connection ends when they have had their turn.
        self.keeps_alive = False
        if self._exchange is None:
            self._close()
        elif self._body in (FLOWING, DRAINING):
            self._pump()

    def writeConnectionLost(self) -> None:
        # The answer has gone out whole: from now on the client has this long to go.
        if self._is_closing:
            self._wait_for(LINGER)

    def connectionLost(self, reason: Any = None) -> None:
        self._is_closing = True
        self._wheel.forget(self)
        exchange = self._exchange
        if exchange is not None:
            self._end(exchange, CLIENT_GONE)
        self.factory.lost(self)

    def pauseProducing(self) -> None:
        # The transport says so at every write; the client's time runs from the first.
        if not self._is_stuck:
            self._wait_for(PROGRESS)
            self._is_stuck = True
        exchange = self._exchange
        if exchange is not None and exchange.observer is not None:
            exchange.observer.pause()

    def resumeProducing(self) -> None:
        self._is_stuck = False
        self._wheel.disarm(self)
        exchange = self._exchange
        if exchange is None:
            self._next()
            return
        if self._body in (FLOWING, DRAINING):
            self._wait_for(BODY)
        if exchange.observer is not None:
            exchange.observer.resume()

    def stopProducing(self) -> None:
        pass

    # Request after request.

    def _next(self) -> None:
        """Answer what is there; answers given at once come back into this loop and not into a deeper one."""
        if self._is_looping:
            return
        self._is_looping = True
        try:
            while self._exchange is None and not self._is_closing:
                if self._is_stuck:
                    # What is pipelined waits until the client has taken the answers that it has: see resumeProducing.
                    self._read(False)
                    return
                try:
                    head = self._reader.read_head()
                except ClientFault as fault:
                    if not self._turns_h2():
                        self._refuse(fault)
                    return
                if head is None:
                    self._await_head()
                    return
                self._begin(head)
        finally:
            self._is_looping = False

    def _turns_h2(self) -> bool:
        """Whether this is HTTP/2 with prior knowledge (RFC 9113 section 3.3), and in other hands from now on."""
        unread = self._reader.unread
        if self._was_used or self.client.is_secure or not self.factory.speaks_h2:
            return False
        if not unread.startswith(PREFACE_HEAD):
            return False
        transport = self.transport
        self._is_closing = True
        self._wheel.forget(self)
        self.factory.connections.discard(self)
        transport.unregisterProducer()
        self._read(True)
        connection = self.factory.build_h2()
        transport.protocol = connection
        connection.makeConnection(transport)
        connection.dataReceived(unread)
        return True

    def _await_head(self) -> None:
        # Armed at the first byte only: one more byte does not move it.
        self._await(HEAD if self._reader.held_bytes else IDLE)

    def _await(self, what: int) -> None:
        """Nothing is under way: wait for the first byte of a request, or for the rest of its head."""
        if self._is_read_closed:
            self._close()
            return
        if not self._is_reading:
            self._read(True)
        if self._wait != what or self.deadline == FAR:
            self._wait_for(what)

    def _begin(self, head: RequestHead) -> None:
        factory = self.factory
        self._was_used = True
        if not head.keep_alive or factory.is_draining:
            self.keeps_alive = False
        exchange = self._exchange = WireExchange(
            self, head, self.client, factory.request_id(head, self.client), factory.seconds()
        )
        self.deadline = FAR
        if head.length == 0:
            self._body = NO_BODY
        else:
            self._body = UNCLAIMED
            self._body_bytes = 0
        try:
            factory.respond(exchange)
        except Exception as fault:
            self._failed(exchange, fault)

    def _failed(self, exchange: WireExchange, fault: Exception) -> None:
        """Its responder, or the receiver of its body, has raised: answer, and let it stop what it has begun."""
        observer, exchange.observer = exchange.observer, None
        exchange.fail(fault)
        tell_aborted(observer, fault)

    def _refuse(self, fault: ClientFault) -> None:
        """Answer bytes that are no request, and close: where the next message would start is not known."""
        self.factory.refused(fault, self.client)
        request_id = self.factory.new_request_id()
        head, body = problem_answer(fault, None, request_id, proxy=self.factory.proxy)
        line = response_head(head, content_length(len(body)), CLOSE, self.factory.date_line, request_id)
        # As far as it can be seen, for a client that takes no body for HEAD's, and may wonder what else this is.
        is_head = self._reader.unread.startswith(b"HEAD ")
        self.transport.write(line if is_head else line + body)
        self._linger()

    # The answer's side; called by the exchange.

    def will_keep_alive(self, exchange: WireExchange) -> bool:
        """Whether the connection goes on after this answer, as far as is known now."""
        if not self.keeps_alive or self._is_closing:
            return False
        if self._body == NO_BODY:
            return True
        decoder = self._reader.decoder
        left = getattr(decoder, "remaining", 0)
        if left > DRAINED_BODY_BYTES or (exchange.head.expects_continue and self._body == UNCLAIMED):
            # A client that waits for 100 may send its body now or not: where the next request starts is not known.
            self.keeps_alive = False
            return False
        return True

    def answered(self, exchange: WireExchange) -> None:
        """The last byte of the answer has been written."""
        self.factory.report(exchange)
        exchange.connection = None
        exchange.observer = None
        if self._body == NO_BODY:
            self._over()
        elif not self.will_keep_alive(exchange):
            self._linger()
        else:
            self._body = DRAINING
            self._body_bytes = 0
            self._wait_for(BODY)
            self._pump()

    def switch(self, exchange: WireExchange, receiver: Any) -> ServerTunnel:
        """Leave the transport to a tunnel, with what has come since the request's head."""
        # Whatever is still to return into this connection finds it closing and not reading: it touches nothing.
        self._exchange = None
        self._is_closing = True
        self._is_reading = False
        self._wheel.forget(self)
        tunnel = ServerTunnel(
            self.factory, exchange, receiver, self.transport, self._reader.ready, self._is_read_closed
        )
        self.factory.connections.discard(self)
        self.factory.connections.add(tunnel)  # type: ignore[arg-type]
        return tunnel

    def cut(self, exchange: WireExchange) -> None:
        """End the connection in a way that the client cannot take for the answer's end."""
        self._is_closing = True
        self._end(exchange, None)
        self.transport.abortConnection()

    def _over(self) -> None:
        """Request and answer are complete."""
        exchange, self._exchange = self._exchange, None
        if not self.keeps_alive:
            # Closed over unread bytes a connection is reset, and the reset may overtake the answer.  A client that has
            # not asked for the end may have sent its next request, which is on its way.
            may_say_more = exchange is None or exchange.head.keep_alive or unread_bytes(self.transport)
            if self._reader.ready or not self._is_reading or may_say_more:
                self._linger()
            else:
                self._close()
            return
        if self._is_looping:
            return
        if self._reader.ready or self._is_stuck:
            self._next()
        elif self._wait == IDLE and self._is_reading and not self._is_read_closed:
            self._wheel.arm(self, self.factory.timeouts.idle)  # what `_await` would come to
        else:
            self._await(IDLE)

    def _end(self, exchange: WireExchange, fault: ClientFault | None) -> None:
        """The exchange ends without a complete answer."""
        self._exchange = None
        self._body = NO_BODY
        if self._was_answered(exchange):
            return
        if fault is not None and not exchange.record.reason:
            exchange.record.reason = fault.reason
        self.factory.report(exchange)
        exchange.connection = None
        observer, exchange.observer = exchange.observer, None
        if fault is not None:
            tell_aborted(observer, fault)

    def _gone(self, fault: ClientFault) -> None:
        exchange = self._exchange
        self._is_closing = True
        if exchange is not None:
            self._end(exchange, fault)
        self.transport.abortConnection()

    def __repr__(self) -> str:
        state = "closing" if self._is_closing else "idle" if self._exchange is None else repr(self._exchange)
        return f"<ServerConnection {state}>"
