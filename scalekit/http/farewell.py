"""
How a WebSocket is ended by somebody in the middle, so that both peers hear a reason (RFC 6455 sections 5.5.1 and 7.1).

The client is told first, with a close frame between two frames of the app's.  What it still says goes on, and so does
its answer, a close frame too: nothing that it has sent before it knew is lost, and the app hears the end from it.  Only
if it does not answer is the app told on its behalf.

=============  =====================================================================================================
step           what goes through
=============  =====================================================================================================
``OPEN``       everything; a peer may end it by itself
``ASKED``      everything, up to the end of the app's message or frame: our close frame stands there
``TOLD``       the client's bytes, up to its answer; the app's are let fall, as nothing may follow a close frame
``ANSWERED``   the same; both peers know, and what is left is to close the connections
=============  =====================================================================================================
"""

from __future__ import annotations

from enum import IntEnum

from scalekit.http.websocket import FRAME, GOING_AWAY, Frames, close_frame


class Step(IntEnum):
    """See the table above."""

    OPEN = 0
    ASKED = 1
    TOLD = 2
    ANSWERED = 3


_TO_CLIENT = close_frame(GOING_AWAY)


class Farewell:
    """
    What goes through a WebSocket, both ways.

    :ivar step: see `Step`.
    """

    __slots__ = ("_from_app", "_from_client", "_has_told_app", "_until", "step")

    def __init__(self) -> None:
        self._from_app = Frames()
        self._from_client = Frames()
        self._until = 0
        self._has_told_app = False
        self.step = Step.OPEN

    @property
    def is_ending(self) -> bool:
        """Whether a peer has said by itself that it ends."""
        return self.step is not Step.ANSWERED and (self._from_client.has_closed or self._from_app.has_closed)

    def to_client(self, piece: bytes) -> bytes:
        """What goes on of these bytes of the app."""
        step = self.step
        if not step:
            self._from_app.follow(piece)
            return piece
        if step is not Step.ASKED:
            return b""
        end = self._from_app.follow(piece, self._until)
        if end < 0:
            return piece
        self._told()
        return piece[:end] + _TO_CLIENT

    def to_app(self, piece: bytes) -> bytes:
        """What goes on of these bytes of the client."""
        if self._has_told_app:
            return b""
        client = self._from_client
        client.follow(piece)
        if client.has_closed and self.step is Step.TOLD:
            self.step = Step.ANSWERED
        return piece

    def ask(self, until: int) -> bytes:
        """
        End it as soon as the app's ``FRAME`` or ``MESSAGE`` ends; does nothing once the client is told.

        :return: what goes to the client now; empty: nothing yet.
        """
        if self.step > Step.ASKED:
            return b""
        self.step = Step.ASKED
        self._until = until
        if self._from_app.has_closed or not self._from_app.is_at_end(until):
            return b""
        self._told()
        return _TO_CLIENT

    def _told(self) -> None:
        # Where both have said it at once, the client's own word is the answer (section 7.1.3).
        self.step = Step.ANSWERED if self._from_client.has_closed else Step.TOLD

    def give_up_client(self, key: bytes) -> bytes:
        """
        The client does not answer: tell the app.

        :param key: 4 bytes; that nobody can guess them protects payloads that a page may choose (section 10.3), and
            this one is always the same.
        :return: what goes to the app; empty: the client has stopped inside a frame, and nothing can be said.
        """
        self.step = Step.ANSWERED
        self._has_told_app = True
        return close_frame(GOING_AWAY, key=key) if self._from_client.is_at_end(FRAME) else b""

    def __repr__(self) -> str:
        return f"<Farewell {self.step.name.lower()}>"
