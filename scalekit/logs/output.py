"""
The open volume's files, and the checkpoints that say how far they are.

A write goes: lines to the files, sync, then the checkpoint.  What is in a file beyond the checkpoint's length is not
there as far as we are concerned: the next write overwrites it, and so does a start.

When the volume is full, the checkpoint of that write begins the next one, and the old one is closing: ``log.txt`` gets
the volume's own name.  `freeze` ends its grace: both checkpoints say the same of it then, so that whichever a start
goes on from, no entry gets into it that was not there when it was sealed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from scalekit.logs.checkpoint import Checkpoint, decode_checkpoint, newest
from scalekit.logs.directory import Directory, Files
from scalekit.logs.order import NEVER, Release, Span
from scalekit.logs.records import format_spans
from scalekit.logs.volumes import LATE, LOG, Closing, Extent

# The two that are kept, taken in turn, so that there is always a whole one.
CHECKPOINTS = ("checkpoint-0", "checkpoint-1")


def read_checkpoint(directory: Files) -> Checkpoint | None:
    """The newest checkpoint that can be read; None without one."""
    return newest(directory.read(name) for name in CHECKPOINTS)


class Output:
    """
    The files of a directory that are written to.

    :ivar checkpoint: the newest one on disk.
    :ivar is_frozen: whether late entries do not get into the closing volume any more.
    """

    def __init__(self, directory: Directory, checkpoint: Checkpoint) -> None:
        self._directory = directory
        self.checkpoint = checkpoint
        self.is_frozen = False

    def _files(self) -> list[tuple[str, int]]:
        """The files that are written to, and their lengths as the checkpoint has them."""
        volume, closing = self.checkpoint.volume, self.checkpoint.closing
        files = [
            (volume.truth, volume.length),
            (volume.late_truth, volume.late_length),
            (LOG, volume.text_length),
            (LATE, volume.late_text_length),
        ]
        if closing is not None:
            extent = closing.extent
            files += [(extent.truth, extent.length), (extent.late_truth, extent.late_length)]
            if closing.is_renamed:
                files += [
                    (f"{closing.name}.txt", extent.text_length),
                    (f"{closing.name}.txt.late", extent.late_text_length),
                ]
        return files

    def fit(self) -> list[str]:
        """
        Agree with files that somebody has shortened or removed since, and go on at their ends; which there were.

        The shorter lengths get a checkpoint before anything is written, or else a crash would find the old ones.
        """
        sizes = {name: min(length, self._directory.size(name)) for name, length in self._files()}
        shorter = [name for name, length in self._files() if sizes[name] < length]
        if shorter:
            volume, closing = self.checkpoint.volume, self.checkpoint.closing
            volume = replace(
                volume,
                length=sizes[volume.truth],
                late_length=sizes[volume.late_truth],
                text_length=sizes[LOG],
                late_text_length=sizes[LATE],
            )
            if closing is not None:
                extent = closing.extent
                extent = replace(
                    extent,
                    length=sizes[extent.truth],
                    late_length=sizes[extent.late_truth],
                    text_length=sizes.get(f"{closing.name}.txt", extent.text_length),
                    late_text_length=sizes.get(f"{closing.name}.txt.late", extent.late_text_length),
                )
                closing = replace(closing, extent=extent)
            self._save(replace(self.checkpoint, volume=volume, closing=closing))
        return shorter

    def cut(self) -> None:
        """Remove what is beyond the checkpoint."""
        for name, length in self._files():
            if self._directory.size(name) > length:
                self._directory.write_from(name, length, b"")

    def write(
        self, release: Release, sequence: int, journal: int = 0, pause: Callable[[], None] = lambda: None
    ) -> tuple[int, int]:
        """
        Append a release, and make it count: how many were on time, how many late.

        Raises OSError, and then nothing of it counts.

        :param sequence: the last sequence number that was in the buffer when it was released.
        :param journal: the number of the journal's first segment that holds something which is not written then.
        :param pause: is called between steps that take less than a millisecond.
        """
        self.settle()
        self.fit()
        old = self.checkpoint
        closing = old.closing
        before = old.volume.entries
        volume = self._append(old.volume, release.on_time, LOG, pause, is_late=False)
        on_time = volume.entries - before
        late = sum(span.entry_count() for span in release.late)
        if closing is not None and not self.is_frozen:
            until = closing.until
            older = [Span(chunk, low, min(high, until)) for chunk, low, high in release.late]
            newer = [Span(chunk, max(low, until), high) for chunk, low, high in release.late]
            extent = self._append(closing.extent, older, f"{closing.name}.txt.late", pause, is_late=True)
            closing = replace(closing, extent=extent)
            volume = self._append(volume, newer, LATE, pause, is_late=True)
        else:
            volume = self._append(volume, release.late, LATE, pause, is_late=True)
        if volume.began == NEVER and volume.entries:
            volume = replace(volume, began=release.watermark)
        if closing is None and volume.is_full(release.watermark):
            closing = Closing(volume, release.watermark)
            volume = Extent(volume.number + 1)
        self._save(
            replace(
                old, sequence=sequence, watermark=release.watermark, journal=journal, volume=volume, closing=closing
            )
        )
        with contextlib.suppress(OSError):  # what is written counts; the next write does it
            self.settle()
        return on_time, late

    def _append(
        self, extent: Extent, spans: Sequence[Span], text_name: str, pause: Callable[[], None], *, is_late: bool
    ) -> Extent:
        """Write the entries of these spans to a volume; what is known of it then."""
        found = format_spans(spans, is_late, pause)
        if found is None:
            return extent
        extent = replace(
            extent,
            entries=extent.entries + found.entries,
            first_time=min(extent.first_time, found.times[0]),
            last_time=max(extent.last_time, found.times[1]),
            first_sequence=min(extent.first_sequence, found.numbers[0]),
            last_sequence=max(extent.last_sequence, found.numbers[1]),
        )
        length, text_length = sum(map(len, found.truth)), sum(map(len, found.text))
        write = self._directory.write_from
        if is_late:
            write(extent.late_truth, extent.late_length, *found.truth)
            write(text_name, extent.late_text_length, *found.text)
            return replace(
                extent,
                late_length=extent.late_length + length,
                late_text_length=extent.late_text_length + text_length,
            )
        write(extent.truth, extent.length, *found.truth)
        write(text_name, extent.text_length, *found.text)
        return replace(extent, length=extent.length + length, text_length=extent.text_length + text_length)

    def settle(self) -> None:
        """Give the closing volume's text its own name, if that is still to be done; raises OSError."""
        closing = self.checkpoint.closing
        if closing is None or closing.is_renamed:
            return
        for name, end, length in (
            (LOG, ".txt", closing.extent.text_length),
            (LATE, ".txt.late", closing.extent.late_text_length),
        ):
            # If it was done already, what has the name now is the next volume's.
            there = self._directory.names()
            if length and name in there and closing.name + end not in there:
                self._directory.rename(name, closing.name + end)
        self._save(replace(self.checkpoint, closing=replace(closing, is_renamed=True)))

    def freeze(self) -> Closing | None:
        """The closing volume, to which nothing is added any more; None if there is none.  Raises OSError."""
        self.settle()
        self.is_frozen = True
        closing = self.checkpoint.closing
        if closing is None:
            return None
        for name in CHECKPOINTS:
            kept = decode_checkpoint(self._directory.read(name))
            if kept is None or kept.closing != closing:
                self._save(self.checkpoint)
        return closing

    def thaw(self) -> None:
        """The closing volume could not be sealed: it goes on."""
        self.is_frozen = False

    def sealed(self) -> None:
        """The closing volume is sealed: forget it.  Raises OSError."""
        self._save(replace(self.checkpoint, closing=None))
        self.is_frozen = False

    def _save(self, checkpoint: Checkpoint) -> None:
        checkpoint = replace(checkpoint, generation=self.checkpoint.generation + 1)
        name = CHECKPOINTS[checkpoint.generation % len(CHECKPOINTS)]
        data = checkpoint.encode()
        try:
            self._directory.replace(name, data)
        except OSError:
            # It may have failed after the rename: what a start would find is what counts.
            if self._directory.read(name) != data:
                raise
        self.checkpoint = checkpoint

    def write_rest(self, rest: Sequence[Span]) -> None:
        """
        Append what is not due, for those who read the file while no daemon runs; no checkpoint counts it.

        The next start takes it off again and gives it its place among what comes then; the journal still has it.
        """
        self.settle()
        self.fit()
        found = format_spans(rest)
        if found is not None:
            self._directory.write_from(LOG, self.checkpoint.volume.text_length, *found.text)

    def __repr__(self) -> str:
        volume = self.checkpoint.volume
        return f"<Output {volume.length} and {volume.late_length} late, at {self.checkpoint.sequence}>"
