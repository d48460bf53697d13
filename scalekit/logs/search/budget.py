"""What a search may take, and whether it has taken it."""

from __future__ import annotations

from collections.abc import Callable

#: A question whose answer takes longer is better asked of fewer hours; whoever waits for the next one waits as well.
TIME_SECONDS = 10.0
#: Four volumes of the largest kind; what a core looks through in that time when the words are rare.
READ_BYTES = 1024 * 1024 * 1024
#: What is kept in memory until the answer is complete.
ANSWER_BYTES = 16 * 1024 * 1024
#: Lines between two looks at the clock: a millisecond or so.
_STRIDE = 1024


class Cancelled(Exception):
    """Nobody waits for the answer any more."""


class Budget:
    """
    What is left for one search; the time runs from `begin` on.

    :param seconds: of a clock that is never set; asked from the thread of the search.
    :ivar read: bytes looked at so far.
    :ivar spent: what ran out: ``time`` or ``bytes``; None: nothing.
    :ivar is_cancelled: to be set by whoever does not wait any more.
    """

    def __init__(
        self, seconds: Callable[[], float], time_seconds: float = TIME_SECONDS, read_bytes: int = READ_BYTES
    ) -> None:
        self._seconds = seconds
        self._time_seconds = time_seconds
        self._until = float("inf")
        self._most = read_bytes
        self._looked = 0
        self.read = 0
        self.spent: str | None = None
        self.is_cancelled = False

    def begin(self) -> None:
        """The search begins; raises `Cancelled`."""
        if self.is_cancelled:
            raise Cancelled
        self._until = self._seconds() + self._time_seconds

    def take(self, size: int) -> bool:
        """Whether a line of so many bytes may still be looked at; raises `Cancelled`."""
        self.read += size
        self._looked += 1
        if self.read > self._most:
            self.spent = "bytes"
        elif self._looked % _STRIDE == 0:
            if self.is_cancelled:
                raise Cancelled
            if self._seconds() >= self._until:
                self.spent = "time"
        return self.spent is None

    def is_over(self) -> bool:
        """Whether to stop, for who looks at no lines just now; never raises."""
        if self._seconds() >= self._until:
            self.spent = self.spent or "time"
        return self.is_cancelled or self.spent is not None

    def __repr__(self) -> str:
        return f"<Budget {self.read} of {self._most} bytes, spent: {self.spent}>"
