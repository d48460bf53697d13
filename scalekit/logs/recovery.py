"""
What a start finds on disk, and what it makes of it; it always finds something to go on with.

With a checkpoint, its rule says what of the journal is written.  Without one, the volumes are read: every line of them
has its sequence number.
"""

from __future__ import annotations

import gzip
from array import array
from collections.abc import Callable, Sequence
from itertools import compress, count, pairwise
from typing import NamedTuple

from msgspec.structs import replace

from scalekit.logs.batches import BatchTable
from scalekit.logs.checkpoint import Checkpoint, Unwritten
from scalekit.logs.directory import Directory
from scalekit.logs.frames import HEAD_BYTES, TABLE, Frame, first_number, make_frame, scan
from scalekit.logs.journal import Segment, segment_numbers
from scalekit.logs.order import NEVER, Chunk, ReorderBuffer, effective_times
from scalekit.logs.output import Output, read_checkpoint
from scalekit.logs.quarantine import keep_damage
from scalekit.logs.reading import manifests
from scalekit.logs.rebuilding import rebuild_manifests
from scalekit.logs.records import parse_key, parse_record
from scalekit.logs.sealing import blocks, seal, survey
from scalekit.logs.volumes import LATE, LOG, Extent, number_of, open_numbers, volume_name


class Recovered(NamedTuple):
    """
    The state to go on from.

    :ivar sequence: the greatest sequence number there has been.
    :ivar next_number: the number of the journal's next segment.
    :ivar damages: how many stretches of the journal could not be read, and were not known before.
    :ivar findings: sentences on what was not as it should be.
    :ivar unwritten: without a checkpoint, what of the journal is in no volume.
    """

    buffer: ReorderBuffer
    output: Output
    segments: list[Segment]
    batches: BatchTable
    sequence: int
    next_number: int
    damages: int
    findings: list[str]
    unwritten: Unwritten | None


class _State(NamedTuple):
    """What the checkpoint or the volumes say; nothing above ``sequence`` is written."""

    output: Output
    is_written: Callable[[int, int], bool]
    sequence: int
    left: tuple[Extent, ...] = ()  # volumes that ended and are not sealed


def recover(directory: Directory, delay: int, *, is_compressed: bool = False, is_read_only: bool = False) -> Recovered:
    """
    Read checkpoint and journal, and cut the files to what counts.

    Acknowledged entries that are not yet written are in the buffer then.  Raises OSError if the disk cannot be read or
    written at all.

    :param delay: of the buffer, in nanoseconds.
    :param is_compressed: whether a volume that has to be sealed now is compressed.
    :param is_read_only: what is written to the directory goes nowhere, so no volume can be sealed.
    """
    findings: list[str] = []
    numbers = segment_numbers(directory.names())
    next_number = numbers[-1] + 1 if numbers else 1
    _remove_spare(directory, numbers)
    checkpoint = read_checkpoint(directory)
    if checkpoint is None:
        state = _without_checkpoint(directory, is_compressed, is_read_only, findings)
    else:
        state = _with_checkpoint(directory, checkpoint, is_compressed, findings)
    output = state.output
    for name in output.fit():
        findings.append(f"{name} is shorter than it was; going on at its end")
    output.cut()
    buffer = ReorderBuffer(delay, output.checkpoint.watermark)
    batches = BatchTable()
    segments: list[Segment] = []
    replayed = 0
    damaged = 0
    others: set[int] = set()
    has_table = False
    for number in numbers:
        segment = Segment(number)
        if number < output.checkpoint.journal:
            # All of it is written: it is only kept for those who read the journal.
            segment.first = first_number(directory.read(segment.name, 0, HEAD_BYTES)) or 0
            segment.size = directory.size(segment.name)
            segments.append(segment)
            continue
        data = directory.read(segment.name)
        frames, damages = scan(data)
        if not has_table and not _has_table(frames):
            _find_table(directory, segments, batches)
        has_table = True
        for damage in damages:
            damaged += keep_damage(directory, segment.name, data, damage, findings)
        if not frames and not damages:
            directory.remove(segment.name)  # never used: what was to be written first could not be
            continue
        segment.size = len(data.rstrip(b"\0"))
        for frame in frames:
            counts = batches.replay(frame)
            if frame.said and frame.last > replayed:
                times = effective_times(frame.said, frame.received)
                segment.extend(frame.first, frame.last, max(times))
                # A group that was written twice, as its first sync failed, counts once.
                if counts and frame.first > replayed:
                    if frame.first > state.sequence:
                        buffer.add(Chunk(frame, times))
                    else:
                        waiting = [not state.is_written(number, time) for number, time in enumerate(times, frame.first)]
                        _replay(frame, times, buffer, waiting)
                        others.update(compress(range(frame.first, frame.last + 1), waiting))
                replayed = frame.last
        segments.append(segment)
    for older, newer in pairwise(segments):
        older.last = older.last or max(0, newer.first - 1)
    return Recovered(
        buffer,
        output,
        segments,
        batches,
        max(state.sequence, replayed),
        next_number,
        damaged,
        findings,
        None if checkpoint is not None else Unwritten(state.sequence, frozenset(others), state.left),
    )


