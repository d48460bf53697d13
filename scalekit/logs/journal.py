"""
The journal: an entry is acknowledged when its frame is synced here.

Group commit without a timer: while one group is being written and synced, all that comes waits; when it is done, all
that waits is the next group.  So a lone entry costs one sync, and a thousand at once cost one sync together.

A segment is made at its full size, and its name synced, before it is used; the next one is made as soon as the last
spare one is taken, so that no entry waits for it.

A descriptor whose write or sync failed is never used again (after a failed fsync, Linux has dropped the data and calls
the next one a success): the group goes to the spare segment.  If that fails as well, it is refused with 503, and the
next group begins with a fresh segment again.  If nothing comes that could find out, `Journal.probe` does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from scalekit.errors import Fault
from scalekit.logs.checkpoint import Checkpoint
from scalekit.logs.directory import AppendFile, Directory
from scalekit.logs.order import NEVER
from scalekit.logs.threads import Lane

# Small enough that what is written goes soon, large enough that a new file is rare.
SEGMENT_BYTES = 16 * 1024 * 1024
# One group in writing and one waiting, each with the largest body there is (20 MiB).
WAITING_BYTES = 40 * 1024 * 1024
# How long a disk that took nothing is left alone when nobody sends anything: health is asked for about as often.
PROBE_SECONDS = 5.0
PREFIX = "journal-"

_log = Logger()


class Unavailable(Fault):
    """503: cannot be taken now; try again in a second."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(503, reason, detail, retry_after=1)


class Hold(NamedTuple):
    """What somebody still wants to read: all after a sequence number, up to so many bytes of the newest segments."""

    after: int
    size: int


class Segment:
    """
    One file of the journal.

    :ivar first: the first sequence number in it; 0: none.
    :ivar last: the last one.
    :ivar latest: the latest effective time.
    :ivar size: bytes that are used.
    """

    __slots__ = ("first", "last", "latest", "name", "number", "size")

    def __init__(self, number: int) -> None:
        self.number = number
        self.name = f"{PREFIX}{number:08d}"
        self.first = 0
        self.last = 0
        self.latest = NEVER
        self.size = 0

    def extend(self, first: int, last: int, latest: int) -> None:
        """Frames of these numbers, up to this time, are in it."""
        self.first = self.first or first
        self.last = max(self.last, last)
        self.latest = max(self.latest, latest)

    def __repr__(self) -> str:
        return f"<Segment {self.name} to {self.last} at {self.latest}>"


def segment_numbers(names: Sequence[str]) -> list[int]:
    """The numbers of the segments among these file names, in order."""
    return sorted(int(name.removeprefix(PREFIX)) for name in names if name.removeprefix(PREFIX).isdecimal())


class _Append(NamedTuple):
    frame: bytes
    first: int
    last: int
    latest: int
    done: Deferred[None]


