"""
The ends of a tunnel (RFC 9110 section 7.8): what is left of a connection when it has switched protocols.

An end takes over the transport, and the bytes that have come already, from the HTTP connection that was there before.
Each direction ends by itself; when both have, the transport closes.

=================== ===================================== ==========================================
state               means                                 set by
=================== ===================================== ==========================================
``_is_held``        nobody takes what arrives now         `pause`, until `resume`
``_is_read_closed`` the peer has ended its direction      the transport
``_is_end_told``    and that has been handed on           after the last byte
``_is_finished``    our direction has ended               `finish`
``_is_over``        nothing is handed on any more         both ends, `cut`, a loss, or the deadline
=================== ===================================== ==========================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from zope.interface import implementer

from scalekit.errors import ClientFault, UpstreamFault
from scalekit.net.answering import tell_aborted
from scalekit.net.deadlines import FAR, Wheel
from scalekit.net.exchange import CLIENT_GONE, WireExchange

if TYPE_CHECKING:
    from scalekit.net.factory import HTTPFactory

#: When one direction has ended, how long the other may be quiet: WebSocket peers close both at the same time, and one
#: that has gone in between would never be missed.  nginx waits 60 s for nearly everything, HAProxy's manual has 30 s.
HALF_CLOSED_SECONDS = 60.0


@implementer(IHalfCloseableProtocol, IPushProducer)
class TunnelEnd:
    """
    :param idle_seconds: without a byte in either direction for so long, the tunnel is cut.
    :param waiting: what has arrived for the tunnel before it was one.
    :param is_read_closed: whether the peer has ended its direction before, too.
    """

    def __init__(
        self, transport: Any, wheel: Wheel, idle_seconds: float, waiting: bytes = b"", is_read_closed: bool = False
    ) -> None:
        self.transport = transport
        self.deadline = self.scheduled = FAR
        self._wheel = wheel
        self._quiet_seconds = idle_seconds
        self._waiting = waiting
        self._is_held = False
        self._is_read_closed = is_read_closed
        self._is_end_told = False
        self._is_finished = False
        self._is_over = False
        self._is_stuck = False
        self._queued_before = 0
        transport.unregisterProducer()
        transport.protocol = self
        transport.registerProducer(self, True)

    # What the two kinds do differently.

    def _hand_on(self, data: bytes) -> None:
        raise NotImplementedError

    def _hand_on_end(self) -> None:
        raise NotImplementedError

    def _tell_room(self, has_room: bool) -> None:
        raise NotImplementedError

    def _tell_over(self) -> None:
        """Both directions have ended."""
        raise NotImplementedError

    def _tell_broken(self, is_idle: bool) -> None:
        """It was lost before its end, or nothing has come for too long."""
        raise NotImplementedError

    def _forget(self) -> None:
        """The transport is gone."""
        raise NotImplementedError

    # What its owner does.

    def begin(self) -> None:
        """Let the bytes flow."""
        self.moved()
        if not self._is_held and not self._is_read_closed:
            self.transport.resumeProducing()
        self._flow()

    def moved(self) -> None:
        """A byte has gone one way or the other."""
        self._wheel.arm(self, self._quiet_seconds)

    def write(self, data: bytes) -> None:
        """Send bytes to the peer."""
        if not self._is_finished and not self._is_over:
            self.moved()
            self.transport.write(data)

    def finish(self) -> None:
        """End our direction, after what has been written."""
        if self._is_finished or self._is_over:
            return
        self._is_finished = True
        self.transport.unregisterProducer()
        if not self._is_end_told:
            self.transport.loseWriteConnection()
        self._one_ended()

    def pause(self) -> None:
        """Hand on nothing until `resume`."""
        if not self._is_held and not self._is_over:
            self._is_held = True
            if not self._is_read_closed:
                self.transport.pauseProducing()

    def resume(self) -> None:
        """Go on."""
        if self._is_held and not self._is_over:
            self._is_held = False
            if not self._is_read_closed:
                self.transport.resumeProducing()
            self._flow()

    def cut(self) -> None:
        """End both directions now; nobody is told."""
        self._is_over = True
        self._wheel.forget(self)
        self.transport.abortConnection()

    # What the transport tells.

    def dataReceived(self, data: bytes) -> None:
        if self._is_over:
            return
        self.moved()
        if self._is_held or self._waiting:
            self._waiting += data
        else:
            self._hand_on(data)

    def readConnectionLost(self) -> None:
        self._is_read_closed = True
        self._flow()

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Any = None) -> None:
        self._wheel.forget(self)
        if not self._is_over:
            self._is_over = True
            self._tell_broken(False)
        self._forget()

    def pauseProducing(self) -> None:
        # The transport says so at every write.
        if not self._is_stuck and not self._is_over:
            self._is_stuck = True
            self._tell_room(False)

    def resumeProducing(self) -> None:
        self._is_stuck = False
        if not self._is_over:
            self._tell_room(True)

    def stopProducing(self) -> None:
        pass

    # Inside.

    def _flow(self) -> None:
        """Hand on what waits, and the end."""
        if self._waiting and not self._is_held and not self._is_over:
            waiting, self._waiting = self._waiting, b""
            self._hand_on(waiting)
        if self._is_read_closed and not (self._waiting or self._is_held or self._is_end_told or self._is_over):
            self._is_end_told = True
            self._hand_on_end()
            self._one_ended()

    def _one_ended(self) -> None:
        if self._is_over:
            return
        self._quiet_seconds = min(self._quiet_seconds, HALF_CLOSED_SECONDS)
        self.moved()
        if self._is_finished and self._is_end_told:
            self._is_over = True
            self._tell_over()
            self.transport.loseConnection()

    def _queued(self) -> int:
        return getattr(self.transport, "queued_bytes", 0)

    def deadline_passed(self) -> None:
        """Nothing was handed on for too long; a peer that has taken some of its queue meanwhile is still there."""
        queued = self._queued()
        if queued and queued != self._queued_before:
            self._queued_before = queued
            self.moved()
            return
        if not self._is_over:
            self._is_over = True
            self._tell_broken(True)
        self.transport.abortConnection()

    def __repr__(self) -> str:
        ended = "over" if self._is_over else "half-closed" if self._is_finished or self._is_end_told else "open"
        return f"<{type(self).__name__} {ended}{' held' if self._is_held else ''}>"


class ServerTunnel(TunnelEnd):
    """
    The client's end; for its `WireExchange` it is the connection from then on.

    :param receiver: the `ITunnelReceiver` of the client's bytes.
    """

    def __init__(
        self,
        factory: HTTPFactory,
        exchange: WireExchange,
        receiver: Any,
        transport: Any,
        waiting: bytes,
        is_read_closed: bool,
    ) -> None:
        super().__init__(transport, factory.wheel, factory.timeouts.tunnel_idle, waiting, is_read_closed)
        self.factory = factory
        self._exchange = exchange
        self._receiver = receiver

    # What the exchange does, as of a `ServerConnection`.

    def receive(self, exchange: WireExchange, receiver: Any) -> None:
        """A tunnel has its receiver."""

    def discard(self, exchange: WireExchange) -> None:
        """A tunnel has its receiver."""

    def pause_body(self, exchange: WireExchange) -> None:
        """Hold the client's bytes."""
        self.pause()

    def resume_body(self, exchange: WireExchange) -> None:
        """Let them flow again."""
        self.resume()

    def answered(self, exchange: WireExchange) -> None:
        """Nothing more goes to the client."""
        self.finish()

    def cut(self, exchange: WireExchange | None = None) -> None:
        """End both directions now."""
        if not self._is_over:
            super().cut()
            self._report()

    def close_when_idle(self) -> None:
        """Whoever knows what is spoken in it can end it; it may take as long as the drain may."""
        self._receiver.go_away()

    # TunnelEnd

    def _hand_on(self, data: bytes) -> None:
        try:
            self._receiver.data(data)
        except Exception as fault:
            self._failed(fault)

    def _hand_on_end(self) -> None:
        try:
            self._receiver.end([])
        except Exception as fault:
            self._failed(fault)

    def _failed(self, fault: Exception) -> None:
        observer = self._exchange.observer
        self._exchange.fail(fault)
        tell_aborted(observer, fault)

    def _tell_room(self, has_room: bool) -> None:
        observer = self._exchange.observer
        if observer is not None:
            if has_room:
                observer.resume()
            else:
                observer.pause()

    def _tell_over(self) -> None:
        self._report()

    def _tell_broken(self, is_idle: bool) -> None:
        if self._is_finished and not is_idle and not self._queued():
            # It has heard our end, so this is its own: over TLS many clients say goodbye by closing the socket.
            self._report()
            self._hand_on_end()
            return
        fault = (
            ClientFault(408, "tunnel-idle", "Nothing came through the tunnel for too long.") if is_idle else CLIENT_GONE
        )
        exchange = self._exchange
        if not exchange.record.reason:
            exchange.record.reason = fault.reason
        observer = exchange.observer
        self._report()
        tell_aborted(observer, fault)

    def _report(self) -> None:
        exchange = self._exchange
        self.factory.report(exchange)
        exchange.connection = exchange.observer = None

    def _forget(self) -> None:
        self.factory.lost(self)  # type: ignore[arg-type]


class UpstreamTunnel(TunnelEnd):
    """
    The app server's end.

    :param receiver: the `IAnswerReceiver` that was told of the switch.
    """

    def __init__(self, transport: Any, wheel: Wheel, idle_seconds: float, receiver: Any, waiting: bytes) -> None:
        super().__init__(transport, wheel, idle_seconds, waiting)
        self._receiver = receiver

    def _hand_on(self, data: bytes) -> None:
        self._receiver.data(data)

    def _hand_on_end(self) -> None:
        self._receiver.ended([])

    def _tell_room(self, has_room: bool) -> None:
        if has_room:
            self._receiver.release()
        else:
            self._receiver.hold()

    def _tell_over(self) -> None:
        """Whoever ended both directions knows."""

    def _tell_broken(self, is_idle: bool) -> None:
        self._receiver.failed(
            UpstreamFault(504, "tunnel-idle", "Nothing came through the tunnel for too long.")
            if is_idle
            else UpstreamFault(502, "tunnel-cut", "The connection to the app server broke in the tunnel.")
        )

    def _forget(self) -> None:
        """Nobody keeps a list of these."""
