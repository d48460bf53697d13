"""
The end of a connection whose client has been told that it is one.

Our direction is closed, and the client has a moment to close its own: ended over what it still sends, a connection is
reset (RFC 9112 section 9.6), and a reset takes back what has not arrived yet.  That is more than what waits here, as
the kernel holds megabytes of an answer: what counts is what the client's machine has acknowledged.
"""

from __future__ import annotations

from typing import Any

#: Enough for the last words to cross; nginx's lingering_timeout is 5 s.
LINGER_SECONDS = 2.0


class Lingering:
    """
    To be asked each time that `LINGER_SECONDS` are over.

    :param patience: in so many seconds the client must take some; with 0, each time.
    """

    __slots__ = ("_patience", "_since", "_transport", "_untaken")

    def __init__(self, transport: Any, now: float, patience: float) -> None:
        self._transport = transport
        self._untaken = untaken_bytes(transport)
        self._since = now
        self._patience = patience

    def goes_on(self, now: float) -> bool:
        """Whether the client still takes what it was sent, or has just taken the last of it."""
        untaken = untaken_bytes(self._transport)
        if untaken != self._untaken:
            self._untaken, self._since = untaken, now
            return True
        return untaken > 0 and now - self._since < self._patience

    def __repr__(self) -> str:
        return f"<Lingering {self._untaken} bytes untaken>"


def unread_bytes(transport: Any) -> int:
    """What the client has sent and nobody has read, which a close would answer with a reset; 0 of a foreign one."""
    return getattr(transport, "unread_bytes", 0)


def untaken_bytes(transport: Any) -> int:
    """What of all that was written to it the client has not acknowledged; 0 of a foreign transport."""
    return getattr(transport, "untaken_bytes", 0)
