"""What the connections of a listener share: who answers, the time limits, request ids, and how they all end."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from email.utils import formatdate
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.internet.protocol import Factory

from scalekit.errors import ClientFault
from scalekit.http.h2.limits import Limits
from scalekit.http.heads import Client, RequestHead
from scalekit.net.deadlines import Timeouts, Wheel
from scalekit.net.exchange import WireExchange
from scalekit.net.h2_exchange import H2Exchange
from scalekit.net.h2_server import H2Connection
from scalekit.net.server import ServerConnection

_LIMITS = Limits()
#: gRPC clients cancel at their deadlines, and a proxy carries those of many.
_TRUST_FACTOR = 10


class HTTPFactory(Factory):
    """
    Makes a `ServerConnection` for each client, and holds what they share.

    :param responder: answers every exchange.
    :param clock: an `IReactorTime`.
    :param wall: gives seconds since the epoch, for Date.
    :param name: starts every request id; differs between processes and starts.
    :param wheel: shared deadlines, which their owner starts and stops; without it the factory has its own.
    :param outcomes: is told ``(exchange, seconds)`` at the end of every exchange.
    :param known_request_id: gives the id that a trusted peer sent along, or None.
    :param h2: what an HTTP/2 connection may take; None: HTTP/2 is not spoken.
    :param is_trusted: whether a peer is a proxy of ours, whose connections carry many clients' streams.
    :param proxy: our name in Proxy-Status, see `scalekit.http.proxy_status`; empty: we are the origin.

    :ivar at_turn_end: calls something once all that is ready now has had its turn.
    """

    noisy = False

    def __init__(
        self,
        responder: Any,
        clock: Any,
        wall: Callable[[], float],
        name: bytes,
        wheel: Wheel | None = None,
        timeouts: Timeouts | None = None,
        outcomes: Callable[[Any, float], None] | None = None,
        known_request_id: Callable[[RequestHead, Client], bytes | None] | None = None,
        h2: Limits | None = _LIMITS,
        is_trusted: Callable[[Client], bool] | None = None,
        proxy: bytes = b"",
    ) -> None:
        self.respond = responder.respond
        self.proxy = proxy
        self.seconds: Callable[[], float] = clock.seconds
        self.timeouts = timeouts or Timeouts()
        self._wall = wall
        self._owns_wheel = wheel is None
        self._is_stopped = False
        self.wheel = wheel or Wheel(clock)
        self.wheel.every_tick(self._refresh_date)
        self.connections: set[ServerConnection | H2Connection] = set()
        self._h2 = h2
        self._is_trusted = is_trusted
        # Of any other reactor than ours, and of a test's clock: the next turn is soon enough.
        self.at_turn_end: Callable[[Callable[[], None]], object] = getattr(
            clock, "at_turn_end", partial(clock.callLater, 0)
        )
        self.is_draining = False
        #: The Date line of every answer without one; a tick old at most.
        self.date = self.date_line = b""
        self._refresh_date()
        self.refusals: dict[str, int] = {}
        self._outcomes = outcomes
        self._name = name
        self._numbers = itertools.count(1)
        self._known_request_id = known_request_id
        self._drained: list[Deferred[None]] = []

    def buildProtocol(self, addr: IAddress | None) -> Any:
        return ServerConnection(self)

    def build_negotiated(self, transport: Any) -> Any:
        """The protocol of a TLS connection, as ALPN has agreed."""
        return self.build_h2() if transport.negotiated_protocol == "h2" else ServerConnection(self)

    def build_h2(self) -> H2Connection:
        """The protocol of an HTTP/2 connection."""
        return H2Connection(self)

    def reconfigure(self, timeouts: Timeouts, h2: Limits | None) -> None:
        """Other limits for what begins now; whether HTTP/2 is spoken stays as it is: listeners have offered it."""
        self.timeouts = timeouts
        if h2 is not None and self._h2 is not None:
            self._h2 = h2

    @property
    def speaks_h2(self) -> bool:
        """Whether HTTP/2 is spoken."""
        return self._h2 is not None

    def h2_limits(self, client: Client) -> Limits:
        """What a connection of this client may take."""
        limits = self._h2 or _LIMITS
        if self._is_trusted is not None and self._is_trusted(client):
            return limits.times(_TRUST_FACTOR)
        return limits

    def startFactory(self) -> None:
        self._is_stopped = False
        if self._owns_wheel:
            self.wheel.start()

    def stopFactory(self) -> None:
        self._is_stopped = True
        self._rest()

    def _rest(self) -> None:
        """Stop our own wheel once no port and no connection needs it."""
        if self._owns_wheel and self._is_stopped and not self.connections:
            self.wheel.stop()

    def _refresh_date(self) -> None:
        self.date = formatdate(self._wall(), usegmt=True).encode()
        self.date_line = b"Date: %b\r\n" % self.date

    def new_request_id(self) -> bytes:
        """A request id of our own."""
        return b"%b-%x" % (self._name, next(self._numbers))

    def request_id(self, head: RequestHead, client: Client) -> bytes:
        """The id for this request."""
        if self._known_request_id is not None:
            known = self._known_request_id(head, client)
            if known is not None:
                return known
        return b"%b-%x" % (self._name, next(self._numbers))

    def report(self, exchange: WireExchange | H2Exchange) -> None:
        """An exchange is over."""
        outcomes, seconds = self._outcomes, self.seconds
        if outcomes is not None:
            outcomes(exchange, seconds() - exchange.started)

    def refused(self, fault: ClientFault, client: Client) -> None:
        """Bytes were no request; counted by reason."""
        self.refusals[fault.reason] = self.refusals.get(fault.reason, 0) + 1

    def lost(self, connection: ServerConnection | H2Connection) -> None:
        """A connection has ended."""
        self.connections.discard(connection)
        if self.is_draining and not self.connections:
            waiting, self._drained = self._drained, []
            for deferred in waiting:
                deferred.callback(None)
        self._rest()

    def drain(self) -> Deferred[None]:
        """Let every connection end after what is under way on it; fires when none is left.  Has no deadline."""
        self.is_draining = True
        for connection in list(self.connections):
            connection.close_when_idle()
        deferred: Deferred[None] = Deferred(lambda cancelled: self._drained.remove(cancelled))
        if self.connections:
            self._drained.append(deferred)
        else:
            deferred.callback(None)
        return deferred

    def __repr__(self) -> str:
        return f"<HTTPFactory {len(self.connections)} connections{' draining' if self.is_draining else ''}>"
