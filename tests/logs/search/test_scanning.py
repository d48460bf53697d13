"""The lines of a volume within a span of time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs import sealing
from scalekit.logs.checkpoint import Checkpoint
from scalekit.logs.memory import MemoryDirectory
from scalekit.logs.output import Output
from scalekit.logs.reading import LogReader, Volume
from scalekit.logs.records import parse_key
from scalekit.logs.sealing import seal
from scalekit.logs.search import scanning
from scalekit.logs.search.scanning import Unreadable, find_position, lines_between
from scalekit.logs.volumes import Extent
from tests.logs.written import T, write


class ScanningTests(SynchronousTestCase):
    """`find_position` and `lines_between`."""

    def setUp(self) -> None:
        # Lines are some hundred bytes: several pieces a line, and several lines a piece.
        self.patch(sealing, "BLOCK_BYTES", 300)
        self.patch(scanning, "_PROBE_BYTES", 40)

    @given(st.lists(st.integers(0, 9), max_size=30), st.integers(-1, 10), st.integers(-1, 10), st.booleans(), st.data())
    def test_a_span(self, offsets: list[int], since: int, until: int, is_compressed: bool, data: st.DataObject) -> None:
        """Just those lines, in both directions, however they are read; compressed or not."""
        self.patch(scanning, "PIECE_BYTES", data.draw(st.sampled_from((7, 150, 1000))))
        directory = MemoryDirectory()
        extent = write(directory, offsets).checkpoint.volume
        truth = directory.read(extent.truth)
        reader, volume = self.sealed(directory, extent, is_compressed)
        start, end = find_position(reader, volume, T + since), find_position(reader, volume, T + until)
        expected = [line for line in truth.splitlines() if since <= self.time(line) < until]
        for is_backwards in (False, True):
            found = list(lines_between(reader, volume, start, end, is_backwards=is_backwards))
            self.assertEqual(found, expected[::-1] if is_backwards else expected)

    def time(self, line: bytes) -> int:
        key = parse_key(line)
        assert key is not None
        return key.time - T

    def sealed(self, directory: MemoryDirectory, extent: Extent, is_compressed: bool) -> tuple[LogReader, Volume]:
        if extent.entries:
            seal(directory, extent, "log-20231114T000000Z-00000001", is_compressed)
            extent = Extent(2)
        output = Output(directory, Checkpoint(volume=extent))
        reader = LogReader(directory, lambda: output.checkpoint, list)
        return reader, reader.volumes()[0]

    def test_gone(self) -> None:
        """Is said, not taken for an end."""
        directory = MemoryDirectory()
        reader, volume = self.sealed(directory, write(directory, range(20)).checkpoint.volume, False)
        assert volume.manifest is not None
        directory.remove(volume.manifest.truth)
        self.assertRaises(Unreadable, find_position, reader, volume, T + 5)
        for is_backwards in (False, True):
            lines = lines_between(reader, volume, 0, volume.length, is_backwards=is_backwards)
            self.assertRaises(Unreadable, list, lines)
