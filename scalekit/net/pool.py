"""
The connections to one app server: idle ones, the last used first, so that the others may grow old and close.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scalekit.errors import UpstreamFault
from scalekit.net.deadlines import Wheel
from scalekit.net.upstream import UpstreamConnection, UpstreamTimeouts

#: Idle connections kept to one app server: what two HTTP/2 clients ask at once with all their streams.  Fewer, and each
#: such burst opens the rest anew (15 us each); those that are not used close after their idle time anyway.
MOST_IDLE = 256

#: What may not be sent twice goes only on connections that were used so lately: no common server closes sooner
#: (gunicorn 2 s; Apache, node and uvicorn 5 s), so such a request does not run into the close.
YOUNG_SECONDS = 1.0

#: ``(protocol, failed) -> cancel``.
Opener = Callable[[Any, Callable[[UpstreamFault], None]], Callable[[], None]]


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
        self._waiting: dict[UpstreamConnection, Callable[[UpstreamConnection], None]] = {}
        self._is_closed = False

    def take(self) -> UpstreamConnection | None:
        """An idle connection, the last used; None if there is none."""
        return self.idle.pop() if self.idle else None

    def take_young(self) -> UpstreamConnection | None:
        """The same for what may not be sent twice: one used within `YOUNG_SECONDS`, or None."""
        return self.idle.pop() if self.idle and self.idle[-1].idle_seconds <= YOUNG_SECONDS else None

    def open(
        self, ready: Callable[[UpstreamConnection], None], failed: Callable[[UpstreamFault], None]
    ) -> Callable[[], None]:
        """
        Open a new connection.

        :returns: a callable that gives it up; neither callback is called after it.
        """
        return self._open(self._open_connection, ready, failed)

    #: The same for what may become a tunnel, which needs a connection of its own.
    open_alone = open

    def _open(
        self,
        open_connection: Opener,
        ready: Callable[[UpstreamConnection], None],
        failed: Callable[[UpstreamFault], None],
    ) -> Callable[[], None]:
        connection = UpstreamConnection(self, self._wheel, self._timeouts)
        self._waiting[connection] = ready

        def not_opened(fault: UpstreamFault) -> None:
            if self._waiting.pop(connection, None) is not None:
                failed(fault)

        cancel = open_connection(connection, not_opened)

        def give_up() -> None:
            if self._waiting.pop(connection, None) is not None:
                cancel()

        return give_up

    def connected(self, connection: UpstreamConnection) -> None:
        """A connection that was being opened stands."""
        ready = self._waiting.pop(connection, None)
        if ready is not None:
            ready(connection)
        else:
            connection.close()

    def give_back(self, connection: UpstreamConnection) -> None:
        """Its exchange is complete."""
        if self._is_closed or len(self.idle) >= MOST_IDLE:
            connection.retire()
        else:
            self.idle.append(connection)

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
        return f"<Pool {len(self.idle)} idle, {len(self._waiting)} opening{' closed' if self._is_closed else ''}>"
