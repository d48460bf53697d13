"""Waiting before another try: full jitter, so that those who failed together do not come back together."""

from __future__ import annotations

from collections.abc import Callable


class Backoff:
    """
    Doubling spans, and a random moment within each ("full jitter").

    :param first_seconds: the first span.
    :param most_seconds: no span is longer.
    :param random: as `random.random`.
    """

    def __init__(self, first_seconds: float, most_seconds: float, random: Callable[[], float]) -> None:
        self._first = first_seconds
        self._most = most_seconds
        self._random = random
        self.failures = 0

    def failed(self) -> float:
        """Count a failure; how many seconds to wait now."""
        span = min(self._most, self._first * 2.0 ** min(self.failures, 32))
        self.failures += 1
        return span * self._random()

    def succeeded(self) -> None:
        """Begin anew."""
        self.failures = 0

    def __repr__(self) -> str:
        return f"<Backoff after {self.failures} failures>"
