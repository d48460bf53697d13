"""
What becomes of a batch that was sent: which is next, when, and what an answer means.  Pure but for the spool.

::

    the queue -> a batch with a name -> under way -> acknowledged
                        |                   | a failure: the same again, with full jitter; 409 for a gap: another name
                        v                   v
                    the spool  <- the collector is away for 2 s

Batches are numbered in the order in which they are sent; while the spool holds any, all others go through it.
"""

from __future__ import annotations

from collections.abc import Callable

from scalekit.backoff import Backoff
from scalekit.kit.posting import Answer
from scalekit.kit.queue import BATCH_BYTES, BATCH_ENTRIES, SPOOL_FROM_BYTES, EntryQueue
from scalekit.kit.spool import Batch, Spool

BATCH_SECONDS = 0.2  # an entry waits at most this long for others to go with
# From here on the collector counts as away: what waits goes to disk, where it outlives us.
AWAY_SECONDS = 2.0
BACKOFF_SECONDS = (0.2, 10.0)  # the first span and the longest
# Of the refusals those that may be no more the next time: a token that is not taken yet, a batch still being written.
_MAY_CHANGE = frozenset({401, 403, 408, 409, 429})


# A trickle is no answer; of each wait for it `posting` has the end.
PATIENCE_SECONDS = 30.0
# How often one looks for what another process has left: nobody waits for it.
LOOK_SECONDS = 30.0


