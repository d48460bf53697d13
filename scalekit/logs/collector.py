"""
The collector: entries in, acknowledged once on disk, and out again as sorted lines.

The way of an entry: `append` gives it a number and a frame; the journal syncs the frame; then it is in the reorder
buffer and the caller's Deferred fires; a tick of the flush releases it, and the output writes it.

Three lanes do what may wait for the disk: one for the journal, one for the output, so that a flush never delays an
acknowledgement, and one for whole volumes.  All decisions are made in the reactor's thread.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Generator, Sequence
from operator import ne
from typing import Any, cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, inlineCallbacks, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from scalekit.errors import ClientFault
from scalekit.logs.batches import BatchName, BatchTable
from scalekit.logs.bodies import Batch
from scalekit.logs.budget import Budget
from scalekit.logs.clock import LogClock
from scalekit.logs.columns import Columns
from scalekit.logs.counts import Counts
from scalekit.logs.directory import Directory
from scalekit.logs.entry import Entry
from scalekit.logs.flushing import Flushing
from scalekit.logs.frames import NOBODY, Frame, make_frame
from scalekit.logs.in_process import InProcessSink
from scalekit.logs.journal import Hold, Journal, Unavailable
from scalekit.logs.order import EVER, Chunk, ReorderBuffer, effective_times, sorted_by_time
from scalekit.logs.output import Output
from scalekit.logs.quarantine import MalformedEntries
from scalekit.logs.reading import LogReader
from scalekit.logs.recovery import Recovered
from scalekit.logs.redaction import redact
from scalekit.logs.room import Room
from scalekit.logs.settings import DEFAULTS, HURRY_BYTES, TICK_SECONDS, Settings
from scalekit.logs.starting import Starting
from scalekit.logs.threads import Lane
from scalekit.logs.upkeep import Upkeep

_log = Logger()


class Collector(Service):
    """
    Takes entries from `startService` to `stopService`; one per directory.

    :param open_directory: called once, by `startService`; raises `scalekit.errors.ConfigurationFault`.
    :param clock: its seconds are never set back or forth.
    :param lanes: where the journal, the output, and the upkeep of volumes do their writing.
    :param wall: seconds since the epoch; None: the clock's.
    :ivar counts: what has happened so far.
    :ivar room: on the disk, at the last tick.
    """

    def __init__(
        self,
        open_directory: Callable[[], Directory],
        clock: IReactorTime,
        lanes: tuple[Lane, Lane, Lane],
        settings: Settings = DEFAULTS,
        wall: Callable[[], float] | None = None,
    ) -> None:
        self._open_directory = open_directory
        self._clock = clock
        self._wall = wall or clock.seconds
        self._journal_lane, self._output_lane, self._upkeep_lane = lanes
        self._settings = settings
        self._sinks: list[InProcessSink] = []
        self._followers: list[Callable[[Frame], None]] = []
        self._closing: list[Callable[[], Deferred[None] | None]] = []
        self._holds: list[Callable[[], Hold]] = []
        self._is_open = False
        self._flushed_at = 0.0
        self._loop = LoopingCall(self._tick)
        self._loop.clock = clock
        self.counts = Counts()
        self.room = Room(settings)
        #: Of bodies of which the end has not come yet; whoever receives them adds and subtracts.
        self.receiving_bytes = 0
        self._budget = Budget(settings.source_rate)
        # When the appends that the journal still has were received, oldest first, by their numbers.
        self._received: dict[int, int] = {}
        self._appends = 0
        # From `startService` on:
        self._directory: Directory
        self._starting: Starting
        self._found: Recovered
        self._journal: Journal
        self._buffer: ReorderBuffer
        self._output: Output
        self._flushing: Flushing
        self._batches: BatchTable
        self.upkeep: Upkeep
        self._malformed: MalformedEntries
        self._time: LogClock
        self._last = 0  # the last sequence number given
        self._applied = 0  # the last one in the buffer

    def startService(self) -> None:
        """Recover what the disk holds and begin to take entries; raises `ConfigurationFault`, OSError."""
        super().startService()
        settings = self._settings
        self._directory = directory = self._open_directory()
        self._time = LogClock(self._wall(), self._clock.seconds())
        delay = int(settings.delay_seconds * 1e9)
        self._starting = Starting(directory, delay, settings.is_compressed, self._upkeep_lane)
        self._malformed = MalformedEntries(directory, self._upkeep_lane)
        self._go_on_from(self._starting.begin(self._clock.seconds()))
        self._is_open = True
        self._loop.start(min(TICK_SECONDS, settings.flush_seconds), now=False)

    def _go_on_from(self, found: Recovered) -> None:
        """What a start finds is what there is from now on."""
        settings, directory = self._settings, self._directory
        for finding in found.findings:
            _log.warn("log recovery: {finding}", finding=finding)
        self.counts.quarantined += found.damages
        self._found = found
        self._buffer, self._output, self._batches = found.buffer, found.output, found.batches
        self._last = self._applied = found.sequence
        self._journal = Journal(
            directory,
            self._journal_lane,
            self._clock,
            found.segments,
            found.next_number,
            settings.segment_bytes,
            preamble=lambda first: self._batches.preamble(first, self._now()),
        )
        self._flushing = Flushing(
            directory,
            self._output_lane,
            self._journal,
            self._buffer,
            self._output,
            self.counts,
            self.room,
            self._holds,
            settings.journal_bytes,
            newest=lambda: self._applied,
            now=self._received_until,
        )
        self.upkeep = Upkeep(
            directory,
            self._output,
            self._output_lane,
            self._upkeep_lane,
            self.counts,
            settings.rules,
            is_compressed=settings.is_compressed,
            grace_seconds=settings.grace_seconds,
        )
        # What was replayed is due at the next tick: a log that is killed again and again would replay ever more.
        self._flushed_at = self._clock.seconds() - (settings.flush_seconds if found.buffer.weight else 0.0)

    def append(self, entries: Sequence[Entry], batch: BatchName | None = None) -> Deferred[bool]:
        """
        Fires when all of them are on disk; fails with `Unavailable` if they were not taken.

        They get consecutive sequence numbers, in the order of their times, and are all acknowledged or none.  Secrets
        are taken out of them first.

        :param batch: what the client calls it, if it wants it written exactly once.  If it was before, this fires with
            False and nothing is written; fails with `ClientFault` 409 for one that cannot be the next.
        """
        if not entries and batch is None:
            return succeed(True)
        if not self._is_open:
            return self._refuse(len(entries), "stopping", "The log is stopping.")
        if self.room.is_short:
            return self._refuse(len(entries), "disk-full", "The log's disk is nearly full.")
        if self._starting.trouble is not None:
            return self._refuse(len(entries), "disk", "The log's disk does not take entries.")
        if self.waiting_bytes > self._settings.memory_bytes:
            return self._refuse(len(entries), "memory", "More entries wait for their place than the log holds.")
        received = self._now()
        if batch is not None:
            try:
                if not self._batches.begin(batch, received):
                    self.counts.repeated += len(entries)
                    return succeed(False)
            except ClientFault as fault:
                return fail(fault)
        columns = redact(entries, self.counts.redacted)
        columns, times = sorted_by_time(columns, effective_times(columns.said, received))
        client, number = batch or (NOBODY, 0)
        frame = make_frame(self._last + 1, received, columns, client, number)
        self._last += len(entries)
        self._appends += 1
        self._received[self._appends] = received
        # The caller may cancel its own Deferred; what is on disk goes on all the same.
        answer: Deferred[bool] = Deferred()
        self._journal.append(frame.encode(), frame.first, frame.last, times[-1] if times else received).addCallbacks(
            self._apply,
            self._drop,
            (self._appends, frame, times, batch, answer),
            errbackArgs=(self._appends, len(entries), batch, answer),
        )
        return answer

    def spend(self, entries: Sequence[Entry]) -> float:
        """
        For who takes entries from outside, before `append`: seconds after which they may come again.

        0.0: they may come now, and are charged to their sources.
        """
        sources = entries.sources() if isinstance(entries, Columns) else (entry.source for entry in entries)
        wait = self._budget.take(sources, self._clock.seconds())
        if wait:
            self.counts.over_budget += len(entries)
        return wait

    def quarantine(self, batch: Batch) -> None:
        """Keep the malformed entries of a batch, at leisure; not while others are still being kept."""
        if self._is_open and self._starting.trouble is None:
            self._malformed.keep(batch, self._now())

    def _refuse(self, count: int, reason: str, detail: str) -> Deferred[bool]:
        self.counts.refused[reason] += count
        return fail(Unavailable(reason, detail))

    def _apply(
        self, _: None, number: int, frame: Frame, times: array[int], batch: BatchName | None, answer: Deferred[bool]
    ) -> None:
        del self._received[number]
        counts = self.counts
        counts.accepted += len(times)
        if batch is not None:
            self._batches.written(batch, frame.received)
        if times:
            untimed = frame.said.count(None)
            counts.untimed += untimed
            counts.restamped += sum(map(ne, frame.said, times)) - untimed
            counts.late += self._buffer.add(Chunk(frame, times))
        self._applied = max(self._applied, frame.last)
        answer.callback(True)
        for follow in self._followers:
            follow(frame)

    def _drop(self, failure: Failure, number: int, count: int, batch: BatchName | None, answer: Deferred[bool]) -> None:
        del self._received[number]
        self.counts.refused[cast(Unavailable, failure.value).reason] += count
        if batch is not None:
            self._batches.refused(batch)
        answer.errback(failure)

    def _now(self) -> int:
        return self._time.now(self._clock.seconds())

    def _tick(self) -> None:
        try:
            seconds = self._clock.seconds()
            news = self._time.compare(self._wall(), seconds)
            if news is not None:
                _log.warn("{news}", news=news)
            self._look_at_room()
            if self._starting.trouble is not None:
                self.upkeep.look(seconds, self._now(), can_seal=False)
                if not self.room.is_short:
                    self._starting.again(seconds, self._go_on_from)
                return
            is_due = seconds - self._flushed_at >= self._settings.flush_seconds - TICK_SECONDS / 2
            if is_due or self._buffer.weight > HURRY_BYTES:
                self._flush()
            self.upkeep.look(seconds, self._now())
            if not self.room.is_short:
                self._journal.probe()
        except Exception:
            _log.failure("flushing the log")

    def _look_at_room(self) -> None:
        """Whether there is room for what was taken; if not, the journal gives up what it only keeps for readers."""
        self.room.look(self._directory, self.waiting_bytes)
        self._flushing.make_room()

    def _flush(self) -> None:
        self._flushed_at = self._clock.seconds()
        self._flushing.begin()

    def _received_until(self) -> int:
        """What still waits for its sync has come in time, however slow the disk is."""
        return min(self._now(), next(iter(self._received.values()), EVER))

    def sink(self, source: str) -> InProcessSink:
        """A `scalekit.interfaces.ILogSink` for this process, which writes entries of this source."""
        sink = InProcessSink(self, self._clock, source, self._wall)
        self._sinks.append(sink)
        return sink

    def follow(self, follower: Callable[[Frame], None]) -> None:
        """Tell of each frame once it is on disk; it must not raise."""
        self._followers.append(follower)

    def hold(self, wanted: Callable[[], Hold]) -> None:
        """Keep what somebody still wants to read of the journal, as long as there is room on the disk."""
        self._holds.append(wanted)

    def before_close(self, call: Callable[[], Deferred[None] | None]) -> None:
        """For who reads the directory: called before it is closed, which waits until nothing is read any more."""
        self._closing.append(call)

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
        yield self._starting.idle()
        yield self._journal.idle()
        flushing = self._flushing
        flushing.is_ending = True
        if flushing.under_way is not None:
            yield flushing.under_way
        flushing.has_more = self._starting.trouble is None
        while flushing.has_more and not flushing.has_failed:
            flushing.begin()
            if flushing.under_way is not None:
                yield flushing.under_way
        yield self.upkeep.idle()
        try:  # to the directory that it was found in: untouched, if that takes nothing
            yield self._output_lane.run(lambda: self._output.write_rest(self._buffer.rest()))
        except OSError as error:
            _log.error("the last entries are only in the journal: {error}", error=error)
        self._journal.close()
        self._journal_lane.close()
        self._output_lane.close()
        self._upkeep_lane.close()
        for close in self._closing:
            closed = close()
            if closed is not None:
                yield closed
        self._directory.close()

    @property
    def waiting_bytes(self) -> int:
        """What is in memory, estimated."""
        return self._journal.waiting_bytes + self._buffer.weight + self._flushing.writing.weight

    @property
    def lag_seconds(self) -> float:
        """For how long the oldest entry has been on disk that is not yet in its file; 0.0: none waits."""
        return max(0, self._now() - min(self._flushing.writing.oldest, self._buffer.oldest)) / 1e9

    @property
    def trouble(self) -> str | None:
        """Why the log is not well, in one sentence; None if it is."""
        if not self._is_open:
            return "The log is not running."
        if self._starting.trouble is not None:
            return f"The log's disk takes nothing ({self._starting.trouble}); what it holds can be read."
        if self._journal.failed:
            return "The journal cannot be written."
        if self.room.is_short:
            return "The log's disk is nearly full."
        if self._flushing.has_failed:
            return "The log file cannot be written."
        return None

    @property
    def newest(self) -> int:
        """The last sequence number on disk."""
        return self._applied

    @property
    def reader(self) -> LogReader:
        """The log as it is on disk."""
        return LogReader(
            self._directory,
            lambda: self._output.checkpoint,
            lambda: self._journal.segments,
            lambda: self._found.unwritten,
        )

    @property
    def directory(self) -> Directory:
        """For who keeps a file of its own beside the log's."""
        return self._directory

    @property
    def journal(self) -> Journal:
        """For its counts."""
        return self._journal

    def __repr__(self) -> str:
        if not self._is_open:
            return "<Collector, closed>"
        return f"<Collector {self._buffer!r} {self._journal!r} {self._output!r}>"
