"""
A sink at work: reads what comes after its cursor, sends it, and moves the cursor once the other side has it.

The write path knows nothing of it but that it wants to hear of new frames: nothing waits for a sink.  What it holds in
memory has a bound (`backlog`), and so has what the journal keeps for it; what is gone from there is read from the
volumes, and what retention has removed of these is a gap, counted and told of.

The cursor is written to disk after what it says has happened, so that a crash means that some entries are sent again,
by the same names, and none is left out.  It is written once a second, and whenever there is nothing more to send.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from scalekit.logs.collector import Collector
from scalekit.logs.frames import Frame
from scalekit.logs.journal import Hold
from scalekit.logs.otlp.mapping import UID
from scalekit.logs.sinks.backlog import Backlog, Leaving, Taken
from scalekit.logs.sinks.cursor import Cursor, read_cursor, write_cursor
from scalekit.logs.sinks.delivery import BATCH_BYTES, Delivery, Step
from scalekit.logs.sinks.outcomes import Delivered, Outcome
from scalekit.logs.sinks.refused import keep_refused
from scalekit.logs.tailing import Recent
from scalekit.logs.threads import Lane

#: So long the first entries wait for others to go with: each request costs both sides some milliseconds.
GATHER_SECONDS = 0.2
#: What a crash may send again; a sync each second keeps the journal's from waiting.
SAVE_SECONDS = 1.0
#: A stop waits so long for the answer that is under way; without it the batch is sent again by the next start.
STOP_SECONDS = 2.0
#: After a mistake of ours, which may be the same the next time.
MISTAKE_SECONDS = 10.0

_log = Logger()


class _Batch(NamedTuple):
    taken: Taken
    entries: list[Leaving]  # those of them that are to be sent
    packed: Any


class Forwarder(Service):
    """
    See the module; runs from `startService`, which comes after the collector's, to the end of `stopService`, which the
    collector waits for before it closes the directory.

    :param name: what its cursor's file is named by.
    :param destination: an `scalekit.interfaces.ILogDestination`.
    :param lane: where it waits for the disk; its own.
    :param wall: seconds since the epoch; for how far it is behind.
    :param random: as `random.random`; ``make_id``: a name that no other log has.
    :param held_bytes: so much of the journal is kept for it.
    :ivar delivery: what it has done, and its trouble.
    :ivar missed: sequence numbers that were gone before they were sent.
    :ivar circular: entries that came back to where they had left, and were not sent again.
    """

    def __init__(
        self,
        name: str,
        destination: Any,
        collector: Collector,
        lane: Lane,
        clock: IReactorTime,
        wall: Callable[[], float],
        random: Callable[[], float],
        make_id: Callable[[], str],
        held_bytes: int,
    ) -> None:
        self.sink = name
        self.delivery = Delivery(random)
        self.missed = 0
        self.circular = 0
        self._destination = destination
        self._collector = collector
        self._lane = lane
        self._clock = clock
        self._wall = wall
        self._make_id = make_id
        self._held_bytes = held_bytes
        self._recent = Recent()
        self._backlog = Backlog()
        self._is_open = False  # it is known where it stands
        self._cursor = Cursor("", 0)
        self._saved = Cursor("", 0)
        self._saved_at = float("-inf")
        self._oldest: int | None = None  # when the first entry that is not sent was received, about
        self._is_told = False  # of the present trouble
        self._waiting: Deferred[None] | None = None
        self._news: Deferred[None] | None = None
        self._sending: Deferred[Outcome] | None = None
        self._giving_up: IDelayedCall | None = None
        self._is_over = True
        self._ends: list[Deferred[None]] = []
        collector.follow(self._follow)
        collector.before_close(self.stopService)
        collector.hold(lambda: Hold(self._saved.sequence, self._held_bytes))

    def startService(self) -> None:
        super().startService()
        self._is_over = False
        running = Deferred.fromCoroutine(self._run())
        running.addErrback(lambda failure: _log.failure("sink {name} has ended", failure, name=self.sink))
        running.addCallback(lambda _: self._ended())

    def stopService(self) -> Deferred[None]:
        """Fires when it does not touch the log's directory any more."""
        if self.running:
            super().stopService()
            self._wake()
            if self._sending is not None:
                self._giving_up = self._clock.callLater(STOP_SECONDS, self._sending.cancel)
        if self._is_over:
            return succeed(None)
        end: Deferred[None] = Deferred()
        self._ends.append(end)
        return end

    def _ended(self) -> None:
        self._is_over = True
        if self._giving_up is not None and self._giving_up.active():
            self._giving_up.cancel()
        self._lane.close()
        ends, self._ends = self._ends, []
        for end in ends:
            end.callback(None)

    def _follow(self, frame: Frame) -> None:
        self._recent.add(frame)
        if self._oldest is None:
            self._oldest = frame.received
        news, self._news = self._news, None
        if news is not None:
            news.callback(None)

    def _wake(self) -> None:
        """Whatever it waits for of ours: it is to end."""
        for waiting in (self._waiting, self._news):
            if waiting is not None and not waiting.called:
                waiting.callback(None)
        self._news = None

    async def _run(self) -> None:
        while self.running:
            try:
                await self._turn()
            except OSError as error:
                self.delivery.unread(f"the log cannot be read: {error}", self._clock.seconds())
                self._tell()
            except Exception:
                _log.failure("sink {name}", name=self.sink)
                await self._pause(MISTAKE_SECONDS)
        await self._save()
        await self._destination.close()

    async def _open(self) -> None:
        """Find out where it stands."""
        collector = self._collector
        found = await self._lane.run(lambda: read_cursor(collector.directory, self.sink))
        oldest = collector.reader.oldest
        if found is None:
            # All that the journal still has: who sets up a sink wants to see something.
            found = Cursor(self._make_id(), oldest - 1 if oldest else collector.newest)
        elif found.sequence > collector.newest:
            _log.warn("sink {name}: the log ends before what was sent; it is another one", name=self.sink)
            found = Cursor(self._make_id(), collector.newest)
        else:
            self._saved = found
        self._cursor = found
        self._is_open = True
        self.delivery.end_trouble()
        self._tell()
        # Before anything is sent: a crash must not give entries other names.
        await self._save()

    async def _turn(self) -> None:
        """Send a batch, or wait until there is something to send."""
        seconds = self.delivery.wait(self._clock.seconds())
        if seconds:
            await self._pause(seconds)
            return
        if not self._is_open:
            await self._open()
        if not self.lag:
            self._oldest = None
            await self._save()
            if not self.lag and self.running:
                self._news = Deferred()
                await self._news
        if self.lag < self.delivery.limit and not self.delivery.trouble:
            await self._pause(GATHER_SECONDS)
        if not self.running:
            return
        batch = await self._prepare()
        if not self.running:
            return
        if batch.taken.missed:
            self.missed += batch.taken.missed
            _log.error(
                "sink {name}: at most {missed} entries are gone before they were sent",
                name=self.sink,
                missed=batch.taken.missed,
            )
        self.circular += len(batch.taken.entries) - len(batch.entries)
        if batch.entries:
            self._oldest = batch.entries[0].received
            if await self._send(batch.entries, batch.packed) is Step.AGAIN:
                return
        self._cursor = Cursor(self._cursor.log, batch.taken.last)
        if self._clock.seconds() - self._saved_at >= SAVE_SECONDS:
            await self._save()

    async def _prepare(self) -> _Batch:
        cursor, newest, limit = self._cursor, self._collector.newest, self.delivery.limit
        recent, reader = self._recent.frames(), self._collector.reader
        return await self._lane.run(lambda: self._read(cursor, newest, limit, recent, reader))

    def _read(self, cursor: Cursor, newest: int, limit: int, recent: Sequence[Frame], reader: Any) -> _Batch:
        """In the lane."""
        taken = self._backlog.take(cursor.sequence, newest, recent, reader, limit, BATCH_BYTES)
        # As the fields are written: compact.
        own = f'"{UID}":"{cursor.prefix}'
        entries = [one for one in taken.entries if one.entry.fields is None or own not in one.entry.fields]
        named = [(cursor.uid(one.sequence), one) for one in entries]
        return _Batch(taken, entries, self._destination.pack(named) if named else None)

    async def _send(self, entries: list[Leaving], packed: Any) -> Step:
        self._sending = self._destination.send(packed)
        outcome = await self._sending
        self._sending = None
        if not self.running and not isinstance(outcome, Delivered):
            return Step.AGAIN  # by the next start
        step = self.delivery.answered(outcome, len(entries), self._clock.seconds())
        if step is Step.ASIDE:
            [refused] = entries
            await self._put_aside(refused, outcome.text)
        elif isinstance(outcome, Delivered) and outcome.rejected:
            _log.warn(
                "sink {name}: {count} of {all} entries were rejected: {text}",
                name=self.sink,
                count=outcome.rejected,
                all=len(entries),
                text=outcome.text,
            )
        self._tell()
        return step

    async def _put_aside(self, refused: Leaving, text: str) -> None:
        directory = self._collector.directory
        _log.warn("sink {name}: entry {number} is refused: {text}", name=self.sink, number=refused.sequence, text=text)
        try:
            await self._lane.run(lambda: keep_refused(directory, self.sink, refused, text))
        except OSError as error:
            _log.warn("sink {name}: it cannot be kept: {error}", name=self.sink, error=error)

    def _tell(self) -> None:
        """Of trouble when it begins, and when it ends."""
        trouble = self.delivery.trouble
        if trouble and not self._is_told:
            _log.warn("sink {name}: entries wait: {trouble}", name=self.sink, trouble=trouble)
        elif self._is_told and not trouble:
            _log.info("sink {name}: entries go out again", name=self.sink)
        self._is_told = bool(trouble)

    async def _save(self) -> None:
        cursor = self._cursor
        if cursor == self._saved:
            return
        self._saved_at = self._clock.seconds()
        directory = self._collector.directory
        try:
            await self._lane.run(lambda: write_cursor(directory, self.sink, cursor))
        except OSError as error:
            _log.warn("sink {name}: its cursor cannot be written: {error}", name=self.sink, error=error)
        else:
            self._saved = cursor

    async def _pause(self, seconds: float) -> None:
        """Wait, but not while it is to stop."""
        if not self.running:
            return
        waiting: Deferred[None] = Deferred()
        self._waiting = waiting
        timer = self._clock.callLater(seconds, waiting.callback, None)
        await waiting
        if timer.active():
            timer.cancel()

    @property
    def lag(self) -> int:
        """How many sequence numbers it is behind."""
        return max(0, self._collector.newest - self._cursor.sequence)

    @property
    def lag_seconds(self) -> float:
        """How long the first entry waits that is not sent, about; 0.0: none does."""
        return max(0.0, self._wall() - self._oldest / 1e9) if self._oldest is not None and self.lag else 0.0

    def figures(self) -> dict[str, Any]:
        """How it does, as plain data; what is counted: see the class, and `Delivery`."""
        delivery = self.delivery
        return {
            "name": self.sink,
            "lag": self.lag,
            "lag_seconds": round(self.lag_seconds, 3),
            "trouble": delivery.trouble or None,
            "sent": delivery.sent,
            "rejected": delivery.rejected,
            "refused": delivery.refused,
            "missed": self.missed,
            "circular": self.circular,
            "retries": delivery.retries,
        }

    def __repr__(self) -> str:
        return f"<Forwarder {self.sink} after {self._cursor.sequence}, {self.lag} behind, {self.delivery!r}>"
