"""
What a start finds on disk, and what it makes of it; it always finds something to go on with.
"""

from __future__ import annotations

from itertools import count
from typing import NamedTuple

from scalekit.logs.checkpoint import Checkpoint
from scalekit.logs.directory import Directory
from scalekit.logs.frames import scan
from scalekit.logs.journal import Segment, segment_numbers
from scalekit.logs.order import ReorderBuffer, Waiting, effective_time
from scalekit.logs.output import LATE, LOG, Output, read_checkpoint


class Recovered(NamedTuple):
    """
    The state to go on from.

    :ivar sequence: the greatest sequence number there has been.
    :ivar next_number: the number of the journal's next segment.
    :ivar findings: sentences on what was not as it should be.
    """

    buffer: ReorderBuffer
    output: Output
    segments: list[Segment]
    sequence: int
    next_number: int
    findings: list[str]


def recover(directory: Directory, delay: int) -> Recovered:
    """
    Read checkpoint and journal, and cut the text files to what counts.

    Acknowledged entries that are not yet written are in the buffer then.  Raises OSError if the disk cannot be read or
    written at all.

    :param delay: of the buffer, in nanoseconds.
    """
    findings: list[str] = []
    checkpoint = read_checkpoint(directory)
    if checkpoint is None:
        findings.extend(_set_aside(directory))
        checkpoint = Checkpoint()
    output = Output(directory, checkpoint)
    if output.fit():
        findings.append(f"{LOG} or {LATE} is shorter than it was; going on at its end")
    output.cut()
    buffer = ReorderBuffer(delay, checkpoint.watermark)
    segments: list[Segment] = []
    numbers = segment_numbers(directory.names())
    replayed = 0
    for number in numbers:
        segment = Segment(number)
        frames, damages = scan(directory.read(segment.name))
        findings.extend(
            f"{segment.name}: {end - start} bytes at {start} are torn or damaged; left out" for start, end in damages
        )
        for frame in frames:
            for sequence, entry in enumerate(frame.entries, frame.first):
                # A group that was written twice, as its first sync failed, counts once.
                if sequence <= replayed:
                    continue
                time = effective_time(entry.time, frame.received)
                segment.extend(sequence, time)
                if not checkpoint.is_written(sequence, time):
                    buffer.add(Waiting(time, sequence, entry))
            replayed = max(replayed, frame.last)
        segments.append(segment)
    return Recovered(
        buffer,
        output,
        segments,
        max(checkpoint.sequence, replayed),
        numbers[-1] + 1 if numbers else 1,
        findings,
    )


def _set_aside(directory: Directory) -> list[str]:
    """Without a checkpoint nobody knows what of the journal is in the text files: keep them, and begin new ones."""
    findings = []
    names = set(directory.names())
    for name, form in ((LOG, "log-found-{}.txt"), (LATE, "log-found-{}.txt.late")):
        if directory.size(name):
            new_name = next(new for number in count(1) if (new := form.format(number)) not in names)
            directory.rename(name, new_name)
            findings.append(f"there is no readable checkpoint: {name} is kept as {new_name}, and a new one begun")
    return findings
