"""
What is due goes from the buffer to the files, one release after the other; then the journal lets go of its segments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from scalekit.logs.checkpoint import Checkpoint
from scalekit.logs.counts import Counts
from scalekit.logs.directory import Directory, remove_all
from scalekit.logs.journal import Hold, Journal
from scalekit.logs.order import NOTHING, Release, ReorderBuffer
from scalekit.logs.output import Output
from scalekit.logs.room import Room
from scalekit.logs.settings import FLUSH_BYTES, HURRY_BYTES
from scalekit.logs.threads import Lane

#: For how long writing gives way after each step, which takes a third of a millisecond to a whole one.  Whoever waits
#: for a socket meanwhile does not wait for the interpreter as well each time, with which 64 clients that send entry by
#: entry would wait for 64 steps.  With few entries, it is spread over half the time that there is for it; with many it
#: takes a third of a core.
LEISURE_SECONDS, BRISK_SECONDS = 0.004, 0.001
# As many times of what makes every tick a flush: at a third of what may wait at all, it does not give way any more.
_PRESSING = 4

_log = Logger()


class Flushing:
    """
    See the module.

    :param lane: where the output is written.
    :param holds: what others still want to read of the journal, as long as there is room on the disk.
    :param journal_bytes: of what is written already, the journal keeps.
    :param newest: the last sequence number in the buffer.
    :param now: nanoseconds since the epoch: what was received until then is in the buffer.
    :ivar under_way: fires when the flush that runs is done; None: there is none.
    :ivar writing: what it writes.
    :ivar has_more: whether more was due than the last one could take.
    :ivar has_failed: whether the last one has.
    :ivar is_ending: no flush begins another.
    """

    def __init__(
        self,
        directory: Directory,
        lane: Lane,
        journal: Journal,
        buffer: ReorderBuffer,
        output: Output,
        counts: Counts,
        room: Room,
        holds: Sequence[Callable[[], Hold]],
        journal_bytes: int,
        newest: Callable[[], int],
        now: Callable[[], int],
    ) -> None:
        self._directory = directory
        self._lane = lane
        self._journal = journal
        self._buffer = buffer
        self._output = output
        self._counts = counts
        self._room = room
        self._holds = holds
        self._journal_bytes = journal_bytes
        self._newest = newest
        self._now = now
        self._older: Checkpoint | None = None  # the older one of the two on disk, since the first flush
        self._is_catching_up = True  # since the start, something that was due has not been written yet
        self.under_way: Deferred[None] | None = None
        self.writing = NOTHING
        self.has_more = False
        self.has_failed = False
        self.is_ending = False

    def begin(self) -> None:
        """Begin to write what is due, unless the last flush is still at it."""
        if self.under_way is not None:
            return
        now = self._now()
        release = self._buffer.release(now, FLUSH_BYTES)
        self.has_more = release.watermark < now - self._buffer.delay
        if not release.on_time and not release.late:
            return
        sequence = self._newest()
        journal = self._journal.first_needed(sequence, release.watermark)
        disposing = self._output.checkpoint  # the older one of the two, once this flush is through
        self.writing = release
        flushing: Deferred[None] = Deferred()
        self.under_way = flushing
        pause = self._pause(release)
        writing: Deferred[Any] = self._lane.run(lambda: self._output.write(release, sequence, journal, pause))
        writing.addCallbacks(self._written, self._take_back, errbackArgs=(release,))
        writing.addCallback(lambda is_written: self._keep_older(disposing) if is_written else None)
        writing.addErrback(lambda failure: _log.failure("after a flush of the log", failure))
        writing.addCallback(lambda _: self._flushed(flushing))

    def _pause(self, release: Release) -> Callable[[], None]:
        """What writing does between its steps: the less, the more waits."""
        weight = release.weight + self._buffer.weight
        # After a start nothing is at leisure: a log that is killed every second would never come to a checkpoint, and
        # have more to replay each time.
        if self._is_catching_up or self.has_more or self.is_ending or weight > _PRESSING * HURRY_BYTES:
            return lambda: None
        return partial(self._lane.give_way, BRISK_SECONDS if weight > HURRY_BYTES else LEISURE_SECONDS)

    def _written(self, written: tuple[int, int]) -> bool:
        self.has_failed = False
        self._is_catching_up = self._is_catching_up and self.has_more
        self._counts.flushes += 1
        self._counts.written += written[0]
        self._counts.written_late += written[1]
        return True

    def _take_back(self, failure: Failure, release: Release) -> bool:
        self.has_failed = True
        self._counts.flush_failures += 1
        _log.error("the log file cannot be written: {error}; trying again", error=failure.value)
        self._buffer.take_back(release)
        return False

    def _flushed(self, flushing: Deferred[None]) -> None:
        self.writing = NOTHING
        self.under_way = None
        flushing.callback(None)
        if self.has_more and not self.is_ending and not self.has_failed:
            self.begin()

    def make_room(self) -> None:
        """If the disk is short of it, the journal gives up what it only keeps for readers."""
        if self._room.is_short and self.under_way is None and self._older is not None:
            self._dispose(self._older)

    def _keep_older(self, checkpoint: Checkpoint) -> Deferred[None] | None:
        self._older = checkpoint
        return self._dispose(checkpoint)

    def _dispose(self, checkpoint: Checkpoint) -> Deferred[None] | None:
        kept_bytes = 0 if self._room.is_short else self._journal_bytes
        holds = () if self._room.is_short else [hold() for hold in self._holds]
        names = self._journal.take_disposable(checkpoint, kept_bytes, holds)
        return self._lane.run(lambda: remove_all(self._directory, names)).addCallback(self._removed) if names else None

    def _removed(self, error: OSError | None) -> None:
        if error is not None:
            _log.warn("a segment of the journal stays until the next start: {error}", error=error)

    def __repr__(self) -> str:
        state = "at it" if self.under_way is not None else "failed" if self.has_failed else "idle"
        return f"<Flushing, {state}>"
