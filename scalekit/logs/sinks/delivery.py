"""
What a sink sends next, and what an answer means for it.

::

    delivered   -> the cursor moves; the next batch is twice as long, up to BATCH_ENTRIES
    refused     -> the same from the cursor on, half as long; a single entry goes aside, and the cursor moves
    later       -> the same again, after a pause with full jitter or what the other side asks for

So one bad entry among a thousand costs some thirty requests, and keeps nobody back but for their time.  There is no
end to trying again: the log itself is the queue.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from scalekit.backoff import Backoff
from scalekit.logs.sinks.outcomes import Delivered, Outcome, Refused

#: OpenTelemetry's own exporters send 512; the longer, the fewer syncs of the cursor.
BATCH_ENTRIES = 1000
#: Of messages and fields: receivers take 4 MiB at least as they come, before what JSON adds.
BATCH_BYTES = 1024 * 1024
#: The first span and the longest; OTLP's exporters wait for 1 to 64 s.
BACKOFF_SECONDS = (0.5, 30.0)
#: Whoever asks for longer is mistaken; by then somebody may have set it right.
LATER_MOST_SECONDS = 600.0
#: Bad entries come singly or with the program that writes them; if nothing else is taken any more, it is the other side
#: that is wrong, and refusing goes slowly from there.
REFUSED_IN_A_ROW = 100


class Step(Enum):
    """What becomes of a batch."""

    DONE = "the cursor moves behind it"
    ASIDE = "it is a single entry that is refused: kept aside, and the cursor moves behind it"
    AGAIN = "it, or the first part of it, is sent again"


class Delivery:
    """
    See the module.

    :param random: as `random.random`.
    :ivar limit: how many entries the next batch may have.
    :ivar sent: entries that were taken.
    :ivar rejected: those that the other side said it did not take; ``refused``: those that were put aside.
    :ivar retries: how often something was sent again because nobody took it, or could not be read yet.
    :ivar trouble: what the other side, or its absence, or our own disk said last; empty: it takes what it gets.
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self._backoff = Backoff(*BACKOFF_SECONDS, random)
        self._next_try = float("-inf")
        self._in_a_row = 0
        self.limit = BATCH_ENTRIES
        self.sent = 0
        self.rejected = 0
        self.refused = 0
        self.retries = 0
        self.trouble = ""

    def wait(self, now: float) -> float:
        """Seconds until the next batch may be sent."""
        return max(0.0, self._next_try - now)

    def answered(self, outcome: Outcome, count: int, now: float) -> Step:
        """What became of a batch of so many entries."""
        if isinstance(outcome, Delivered):
            self.rejected += min(outcome.rejected, count)
            self.sent += count - min(outcome.rejected, count)
            self.limit = min(BATCH_ENTRIES, 2 * max(self.limit, 1))
            self._in_a_row = 0
            self.end_trouble()
            return Step.DONE
        if isinstance(outcome, Refused):
            if count > 1:
                self.limit = count // 2
                self.end_trouble()
                return Step.AGAIN
            self.refused += 1
            self._in_a_row += 1
            if self._in_a_row > REFUSED_IN_A_ROW:
                self.trouble = outcome.text
                self._next_try = now + self._backoff.failed()
            else:
                self.end_trouble()
            return Step.ASIDE
        self._try_later(outcome.text, now, min(outcome.seconds, LATER_MOST_SECONDS))
        return Step.AGAIN

    def unread(self, text: str, now: float) -> None:
        """What is to be sent could not be read."""
        self._try_later(text, now, 0.0)

    def _try_later(self, text: str, now: float, at_least: float) -> None:
        self.retries += 1
        self.trouble = text
        self._next_try = now + max(self._backoff.failed(), at_least)

    def end_trouble(self) -> None:
        """Go on as if there had been none."""
        self.trouble = ""
        self._backoff.succeeded()

    def __repr__(self) -> str:
        state = f"in trouble ({self.trouble})" if self.trouble else "well"
        return f"<Delivery of up to {self.limit}, {state}, sent {self.sent}, refused {self.refused}>"
