"""
The collector's time: the wall clock's, but it passes as the monotonic clock says.

A wall clock that is set an hour ahead by mistake, and back again, would make everything in between late, for the
watermark never falls.  So a jump is followed only when it has lasted for `PATIENCE_SECONDS`; until then time goes on as
if nothing had happened, and entries that claim to be from the future are sorted by when they were received.  What a
clock is slewed by is followed at once.
"""

from __future__ import annotations

# NTP slews what is less than an eighth of a second, and steps what is more; virtual machines pause for a moment.
TOLERANCE_SECONDS = 1.0
# Longer than a time daemon takes to notice that it has set the clock by a server that is wrong.
PATIENCE_SECONDS = 60.0


class LogClock:
    """
    See the module.  ``wall`` and ``monotonic`` are readings of the two clocks, in seconds, taken together.

    :ivar ahead: seconds that the wall clock is ahead of us since it jumped; 0.0: it has not.
    """

    def __init__(self, wall: float, monotonic: float) -> None:
        self._difference = wall - monotonic
        self._jumped_at = 0.0
        self.ahead = 0.0

    def now(self, monotonic: float) -> int:
        """Nanoseconds since the epoch."""
        return int((monotonic + self._difference) * 1_000_000_000)

    def compare(self, wall: float, monotonic: float) -> str | None:
        """Look at the wall clock, as often as there is a flush; a sentence for the log if there is news."""
        ahead = wall - monotonic - self._difference
        if abs(ahead) <= TOLERANCE_SECONDS:
            self._difference += ahead
            if not self.ahead:
                return None
            self.ahead = 0.0
            return "the clock is back from its jump"
        if abs(ahead - self.ahead) > TOLERANCE_SECONDS:  # it has jumped, or once more
            self.ahead = ahead
            self._jumped_at = monotonic
            return f"the clock has jumped by {ahead:+.1f} s; followed in {PATIENCE_SECONDS:.0f} s if it stays there"
        if monotonic - self._jumped_at < PATIENCE_SECONDS:
            return None
        self._difference += ahead
        self.ahead = 0.0
        return f"the clock is {ahead:+.1f} s from where it was, and stays there: followed"

    def __repr__(self) -> str:
        return f"<LogClock, the wall clock {self.ahead:+.1f} s ahead>"
