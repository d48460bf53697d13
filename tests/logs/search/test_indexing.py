"""Which volumes get an index, and when."""

from __future__ import annotations

import os
import sqlite3
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.task import Clock, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from scalekit.logs.collector import Collector
from scalekit.logs.directory import LocalDirectory
from scalekit.logs.entry import Entry
from scalekit.logs.retention import Rules
from scalekit.logs.search import indexing
from scalekit.logs.search.building import UNSUITABLE, build
from scalekit.logs.search.indexes import Indexes
from scalekit.logs.search.indexing import ASIDE, DEADLINE_SECONDS, LOOK_SECONDS, Indexing
from scalekit.logs.settings import Settings
from scalekit.logs.threads import DirectLane
from scalekit.logs.volumes import Manifest
from tests.logs.search.indexed import T, sealed


class Child:
    """A child process that does what the test says."""

    def __init__(self, protocol: Any, arguments: list[str]) -> None:
        self.protocol = protocol
        self.path, self.name, self.made = arguments[-3:]
        self.signals: list[str] = []
        self.is_gone = False

    def signalProcess(self, name: str) -> None:
        """As a process transport's."""
        if self.is_gone:
            raise ProcessExitedAlready
        self.signals.append(name)

    def end(self, status: int = 0, said: bytes = b"") -> None:
        """It says this and exits."""
        self.is_gone = True
        self.protocol.errReceived(said)
        self.protocol.processEnded(Failure(ProcessTerminated(status) if status else ProcessDone(0)))


class ClockWithChildren(Clock):
    """A reactor as far as it is needed."""

    def __init__(self) -> None:
        super().__init__()
        self.children: list[Child] = []
        self.error: OSError | None = None

    def spawnProcess(self, protocol: Any, executable: str, arguments: list[str], env: object) -> Child:
        """As a reactor's."""
        if self.error is not None:
            raise self.error
        child = Child(protocol, arguments)
        self.children.append(child)
        return child


