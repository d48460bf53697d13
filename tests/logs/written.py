"""Volumes for tests, written as the collector writes them."""

from __future__ import annotations

from collections.abc import Sequence

from scalekit.logs.checkpoint import Checkpoint
from scalekit.logs.directory import Directory
from scalekit.logs.entry import Entry
from scalekit.logs.frames import make_frame
from scalekit.logs.order import EVER, NEVER, Chunk, Release, Span, effective_times
from scalekit.logs.output import Output

T = 1_700_000_000_000_000_000
RECEIVED = T + (1 << 50)  # after all of them


def span(first: int, offsets: Sequence[int], length: int = 1) -> Span:
    """Entries with messages of their numbers, of these nanoseconds after `T`."""
    entries = [Entry(T + offset, "INFO", "s", str(number) * length) for number, offset in enumerate(offsets, first)]
    frame = make_frame(first, RECEIVED, entries)
    return Span(Chunk(frame, effective_times(frame.said, RECEIVED)), NEVER, EVER)


def write(
    directory: Directory, on_time: Sequence[int], late: Sequence[int] = (), output: Output | None = None
) -> Output:
    """Write entries of these times to the open volume: those on time first."""
    output = output or Output(directory, Checkpoint())
    first = output.checkpoint.sequence + 1
    last = first + len(on_time) + len(late) - 1
    release = Release(
        T + max(on_time, default=0),
        [span(first, sorted(on_time))] if on_time else [],
        [span(first + len(on_time), late)] if late else [],
        0,
    )
    output.write(release, last)
    return output
