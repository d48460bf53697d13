"""When to register again, and when to say that it does not work.  Pure: for a reactor and for threads alike."""

from __future__ import annotations

from collections.abc import Callable

from scalekit.kit.backoff import Backoff

RENEW_SECONDS = 5.0  # a third of the balancer's lease of 15 s: one may be lost
RENEW_JITTER = 0.2
BACKOFF_SECONDS = (0.5, 10.0)  # the first span and the longest: a balancer that comes back is joined within 10 s
COMPLAIN_SECONDS = 60.0


class Rhythm:
    """
    :param random: as `random.random`.

    :ivar is_registered: whether the last try went well.
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._backoff = Backoff(*BACKOFF_SECONDS, random)
        self._complained_at: float | None = None
        self.is_registered = False

    def succeeded(self) -> float:
        """Note a success; seconds to the next beat."""
        self.is_registered = True
        self._backoff.succeeded()
        self._complained_at = None
        return RENEW_SECONDS * (1 - RENEW_JITTER + 2 * RENEW_JITTER * self._random())

    def failed(self, now: float) -> tuple[float, bool]:
        """Note a failure: seconds to the next try, and whether to say so, which is once a minute."""
        self.is_registered = False
        is_news = self._complained_at is None or now - self._complained_at >= COMPLAIN_SECONDS
        if is_news:
            self._complained_at = now
        return self._backoff.failed(), is_news

    def __repr__(self) -> str:
        return f"<Rhythm {'registered' if self.is_registered else self._backoff}>"
