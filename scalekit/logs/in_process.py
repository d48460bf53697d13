"""
Entries of the process that the log itself runs in, such as the balancer's access log in scalekit-all.

This is a way in; the ways out are in `scalekit.logs.sinks`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from scalekit.interfaces import ILogSink
from scalekit.logs.counts import Counts
from scalekit.logs.entry import MESSAGE_LIMIT, SOURCE_LIMIT, Entry, cut, fields_of, nearest_level

# Ten seconds of a busy balancer's access log is a few thousand entries a second; each some hundred bytes.
ENTRY_LIMIT = 50_000
BYTE_LIMIT = 16 * 1024 * 1024
# One frame for what comes within it; nobody waits for a sink.
GATHER_SECONDS = 0.1
# As Retry-After tells others.
RETRY_SECONDS = 1.0


class Appends(Protocol):
    """What a sink needs of the collector."""

    counts: Counts

    def append(self, entries: Sequence[Entry]) -> Deferred[bool]: ...


@implementer(ILogSink)
class InProcessSink:
    """
    An `ILogSink` that batches entries into a collector, one batch at a time.

    :param wall: seconds since the epoch; None: the clock's.

    What it cannot keep it counts, and says so in an entry of its own when there is room again.
    """

    def __init__(
        self, collector: Appends, clock: IReactorTime, source: str, wall: Callable[[], float] | None = None
    ) -> None:
        self._collector = collector
        self._clock = clock
        self._wall = wall or clock.seconds
        self._source = source[:SOURCE_LIMIT]
        self._entries: list[Entry] = []
        self._bytes = 0
        self._dropped = 0
        self._is_busy = False  # a batch is on its way, or a call is due that sends one
        self._is_stopped = False

    def log(
        self, level: str, message: str, timestamp: float | None = None, fields: Mapping[str, Any] | None = None
    ) -> None:
        """See `ILogSink.log`."""
        try:
            self._take(level, message, timestamp, fields)
        except Exception:  # whatever it was given: a program must not fail because of its log
            self._drop(1)

    def _take(self, level: str, message: str, timestamp: float | None, fields: Mapping[str, Any] | None) -> None:
        if self._is_stopped or len(self._entries) >= ENTRY_LIMIT or self._bytes >= BYTE_LIMIT:
            self._drop(1)
            return
        # A str of Python's may hold what UTF-8 cannot carry.
        message = cut(message.encode(errors="backslashreplace").decode(), MESSAGE_LIMIT)
        time = int(float(self._wall() if timestamp is None else timestamp) * 1_000_000_000)
        if not -(1 << 63) <= time < 1 << 63:
            raise OverflowError("no time that a clock shows")
        said = fields_of(dict(fields)) if fields else None
        self._entries.append(Entry(time, nearest_level(level), self._source, message, said))
        self._bytes += len(message) + len(said or "")
        if not self._is_busy:
            self._is_busy = True
            self._clock.callLater(GATHER_SECONDS, self._send)

    def _drop(self, count: int) -> None:
        self._dropped += count
        self._collector.counts.dropped += count

    def _send(self) -> None:
        if self._is_stopped:
            return
        batch = self._take_batch()
        self._collector.append(batch).addCallbacks(self._sent, self._keep, errbackArgs=(batch,))

    def _take_batch(self) -> list[Entry]:
        batch, self._entries, self._bytes = self._entries, [], 0
        if self._dropped:
            time = int(self._wall() * 1_000_000_000)
            batch.append(Entry(time, "WARN", self._source, f"{self._dropped} log entries were dropped here"))
            self._dropped = 0
        return batch

    def _sent(self, _: bool) -> None:
        self._is_busy = bool(self._entries)
        if self._is_busy:
            self._clock.callLater(GATHER_SECONDS, self._send)

    def _keep(self, _: Failure, batch: list[Entry]) -> None:
        if self._is_stopped:
            self._drop(len(batch))
            return
        # What came since is younger; together they may pass the limits once, by what came within one sync.
        self._entries = batch + self._entries
        self._bytes += sum(len(entry.message) + len(entry.fields or "") for entry in batch)
        self._clock.callLater(RETRY_SECONDS, self._send)

    def stop(self) -> None:
        """Hand over what is here; what comes later is dropped and counted."""
        if self._is_stopped:
            return
        self._is_stopped = True
        batch = self._take_batch()
        self._collector.append(batch).addErrback(lambda _: self._drop(len(batch)))

    def __repr__(self) -> str:
        return f"<InProcessSink {self._source} {len(self._entries)} entries, {self._dropped} dropped>"
