"""
`ProtocolTunnel`: a WebSocket as the TCP transport that a Twisted protocol takes it for.

``twisted.web.websocket.WebSocketResource`` makes its protocol's connection first and then writes a whole ``101`` head,
as bytes, to its channel; the exchange switches when that head has come and the resource has returned, so no message
arrives before the resource has told its protocol that there is a connection.

When the listener is to end, the client is told so in place of the protocol, which hears of it from the client's answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IAddress, IConsumer, IHalfCloseableProtocol, IPushProducer, ITransport
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from scalekit.errors import OurFault
from scalekit.http.farewell import Farewell
from scalekit.http.responses import parse_response_head
from scalekit.http.websocket import FRAME
from scalekit.interfaces import IAnswerObserver, ITunnelReceiver
from scalekit.web.producing import Producing

_log = Logger()


@implementer(ITransport, IConsumer, IPushProducer, ITunnelReceiver, IAnswerObserver)
class ProtocolTunnel(Producing):
    """
    :param channel: gives the addresses.
    :param protocol: an `IProtocol`; its connection is made by `connect`.
    :param over: called with a Failure when the protocol has been told that its connection is lost.
    :param cooperate: see `Producing`.
    """

    def __init__(
        self,
        exchange: Any,
        channel: Any,
        protocol: Any,
        over: Callable[[Failure], object],
        cooperate: Any,
    ) -> None:
        super().__init__(cooperate)
        self._exchange = exchange
        self._channel = channel
        self._protocol = protocol
        self._tell_over = over
        self._farewell = Farewell()
        #: What was written before the exchange switched.
        self._held = b""
        #: What the client has sent before that.
        self._early = b""
        self._has_ended_early = False
        self._is_holding = True
        self._has_switched = False
        self._is_over = False
        self.disconnecting = False

    def connect(self) -> None:
        """Give the protocol its transport."""
        self._exchange.observe(self)
        self._protocol.makeConnection(self)

    def release(self) -> None:
        """The resource has returned, or answers later: switch as soon as it has said so."""
        self._is_holding = False
        self._switch()

    def _switch(self) -> None:
        end = self._held.find(b"\r\n\r\n")
        if self._is_holding or self._has_switched or self._is_over or end < 0:
            return
        held, self._held = self._held, b""
        head, _, _ = parse_response_head(held, end, b"GET")
        if head.status != 101:
            self.fail(OurFault(500, "no-upgrade", "The resource asked for a tunnel and then answered otherwise."))
            return
        self._exchange.switch(head, self)
        # Before anything is said to what the client has sent too early.
        self._exchange.write(self._farewell.to_client(held[end + 4 :]))
        self._has_switched = True
        if self.disconnecting:
            self._exchange.finish()
        early, self._early = self._early, b""
        if early:
            self.data(early)
        if self._has_ended_early:
            self.end([])

    # ITransport, IConsumer, IPushProducer: what the protocol does.

    def write(self, data: bytes) -> None:
        if self._is_over or self.disconnecting:
            return
        if self._has_switched:
            piece = self._farewell.to_client(bytes(data))
            if piece:
                self._exchange.write(piece)
        else:
            self._held += data
            self._switch()

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        self.write(b"".join(iovec))

    def loseConnection(self) -> None:
        """Close after what has been written.  The client has its own end to say; what it sends is let fall."""
        if not self.disconnecting and not self._is_over:
            self.disconnecting = True
            if self._has_switched:
                self._exchange.finish()

    def abortConnection(self) -> None:
        """Close at once."""
        if not self._is_over:
            self._exchange.abort(OurFault(500, "given-up", "The resource ended the connection."))
            self._lose(ConnectionAborted())

    def getPeer(self) -> IAddress:
        peer: IAddress = self._channel.getPeer()
        return peer

    def getHost(self) -> IAddress:
        host: IAddress = self._channel.getHost()
        return host

    def isSecure(self) -> bool:
        return bool(self._channel.isSecure())

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self._is_over:
            producer.stopProducing()
        else:
            super().registerProducer(producer, streaming)

    def pauseProducing(self) -> None:
        self._exchange.pause()

    def resumeProducing(self) -> None:
        self._exchange.resume()

    def stopProducing(self) -> None:
        self.loseConnection()

    def fail(self, fault: Exception) -> None:
        """End both directions because of this."""
        if not self._is_over:
            self._exchange.fail(fault)
            self._lose(ConnectionLost(str(fault)))

    # ITunnelReceiver: what the client does, and what the listener does.

    def data(self, piece: bytes) -> None:
        if not self._has_switched:
            self._early += piece  # one read's worth
        elif not self.disconnecting:
            self._protocol.dataReceived(self._farewell.to_app(piece))

    def end(self, trailers: list[tuple[bytes, bytes]]) -> None:
        if not self._has_switched:
            self._has_ended_early = True
            return
        if not self.disconnecting and IHalfCloseableProtocol.providedBy(self._protocol):
            self._protocol.readConnectionLost()
            return
        self.loseConnection()
        self._lose(ConnectionDone())

    def go_away(self) -> None:
        if self._has_switched and not (self.disconnecting or self._is_over or self._farewell.is_ending):
            # A protocol writes frames whole; that a message goes on for longer than the listener has left is rare.
            frame = self._farewell.ask(FRAME)
            if frame:
                self._exchange.write(frame)

    # IAnswerObserver

    def aborted(self, fault: Exception) -> None:
        self._lose(ConnectionLost(str(fault)))

    def _lose(self, reason: Exception) -> None:
        if self._is_over:
            return
        self._is_over = True
        failure = Failure(reason)
        try:
            self._stop_producing()
            self._protocol.connectionLost(failure)
        except Exception:
            _log.failure("{protocol!r} failed when its connection was lost", protocol=self._protocol)
        self._tell_over(failure)
