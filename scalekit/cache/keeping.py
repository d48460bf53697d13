"""
The warm restart: what the store holds at the end of one daemon is there again in the next.

A snapshot is written at a clean end only, when no request comes any more, and removed before the first value of it is
used.  So there is never one that is older than a purge or a newer value: a cache that was killed starts empty, and has
nothing to tell from what.  (Snapshots in between would need a journal of every purge and every value replaced, written
before each of them is confirmed; a cold start is what leases are for.)
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Cooperator
from twisted.logger import Logger

from scalekit.cache.entry import Entry
from scalekit.cache.restoring import Restoring
from scalekit.cache.snapshot import LONGEST_HEADING, MARKER_BYTES, Heading, Reading, Record, heading_bytes, record_bytes
from scalekit.cache.store import Store

# Others are served between two turns.
TURN_SECONDS = 0.002
# Reading these from the page cache and decoding what is in them takes a millisecond at most.
PIECE_BYTES = 64 * 1024


class SnapshotKeeper(Service):
    """
    Restores when it starts, while requests are served already, and saves when it stops.

    The file has no more bytes than the store may have, for a record takes less than an entry.

    :param path: of the file; it holds what clients have stored, so only we may read it.
    :param clock: what the store's seconds are taken from.
    :param boot: names the run of the machine, for which these seconds hold; empty: unknown.
    :param wall: seconds since 1970.
    :param random: draws so many bytes.
    :param is_wanted: else what another daemon has left is only removed, since it would be too old one day.
    :ivar restored: entries put back; ``damaged``: records skipped.
    """

    name = "cache-snapshot"

    def __init__(
        self,
        store: Store,
        path: Path,
        clock: IReactorTime,
        boot: str,
        wall: Callable[[], float],
        random: Callable[[int], bytes],
        is_wanted: bool = True,
    ) -> None:
        self._store = store
        self._path = path
        self._clock = clock
        self._boot = boot
        self._wall = wall
        self._random = random
        self._is_wanted = is_wanted
        self._log = Logger()
        self._turns = Cooperator(self._turn, lambda step: clock.callLater(0, step))
        self._loading: Deferred[Any] | None = None
        self.restored = 0
        self.damaged = 0

    def startService(self) -> None:
        super().startService()
        try:
            file = os.open(self._path, os.O_RDONLY)
        except FileNotFoundError:
            return
        except OSError as why:
            self._log.warn("{path} cannot be read, the cache is empty: {why}", path=self._path, why=why)
            return
        try:
            self._remove()
        except OSError as why:
            os.close(file)
            self._log.warn("{path} cannot be removed, so it is not used: {why}", path=self._path, why=why)
            return
        if not self._is_wanted:
            os.close(file)
            return
        # From now on what comes in is newer.
        self._loading = self._turns.coiterate(self._load(file, Restoring(self._store)))
        self._loading.addErrback(self._failed)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        return Deferred.fromCoroutine(self._end())

    async def _end(self) -> None:
        if not self._is_wanted:
            return
        # What is not restored yet would be lost.
        if self._loading is not None:
            await self._loading
        aside = self._path.with_name(f".{self._path.name}.new")
        try:
            await self._turns.coiterate(self._save(aside))
        except OSError as why:
            self._log.warn("{path} cannot be written, the next cache is empty: {why}", path=self._path, why=why)
            with suppress(OSError):
                aside.unlink(missing_ok=True)

    def _turn(self) -> Callable[[], bool]:
        ends = self._clock.seconds() + TURN_SECONDS
        return lambda: self._clock.seconds() >= ends

    def _remove(self) -> None:
        """Also from the disk itself: a machine that loses its power has it no more when it is back."""
        self._path.unlink()
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def _load(self, descriptor: int, restoring: Restoring) -> Iterator[None]:
        try:
            with open(descriptor, "rb", buffering=0) as file:
                reading = Reading()
                reading.feed(file.read(LONGEST_HEADING))
                try:
                    later = self._moved_by(reading.heading())
                except ValueError as why:
                    self._log.warn("{path} is not used: {why}", path=self._path, why=why)
                    return
                seen = 0
                piece = b"some"
                while piece:
                    piece = file.read(PIECE_BYTES)
                    reading.feed(piece)
                    for record in reading.records() if piece else reading.end():
                        seen += 1
                        self.restored += self._restore(record, later, restoring)
                        yield
                    yield
                self.damaged = reading.damaged
                (self._log.warn if self.damaged else self._log.info)(
                    "{restored} values are back from {path}; {left} were over or had no room, {damaged} damaged",
                    restored=self.restored,
                    path=self._path,
                    left=seen - self.restored,
                    damaged=self.damaged,
                )
        finally:
            restoring.end()

    def _moved_by(self, heading: Heading) -> float:
        """What to add to its times; raises ValueError if nobody knows."""
        now = self._clock.seconds()
        elapsed = heading.elapsed(self._boot, now, self._wall())
        if elapsed is None:
            raise ValueError("it is from the future, the clock was set back")
        return now - elapsed - heading.steady

    def _restore(self, record: Record, later: float, restoring: Restoring) -> bool:
        times = (record.stored + later, record.expires + later, record.revalidates + later, record.leaves + later)
        return restoring.put_back(
            record.key,
            record.value,
            times,
            self._clock.seconds(),
            tags=record.tags,
            is_used=record.is_used,
        )

    def _save(self, aside: Path) -> Iterator[None]:
        store = self._store
        before = store.stats()
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        marker = self._random(MARKER_BYTES)
        with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(heading_bytes(Heading(marker, self._boot, self._clock.seconds(), self._wall())))
            for entry in store.by_worth():
                held = store.peek(entry.key, self._clock.seconds())
                if held is not None:
                    file.write(record_bytes(_record(held), marker))
                yield
        after = store.stats()
        if (before.stored, before.purges) != (after.stored, after.purges):
            # The time for draining was over, and somebody was still there.
            self._log.warn("{path} is not kept: requests came while it was written", path=self._path)
            aside.unlink()
            return
        # Not synced: what a machine that loses its power leaves of it is found damaged, and skipped.
        aside.rename(self._path)

    def _failed(self, failure: Any) -> None:
        self._log.failure("restoring from {path}", failure, path=self._path)

    def __repr__(self) -> str:
        return f"<SnapshotKeeper {self._path} restored={self.restored} damaged={self.damaged}>"


def _record(entry: Entry) -> Record:
    return Record(
        entry.key,
        entry.value,
        entry.stored,
        entry.expires,
        entry.revalidates,
        entry.leaves,
        tuple(tag.name for tag in entry.tags),
        bool(entry.uses or entry.queue),
    )
