"""
The connections to an app server that may speak HTTP/2: one carries many requests, so those come first that are there.

What a new connection speaks is known when it stands: HTTP/2 by prior knowledge (``h2c``), or what ALPN has agreed on.
Requests wait in one queue; how many connections are being opened for it follows from what the last one spoke: one for
each request, or one for as many as it had room for.

An app server may take HTTP/2 and then want HTTP/1.1 all the same, for what it cannot do otherwise (HTTP_1_1_REQUIRED,
RFC 9113 section 7): that is what it gets, for a while.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scalekit.errors import UpstreamFault
from scalekit.net.deadlines import Wheel
from scalekit.net.h2_stream import H2Stream, new_stream
from scalekit.net.h2_upstream import STREAMS, H2Upstream, Soon
from scalekit.net.pool import MOST_OPENING, Failed, Opener, Pool, Waiting
from scalekit.net.pooled import UpstreamTimeouts
from scalekit.net.upstream import UpstreamConnection

#: HTTP/2 connections to one app server.  One is the rule; more are for servers that take few streams on each: gRPC's
#: and Go's servers would be at 6400 requests, one that takes a single stream is used as if it spoke HTTP/1.
MOST_CONNECTIONS = 64

#: How long HTTP/1.1 is spoken with who has asked for it.  It is a matter of how the server is set up or of one path of
#: the app, and neither changes from one minute to the next; each time that it is asked again costs one request a round
#: trip.
HTTP_1_SECONDS = 600.0


class Wish:
    """
    What an app server has asked for; shared by all pools of one.

    :ivar http_1_until: when HTTP/2 is offered again, by the wheel's clock.
    """

    __slots__ = ("http_1_until",)

    def __init__(self) -> None:
        self.http_1_until = float("-inf")


class SharedPool(Pool):
    """
    A `Pool` whose connections may be shared.

    :param soon: see `H2Upstream`.
    :param open_http_1: opens a connection that will speak HTTP/1.1; None: there is none, HTTP/2 is spoken without
        having been agreed on.
    :param wish: what the app server has asked for; None: nothing that any other pool has to know.
    """

    def __init__(
        self,
        open_connection: Opener,
        wheel: Wheel,
        timeouts: UpstreamTimeouts,
        soon: Soon,
        open_http_1: Opener | None,
        wish: Wish | None = None,
    ) -> None:
        super().__init__(open_connection, wheel, timeouts)
        self._soon = soon
        self._open_http_1 = open_http_1
        self._wish = wish or Wish()
        self._knows_http2 = open_http_1 is None
        self.shared: list[H2Upstream] = []
        self._queue: dict[Waiting, None] = {}
        #: Connections under way, the oldest first, and how each is given up.
        self._openings: dict[Any, Callable[[], None]] = {}
        #: How many requests one that is under way is expected to carry; for the very first, one by prior knowledge.
        self._each = STREAMS if self._knows_http2 else 1
        #: Whether HTTP/2 is what is expected.
        self._is_sharing = self._knows_http2

    def take(self) -> Any:
        """A stream of a connection that stands, or an idle connection; None if there is neither."""
        return self._stream() or super().take()

    def take_young(self) -> Any:
        """The same for what may not be sent twice: HTTP/2 tells what was not taken (RFC 9113 section 8.7)."""
        return self._stream() or super().take_young()

    def _stream(self) -> H2Stream | None:
        for connection in self.shared:
            if connection.room > 0:
                return new_stream(connection, self._wheel, self._timeouts)
        return None

    def open(self, ready: Callable[[Any], None], failed: Failed, is_fresh: bool = False) -> Callable[[], None]:
        """A stream of a connection that stands, or of one that is under way; or a connection."""
        waiting = Waiting(self._open_connection, ready, failed, is_fresh, self._late)
        has_room = any(connection.room > 0 for connection in self.shared)
        if has_room or len(self._openings) >= MOST_OPENING:
            self._line_up(self._queue, waiting)
        else:
            self._queue[waiting] = None  # what is opened for it has a deadline of its own
        if has_room:
            self._soon(self._serve)
        else:
            try:
                self._open_more()
            except BaseException:  # as in `Pool`
                self._take_out(waiting)
                raise
        return lambda: self._give_up(waiting)

    def _give_up(self, waiting: Waiting) -> None:
        if waiting in self._queue:
            self._take_out(waiting)
            self._open_fewer()
        else:
            super()._give_up(waiting)

    def _take_out(self, waiting: Waiting) -> None:
        del self._queue[waiting]
        self._wheel.forget(waiting)

    def _first(self) -> Waiting:
        """Take out the one that has waited longest."""
        waiting = next(iter(self._queue))
        self._take_out(waiting)
        return waiting

    def open_alone(self, ready: Callable[[Any], None], failed: Failed) -> Callable[[], None]:
        """A connection that speaks HTTP/1.1; without it, a stream that can become a tunnel (RFC 8441)."""
        if self._open_http_1 is not None:
            return self._open(self._open_http_1, ready, failed, is_fresh=True)

        def judge(stream: H2Stream) -> None:
            if stream.takes_tunnels:
                ready(stream)
            else:
                failed(UpstreamFault(502, "no-tunnel", "The app server takes no tunnels over HTTP/2."))

        return self.open(judge, failed)

    # Connections under way.

    @property
    def _wanted(self) -> int:
        """How many the queue needs under way."""
        return -(-len(self._queue) // self._each)

    @property
    def _too_many(self) -> int:
        """How many wait for whom nothing is under way."""
        return max(0, len(self._queue) - len(self._openings) * self._each)

    def _open_fewer(self) -> None:
        while len(self._openings) > self._wanted:
            _, give_up = self._openings.popitem()
            give_up()

    def _open_more(self) -> None:
        while len(self._openings) < min(self._wanted, MOST_OPENING):
            if len(self.shared) + len(self._openings) >= MOST_CONNECTIONS and self._is_sharing:
                self._soon(self._turn_away)
                return
            opening = _Opening(self)
            opener = self._open_http_1 if self._open_http_1 and self._wants_http_1 else self._open_connection
            self._openings[opening] = opener(opening, opening.failed)

    def _try_more(self) -> None:
        """The same for those that wait already: what an opener raises, nobody else tells them."""
        try:
            self._open_more()
        except Exception as fault:
            self._fail(self._too_many, fault)

    def _turn_away(self) -> None:
        """There are as many streams as there may be."""
        self._fail(
            self._too_many, UpstreamFault(503, "streams-used-up", "The app server takes no more requests at a time.")
        )

    def _fail(self, count: int, fault: Exception) -> None:
        for waiting in [self._first() for _ in range(count)]:
            waiting.failed(fault)

    def _serve(self) -> None:
        while self._queue:
            stream = self._stream()
            if stream is None:
                break
            self._first().ready(stream)
        self._open_fewer()
        self._try_more()

    def made(self, opening: _Opening, transport: Any) -> None:
        """A connection stands; the protocol that it speaks takes it over."""
        self._openings.pop(opening)
        if self._knows_http2 or transport.negotiated_protocol == "h2":
            scheme = b"https" if transport.is_secure else b"http"
            shared = H2Upstream(self, self._wheel, self._timeouts, self._soon, scheme)
            self._openings[shared] = shared.close
            transport.protocol = shared
            shared.makeConnection(transport)
        else:
            self._is_sharing, self._each = False, 1
            transport.protocol = connection = UpstreamConnection(self, self._wheel, self._timeouts)
            connection.makeConnection(transport)

    def connected(self, connection: UpstreamConnection) -> None:
        """One that speaks HTTP/1.1 is there for one request."""
        if connection in self._opening:
            super().connected(connection)
            return
        if self._queue:
            self._first().ready(connection)
        else:
            connection.close()
        self._open_fewer()
        self._try_more()

    def settled(self, connection: H2Upstream) -> None:
        """One that speaks HTTP/2 is there."""
        self._openings.pop(connection, None)
        if self._wants_http_1:  # it was asked for while this one was being opened
            connection.leave_when_idle()
            self._try_more()
            return
        self._is_sharing, self._each = True, max(1, connection.most)
        self.shared.append(connection)
        if not connection.most:
            fault = UpstreamFault(503, "streams-used-up", "The app server takes no requests on its connections.")
            self._fail(len(self._queue), fault)
        self._serve()
        if self._is_closed:
            connection.leave_when_idle()

    @property
    def _wants_http_1(self) -> bool:
        return self._wheel.now < self._wish.http_1_until

    def wants_http_1(self) -> bool:
        """The app server has asked for HTTP/1.1; whether it can have it.  Streams that are open go on to their end."""
        if self._open_http_1 is None:
            return False
        self._wish.http_1_until = self._wheel.now + HTTP_1_SECONDS
        self._is_sharing, self._each = False, 1
        leaving, self.shared = self.shared, []
        for connection in leaving:
            self._soon(connection.leave_when_idle)  # it is in the midst of telling us
        self._try_more()
        return True

    def lost(self, opening: Any, fault: UpstreamFault) -> None:
        """One under way has failed, and so have as many requests as it was to carry."""
        if self._openings.pop(opening, None) is not None:
            self._fail(min(self._too_many, self._each), fault)
            self._try_more()

    # The end of connections.

    def give_back(self, connection: UpstreamConnection) -> None:
        """One that speaks HTTP/1.1 is free: for who waits and has none under way, or for the next request."""
        if not (self._queue and self._too_many and self._hand_over(connection, self._queue)):
            super().give_back(connection)

    def forget(self, connection: Any) -> None:
        if connection in self.shared:
            self.shared.remove(connection)
        else:
            super().forget(connection)

    def close(self) -> None:
        super().close()
        for connection in self.shared[:]:
            connection.leave_when_idle()

    def __repr__(self) -> str:
        return (
            f"<SharedPool {self.shared!r}, {len(self.idle)} idle, {len(self._openings)} opening, "
            f"{len(self._queue)} waiting{' closed' if self._is_closed else ''}>"
        )


class _Opening:
    """Stands for the protocol of a connection until it is known which it speaks."""

    def __init__(self, pool: SharedPool) -> None:
        self._pool = pool

    def makeConnection(self, transport: Any) -> None:
        self._pool.made(self, transport)

    def failed(self, fault: UpstreamFault) -> None:
        self._pool.lost(self, fault)
