"""
The journal's segments: their frames, and what volumes should hold of them.

A checksum over each frame finds every flipped bit.  What the frames of the journal say is also the one thing that the
open volume's lines, which have no checksum of their own, can be compared with.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from scalekit.framing import Damage
from scalekit.logs.batches import BatchTable
from scalekit.logs.checkpoint import Checkpoint
from scalekit.logs.directory import Files
from scalekit.logs.frames import HEAD_BYTES, TABLE, Frame, scan
from scalekit.logs.fsck.findings import Finding, note
from scalekit.logs.journal import Segment, segment_numbers
from scalekit.logs.order import Row, effective_times
from scalekit.logs.quarantine import damage_name
from scalekit.logs.records import format_rows


class Expected(NamedTuple):
    """An entry's place in the log, and the CRC-32 of its line if it was on time, and if it was late."""

    time: int
    on_time: int
    late: int


class Journal(NamedTuple):
    """
    What the journal says.

    :ivar entries: by their sequence numbers.
    :ivar frames: how many there are.
    """

    findings: list[Finding]
    entries: dict[int, Expected]
    frames: int


def frames_with_offsets(frames: Sequence[Frame], damages: Sequence[Damage]) -> Iterator[tuple[int, Frame]]:
    """Where each frame of a scan begins."""
    skipped = {damage.start: damage.end for damage in damages}
    position = 0
    for frame in frames:
        position = skipped.get(position, position)
        yield position, frame
        position += HEAD_BYTES + len(frame.payload)


def check_journal(files: Files, checkpoint: Checkpoint | None, *, is_partial: bool) -> Journal:
    """
    Look at all segments; with a daemon at work, not at the two newest, and without what volumes should have.

    :param checkpoint: segments before its own are written, whatever they hold.
    """
    names = set(files.names())
    numbers = segment_numbers(sorted(names))
    findings: list[Finding] = []
    if checkpoint is not None and checkpoint.journal and checkpoint.journal not in numbers and not is_partial:
        what = "it is missing: it held the first entries that are not in a volume yet"
        findings.append(Finding(Segment(checkpoint.journal).name, None, what))
    entries: dict[int, Expected] = {}
    table = BatchTable()
    count = last = 0
    for number in numbers[:-2] if is_partial else numbers:
        name = Segment(number).name
        frames, damages = scan(files.read(name))
        count += len(frames)
        findings += [_damage(name, damage, names, number, checkpoint) for damage in damages]
        for offset, frame in frames_with_offsets(frames, damages):
            if frame.client == TABLE or not frame.said:
                table.replay(frame)
                continue
            if frame.last <= last:  # written twice, as its first sync failed
                continue
            if frame.first <= last:
                findings.append(Finding(name, offset, f"sequence numbers from {frame.first} are there already"))
            elif last and frame.first > last + 1:
                what = f"sequence numbers {last + 1} to {frame.first - 1} are in no frame: refused, or lost with damage"
                findings.append(note(name, offset, what))
            last = frame.last
            if not table.replay(frame):
                findings.append(Finding(name, offset, "a batch that was there before: its entries do not count"))
                continue
            try:
                if not is_partial:
                    entries.update(_expected(frame))
            except ValueError:
                findings.append(Finding(name, offset, "a frame of something else than entries"))
    return Journal(findings, entries, count)


def _damage(name: str, damage: Damage, names: set[str], number: int, checkpoint: Checkpoint | None) -> Finding:
    what = f"{damage.end - damage.start} bytes are no whole frame: torn by a crash, or damaged"
    kept = damage_name(name, damage)
    if kept in names:
        return note(name, damage.start, f"{what}; known, kept in {kept}")
    if checkpoint is not None and number < checkpoint.journal:
        what += "; volumes have what it held"
    return Finding(name, damage.start, what)


def _expected(frame: Frame) -> Iterator[tuple[int, Expected]]:
    times = effective_times(frame.said, frame.received)
    numbers = range(frame.first, frame.last + 1)
    rows: list[Row] = [
        (time, number, entry, frame.received)
        for time, number, entry in zip(times, numbers, frame.entries(), strict=True)
    ]
    rows.sort(key=lambda row: row[0])  # as they are formatted
    on_time, late = (format_rows(rows, is_late)[0].split(b"\n") for is_late in (False, True))
    for row, first, second in zip(rows, on_time, late, strict=False):
        yield row[1], Expected(row[0], zlib.crc32(first), zlib.crc32(second))
