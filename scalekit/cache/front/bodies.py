"""
The bytes of an answer's body, once, for however many clients: they may still be coming while some read them.

A `Body` is complete, or somebody adds to it.  Each client has a `Reader`, which sends what there is as fast as that
client takes it and is told of nothing in between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zope.interface import implementer

from scalekit.interfaces import IAnswerObserver

#: A whole body up to this is sent in one write, and pieces are put together up to it; a transport takes as much.
PIECE_BYTES = 64 * 1024
#: What a piece costs beside its bytes: an object and its place in a list.
PIECE_OVERHEAD_BYTES = 48


class Body:
    """
    :param pieces: what there is of it.

    :ivar dropped: how many pieces were given up at its beginning, as everybody has them.
    :ivar dropped_bytes: and bytes.
    :ivar size: bytes so far, with those.
    """

    __slots__ = ("dropped", "dropped_bytes", "is_complete", "pieces", "size")

    def __init__(self, pieces: list[bytes] | None = None, is_complete: bool = False) -> None:
        self.pieces = [] if pieces is None else pieces
        self.size = sum(map(len, self.pieces))
        self.dropped = 0
        self.dropped_bytes = 0
        self.is_complete = is_complete

    @property
    def charge(self) -> int:
        """What it costs in memory."""
        return self.size - self.dropped_bytes + PIECE_OVERHEAD_BYTES * len(self.pieces)

    @property
    def whole(self) -> bytes | None:
        """All of it, if that is one piece; None if it is more."""
        if len(self.pieces) > 1 or self.dropped:
            return None
        return self.pieces[0] if self.pieces else b""

    def add(self, piece: bytes) -> None:
        """So much more has come."""
        self.pieces.append(piece)
        self.size += len(piece)

    def drop(self, count: int) -> None:
        """Give up so many pieces at its beginning."""
        gone = self.pieces[:count]
        del self.pieces[:count]
        self.dropped += len(gone)
        self.dropped_bytes += sum(map(len, gone))

    def packed(self) -> Body:
        """The same, complete, in few pieces: an app server that flushes each line makes very small ones."""
        pieces: list[bytes] = []
        small: list[bytes] = []
        size = 0
        for piece in self.pieces:
            while len(piece) > PIECE_BYTES:
                if small:
                    pieces.append(b"".join(small))
                    small, size = [], 0
                pieces.append(piece[:PIECE_BYTES])
                piece = piece[PIECE_BYTES:]
            if size + len(piece) > PIECE_BYTES and small:
                pieces.append(b"".join(small))
                small, size = [], 0
            small.append(piece)
            size += len(piece)
        if small:
            pieces.append(small[0] if len(small) == 1 else b"".join(small))
        return Body(pieces, True)

    def __repr__(self) -> str:
        state = "complete" if self.is_complete else "growing"
        return f"<Body {self.size} bytes in {len(self.pieces)} pieces, {self.dropped} gone, {state}>"


@implementer(IAnswerObserver)
class Reader:
    """
    Sends a body, or the bytes from ``first`` up to ``end`` of it, to one exchange whose answer has begun.

    :param moved: called when it has sent something, or the client is gone (``is_over`` tells); None: nobody wonders.

    :ivar next_piece: the number of the piece to send next, counted from the body's first.
    :ivar position: up to where it has sent.
    :ivar is_paused: whether the client has enough for now.
    """

    __slots__ = (
        "_body",
        "_end",
        "_exchange",
        "_first",
        "_is_busy",
        "_moved",
        "is_over",
        "is_paused",
        "next_piece",
        "position",
    )

    def __init__(
        self,
        exchange: Any,
        body: Body,
        moved: Callable[[Reader], None] | None = None,
        first: int = 0,
        end: int | None = None,
    ) -> None:
        self._exchange = exchange
        self._body = body
        self._moved = moved
        self._first = first
        self._end = end
        self._is_busy = False
        self.next_piece = 0
        self.position = 0
        self.is_paused = False
        self.is_over = False
        exchange.observe(self)

    def send(self) -> None:
        """Send what there is, as far as the client takes it; the end, too, if that has come."""
        if self._is_busy or self.is_over:
            return
        self._is_busy = True
        body = self._body
        before = self.position
        while not self.is_paused and not self.is_over:
            index = self.next_piece - body.dropped
            if self._end is not None and self.position >= self._end:
                self._finish()
            elif index < len(body.pieces):
                piece = body.pieces[index]
                self.next_piece += 1
                self._write(piece)
            elif body.is_complete:
                self._finish()
            else:
                break
        self._is_busy = False
        if self._moved is not None and (self.is_over or self.position != before):
            self._moved(self)

    def _write(self, piece: bytes) -> None:
        start = self.position
        self.position += len(piece)
        if start < self._first or (self._end is not None and self.position > self._end):
            stop = len(piece) if self._end is None else self._end - start
            piece = piece[max(0, self._first - start) : stop]
        if piece:
            self._exchange.write(piece)

    def _finish(self) -> None:
        self.is_over = True
        self._exchange.finish()

    def cut(self, fault: Exception) -> None:
        """No more will come: the client is to notice."""
        if not self.is_over:
            self.is_over = True
            self._exchange.abort(fault)

    # The client: IAnswerObserver.

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        self.is_paused = False
        self.send()

    def aborted(self, fault: Exception) -> None:
        if not self.is_over:
            self.is_over = True
            if self._moved is not None:
                self._moved(self)

    def __repr__(self) -> str:
        state = "over" if self.is_over else "paused" if self.is_paused else "sending"
        return f"<Reader at {self.position} {state}>"
