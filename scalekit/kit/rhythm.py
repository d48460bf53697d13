"""When to register again, and when to say that it does not work.  Pure: for a reactor and for threads alike."""

from __future__ import annotations

from collections.abc import Callable

from scalekit.backoff import Backoff

RENEW_SECONDS = 5.0  # a third of the balancer's lease of 15 s: one may be lost
RENEW_JITTER = 0.2
BACKOFF_SECONDS = (0.5, 10.0)  # the first span and the longest: a balancer that comes back is joined within 10 s
COMPLAIN_SECONDS = 60.0
# What the balancer says of us, and will say again until somebody changes something there or here; these two are about
# the moment: it takes its time, or too much is asked of it.
_MOMENTARY = (408, 429)


def is_refused(status: int) -> bool:
    """Whether an answer of this status says that the balancer has something against us; 0: there was no answer."""
    return 400 <= status < 500 and status not in _MOMENTARY


class Rhythm:
    """
    :param random: as `random.random`.

    :ivar is_registered: whether the last try went well.
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._backoff = Backoff(*BACKOFF_SECONDS, random)
        self._complained_at: float | None = None
        self._refusal = ""
        self.is_registered = False

    def succeeded(self) -> float:
        """Note a success; seconds to the next beat."""
        self.is_registered = True
        self._backoff.succeeded()
        self._complained_at = None
        self._refusal = ""
        return RENEW_SECONDS * (1 - RENEW_JITTER + 2 * RENEW_JITTER * self._random())

    def failed(self, now: float, cause: str = "", status: int = 0) -> tuple[float, bool]:
        """
        Note a failure: seconds to the next try, and whether to say so.

        That is once a minute; of what the balancer has against us it is once: a token or a place is not ours, and
        until that is changed each try will be answered so.

        :param status: that the balancer has answered; 0: there was no answer.
        """
        self.is_registered = False
        if is_refused(status):
            is_news, self._refusal = cause != self._refusal, cause
        else:
            is_news = self._complained_at is None or now - self._complained_at >= COMPLAIN_SECONDS
            self._complained_at = now if is_news else self._complained_at
        return self._backoff.failed(), is_news

    def __repr__(self) -> str:
        return f"<Rhythm {'registered' if self.is_registered else self._backoff}>"
