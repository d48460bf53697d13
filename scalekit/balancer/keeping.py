"""Keeps a snapshot of the roster on disk, and puts it back when the balancer starts."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from scalekit.balancer.roster import Roster
from scalekit.balancer.snapshot import read_snapshot, restore_snapshot, take_snapshot

#: What a crash may cost: apps with a lease register again by themselves within five seconds.
SAVE_SECONDS = 1.0


class SnapshotKeeper(Service):
    """
    Restores when it starts, saves when something has changed and when it stops.

    The file is written aside and renamed, so it is whole or the old one; it is not synced, which would stop all
    requests for milliseconds, to save a second of registrations from a machine that loses its power.

    :param path: of the file; it holds secrets, so only we may read it.
    """

    name = "snapshot-keeper"

    def __init__(self, roster: Roster, path: Path, clock: IReactorTime) -> None:
        self._roster = roster
        self._path = path
        self._clock = clock
        self._log = Logger()
        self._saved = -1
        self._has_complained = False
        self._loop = LoopingCall(self._save)
        self._loop.clock = clock

    def startService(self) -> None:
        super().startService()
        self._restore()
        self._loop.start(SAVE_SECONDS, now=False)

    def stopService(self) -> None:
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        self._save()

    def _restore(self) -> None:
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return
        except OSError as why:
            self._log.warn("{path} cannot be read, apps have to register again: {why}", path=self._path, why=why)
            return
        try:
            count = restore_snapshot(self._roster, read_snapshot(data), self._clock.seconds())
        except ValueError as why:
            aside = self._path.with_name(f"{self._path.name}.damaged")
            self._log.warn(
                "{path} is damaged, apps have to register again; it is {aside} now: {why}",
                path=self._path,
                aside=aside,
                why=why,
            )
            try:
                self._path.rename(aside)
            except OSError as error:
                self._log.warn("and it cannot be set aside: {error}", error=error)
            return
        if count:
            self._log.info("{count} app servers are back from {path}", count=count, path=self._path)

    def _save(self) -> None:
        revision = self._roster.revision
        if revision == self._saved:
            return
        aside = self._path.with_name(f".{self._path.name}.new")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with open(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(take_snapshot(self._roster, self._clock.seconds()))
            aside.rename(self._path)
        except OSError as why:
            # Once, not every second; and it is tried on.
            if not self._has_complained:
                self._log.warn("{path} cannot be written: {why}", path=self._path, why=why)
            self._has_complained = True
            return
        self._saved = revision
        self._has_complained = False

    def __repr__(self) -> str:
        return f"<SnapshotKeeper {self._path} revision={self._saved}>"