class IndexingTests(SynchronousTestCase):
    """`Indexing`."""

    def setUp(self) -> None:
        self.path = self.mktemp()
        os.mkdir(self.path)
        self.clock = ClockWithChildren()
        self.clock.advance(T / 1e9)
        lanes = (DirectLane(), DirectLane(), DirectLane())
        self.directory = LocalDirectory(self.path)
        first, output = sealed(self.directory, [Entry(T, "INFO", "s", "one")])
        second, output = sealed(self.directory, [Entry(T + 9, "INFO", "s", "two")], output)
        self.manifests: list[Manifest] = [first, second]
        self.directory.close()
        for name in (ASIDE, "log-20231114T221320Z-00000009.index"):
            with open(os.path.join(self.path, name), "wb") as file:
                file.write(b"left")
        self.collector = Collector(lambda: LocalDirectory(self.path), self.clock, lanes, Settings(rules=Rules()))
        self.collector.startService()
        self.indexes = Indexes(self.collector.counts)
        self.service = self.make()

    def make(self, reserve_bytes: int = 0, worth_bytes: int = 10) -> Indexing:
        """A service that has been started."""
        service = Indexing(self.collector, self.indexes, self.clock, self.path, reserve_bytes, {}, worth_bytes)
        service.startService()
        return service

    def look(self) -> list[Child]:
        """Let it look; the children there have been."""
        self.clock.advance(LOOK_SECONDS)
        return self.clock.children

    def made(self, child: Child) -> None:
        """A child that does its work."""
        manifest = next(one for one in self.manifests if one.name == child.name)
        path = os.path.join(self.path, child.made)
        build(self.collector.reader.files, manifest, path)
        child.end()

    def names(self) -> list[str]:
        return [name for name in sorted(os.listdir(self.path)) if "index" in name]

    def tearDown(self) -> None:
        stopped = self.service.stopService()
        for child in self.clock.children:
            if not child.is_gone:
                self.assertEqual(child.signals, ["KILL"])
                child.end(1)
        self.successResultOf(stopped)
        self.successResultOf(self.collector.stopService())

    def test_all_get_one(self) -> None:
        """The newest first, one at a time; what was left by others is removed."""
        (child,) = self.look()
        self.assertEqual((child.name, self.names()), (self.manifests[1].name, []))
        self.assertEqual(len(self.look()), 1)
        self.assertIn("busy", repr(self.service))
        self.made(child)
        child = self.look()[1]
        self.assertEqual(child.name, self.manifests[0].name)
        self.made(child)
        self.assertEqual(len(self.look()), 2)
        self.assertEqual((self.names(), self.collector.counts.indexed), ([one.index for one in self.manifests], 2))
        self.assertIn("idle", repr(self.service))
        for manifest in self.manifests:
            index = self.indexes.open(self.collector.reader.files, manifest)
            assert index is not None
            index.close()
        last = self.manifests[1]
        # What it takes counts, and it goes with its volume.
        self.collector.upkeep._rules = Rules(stored=last.stored + os.stat(os.path.join(self.path, last.index)).st_size)
        self.clock.advance(120)
        self.assertEqual(self.names(), [last.index])

    def test_failures(self) -> None:
        """It is tried twice, is told and counted, and no other waits for it."""
        self.look()[0].end(1, b"Traceback\nno room\n")
        self.look()[1].end(-9)
        self.made(self.look()[2])
        self.assertEqual(len(self.look()), 3)
        counts = self.collector.counts
        self.assertEqual((counts.indexed, counts.index_failures), (1, 2))
        self.assertEqual(self.names(), [self.manifests[0].index])
        self.clock.error = OSError(12, "Cannot allocate memory")
        self.service.stopService()
        self.service = self.make()
        self.look()
        self.look()
        self.assertEqual(counts.index_failures, 4)

    def test_it_gives_up(self) -> None:
        """When nothing but failures comes, of whatever volumes."""
        self.patch(indexing, "GIVE_UP", 3)
        for number in range(3):
            self.look()[number].end(1, b"no such module: fts5\n")
        self.assertEqual(len(self.look()), 3)
        self.assertEqual(self.collector.counts.index_failures, 3)

    def test_a_volume_that_is_damaged(self) -> None:
        """Is tried once, and no reason to give up."""
        self.patch(indexing, "GIVE_UP", 1)
        self.look()[0].end(UNSUITABLE, b"it is damaged\n")
        self.made(self.look()[1])
        self.assertEqual(len(self.look()), 2)
        self.assertEqual((self.collector.counts.indexed, self.collector.counts.index_failures), (1, 1))

    def test_a_child_that_hangs(self) -> None:
        """Is killed."""
        (child,) = self.look()
        self.clock.advance(DEADLINE_SECONDS)
        self.assertEqual(child.signals, ["KILL"])
        child.end(-9)
        self.assertEqual(self.collector.counts.index_failures, 1)

    def test_a_damaged_one(self) -> None:
        """Is made anew."""
        self.made(self.look()[0])
        self.made(self.look()[1])
        self.look()
        self.indexes.distrust(self.manifests[0].index)
        self.made(self.look()[2])
        self.look()
        self.assertEqual((len(self.names()), self.indexes.distrusted, len(self.clock.children)), (2, frozenset(), 3))

    def test_a_volume_that_goes_meanwhile(self) -> None:
        """Its index is not kept."""
        (child,) = self.look()
        for name in self.manifests[1].files:
            if os.path.exists(os.path.join(self.path, name)):
                self.collector.upkeep._directory.remove(name)
        path = os.path.join(self.path, ASIDE)
        sqlite3.connect(path).execute("CREATE TABLE a (b)").connection.close()
        child.end()
        self.assertEqual((self.names(), self.collector.counts.indexed), ([], 0))

    def test_none(self) -> None:
        """Of small volumes, and where the disk is short."""
        self.service.stopService()
        for named in ({"worth_bytes": 1 << 30}, {"reserve_bytes": 1 << 60}):
            self.service = self.make(**named)
            self.assertEqual(self.look(), [])
            self.service.stopService()


class ProcessTests(TestCase):
    """With a real child."""

    async def test_a_volume_gets_its_index(self) -> None:
        """And a child under way is gone when the service has stopped."""
        path = self.mktemp()
        directory = LocalDirectory(path)
        manifest, _ = sealed(directory, [Entry(T, "INFO", "s", "one")])
        directory.close()
        self.patch(indexing, "LOOK_SECONDS", 0.02)
        lanes = (DirectLane(), DirectLane(), DirectLane())
        collector = Collector(lambda: LocalDirectory(path), reactor, lanes)
        collector.startService()
        indexes = Indexes(collector.counts)
        service = Indexing(collector, indexes, reactor, path, 0, os.environ, 1)
        service.startService()
        while not collector.counts.indexed:
            self.assertEqual(collector.counts.index_failures, 0)
            await deferLater(reactor, 0.02)
        index = indexes.open(collector.reader.files, manifest)
        assert index is not None
        index.close()
        indexes.distrust(manifest.index)
        while service._process is None:
            await deferLater(reactor, 0.02)
        stopped: Deferred[None] = service.stopService()
        await stopped
        self.assertIsNone(service._process)
        await collector.stopService()
