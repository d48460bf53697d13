"""
From messages to the disk: what all listeners for syslog have in common.

Syslog has no answers.  Who sends over a stream can be made to wait, by not being read; so `Intake.write` keeps at it
until its entries are on disk, and whoever calls it reads no more meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Protocol

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from scalekit.config.urls import is_loopback
from scalekit.logs.bodies import REPORT_LIMIT, Batch
from scalekit.logs.counts import Counts
from scalekit.logs.entry import Entry
from scalekit.logs.journal import Unavailable
from scalekit.logs.syslog.framing import Message
from scalekit.logs.syslog.message import SyslogFault, parse_message
from scalekit.logs.syslog.stamps import OffsetAt

_ENDED = ("malformed", "foreign", "stopping")
_STREAMS = (*_ENDED, "http", "framing", "memory")
#: Why what came over a transport is not in the log.
#:
#: ===============  ==========================================================================
#: ``malformed``    it is no text; the first ones are in ``quarantine-lines.txt``
#: ``foreign``      a datagram, or a connection, from where ``allow_from`` lets nobody send
#: ``stopping``     it could not be written before the log ended
#: ``kernel``       the socket's buffer was full, as the kernel counts it: we are too slow
#: ``queue``        more waited for the disk than `scalekit.logs.syslog.datagrams.QUEUE_BYTES`
#: ``over-budget``  its source has written more than ``source_rate``; over a stream it waits
#: ``http``         a connection that speaks HTTP, as a browser's
#: ``framing``      a connection on which there should be a count and is none
#: ``memory``       a connection that held much of a message without an end, as others did
#: ===============  ==========================================================================
REASONS = {"udp": (*_ENDED, "kernel", "queue", "over-budget"), "tcp": _STREAMS, "tls": _STREAMS}
#: As Retry-After tells others.
RETRY_SECONDS = 1.0
#: Of what is on its way to the disk: from here on no connection reads, but those that do at that moment still bring a
#: read each. With it, a disk that syncs in 10 ms could take more than a gigabyte a second.
WAITING_BYTES = 16 * 1024 * 1024

_log = Logger()


@lru_cache(maxsize=1024)  # few peers send many messages
def _known_by(peer: str) -> str:
    return "" if is_loopback(peer) else peer


class Takes(Protocol):
    """What is needed of the collector."""

    counts: Counts

    def append(self, entries: Sequence[Entry]) -> Deferred[bool]: ...
    def spend(self, entries: Sequence[Entry]) -> float: ...
    def quarantine(self, batch: Batch) -> None: ...


class Intake:
    """
    See the module.

    :param wall: seconds since the epoch.
    """

    def __init__(self, collector: Takes, clock: IReactorTime, wall: Callable[[], float], offset_at: OffsetAt) -> None:
        self._collector = collector
        self._clock = clock
        self._wall = wall
        self._offset_at = offset_at
        self._waiting_bytes = 0
        self._waiting_batches = 0
        self._idle: list[Deferred[None]] = []
        self._for_room: list[Callable[[], None]] = []
        self._counts = collector.counts

    def count(self, transport: str, what: str, number: int = 1) -> None:
        """Count messages, or connections, as `scalekit.logs.counts.Counts.syslog` has them."""
        if number:
            self._counts.syslog[transport][what] += number

    def parse(self, transport: str, received: Iterable[tuple[Message, str]]) -> list[Entry]:
        """The entries of messages, each with the address that it came from; what is none is counted, and kept."""
        now = int(self._wall() * 1_000_000_000)
        entries: list[Entry] = []
        bad: list[tuple[str, bytes]] = []
        for message, peer in received:
            try:
                entries.append(parse_message(message.data, now, _known_by(peer), self._offset_at, message.missing))
            except SyslogFault as fault:
                bad.append((fault.detail, message.data))
        self.count(transport, "received", len(entries) + len(bad))
        if bad:
            self.count(transport, "malformed", len(bad))
            self._counts.rejected += len(bad)
            kept = bad[:REPORT_LIMIT]
            rejected = [(number, f"syslog: {detail}") for number, (detail, _) in enumerate(kept, 1)]
            self._collector.quarantine(Batch([], rejected, len(bad), [data for _, data in kept]))
        return entries

    def affordable(self, transport: str, entries: list[Entry]) -> list[Entry]:
        """Those whose sources have not written too much; the others are dropped, and counted."""
        by_source: dict[str, list[Entry]] = {}
        for entry in entries:
            by_source.setdefault(entry.source, []).append(entry)
        refused = {source for source, some in by_source.items() if self._collector.spend(some)}
        if not refused:
            return entries
        left = [entry for entry in entries if entry.source not in refused]
        self.count(transport, "over-budget", len(entries) - len(left))
        return left

    def write(self, transport: str, entries: list[Entry], size: int, is_charged: bool = False) -> Deferred[None]:
        """
        Fires once they are on disk, however long that takes; or when the log ends without them, which is counted.

        :param size: bytes of the messages.
        :param is_charged: whether their sources have been asked whether they may write that much.
        """
        done: Deferred[None] = Deferred()
        self._waiting_bytes += size
        self._waiting_batches += 1
        done.addCallback(lambda _: self._written(size))
        self._try(transport, entries, is_charged, done)
        return done

    @property
    def is_full(self) -> bool:
        """Whether nobody should read any more, see `when_room`."""
        return self._waiting_bytes > WAITING_BYTES

    def when_room(self, call: Callable[[], None]) -> None:
        """Call this once, as soon as it is not full any more."""
        self._for_room.append(call)

    def forget(self, call: Callable[[], None]) -> None:
        """Do not call this any more."""
        if call in self._for_room:
            self._for_room.remove(call)

    def _try(self, transport: str, entries: list[Entry], is_charged: bool, done: Deferred[None]) -> None:
        wait = 0.0 if is_charged else self._collector.spend(entries)
        if wait:
            self._clock.callLater(wait, self._try, transport, entries, False, done)
        else:
            writing = maybeDeferred(self._collector.append, entries)
            writing.addCallbacks(lambda _: done.callback(None), self._refused, errbackArgs=(transport, entries, done))

    def _refused(self, failure: Failure, transport: str, entries: list[Entry], done: Deferred[None]) -> None:
        fault = failure.value
        if isinstance(fault, Unavailable) and fault.reason != "stopping":
            self._clock.callLater(RETRY_SECONDS, self._try, transport, entries, True, done)
            return
        if not isinstance(fault, Unavailable):
            _log.failure("taking messages of syslog", failure)
        self.count(transport, "stopping", len(entries))
        done.callback(None)

    def _written(self, size: int) -> None:
        self._waiting_bytes -= size
        self._waiting_batches -= 1
        if not self.is_full:
            calls, self._for_room = self._for_room, []
            for call in calls:
                call()
        if not self._waiting_batches:
            idle, self._idle = self._idle, []
            for each in idle:
                each.callback(None)

    def when_idle(self) -> Deferred[None]:
        """Fires once nothing is to be written; may be cancelled."""
        idle: Deferred[None] = Deferred(lambda cancelled: self._idle.remove(cancelled))
        if self._waiting_batches:
            self._idle.append(idle)
        else:
            idle.callback(None)
        return idle

    def __repr__(self) -> str:
        return f"<Intake {self._waiting_batches} batches on their way>"
