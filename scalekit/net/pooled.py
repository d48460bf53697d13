"""What connections to app servers have in common, whichever HTTP they speak: deadlines, and a pool that they are of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twisted.internet.protocol import Protocol

from scalekit.errors import UpstreamFault
from scalekit.net.deadlines import Wheel

UNUSED = UpstreamFault(502, "connection-closed", "The app server closed the connection before it answered.")


@dataclass(frozen=True, slots=True)
class UpstreamTimeouts:
    """
    In seconds.

    :ivar connect: until the connection (and its TLS) stands.
    :ivar first_byte: from the whole request to the answer's head.
    :ivar read: between two pieces of an answer, and for the server to take some of the request's body.
    :ivar idle: how long an unused connection is kept: uvicorn and node close theirs after 5.
    :ivar tunnel_idle: without a byte in either direction of a tunnel.
    """

    connect: float = 2.0
    first_byte: float = 30.0
    read: float = 60.0
    idle: float = 4.0
    tunnel_idle: float = 3600.0

    def kept_for(self, keep_alive: float | None) -> UpstreamTimeouts:
        """
        The same for an app server that closes idle connections after ``keep_alive`` seconds; None: not known.

        Ours are closed a second sooner, so that none is used just as the app server closes it; but after a minute in
        any case, as nginx' are, since every idle connection costs memory on both sides.
        """
        if keep_alive is None:
            return self
        idle = min(60.0, max(0.0, keep_alive - 1.0))
        return UpstreamTimeouts(self.connect, self.first_byte, self.read, idle, self.tunnel_idle)


class Pooled(Protocol):
    """A connection of a pool, whatever it speaks, at its end."""

    deadline: float
    scheduled: float
    transport: Any
    _is_closed: bool
    _pool: Any
    _wheel: Wheel

    def close(self) -> None:
        """End the connection now; nobody waits for it."""
        self._leave_pool()
        if self.transport is not None:
            self.transport.abortConnection()

    def _leave_pool(self) -> None:
        """It is used no more, and nothing is waited for on it."""
        self._is_closed = True
        self._wheel.forget(self)
        self._pool.forget(self)

    def deadline_passed(self) -> None:
        raise NotImplementedError
