"""Whether it is worth asking: a breaker that stops asking somebody who does not answer."""

from __future__ import annotations

FAILURES = 5  # in a row
OPEN_SECONDS = 2.0


class Breaker:
    """
    Closed: ask.  After five failures in a row: open, do not ask for two seconds.  Then one caller may try; its failure
    opens it for another two seconds, its success closes it.
    """

    def __init__(self) -> None:
        self._failures = 0
        self._open_until = 0.0

    def allows(self, now: float) -> bool:
        """Whether to ask now; the first one allowed after a pause tries for all."""
        if self._failures < FAILURES:
            return True
        if now < self._open_until:
            return False
        self._open_until = now + OPEN_SECONDS
        return True

    def succeeded(self) -> None:
        self._failures = 0

    def failed(self, now: float) -> None:
        self._failures += 1
        self._open_until = now + OPEN_SECONDS

    def __repr__(self) -> str:
        state = "open" if self._failures >= FAILURES else "closed"
        return f"<Breaker {state} after {self._failures} failures>"
