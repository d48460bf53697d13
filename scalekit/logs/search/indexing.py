"""
Which volumes get an index, and when: behind the writer, one at a time, the newest first.

A child process makes it (see `building`) in a file aside, which gets its name here, where volumes are removed as well:
so there is never an index of a volume that is gone.  If the child dies, takes too long, or cannot do it, that costs
nothing but the index: such a volume is looked through.  Where the disk is short, no index is made.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Generator, Mapping
from typing import Any, NamedTuple

from twisted.application.service import Service
from twisted.internet.defer import Deferred, inlineCallbacks, succeed
from twisted.internet.error import ProcessDone, ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from scalekit.logs.collector import Collector
from scalekit.logs.directory import Directory
from scalekit.logs.reading import manifests
from scalekit.logs.search.building import UNSUITABLE
from scalekit.logs.search.indexes import Indexes
from scalekit.logs.volumes import INDEX, Manifest

#: How often it is looked whether there is a new volume: they come an hour apart, or when it is busy every half minute.
LOOK_SECONDS = 5.0
#: It is looked through before an index of it is open.
WORTH_BYTES = 1024 * 1024
#: What makes the child fail twice is not that the machine was busy; after a restart it is tried again.
ATTEMPTS = 2
#: Failures one after the other, of any volumes: then it is not theirs, as where SQLite comes without FTS5.
GIVE_UP = 6
#: A child takes some twelve seconds for a volume of the largest kind, and a hundred where all else goes before it.
DEADLINE_SECONDS = 900.0
#: The file aside; what a child has left of it that failed is removed before the next one.
ASIDE = "indexing"
#: Of what a child says before it dies.
_LAST_WORDS = 500

_log = Logger()


class _Plan(NamedTuple):
    """The volume whose turn it is (None: no one's), and whether others may follow."""

    manifest: Manifest | None
    has_more: bool


class _Failure(NamedTuple):
    """Why there is no index, and whether it is the volume that cannot have one."""

    why: str
    is_unsuitable: bool = False


class _Child(ProcessProtocol):
    """Fires with why it has failed, None if it has done its work; its standard input is its leash."""

    def __init__(self) -> None:
        self.ended: Deferred[_Failure | None] = Deferred()
        self._said = b""

    def errReceived(self, data: bytes) -> None:
        self._said = (self._said + data)[-_LAST_WORDS:]

    def processEnded(self, reason: Failure) -> None:
        if reason.check(ProcessDone):
            self.ended.callback(None)
        else:
            words = self._said.decode(errors="replace").strip().rpartition("\n")[2]
            is_unsuitable = getattr(reason.value, "exitCode", None) == UNSUITABLE
            self.ended.callback(_Failure(words or reason.getErrorMessage(), is_unsuitable))


class Indexing(Service):
    """
    See the module.

    :param path: of the log's directory.
    :param reserve_bytes: of the disk that are left alone.
    :param environ: of the child.
    """

    def __init__(
        self,
        collector: Collector,
        indexes: Indexes,
        reactor: Any,
        path: str,
        reserve_bytes: int,
        environ: Mapping[str, str],
        worth_bytes: int = WORTH_BYTES,
    ) -> None:
        self._collector = collector
        self._indexes = indexes
        self._reactor = reactor
        self._path = path
        self._reserve = reserve_bytes
        self._environ = dict(environ)
        self._worth = worth_bytes
        self._failures: Counter[str] = Counter()
        self._in_a_row = 0
        self._process: Any = None
        self._busy: Deferred[None] | None = None
        self._seen = -1  # how many volumes were sealed when it was last looked
        self._has_more = False
        self._loop = LoopingCall(self._look)
        self._loop.clock = reactor

    def startService(self) -> None:
        super().startService()
        self._loop.start(LOOK_SECONDS, now=False)

    def _look(self) -> None:
        sealed = self._collector.counts.sealed
        if self._busy is not None or self._in_a_row >= GIVE_UP:
            return
        if not (self._has_more or sealed != self._seen or self._indexes.distrusted):
            return
        busy: Deferred[None] = Deferred()
        self._busy = busy

        def end(result: object) -> None:
            if isinstance(result, Failure):
                _log.failure("indexing the log", result)
            self._busy = None
            busy.callback(None)

        self._seen = sealed
        self._index_one().addBoth(end)

    @inlineCallbacks
    def _index_one(self) -> Generator[Deferred[Any], Any, None]:
        plan: _Plan = yield self._collector.upkeep.at_leisure(self._plan)
        self._has_more = plan.has_more
        manifest = plan.manifest
        if manifest is None or not self.running:
            return
        failure = yield self._made(manifest)
        if not self.running:
            return
        if failure is None:
            failure = yield self._collector.upkeep.at_leisure(lambda directory: _take_over(directory, manifest))
        counts = self._collector.counts
        if failure is None:
            self._indexes.renewed(manifest.index)
            counts.indexed += 1
            self._in_a_row = 0
            _log.info("{name} has an index", name=manifest.name)
            return
        counts.index_failures += 1
        self._failures[manifest.name] += ATTEMPTS if failure.is_unsuitable else 1
        self._in_a_row += not failure.is_unsuitable
        _log.warn("{name} gets no index: {why}", name=manifest.name, why=failure.why)
        if self._in_a_row >= GIVE_UP:
            _log.error("no more indexes are made until the next start")

    def _plan(self, directory: Directory) -> _Plan:
        """Remove what is nobody's index, or no good one; whose turn it is."""
        there = set(directory.names())
        found = {manifest.index: manifest for manifest in manifests(directory)}
        for name in sorted(there):
            is_bad = name == ASIDE or name in self._indexes.distrusted
            if is_bad or (name.endswith(INDEX) and name not in found):
                directory.remove(name)
                there.discard(name)
                self._indexes.forget(name)
        for name in self._indexes.distrusted - there:
            self._indexes.forget(name)
        room = directory.free() - self._reserve
        due = [
            manifest
            for name, manifest in reversed(found.items())
            if name not in there and self._worth <= manifest.length <= room and self._failures[manifest.name] < ATTEMPTS
        ]
        return _Plan(due[0] if due else None, bool(due))

    def _made(self, manifest: Manifest) -> Deferred[_Failure | None]:
        """Let a child make it: fires with None, or what went wrong."""
        child = _Child()
        command = [sys.executable, "-m", "scalekit.logs.search.building", self._path, manifest.name, ASIDE]
        try:
            # Its standard input is a pipe that only we hold: it ends when we do.
            self._process = self._reactor.spawnProcess(child, command[0], command, env=self._environ)
        except OSError as error:  # no memory, process or descriptor to be had just now
            return succeed(_Failure(str(error.strerror)))
        deadline = self._reactor.callLater(DEADLINE_SECONDS, self._kill)

        def end(failure: _Failure | None) -> _Failure | None:
            self._process = None
            if deadline.active():
                deadline.cancel()
            return failure

        return child.ended.addCallback(end)

    def _kill(self) -> None:
        try:
            self._process.signalProcess("KILL")
        except ProcessExitedAlready:  # we are about to hear of it
            pass

    def stopService(self) -> Deferred[None]:
        """Fires when no child is left; what it was making is made again after the next start."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()
        if self._process is not None:
            self._kill()
        if self._busy is None:
            return succeed(None)
        idle: Deferred[None] = Deferred()
        self._busy.addCallback(idle.callback)
        return idle

    def __repr__(self) -> str:
        return f"<Indexing {'busy' if self._busy is not None else 'idle'}>"


def _take_over(directory: Directory, manifest: Manifest) -> _Failure | None:
    """Give the file aside its name; why not, if its volume has gone meanwhile."""
    if not directory.size(f"{manifest.name}.json"):
        directory.remove(ASIDE)
        return _Failure("it was removed meanwhile", is_unsuitable=True)
    directory.rename(ASIDE, manifest.index)
    return None
