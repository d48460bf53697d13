"""A small log with everything in it, for tests."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.task import Clock

from scalekit.logs.batches import parse_batch_name
from scalekit.logs.collector import Collector
from scalekit.logs.directory import Directory
from scalekit.logs.entry import Entry
from scalekit.logs.memory import MemoryDirectory
from scalekit.logs.settings import Settings
from scalekit.logs.threads import DirectLane

START = 1_700_000_000
HOUR = 3600
SECOND = 1_000_000_000


def start(directory: Directory, seconds: float, *, is_compressed: bool = False) -> tuple[Collector, Clock]:
    """A collector that has been started."""
    clock = Clock()
    clock.advance(seconds)
    lanes = (DirectLane(), DirectLane(), DirectLane())
    collector = Collector(lambda: directory, clock, lanes, Settings(segment_bytes=2000, is_compressed=is_compressed))
    collector.startService()
    return collector, clock


def fill(directory: Directory, *, is_compressed: bool = False) -> tuple[Collector, Clock]:
    """
    A collector at work: a sealed volume, one that is closing, an open one, both of these with late entries, and two
    entries that only the journal has; eleven are in volumes.
    """
    collector, clock = start(directory, START, is_compressed=is_compressed)
    batch = 0

    def write(*seconds: int) -> None:
        """Entries of so many seconds from now, and some time until they are written."""
        nonlocal batch
        batch += 1
        now = int(clock.seconds())
        entries = [Entry((now + each) * SECOND + batch, "INFO", "s", f"n{batch}", '{"a":1}') for each in seconds]
        collector.append(entries, parse_batch_name(f"client/{batch}"))
        clock.pump([1.0] * 8)

    write(0, 1)
    write(-7)
    clock.advance(HOUR)
    write(0)
    clock.pump([5.0] * 15)
    write(0, 1)
    clock.advance(HOUR)
    write(0)
    write(-10)
    write(0, 1)
    write(-5)
    collector.append([Entry(None, "INFO", "s", "waits")] * 2)
    return collector, clock


def after_power_loss(*, is_compressed: bool) -> MemoryDirectory:
    """What `fill` has made, as it is on the disk then."""
    directory = MemoryDirectory()
    fill(directory, is_compressed=is_compressed)
    return directory.survive()


def places(logs: Sequence[MemoryDirectory]) -> list[tuple[int, str, int]]:
    """Every byte of these: the log's index, the file's name, and where in it."""
    return [
        (number, name, place)
        for number, log in enumerate(logs)
        for name in log.names()
        for place in range(log.size(name))
    ]
