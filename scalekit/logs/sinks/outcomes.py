"""What came of a batch that was sent."""

from __future__ import annotations

from typing import NamedTuple


class Delivered(NamedTuple):
    """
    The other side has it.

    :ivar rejected: of the entries, it said, so many it did not take and never will; it does not say which.
    :ivar text: what it said about that.
    """

    rejected: int = 0
    text: str = ""


class Refused(NamedTuple):
    """The other side will never take it as it is: something in it is wrong, or it is too big."""

    text: str


class Later(NamedTuple):
    """
    It is to be sent again: nobody was there, or took it now.

    :ivar seconds: not before that, the other side says; 0.0: it does not say.
    """

    text: str
    seconds: float = 0.0


Outcome = Delivered | Refused | Later
