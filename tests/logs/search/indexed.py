"""Sealed volumes with indexes, for tests."""

from __future__ import annotations

import os
from collections.abc import Sequence

from scalekit.logs.checkpoint import Checkpoint
from scalekit.logs.counts import Counts
from scalekit.logs.directory import Directory
from scalekit.logs.entry import Entry
from scalekit.logs.frames import make_frame
from scalekit.logs.memory import MemoryDirectory
from scalekit.logs.order import EVER, NEVER, Chunk, Release, Span, effective_times
from scalekit.logs.output import CHECKPOINTS, Output
from scalekit.logs.reading import LogReader
from scalekit.logs.sealing import seal
from scalekit.logs.search.building import build
from scalekit.logs.search.indexes import Indexes
from scalekit.logs.volumes import Manifest

T = 1_700_000_000_000_000_000


def sealed(
    directory: Directory, entries: Sequence[Entry], output: Output | None = None, *, is_compressed: bool = False
) -> tuple[Manifest, Output]:
    """A sealed volume of these entries, whose times may come in any order."""
    output = output or Output(directory, Checkpoint())
    old = output.checkpoint
    first = old.sequence + 1
    frame = make_frame(first, T + (1 << 62), entries)
    span = Span(Chunk(frame, effective_times(frame.said, frame.received)), NEVER, EVER)
    output.write(Release(max(entry.time or 0 for entry in entries), [span], [], 0), frame.last)
    extent = output.checkpoint.volume
    manifest = seal(directory, extent, f"log-20231114T221320Z-{extent.number:08d}", is_compressed)
    after = Checkpoint(old.generation + 5, frame.last, output.checkpoint.watermark, 0, type(extent)(extent.number + 1))
    for name in CHECKPOINTS:
        directory.replace(name, after.encode())
    return manifest, Output(directory, after)


def add_index(directory: MemoryDirectory, manifest: Manifest, path: str) -> None:
    """
    Give a volume its index.

    :param path: of a file that may be overwritten.
    """
    if os.path.exists(path):
        os.unlink(path)
    build(directory, manifest, path)
    with open(path, "rb") as file:
        directory.replace(manifest.index, file.read())


def reader_of(directory: Directory, output: Output) -> LogReader:
    """Of what is in the volumes."""
    return LogReader(directory, lambda: output.checkpoint, list)


def no_indexes() -> Indexes:
    """Of a log that has none."""
    return Indexes(Counts())