def _remove_spare(directory: Directory, numbers: list[int]) -> None:
    """Remove the newest segments as long as nothing is in them: first of all, as it makes room for the rest."""
    while numbers and not directory.read(Segment(numbers[-1]).name).strip(b"\0"):
        directory.remove(Segment(numbers.pop()).name)


def _replay(frame: Frame, times: array[int], buffer: ReorderBuffer, waiting: Sequence[bool]) -> None:
    """Put those entries of a frame into the buffer that are waiting to be written."""
    if all(waiting):
        buffer.add(Chunk(frame, times))
    elif any(waiting):
        entries = frame.entries()
        start = 0
        while start < len(waiting):  # each stretch of numbers that follow one another
            end = start
            while end < len(waiting) and waiting[end]:
                end += 1
            if end > start:
                part = make_frame(frame.first + start, frame.received, entries[start:end])
                buffer.add(Chunk(part, times[start:end]))
            start = end + 1


def _has_table(frames: list[Frame]) -> bool:
    return bool(frames) and frames[0].client == TABLE


def _find_table(directory: Directory, segments: list[Segment], batches: BatchTable) -> None:
    """The segment behind these has lost the table that it began with: go back to one that has it."""
    for segment in reversed(segments):
        frames, _ = scan(directory.read(segment.name))
        for frame in frames:
            batches.replay(frame)
        if _has_table(frames):
            break


def _with_checkpoint(directory: Directory, checkpoint: Checkpoint, is_compressed: bool, findings: list[str]) -> _State:
    there = directory.names()
    number = checkpoint.volume.number
    closing = checkpoint.closing
    # The other checkpoint was newer, and cannot be read: what came after this one is in the journal, all the same.
    for later in open_numbers(there):
        if later > number:
            _remove(directory, Extent(later).truth, Extent(later).late_truth)
    for name in there:
        if number_of(name) == number and name.endswith((".txt", ".txt.late")):
            directory.rename(name, LATE if name.endswith(".late") else LOG)
    output = Output(directory, checkpoint)
    if closing is not None:
        is_truth_gone = closing.extent.truth not in there and closing.extent.length
        if f"{closing.name}.json" in there or (is_truth_gone and f"{closing.name}.ndjson" in there):
            # It was being sealed. Done before the replay, so that nothing gets into it any more.
            seal(directory, closing.extent, closing.name, is_compressed)
            output.sealed()
        else:
            output.settle()
    kept = {number} if output.checkpoint.closing is None else {number, output.checkpoint.closing.extent.number}
    for left in open_numbers(directory.names()):
        if left not in kept:
            _seal_left(directory, left, checkpoint.watermark, is_compressed, findings)
    rebuild_manifests(directory, kept, findings)
    return _State(output, checkpoint.is_written, checkpoint.sequence)


