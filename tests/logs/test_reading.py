"""Reading the log as it is on disk."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs import sealing
from scalekit.logs.entry import Entry
from scalekit.logs.frames import make_frame
from scalekit.logs.journal import Segment
from scalekit.logs.memory import MemoryDirectory
from scalekit.logs.output import Output
from scalekit.logs.reading import LogReader
from scalekit.logs.records import parse_record
from scalekit.logs.sealing import seal
from tests.logs.written import T, write

HOUR = 3600 * 1_000_000_000


class VolumeTests(SynchronousTestCase):
    """`LogReader.volumes` and `LogReader.lines`."""

    def setUp(self) -> None:
        self.patch(sealing, "BLOCK_BYTES", 300)

    def test_volumes(self) -> None:
        """A sealed one, one that is closing, an open one with late entries."""
        directory = MemoryDirectory()
        output = write(directory, range(20), [3])
        write(directory, [HOUR], (), output)
        closing = output.freeze()
        assert closing is not None
        seal(directory, closing.extent, closing.name, False)
        output.sealed()
        for hours in (2, 3):
            write(directory, [hours * HOUR], (), output)
        write(directory, [4 * HOUR], [1, 3 * HOUR + 1, 0], output)
        reader = LogReader(directory, lambda: output.checkpoint, list)
        found = reader.volumes()
        self.assertEqual([(volume.number, volume.is_sealed) for volume in found], [(1, True), (2, False), (3, False)])
        self.assertEqual([volume.entries for volume in found], [22, 4, 2])
        self.assertEqual(self.numbers(reader, found[0]), [*range(1, 5), 21, *range(5, 21), 22])
        self.assertEqual((self.numbers(reader, found[1]), self.late(reader, found[1])), ([23, 24], [28, 26]))
        self.assertEqual((self.numbers(reader, found[2]), self.late(reader, found[2])), ([25], [27]))
        self.assertEqual(repr(reader), "<LogReader of volume 3>")

    def numbers(self, reader: LogReader, volume: object) -> list[int]:
        """Of a volume's lines."""
        records = [parse_record(line) for _, line in reader.lines(volume)]  # type: ignore[arg-type]
        return [record.Sequence for record in records if record is not None]

    def late(self, reader: LogReader, volume: object) -> list[int]:
        """Of its late ones."""
        records = [parse_record(line) for _, line in reader.lines(volume, is_late=True)]  # type: ignore[arg-type]
        return [record.Sequence for record in records if record is not None]

    @given(st.booleans(), st.data())
    def test_positions(self, is_compressed: bool, data: st.DataObject) -> None:
        """From any line on, compressed or not; any bytes; a volume that is gone has none."""
        directory = MemoryDirectory()
        output = write(directory, range(30))
        checkpoint = output.checkpoint
        truth = directory.read(checkpoint.volume.truth)
        seal(directory, checkpoint.volume, "log-20231114T000000Z-00000001", is_compressed)
        output = Output(directory, checkpoint.__class__(volume=checkpoint.volume.__class__(number=2)))
        reader = LogReader(directory, lambda: output.checkpoint, list)
        volume = reader.volumes()[0]
        lines = list(reader.lines(volume))
        self.assertEqual(b"".join(line + b"\n" for _, line in lines), truth)
        place = data.draw(st.integers(0, len(lines) - 1))
        self.assertEqual(list(reader.lines(volume, lines[place][0])), lines[place:])
        start, length = data.draw(st.integers(0, len(truth) + 9)), data.draw(st.integers(0, len(truth)))
        self.assertEqual(reader.read(volume, start, length), truth[start : start + length])
        assert volume.manifest is not None
        directory.remove(volume.manifest.truth)
        self.assertEqual(list(reader.lines(volume)), [])


class JournalTests(SynchronousTestCase):
    """`LogReader.after`."""

    def test_after(self) -> None:
        """From a number on, over segments; what was written twice comes once."""
        directory = MemoryDirectory()
        frames = [
            make_frame(first, T, [Entry(T, "INFO", "s", str(number)) for number in (first, first + 1)])
            for first in (1, 3, 5, 5, 7)
        ]
        segments = []
        for number, held in ((1, frames[:3]), (2, frames[3:])):
            segment = Segment(number)
            data = b"".join(frame.encode() for frame in held)
            segment.extend(held[0].first, held[-1].last, T)
            segment.size = len(data)
            directory.write_from(segment.name, 0, data + b"not acknowledged")
            segments.append(segment)
        output = Output(directory, write(MemoryDirectory(), [1]).checkpoint)
        reader = LogReader(directory, lambda: output.checkpoint, lambda: segments)
        self.assertEqual(reader.oldest, 1)
        for sequence, expected in ((0, [1, 3, 5, 7]), (2, [3, 5, 7]), (3, [3, 5, 7]), (6, [7]), (8, [])):
            self.assertEqual([frame.first for frame in reader.after(sequence)], expected)
        self.assertEqual(LogReader(directory, lambda: output.checkpoint, list).oldest, 0)
