"""Values that are being made: since when, and how much room is kept for them."""

from __future__ import annotations

from collections import OrderedDict

import msgspec


class Fill(msgspec.Struct, eq=False):
    """
    A value that is being made.

    :ivar since: the number of the latest purge when it began.
    :ivar reserved: bytes kept free for it.
    :ivar position: where the log of purges was that is shared with others; empty: there is none.
    """

    key: bytes
    since: int
    reserved: int = 0
    position: bytes = b""


class Fills:
    """
    Those under way.

    :ivar reserved: bytes kept free for all of them.
    """

    def __init__(self) -> None:
        self._fills: OrderedDict[int, Fill] = OrderedDict()  # in the order in which they began
        self.reserved = 0

    def begin(self, key: bytes, since: int) -> Fill:
        """One more."""
        fill = Fill(key, since)
        self._fills[id(fill)] = fill
        return fill

    def reserve(self, fill: Fill, charge: int) -> None:
        """Keep as much free for it as its value will be charged for."""
        self.reserved += charge - fill.reserved
        fill.reserved = charge

    def end(self, fill: Fill) -> bool:
        """It is over; False if it was before."""
        if self._fills.pop(id(fill), None) is None:
            return False
        self.reserved -= fill.reserved
        fill.reserved = 0
        return True

    def earliest(self, latest: int) -> int:
        """The number of the purge that the first of them began after; ``latest`` if there is none."""
        return next((one.since for one in self._fills.values()), latest)

    def __len__(self) -> int:
        return len(self._fills)

    def __repr__(self) -> str:
        return f"<Fills {len(self)}, {self.reserved} bytes reserved>"