def _without_checkpoint(directory: Directory, is_compressed: bool, is_read_only: bool, findings: list[str]) -> _State:
    """Read all that could hold an entry of the journal."""
    numbers = open_numbers(directory.names())
    rebuild_manifests(directory, numbers, findings)
    sealed = manifests(directory)
    number = max([*numbers, *(manifest.number + 1 for manifest in sealed), 1])
    extent, written = survey(directory, number)
    if extent.entries or sealed:
        findings.append("there is no readable checkpoint: what is written was found in the volumes")
    # It was not below the time of any entry that is written; a clock that was set back since does not say that.
    watermark = max([extent.last_time, *(manifest.last_time for manifest in sealed)])
    last = extent.last_sequence
    unsealed: list[Extent] = []
    for left in numbers:
        if left != number:
            if is_read_only:
                left_extent, left_numbers = survey(directory, left)
                manifest_time = left_extent.last_time
                unsealed.append(left_extent)
            else:
                manifest_time, left_numbers = _seal_left(directory, left, watermark, is_compressed, findings)
            written |= left_numbers
            last = max(last, *left_numbers, 0)
            watermark = max(watermark, manifest_time)
    oldest = _oldest_in_journal(directory)
    for manifest in sealed:
        last = max(last, manifest.last_sequence)
        if manifest.last_sequence >= oldest:
            written |= _numbers_in(directory, manifest.truth)
    # Texts of the volume that is open again, from when it had ended already: they are made anew.
    _remove(directory, *(name for name in directory.names() if number_of(name) == number))
    if extent.entries or not directory.size(LOG):
        extent = _write_texts(directory, extent)
    else:
        findings.extend(_set_aside(directory))
    checkpoint = Checkpoint(watermark=watermark, volume=extent)
    return _State(Output(directory, checkpoint), lambda sequence, time: sequence in written, last, tuple(unsealed))


def _numbers_in(directory: Directory, name: str) -> set[int]:
    if name.endswith(".gz"):
        lines = gzip.decompress(directory.read(name)).splitlines()
        return {key.Sequence for line in lines if (key := parse_key(line)) is not None}
    found = (block.splitlines() for block in blocks(directory, name, directory.size(name)))
    return {key.Sequence for lines in found for line in lines if (key := parse_key(line)) is not None}


def _oldest_in_journal(directory: Directory) -> int:
    for number in segment_numbers(directory.names()):
        for frame in scan(directory.read(Segment(number).name))[0]:
            if frame.said:
                return frame.first
    return 0


def _seal_left(
    directory: Directory, number: int, watermark: int, is_compressed: bool, findings: list[str]
) -> tuple[int, set[int]]:
    """Seal a volume that no checkpoint knows of; its last time, and the numbers of its entries."""
    extent, numbers = survey(directory, number)
    names = [name for name in directory.names() if number_of(name) == number]
    name = names[0].split(".")[0] if names else volume_name(number, max(watermark, extent.last_time))
    if f"{name}.json" not in names:
        _remove(directory, f"{name}.txt", f"{name}.txt.gz")  # nobody knows how far they were
    manifest = seal(directory, extent, name, is_compressed)
    findings.append(f"volume {number} was left behind; sealed as {name} with {manifest.entries} entries")
    return extent.last_time if numbers else NEVER, numbers


def _write_texts(directory: Directory, extent: Extent) -> Extent:
    """Make the open volume's text anew, as nobody knows how far it was."""
    lengths = []
    for source, length, name in ((extent.truth, extent.length, LOG), (extent.late_truth, extent.late_length, LATE)):
        text = bytearray()
        for block in blocks(directory, source, length):
            records = (parse_record(line) for line in block.splitlines())
            text += "".join([record.text() for record in records if record is not None]).encode()
        # Mostly it is as it should be, and what is beyond is cut off: that needs no room.
        if directory.read(name, 0, len(text)) != text:
            directory.write_from(name, 0, bytes(text))
        lengths.append(len(text))
    return replace(extent, text_length=lengths[0], late_text_length=lengths[1])


def _set_aside(directory: Directory) -> list[str]:
    """A text without its truth is kept, and a new one begun."""
    findings = []
    names = set(directory.names())
    for name, form in ((LOG, "log-found-{}.txt"), (LATE, "log-found-{}.txt.late")):
        if directory.size(name):
            new_name = next(new for number in count(1) if (new := form.format(number)) not in names)
            directory.rename(name, new_name)
            findings.append(f"there is no readable checkpoint: {name} is kept as {new_name}, and a new one begun")
    return findings


def _remove(directory: Directory, *names: str) -> None:
    there = directory.names()
    for name in names:
        if name in there:
            directory.remove(name)
