"""
The connections to one app server: idle ones, the last used first, so that the others may grow old and close.

So many are opened at a time.  Who needs one more waits in a line, for as long as a connect may take, and gets what
comes first: a connect of its own, or a connection that has become free, which goes to the first who may use it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scalekit.errors import UpstreamFault
from scalekit.net.deadlines import FAR, Wheel
from scalekit.net.pooled import UpstreamTimeouts
from scalekit.net.upstream import UpstreamConnection

#: Idle connections kept to one app server: what two HTTP/2 clients ask at once with all their streams.  Fewer, and each
#: such burst opens the rest anew (15 us each); those that are not used close after their idle time anyway.
MOST_IDLE = 256

#: What may not be sent twice goes only on connections that were used so lately: no common server closes sooner
#: (gunicorn 2 s; Apache, node and uvicorn 5 s), so such a request does not run into the close.
YOUNG_SECONDS = 1.0

#: Connections to one app server that are being opened at a time: what has connected lies in the server's listen queue
#: until it is accepted, which holds 50 under Twisted and 100 under asyncio, and a SYN that finds no room there is sent
#: again after a second.  A burst of requests is served by fewer connections, too, if the first of them are used again.
MOST_OPENING = 50

#: Who waits for that: more could hardly be connected in the time that they wait, 50 at once in ten milliseconds each.
MOST_WAITING = 10_000

#: Told of an `UpstreamFault`; or, where it had to wait and nobody else can tell it, of what its opener has raised.
Failed = Callable[[Any], None]

#: ``(protocol, failed) -> cancel``.
Opener = Callable[[Any, Failed], Callable[[], None]]

TOO_MANY = UpstreamFault(503, "connect-queue-full", "Too many requests wait for a connection to the app server.")


class Waiting:
    """
    A request without a connection.

    :param late: is told when the time that `Wheel.arm` has set is over.

    :ivar is_fresh: whether nothing may have been sent on its connection before.
    :ivar connection: the one that is being opened for it alone; None: there is none, it waits in a line.
    :ivar cancel: gives that connection up.
    """

    __slots__ = ("_late", "cancel", "connection", "deadline", "failed", "is_fresh", "opener", "ready", "scheduled")

    def __init__(
        self, opener: Opener, ready: Callable[[Any], None], failed: Failed, is_fresh: bool, late: Callable[[Any], None]
    ) -> None:
        self.opener = opener
        self.ready = ready
        self.failed = failed
        self.is_fresh = is_fresh
        self.connection: UpstreamConnection | None = None
        self.cancel: Callable[[], None] | None = None
        self._late = late
        self.deadline = self.scheduled = FAR

    def deadline_passed(self) -> None:
        self._late(self)


class Pool:
    """
    :param open_connection: opens a connection for this protocol, within its deadline, or calls ``failed(fault)`` once;
        neither before it returns.
    """

    def __init__(
        self,
        open_connection: Opener,
        wheel: Wheel,
        timeouts: UpstreamTimeouts,
    ) -> None:
        self._open_connection = open_connection
        self._wheel = wheel
        self._timeouts = timeouts
        self.idle: list[UpstreamConnection] = []
        self._opening: dict[UpstreamConnection, Waiting] = {}
        self._line: dict[Waiting, None] = {}
        self._is_closed = self._is_shedding = False

    @property
    def timeouts(self) -> UpstreamTimeouts:
        """What its connections go by."""
        return self._timeouts

    def take(self) -> UpstreamConnection | None:
        """An idle connection, the last used; None if there is none."""
        return self.idle.pop() if self.idle else None

    def take_young(self) -> UpstreamConnection | None:
        """The same for what may not be sent twice: one used within `YOUNG_SECONDS`, or None."""
        return self.idle.pop() if self.idle and self.idle[-1].idle_seconds <= YOUNG_SECONDS else None

    def open(
        self, ready: Callable[[UpstreamConnection], None], failed: Failed, is_fresh: bool = False
    ) -> Callable[[], None]:
        """
        Open a new connection; while many are being opened, it may be one instead that becomes free.

        :param is_fresh: whether it must be a new one.
        :returns: a callable that gives it up; neither callback is called after it.
        """
        return self._open(self._open_connection, ready, failed, is_fresh)

    def open_alone(self, ready: Callable[[UpstreamConnection], None], failed: Failed) -> Callable[[], None]:
        """The same for what may become a tunnel, which needs a connection of its own."""
        return self.open(ready, failed, is_fresh=True)

    def _open(
        self, opener: Opener, ready: Callable[[UpstreamConnection], None], failed: Failed, is_fresh: bool
    ) -> Callable[[], None]:
        waiting = Waiting(opener, ready, failed, is_fresh, self._late)
        if len(self._opening) < MOST_OPENING:
            self._begin(waiting)
        else:
            self._line_up(self._line, waiting)
        return lambda: self._give_up(waiting)

    def _line_up(self, line: dict[Waiting, None], waiting: Waiting) -> None:
        """Let it wait; where the line is too long now, the first one has waited in vain."""
        line[waiting] = None
        self._wheel.arm(waiting, self._timeouts.connect)
        if self._is_shedding:
            return  # Who is told goes to another app server, and the first one in its line comes here, and so on.
        self._is_shedding = True
        try:
            while len(line) > MOST_WAITING:
                first = next(iter(line))
                self._give_up(first)
                first.failed(TOO_MANY)
        finally:
            self._is_shedding = False

    def _begin(self, waiting: Waiting) -> None:
        connection = waiting.connection = UpstreamConnection(self, self._wheel, self._timeouts)
        self._opening[connection] = waiting

        def not_opened(fault: UpstreamFault) -> None:
            if self._opening.pop(connection, None) is not None:
                self._wheel.forget(waiting)
                self._begin_next()
                waiting.failed(fault)

        try:
            waiting.cancel = waiting.opener(connection, not_opened)
        except BaseException:  # what app servers are trusted by cannot be read
            del self._opening[connection]
            raise

    def _begin_next(self) -> None:
        """There may be room for one more connect."""
        while self._line and len(self._opening) < MOST_OPENING:
            waiting = next(iter(self._line))
            del self._line[waiting]
            try:
                self._begin(waiting)
            except Exception as fault:
                self._wheel.forget(waiting)
                waiting.failed(fault)

    def _give_up(self, waiting: Waiting) -> None:
        self._wheel.forget(waiting)
        if waiting.connection is None:
            self._line.pop(waiting, None)
        elif self._opening.pop(waiting.connection, None) is not None:
            assert waiting.cancel is not None
            waiting.cancel()
            self._begin_next()

    def _late(self, waiting: Waiting) -> None:
        """It had to wait, and its time is over; perhaps while its connection is being opened."""
        self._give_up(waiting)
        detail = f"No connection within {self._timeouts.connect:g} s: many are being opened, and none was free."
        waiting.failed(UpstreamFault(504, "connect-timeout", detail))

    def connected(self, connection: UpstreamConnection) -> None:
        """A connection that was being opened stands."""
        waiting = self._opening.pop(connection, None)
        if waiting is None:
            connection.close()
            return
        self._wheel.forget(waiting)
        self._begin_next()
        waiting.ready(connection)

    def give_back(self, connection: UpstreamConnection) -> None:
        """Its exchange is complete."""
        if self._line and self._hand_over(connection, self._line):
            return
        if self._is_closed or len(self.idle) >= MOST_IDLE:
            connection.retire()
        else:
            self.idle.append(connection)

    def _hand_over(self, connection: UpstreamConnection, line: dict[Waiting, None]) -> bool:
        """Whether the first one in the line that may use it has taken it."""
        waiting = next((one for one in line if not one.is_fresh), None)
        if waiting is None:
            return False
        del line[waiting]
        self._wheel.forget(waiting)
        waiting.ready(connection)
        return True

    def forget(self, connection: UpstreamConnection) -> None:
        """It has ended."""
        if connection in self.idle:
            self.idle.remove(connection)

    def close(self) -> None:
        """End the idle ones now, and the busy ones after what they carry."""
        self._is_closed = True
        for connection in self.idle[:]:
            connection.retire()

    def __repr__(self) -> str:
        waiting = f", {len(self._line)} waiting" if self._line else ""
        return f"<Pool {len(self.idle)} idle, {len(self._opening)} opening{waiting}{' closed' * self._is_closed}>"
