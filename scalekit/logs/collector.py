"""
The collector: entries in, acknowledged once on disk, and out again as sorted lines.

The way of an entry: `append` gives it a number and a frame; the journal syncs the frame; then it is in the reorder
buffer and the caller's Deferred fires; a tick of the flush releases it, and the output writes it.

Two lanes do what may wait for the disk: one for the journal, one for the output, so that a flush never delays an
acknowledgement.  All decisions are made in the reactor's thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, inlineCallbacks, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from scalekit.logs.checkpoint import Checkpoint
from scalekit.logs.counts import Counts
from scalekit.logs.directory import Directory
from scalekit.logs.entry import Entry
from scalekit.logs.frames import encode_frame
from scalekit.logs.journal import Journal, Unavailable
from scalekit.logs.order import Release, ReorderBuffer, Waiting, effective_time
from scalekit.logs.output import Output
from scalekit.logs.recovery import recover
from scalekit.logs.sink import InProcessSink
from scalekit.logs.threads import Lane

# Enough for 100,000 entries a second over the four seconds that one waits at most; beyond it: 503.
MEMORY_LIMIT = 192 * 1024 * 1024

_log = Logger()


class Collector(Service):
    """
    Takes entries from `startService` to `stopService`; one per directory.

    :param open_directory: called once, by `startService`; raises `scalekit.errors.ConfigurationFault`.
    :param lanes: where the journal and the output do their writing.
    :ivar counts: what has happened so far.
    """

    def __init__(
        self,
        open_directory: Callable[[], Directory],
        clock: IReactorTime,
        lanes: tuple[Lane, Lane],
        delay_seconds: float = 2.0,
        flush_seconds: float = 2.0,
        memory_limit: int = MEMORY_LIMIT,
    ) -> None:
        self._open_directory = open_directory
        self._clock = clock
        self._journal_lane, self._output_lane = lanes
        self._delay = int(delay_seconds * 1_000_000_000)
        self._flush_seconds = flush_seconds
        self._memory_limit = memory_limit
        self._sinks: list[InProcessSink] = []
        self._is_open = False
        self._flushing: Deferred[None] | None = None
        self._writing_out = 0  # bytes of the release that is being written
        self._flush_failed = False
        self._loop = LoopingCall(self._tick)
        self._loop.clock = clock
        self.counts = Counts()
        # When the appends that the journal still has were received.
        self._received: deque[int] = deque()
        # From `startService` on:
        self._directory: Directory
        self._journal: Journal
        self._buffer: ReorderBuffer
        self._output: Output
        self._last = 0  # the last sequence number given
        self._applied = 0  # the last one in the buffer

    def startService(self) -> None:
        """Recover what the disk holds and begin to take entries; raises `ConfigurationFault`, OSError."""
        super().startService()
        self._directory = self._open_directory()
        found = recover(self._directory, self._delay)
        for finding in found.findings:
            _log.warn("log recovery: {finding}", finding=finding)
        self._buffer, self._output = found.buffer, found.output
        self._last = self._applied = found.sequence
        self._journal = Journal(self._directory, self._journal_lane, self._clock, found.segments, found.next_number)
        self._is_open = True
        self._loop.start(self._flush_seconds, now=False)

    def append(self, entries: Sequence[Entry]) -> Deferred[None]:
        """
        Fires when all of them are on disk; fails with `Unavailable` if they were not taken.

        They get consecutive sequence numbers, and are all acknowledged or none.
        """
        if not entries:
            return succeed(None)
        if not self._is_open:
            return self._refuse(len(entries), "stopping", "The log is stopping.")
        if self.waiting_bytes > self._memory_limit:
            return self._refuse(len(entries), "memory", "More entries wait for their place than the log holds.")
        received = self._now()
        first = self._last + 1
        frame = encode_frame(first, received, entries)
        self._last += len(entries)
        times = [effective_time(entry.time, received) for entry in entries]
        self._received.append(received)
        # The caller may cancel its own Deferred; what is on disk goes on all the same.
        answer: Deferred[None] = Deferred()
        self._journal.append(frame, self._last, max(times)).addCallbacks(
            self._apply, self._drop, (entries, times, first, answer), errbackArgs=(len(entries), answer)
        )
        return answer

    def _refuse(self, count: int, reason: str, detail: str) -> Deferred[None]:
        self.counts.refused += count
        return fail(Unavailable(reason, detail))

    def _apply(self, _: None, entries: Sequence[Entry], times: list[int], first: int, answer: Deferred[None]) -> None:
        self._received.popleft()
        counts = self.counts
        counts.accepted += len(entries)
        add = self._buffer.add
        for sequence, (time, entry) in enumerate(zip(times, entries, strict=True), first):
            if not add(Waiting(time, sequence, entry)):
                counts.late += 1
            if entry.time != time:
                counts.restamped += 1
        self._applied = first + len(entries) - 1
        answer.callback(None)

    def _drop(self, failure: Failure, count: int, answer: Deferred[None]) -> None:
        self._received.popleft()
        self.counts.refused += count
        answer.errback(failure)

    def _now(self) -> int:
        return int(self._clock.seconds() * 1_000_000_000)

    def _tick(self) -> None:
        try:
            self._flush()
        except Exception:
            _log.failure("flushing the log")

    def _flush(self) -> None:
        """Begin to write what is due, unless the last flush is still at it."""
        if self._flushing is not None:
            return
        # What still waits for its sync has come in time, however slow the disk is.
        now = min(self._now(), self._received[0]) if self._received else self._now()
        release = self._buffer.release(now)
        if not release.on_time and not release.late:
            return
        sequence = self._applied
        disposing = self._output.checkpoint  # the older one of the two, once this flush is through
        self._writing_out = release.weight
        flushing: Deferred[None] = Deferred()
        self._flushing = flushing
        writing = self._output_lane.run(lambda: self._output.write(release, sequence))
        writing.addCallbacks(lambda _: self._written(release), self._take_back, errbackArgs=(release,))
        writing.addCallback(lambda is_written: self._dispose(disposing) if is_written else None)
        writing.addErrback(lambda failure: _log.failure("after a flush of the log", failure))
        writing.addCallback(lambda _: self._flushed(flushing))

    def _written(self, release: Release) -> bool:
        self._flush_failed = False
        self.counts.flushes += 1
        self.counts.written += len(release.on_time)
        self.counts.written_late += len(release.late)
        return True

    def _take_back(self, failure: Failure, release: Release) -> bool:
        self._flush_failed = True
        self.counts.flush_failures += 1
        _log.error("the log file cannot be written: {error}; trying again", error=failure.value)
        self._buffer.take_back(release)
        return False

    def _dispose(self, checkpoint: Checkpoint) -> Deferred[None] | None:
        names = self._journal.take_disposable(checkpoint)
        return self._output_lane.run(lambda: self._remove(names)).addCallback(self._removed) if names else None

    def _remove(self, names: list[str]) -> OSError | None:
        try:
            for name in names:
                self._directory.remove(name)
        except OSError as error:
            return error
        return None

    def _removed(self, error: OSError | None) -> None:
        if error is not None:
            _log.warn("a segment of the journal stays until the next start: {error}", error=error)

    def _flushed(self, flushing: Deferred[None]) -> None:
        self._writing_out = 0
        self._flushing = None
        flushing.callback(None)

    def sink(self, source: str) -> InProcessSink:
        """A `scalekit.interfaces.ILogSink` for this process, which writes entries of this source."""
        sink = InProcessSink(self, self._clock, source)
        self._sinks.append(sink)
        return sink

    @inlineCallbacks
    def stopService(self) -> Generator[Deferred[Any], Any, None]:
        """Write all that was acknowledged, also what is not due yet; fires when the directory is another's to use."""
        if not self._is_open:
            return
        for sink in self._sinks:
            sink.stop()
        self._is_open = False
        super().stopService()
        self._loop.stop()
        yield self._journal.idle()
        if self._flushing is not None:
            yield self._flushing
        self._tick()
        if self._flushing is not None:
            yield self._flushing
        try:
            yield self._output_lane.run(lambda: self._output.write_rest(self._buffer.rest()))
        except OSError as error:
            _log.error("the last entries are only in the journal: {error}", error=error)
        self._journal.close()
        self._journal_lane.close()
        self._output_lane.close()
        self._directory.close()

    @property
    def waiting_bytes(self) -> int:
        """What is in memory, estimated."""
        return self._journal.waiting_bytes + self._buffer.weight + self._writing_out

    @property
    def trouble(self) -> str | None:
        """Why the log is not well, in one sentence; None if it is."""
        if not self._is_open:
            return "The log is not running."
        if self._journal.failed:
            return "The journal cannot be written."
        if self._flush_failed:
            return "The log file cannot be written."
        return None

    @property
    def journal(self) -> Journal:
        """For its counts."""
        return self._journal

    def __repr__(self) -> str:
        if not self._is_open:
            return "<Collector, closed>"
        return f"<Collector {self._buffer!r} {self._journal!r} {self._output!r}>"
