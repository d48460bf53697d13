"""Sealing: one sorted volume of what was on time and what was late, whatever interrupts it."""

from __future__ import annotations

import gzip
import zlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs import sealing
from scalekit.logs.memory import MemoryDirectory, PowerLoss
from scalekit.logs.records import parse_record
from scalekit.logs.sealing import seal, survey
from scalekit.logs.volumes import Manifest
from tests.logs.written import T, write

times = st.lists(st.integers(0, 9999), max_size=20)


class SealTests(SynchronousTestCase):
    """`seal`."""

    def setUp(self) -> None:
        self.patch(sealing, "BLOCK_BYTES", 300)

    def check(self, directory: MemoryDirectory, manifest: Manifest, expected: list[tuple[int, int]]) -> None:
        """The volume holds these times and numbers, in order, in both forms."""
        truth, text = directory.read(manifest.truth), directory.read(manifest.truth.replace("ndjson", "txt"))
        if manifest.blocks:
            truth, text = gzip.decompress(truth), gzip.decompress(text)
        records = [parse_record(line) for line in truth.splitlines()]
        found = [(record.time - T, record.Sequence) for record in records if record is not None]
        self.assertEqual(found, expected)
        self.assertEqual([line.split(";")[3] for line in text.decode().splitlines()], [str(n) for _, n in expected])
        self.assertEqual((manifest.length, manifest.crc), (len(truth), zlib.crc32(truth)))
        self.assertEqual(manifest.entries, len(expected))
        stored = sum(directory.size(name) for name in directory.names() if ".txt" in name or ".ndjson" in name)
        self.assertEqual(manifest.stored, stored)
        self.assertFalse([name for name in directory.names() if name.startswith("open")])

    @given(times, times, st.booleans(), st.integers(0, 12), st.sampled_from([0.0, 0.5, 1.0]))
    def test_any_volume(
        self, on_time: list[int], late: list[int], is_compressed: bool, steps: int, part: float
    ) -> None:
        """Sorted, complete, the text the same as the truth; also when the power is lost at any step of it."""
        directory = MemoryDirectory()
        extent = write(directory, on_time, late).checkpoint.volume
        if not extent.entries:
            return
        for name in ("log.txt", "log.txt.late"):
            if name in directory.names():
                directory.rename(name, name.replace("log", "log-1"))
        directory.fail_after(steps, part)
        try:
            seal(directory, extent, "log-1", is_compressed)
        except PowerLoss:
            directory = directory.survive()
        directory.fail_after(0, error=OSError(), times=0)
        manifest = seal(directory, extent, "log-1", is_compressed)
        expected = sorted(zip(sorted(on_time), range(1, 99), strict=False))
        expected += zip(late, range(len(on_time) + 1, 99), strict=False)
        self.check(directory, manifest, sorted(expected))

    def test_a_damaged_line(self) -> None:
        """Stays where it is; the others are in order around it, and the text goes without it."""
        for place in (0, 1, 2):
            directory = MemoryDirectory()
            extent = write(directory, [10, 20, 30], [15, 35]).checkpoint.volume
            lines = directory.read(extent.truth).splitlines(keepends=True)
            lines[place] = b"?" * (len(lines[place]) - 1) + b"\n"
            directory.write_from(extent.truth, 0, b"".join(lines))
            seal(directory, extent, "log-1", False)
            found = [parse_record(line) for line in directory.read("log-1.ndjson").splitlines()]
            times = [record.time - T for record in found if record is not None]
            self.assertEqual(times, sorted({10, 15, 20, 30, 35} - {(10, 20, 30)[place]}))
            self.assertEqual(len(directory.read("log-1.txt").splitlines()), 4)

    def test_survey(self) -> None:
        """What a volume's own lines tell of it; one that is cut off does not count."""
        directory = MemoryDirectory()
        extent = write(directory, [10, 20, 30], [15]).checkpoint.volume
        found, numbers = survey(directory, 1)
        self.assertEqual((found.length, found.late_length, numbers), (extent.length, extent.late_length, {1, 2, 3, 4}))
        self.assertEqual((found.first_time, found.last_time, found.began), (T + 10, T + 30, T + 30))
        self.assertEqual((found.first_sequence, found.last_sequence, found.entries), (1, 4, 4))
        directory.write_from(extent.truth, extent.length - 1, b"")
        found, numbers = survey(directory, 1)
        self.assertEqual((found.length, numbers), (directory.read(extent.truth).rfind(b"\n") + 1, {1, 2, 4}))