class Delivery:
    """
    :param make_name: a name that no other process has.
    :param reject: keeps a batch that the collector does not want, and why.
    :param tell: (text) -> None: for the operator, when something begins and not each time.
    :param note: (text) -> None: makes an entry of it.
    """

    def __init__(
        self,
        queue: EntryQueue,
        spool: Spool,
        make_name: Callable[[], str],
        random: Callable[[], float],
        reject: Callable[[Batch, str], None],
        tell: Callable[[str], None],
        note: Callable[[str], None],
    ) -> None:
        self._queue = queue
        self._spool = spool
        self._make_name = make_name
        self._reject = reject
        self._tell = tell
        self._note = note
        self._backoff = Backoff(*BACKOFF_SECONDS, random)
        self._client = make_name()
        self._number = 0
        self._waiting: Batch | None = None  # out of the queue; under way, or between two tries
        self._sent: Batch | None = None  # under way, from memory or from the spool
        self._sent_at = 0.0
        self._renamed: Batch | None = None  # goes by another name than its own
        self._trouble_at: float | None = None  # since then nobody has taken anything
        self._next_try = 0.0
        self._spooled_at = float("-inf")
        self._adopted_at = float("-inf")
        self._seen_at: float | None = None  # when the queue was seen not to be empty
        self._has_complained = False

    @property
    def has_any(self) -> bool:
        """Whether something is in memory that would be lost with it."""
        return self._waiting is not None or self._queue.count > 0

    @property
    def is_done(self) -> bool:
        """Whether the collector has all of it."""
        return not self.has_any and self._spool.size == 0

    def is_away(self, now: float) -> bool:
        """Whether nobody has taken anything for a while."""
        since = self._sent_at if self._sent is not None else now
        if self._trouble_at is not None:
            since = min(since, self._trouble_at)
        return now - since >= AWAY_SECONDS

    @property
    def is_under_way(self) -> bool:
        """Whether something is sent of which nothing has come back yet."""
        return self._sent is not None

    def hurry(self) -> None:
        """Send the next one without a pause: it is the last chance, and the collector may be back."""
        self._next_try = float("-inf")

    def is_stuck(self, now: float) -> bool:
        """Whether what is under way is to be given up."""
        return self._sent is not None and now - self._sent_at >= PATIENCE_SECONDS

    def next(self, now: float, is_hurried: bool = False) -> Batch | None:
        """
        The batch to send now, if there is one; it is under way then.

        :param is_hurried: nothing more will come that it could wait for.
        """
        if now - self._adopted_at >= LOOK_SECONDS:
            self._adopted_at = now
            self._spool.adopt()
        if self._seen_at is None and self._queue.count:
            self._seen_at = now
        if self._is_to_spool(now):
            self.spool(now)
        if self._sent is not None or now < self._next_try:
            return None
        batch = self._waiting or self._spool.first()
        if batch is None and (is_hurried or self._is_due(now)):
            batch = self._waiting = self._take(now)
        if batch is None:
            return None
        self._sent, self._sent_at = batch, now
        if self._renamed is not None and self._renamed[:2] == batch[:2]:
            return batch._replace(client=f"{batch.client}-{batch.number}", number=1)
        return batch

    def answered(self, answer: Answer, now: float) -> None:
        """What came of the batch under way."""
        batch, self._sent = self._sent, None
        assert batch is not None
        if answer.status < 300:
            self._end(batch)
            lost = self._queue.report_dropped()
            if lost:
                self._note(f"{lost} before this moment: the log service was away or too slow")
        elif answer.status == 409 and answer.reason == "batch-gap":
            # What came before it was given up, or is lost.  The other name follows from its own: whoever sends it
            # after our death gives it the same.
            self._renamed = batch
            if batch.client == self._client:
                self._client, self._number = self._make_name(), 0
        elif 400 <= answer.status < 500 and answer.status not in _MAY_CHANGE:
            self._reject(batch, answer.cause)
            self._end(batch)
        else:
            self._wait_after(answer.cause, now, answer.retry_after)

    def failed(self, why: str, now: float) -> None:
        """The batch under way had no answer."""
        self._sent = None
        self._wait_after(why, now, 0.0)

    def spool(self, now: float) -> None:
        """Put what waits on disk; what that does not take stays."""
        self._spooled_at = now
        try:
            while True:
                self._waiting = self._waiting or self._take(now)
                if self._waiting is None:
                    break
                self._spool.append(self._waiting)
                self._waiting = None
            self._has_complained = False
        except OSError as why:
            if not self._has_complained:
                self._tell(f"log entries cannot be spooled, they wait in memory: {why}")
            self._has_complained = True

    def wait(self, now: float) -> float:
        """Seconds until there is something to do, if nothing happens before."""
        moments = [self._adopted_at + LOOK_SECONDS]
        if self._sent is not None:
            moments.append(self._sent_at + (PATIENCE_SECONDS if self.is_away(now) else AWAY_SECONDS))
        elif self._waiting is not None or self._spool.size:
            moments.append(self._next_try)
        if self._seen_at is not None:
            if self.is_away(now):
                moments.append(self._spooled_at + AWAY_SECONDS)
            elif self._sent is None:
                moments.append(max(self._next_try, self._seen_at + BATCH_SECONDS))
        elif self._queue.count:
            moments.append(now)
        return max(0.0, min(moments) - now)

    def _is_due(self, now: float) -> bool:
        is_old = self._seen_at is not None and now - self._seen_at >= BATCH_SECONDS
        return is_old or self._queue.count >= BATCH_ENTRIES or self._queue.count_bytes >= BATCH_BYTES

    def _is_to_spool(self, now: float) -> bool:
        waiting = self._queue.count_bytes
        if waiting >= SPOOL_FROM_BYTES:
            return True
        # In bits no smaller than a batch, or no oftener than they would be missed.
        return self.has_any and self.is_away(now) and (waiting >= BATCH_BYTES or now - self._spooled_at >= AWAY_SECONDS)

    def _take(self, now: float) -> Batch | None:
        lines = self._queue.take(BATCH_ENTRIES, BATCH_BYTES)
        self._seen_at = now if self._queue.count else None
        if not lines:
            return None
        self._number += 1
        return Batch(self._client, self._number, b"\n".join(lines) + b"\n")

    def _end(self, batch: Batch) -> None:
        """It is the collector's now, or nobody's."""
        if self._waiting is batch:
            self._waiting = None
        else:
            self._spool.done(batch)
        self._backoff.succeeded()
        self._trouble_at = None
        self._renamed = None

    def _wait_after(self, why: str, now: float, at_least: float) -> None:
        if not self._backoff.failures:
            self._tell(f"the log service does not take entries, they wait: {why}")
        if self._trouble_at is None:
            self._trouble_at = self._sent_at
        self._next_try = now + max(self._backoff.failed(), at_least)

    def __repr__(self) -> str:
        state = "under way" if self._sent is not None else "waiting" if self._waiting is not None else "idle"
        return f"<Delivery {self._client}/{self._number} {state}, {self._queue!r}, {self._spool!r}>"