class Journal:
    """
    The journal's writing side.

    :param preamble: what a segment begins with whose first sequence number is this; asked for in the lane, while no
        other group is written.

    :ivar waiting_bytes: what is not yet on disk.
    :ivar failed: whether the last group could not be written.
    :ivar failures: how many descriptors failed.
    :ivar groups: how many groups were synced.
    :ivar synced_bytes: their bytes.
    :ivar synced_seconds: how long they took.
    """

    def __init__(
        self,
        directory: Directory,
        lane: Lane,
        clock: IReactorTime,
        segments: Sequence[Segment] = (),
        next_number: int = 1,
        segment_bytes: int = SEGMENT_BYTES,
        waiting_limit: int = WAITING_BYTES,
        preamble: Callable[[int], bytes] = lambda first: b"",
    ) -> None:
        self._directory = directory
        self._lane = lane
        self._clock = clock
        self._segments = list(segments)
        self._next_number = next_number
        self._segment_bytes = segment_bytes
        self._waiting_limit = waiting_limit
        self._preamble = preamble
        self._waiting: list[_Append] = []
        self._is_writing = False
        self._began = 0.0
        self._idle: list[Deferred[None]] = []
        # The lane's own: only the call that runs there looks at these.
        self._file: AppendFile | None = None
        self._segment: Segment | None = None
        self._spare: tuple[Segment, AppendFile] | None = None
        self.waiting_bytes = 0
        self.failed = False
        self.failures = 0
        self.groups = 0
        self.synced_bytes = 0
        self.synced_seconds = 0.0

    def append(self, frame: bytes, first: int, last: int, latest: int) -> Deferred[None]:
        """
        Fires when the frame is on disk, in the order of the calls; fails with `Unavailable`.

        :param first: the first sequence number in it.
        :param last: the last one, less than the first if it has no entries.
        :param latest: the latest effective time in it.
        """
        if self.waiting_bytes + len(frame) > self._waiting_limit:
            return fail(Unavailable("journal-full", "More waits for the disk than the journal holds back."))
        done: Deferred[None] = Deferred()
        self._waiting.append(_Append(frame, first, last, latest, done))
        self.waiting_bytes += len(frame)
        if not self._is_writing:
            self._write_next()
        return done

    def probe(self) -> None:
        """
        Find out, if the last group could not be written, whether the disk takes anything now; call it now and then.

        It writes a group without entries, as far apart as `PROBE_SECONDS`.
        """
        if self.failed and not self._is_writing and self._clock.seconds() - self._began >= PROBE_SECONDS:
            self._write_next()

    def _write_next(self) -> None:
        group, self._waiting = self._waiting, []
        first = group[0].first if group else max((segment.last for segment in self._segments), default=0) + 1
        self._is_writing = True
        self._began = self._clock.seconds()
        data = b"".join([append.frame for append in group])
        writing = self._lane.run(lambda: self._commit(data, first))
        writing.addCallbacks(self._committed, self._refused, (group, len(data)), errbackArgs=(group, len(data)))
        writing.addErrback(lambda failure: _log.failure("after a group of the journal", failure))
        writing.addCallback(lambda _: self._go_on())

    def _go_on(self) -> None:
        self._is_writing = False
        if self._waiting:
            self._write_next()
        else:
            idle, self._idle = self._idle, []
            for waiting in idle:
                waiting.callback(None)

    def _commit(self, data: bytes, first: int) -> tuple[Segment, Exception | None]:
        """In the lane: write and sync; the segment that has it, and what went wrong before it did."""
        try:
            return self._write(data, first), None
        except Exception as error:
            self._abandon()
            try:
                return self._write(data, first), error
            except Exception:
                self._abandon()
                raise

    def _write(self, data: bytes, first: int) -> Segment:
        if self._segment is not None and self._segment.size and self._segment.size + len(data) > self._segment_bytes:
            self._let_go()
        if self._file is None or self._segment is None:
            self._segment, self._file = self._spare or self._fresh(len(data))
            self._spare = None
        if not self._segment.size:
            data = self._preamble(first) + data
        self._file.write(data)
        self._file.sync()
        self._segment.size += len(data)
        return self._segment

    def _fresh(self, size: int = 0) -> tuple[Segment, AppendFile]:
        segment = Segment(self._next_number)
        self._next_number += 1
        return segment, self._directory.create(segment.name, max(self._segment_bytes, size))

    def _make_spare(self) -> None:
        """In the lane: so that the next segment is there before it is needed."""
        if self._spare is None:
            # Without one, a group that needs it makes it, and tells if that fails.
            with contextlib.suppress(OSError):
                self._spare = self._fresh()

    def _let_go(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._segment = None

    def _abandon(self) -> None:
        segment = self._segment
        self._let_go()
        # What was not acknowledged goes, as the client may send it again; if it stays, a start takes it as well.
        if segment is not None:
            with contextlib.suppress(OSError):
                if segment.size:
                    self._directory.write_from(segment.name, segment.size, b"")
                else:
                    self._directory.remove(segment.name)

    def _committed(self, result: tuple[Segment, Exception | None], group: list[_Append], size: int) -> None:
        segment, error = result
        if error is not None:
            self.failures += 1
            _log.error("the journal could not be written ({error}); going on in {name}", error=error, name=segment.name)
        elif self.failed:
            _log.info("the journal can be written again")
        self.failed = False
        self.waiting_bytes -= size
        self.groups += 1
        self.synced_bytes += size
        self.synced_seconds += self._clock.seconds() - self._began
        if not self._segments or self._segments[-1] is not segment:
            self._segments.append(segment)
            self._lane.run(self._make_spare)
        for append in group:
            segment.extend(append.first, append.last, append.latest)
        for append in group:
            append.done.callback(None)

    def _refused(self, failure: Failure, group: list[_Append], size: int) -> None:
        if group or not self.failed:  # a probe is told of when it goes well
            _log.error("the journal cannot be written: {error}; refusing", error=failure.value)
        self.failed = True
        self.failures += 2
        self.waiting_bytes -= size
        for append in group:
            append.done.errback(Unavailable("disk", "The log's disk does not take entries."))

    def take_disposable(self, checkpoint: Checkpoint, keep_bytes: int = 0, holds: Sequence[Hold] = ()) -> list[str]:
        """
        The names of segments that hold nothing which is not yet written; they are not the journal's any more.

        :param keep_bytes: of the newest ones that this much stays for those who read the journal on.
        :param holds: what stays beside that for those who have not read it yet.
        """
        disposable = []
        left = sum(segment.size for segment in self._segments[:-1])
        for segment in self._segments[:-1]:
            left -= segment.size
            if left < keep_bytes or not checkpoint.is_written(segment.last, segment.latest):
                break
            if any(left < hold.size and segment.last > hold.after for hold in holds):
                break
            disposable.append(segment.name)
        del self._segments[: len(disposable)]
        return disposable

    def first_needed(self, sequence: int, watermark: int) -> int:
        """The number of the first segment that holds or will hold an entry beyond these."""
        for segment in self._segments[:-1]:
            if segment.last > sequence or segment.latest > watermark:
                return segment.number
        return self._segments[-1].number if self._segments else 0

    @property
    def segments(self) -> list[Segment]:
        """Those on disk that entries are in, oldest first."""
        return list(self._segments)

    def idle(self) -> Deferred[None]:
        """Fires when nothing waits."""
        if not self._is_writing:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._idle.append(waiting)
        return waiting

    def close(self) -> None:
        """Call it when idle; gives back the room that is not used."""
        segment, spare = self._segment, self._spare
        self._let_go()
        self._spare = None
        with contextlib.suppress(OSError):
            if segment is not None:
                self._directory.write_from(segment.name, segment.size, b"")
            if spare is not None:
                spare[1].close()
                self._directory.remove(spare[0].name)

    def __repr__(self) -> str:
        return f"<Journal {len(self._segments)} segments, {self.waiting_bytes} bytes waiting>"
