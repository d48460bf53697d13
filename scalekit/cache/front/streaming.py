"""
An answer on its way to several clients: at the speed of the fastest of them, and in bounded memory.

All of it is kept while it is to be stored, so that who comes late reads from the start.  Once it turns out too big for
that, only what the slowest has not read is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scalekit.cache.front.bodies import PIECE_BYTES, Body, Reader
from scalekit.errors import ClientFault

#: How far the origin may be ahead of the fastest client: an app server is done with a page, or a picture, whoever reads
#: it; and of what nobody takes any more not all is fetched first.
LEAD_BYTES = 1024 * 1024
#: The same of what is not to be stored, for which no room is kept: as far as any proxied answer.
UNKEPT_LEAD_BYTES = PIECE_BYTES
#: What nobody waits for any more is fetched to its end if not more is left: it will be stored, and is nearly here.
FINISHED_BYTES = 1024 * 1024


class Stream:
    """
    :param body: what there is of it.
    :param length: bytes of all of it; None: not known.
    :param keep_room: is told how much memory it takes by now; False: there is not that much, and it is not stored.
    :param hold: tells the origin to wait (True), or to go on (False).
    :param unwanted: called once if nobody wants the rest.
    :param is_for_readers: whether it ends with them; else it goes on, to be stored.

    :ivar is_stored: whether it is kept whole.
    """

    __slots__ = (
        "_hold",
        "_is_for_readers",
        "_is_held",
        "_is_over",
        "_is_sending",
        "_keep_room",
        "_readers",
        "_room",
        "_unwanted",
        "body",
        "is_stored",
        "length",
    )

    def __init__(
        self,
        body: Body,
        length: int | None,
        keep_room: Callable[[int], bool],
        hold: Callable[[bool], None],
        unwanted: Callable[[], None],
        is_for_readers: bool = True,
    ) -> None:
        self.body = body
        self.length = length
        self.is_stored = True
        self._keep_room = keep_room
        self._hold = hold
        self._unwanted = unwanted
        self._is_for_readers = is_for_readers
        self._readers: list[Reader] = []
        self._room = 4 * UNKEPT_LEAD_BYTES
        self._is_held = self._is_sending = self._is_over = False

    def read(self, exchange: Any, first: int = 0, end: int | None = None) -> None:
        """Send it, or the bytes from ``first`` up to ``end``, to this exchange, whose answer has begun."""
        reader = Reader(exchange, self.body, self._moved, first, end)
        self._readers.append(reader)
        reader.send()

    def write(self, piece: bytes) -> None:
        """So much more has come."""
        body = self.body
        body.add(piece)
        if self.is_stored:
            if self._keep_room(body.charge):
                self._room = max(self._room, body.charge)
            else:
                self.is_stored = False
        self._is_sending = True
        for reader in list(self._readers):
            reader.send()
        self._is_sending = False
        self.balance()

    def complete(self) -> None:
        """All of it has come."""
        self._is_over = self.body.is_complete = True
        for reader in list(self._readers):
            reader.send()

    def cut(self, fault: Exception) -> None:
        """No more will come: everybody is to notice."""
        self._is_over = True
        for reader in list(self._readers):
            reader.cut(fault)

    def balance(self) -> None:
        """Hold the origin, or let it go on; give up what nobody needs."""
        if self._is_over:
            return
        if not self.is_stored:
            self._slide()
        readers = self._readers
        if not readers and not (self.is_stored and (not self._is_for_readers or self._is_nearly_here())):
            self._is_over = True
            self._unwanted()
            return
        lead = self.body.size - max([reader.position for reader in readers]) if readers else 0
        limit = LEAD_BYTES if self.is_stored else UNKEPT_LEAD_BYTES
        if lead > limit and not self._is_held:
            self._is_held = True
            self._hold(True)
        elif self._is_held and lead <= limit // 2:
            self._is_held = False
            self._hold(False)

    def _moved(self, reader: Reader) -> None:
        """A reader has got further, or its client is gone."""
        if reader.is_over and reader in self._readers:
            self._readers.remove(reader)
        if not self._is_sending:
            self.balance()

    def _slide(self) -> None:
        """
        Let go what all have.  Whoever is further behind than there was room kept for is cut off, so that he neither
        holds up the others nor takes more memory.
        """
        body, readers = self.body, self._readers
        while readers:
            slowest = min(readers, key=_place)
            body.drop(slowest.next_piece - body.dropped)
            if len(readers) == 1 or body.size - body.dropped_bytes <= self._room:
                return
            readers.remove(slowest)
            slowest.cut(ClientFault(408, "too-slow", "Others read the same, and the rest is not kept for so long."))

    def _is_nearly_here(self) -> bool:
        left = self.body.size if self.length is None else self.length - self.body.size
        return left <= FINISHED_BYTES

    def __repr__(self) -> str:
        state = "over" if self._is_over else "held" if self._is_held else "going on"
        return f"<Stream {self.body!r} to {len(self._readers)} readers, {state}>"


def _place(reader: Reader) -> int:
    return reader.next_piece
