"""
The log as it is on disk, for those who only read: volumes, their lines by position, and the journal by sequence number.

Every call reads files and may wait for the disk: not for the reactor's thread.  Nothing here keeps a file open, and
what retention removes meanwhile is simply not there any more.

* `LogReader.volumes`: what there is, oldest first, each with the times and sequence numbers that it holds;
* `LogReader.lines`: the lines of one, from any position on, in time order (an open one's late entries: `is_late`);
* `LogReader.after`: what came after a sequence number, in the order of these numbers, from the journal, which keeps
  a while more than has not been written yet; `LogReader.oldest` says from where on;
* `LogReader.unwritten`: what is in the journal only.

A *position* is where a line begins in a volume's truth, in bytes before any compression: it stays the same for as long
as the volume is sealed.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from scalekit.logs.checkpoint import Checkpoint, Unwritten
from scalekit.logs.directory import Files
from scalekit.logs.frames import Frame, scan
from scalekit.logs.journal import Segment
from scalekit.logs.order import Row, effective_times
from scalekit.logs.volumes import Extent, Manifest, parse_manifest

_PIECE_BYTES = 1024 * 1024


class Volume(NamedTuple):
    """
    A volume that can be read.

    :ivar length: bytes of its truth.
    :ivar late_length: bytes of its late entries' truth; 0 once it is sealed, for then they are among the others.
    :ivar manifest: of a sealed one.
    """

    number: int
    entries: int
    length: int
    late_length: int
    first_time: int
    last_time: int
    first_sequence: int
    last_sequence: int
    manifest: Manifest | None = None

    @property
    def is_sealed(self) -> bool:
        """Whether it never changes again."""
        return self.manifest is not None


def _of_extent(extent: Extent) -> Volume:
    return Volume(
        extent.number,
        extent.entries,
        extent.length,
        extent.late_length,
        extent.first_time,
        extent.last_time,
        extent.first_sequence,
        extent.last_sequence,
    )


def volume_of(manifest: Manifest) -> Volume:
    """The sealed volume that this is the manifest of."""
    return Volume(
        manifest.number,
        manifest.entries,
        manifest.length,
        0,
        manifest.first_time,
        manifest.last_time,
        manifest.first_sequence,
        manifest.last_sequence,
        manifest,
    )


def manifests(directory: Files) -> list[Manifest]:
    """Of all sealed volumes whose manifest can be read, oldest first."""
    names = (name for name in directory.names() if name.startswith("log-") and name.endswith(".json"))
    found = (parse_manifest(directory.read(name)) for name in names)
    return sorted((one for one in found if one is not None), key=lambda one: one.number)


class LogReader:
    """
    See the module.

    :param checkpoint: the newest one, at any time.
    :param segments: those of the journal, at any time.
    :param unwritten: what a start has found that had no checkpoint, at any time.
    """

    def __init__(
        self,
        directory: Files,
        checkpoint: Callable[[], Checkpoint],
        segments: Callable[[], Sequence[Segment]],
        unwritten: Callable[[], Unwritten | None] = lambda: None,
    ) -> None:
        self._directory = directory
        self._checkpoint = checkpoint
        self._segments = segments
        self._unwritten = unwritten

    @property
    def files(self) -> Files:
        """For who reads others of them."""
        return self._directory

    @property
    def checkpoint(self) -> Checkpoint:
        """The newest one."""
        return self._checkpoint()

    def volumes(self, checkpoint: Checkpoint | None = None) -> list[Volume]:
        """
        All of them, oldest first; the last one is open, the one before it may be closing.

        :param checkpoint: as they were then; None: now.
        """
        checkpoint = checkpoint or self._checkpoint()
        extents = [checkpoint.volume] if checkpoint.closing is None else [checkpoint.closing.extent, checkpoint.volume]
        sealed = [volume_of(manifest) for manifest in manifests(self._directory)]
        # One with a number says itself what there is.
        found = None if checkpoint.sequence else self._unwritten()
        if found is not None:
            extents = [*found.left, *extents]
        return [one for one in sealed if one.number < extents[0].number] + [_of_extent(extent) for extent in extents]

    def used(self) -> int:
        """Bytes of all files: volumes, the journal, and what is kept of what cannot be read."""
        return sum(map(self._directory.size, self._directory.names()))

    def lines(self, volume: Volume, position: int = 0, *, is_late: bool = False) -> Iterator[tuple[int, bytes]]:
        """
        Each line of a volume's truth with its position, without its newline; see `scalekit.logs.records`.

        :param position: of the first line.
        :param is_late: the lines of late entries instead, in the order in which they came.
        """
        length = volume.late_length if is_late else volume.length
        rest = b""
        while position < length:
            piece = self.read(volume, position + len(rest), _PIECE_BYTES, is_late=is_late)
            if not piece:
                return
            whole, newline, rest = (rest + piece).rpartition(b"\n")
            if newline:
                for line in whole.split(b"\n"):
                    yield position, line
                    position += len(line) + 1

    def read(self, volume: Volume, position: int, length: int, *, is_late: bool = False) -> bytes:
        """Bytes of a volume's truth, at most so many; fewer at its end, none if the volume is gone."""
        manifest = volume.manifest
        if manifest is not None and manifest.blocks:
            return self._unpacked(manifest, position, length)
        extent = Extent(volume.number)
        name = manifest.truth if manifest is not None else extent.late_truth if is_late else extent.truth
        most = (volume.late_length if is_late else volume.length) - position
        return self._directory.read(name, position, max(0, min(length, most)))

    def _unpacked(self, manifest: Manifest, position: int, length: int) -> bytes:
        pieces = []
        while length > 0 and position < manifest.length:
            number, offset = divmod(position, manifest.block_bytes)
            start = manifest.blocks[number]
            end = manifest.blocks[number + 1] if number + 1 < len(manifest.blocks) else None
            packed = self._directory.read(manifest.truth, start, -1 if end is None else end - start)
            try:
                piece = zlib.decompress(packed, wbits=31)[offset : offset + length]
            except zlib.error:  # gone, or damaged
                break
            if not piece:
                break
            pieces.append(piece)
            position += len(piece)
            length -= len(piece)
        return b"".join(pieces)

    @property
    def oldest(self) -> int:
        """The first sequence number that the journal still has; 0 if it has none."""
        return next((segment.first for segment in self._segments() if segment.first), 0)

    def after(self, sequence: int) -> Iterator[Frame]:
        """Frames that have entries after this number, oldest first; each whole, so the first may begin before it."""
        last = sequence
        for segment in self._segments():
            if segment.last <= sequence:
                continue
            for frame in scan(self._directory.read(segment.name, 0, segment.size))[0]:
                # What was written twice, as its first sync failed, counts once.
                if frame.said and frame.last > last:
                    last = frame.last
                    yield frame

    def unwritten(self, checkpoint: Checkpoint) -> Iterator[Row]:
        """What the journal has and the volumes of this checkpoint have not, in no order; see `scalekit.logs.order`."""
        last = 0
        # One with a number says itself what is written.
        found = None if checkpoint.sequence else self._unwritten()
        for segment in self._segments():
            if found is None and checkpoint.is_written(segment.last, segment.latest):
                continue
            for frame in scan(self._directory.read(segment.name, 0, segment.size))[0]:
                if not frame.said or frame.last <= last:
                    continue
                last = frame.last
                times = effective_times(frame.said, frame.received)
                if found is None and checkpoint.is_written(last, max(times)):
                    continue
                for sequence, (time, entry) in enumerate(zip(times, frame.entries(), strict=True), frame.first):
                    if found.has(sequence) if found is not None else not checkpoint.is_written(sequence, time):
                        yield time, sequence, entry, frame.received

    def __repr__(self) -> str:
        return f"<LogReader of volume {self._checkpoint().volume.number}>"
