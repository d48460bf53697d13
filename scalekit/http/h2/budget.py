"""A token bucket, for what costs us work and brings nobody anything."""

from __future__ import annotations


class Budget:
    """
    :param allowance: how much may be spent at once, and what comes back a second.
    """

    __slots__ = ("_burst", "_left", "_rate", "_since")

    def __init__(self, allowance: tuple[int, int], now: float) -> None:
        self._burst, self._rate = allowance
        self._left = float(self._burst)
        self._since = now

    def spend(self, now: float) -> bool:
        """Spend one; False once there is nothing left."""
        elapsed = now - self._since
        if elapsed > 0:
            self._since = now
            self._left = min(self._burst, self._left + elapsed * self._rate)
        self._left -= 1
        return self._left >= 0

    def earn(self, amount: float) -> None:
        """Give back, up to the burst, for work that brought something."""
        self._left = min(self._burst, self._left + amount)

    def __repr__(self) -> str:
        return f"<Budget {self._left:.0f} of {self._burst}, {self._rate}/s>"
