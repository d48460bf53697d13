"""A small log with one bit flipped, anywhere: it starts, serves, and loses at most what the bit was in."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.collector import Collector
from scalekit.logs.entry import Entry
from scalekit.logs.memory import MemoryDirectory
from scalekit.logs.quarantine import FILE_LIMIT
from scalekit.logs.records import parse_record
from scalekit.logs.settings import Settings
from scalekit.logs.threads import DirectLane

START = 1_700_000_000
BATCHES, SIZE = 6, 3


def make_collector(directory: MemoryDirectory, seconds: float) -> tuple[Collector, Clock]:
    """A collector that has been started."""
    clock = Clock()
    clock.advance(seconds)
    lanes = (DirectLane(), DirectLane(), DirectLane())
    collector = Collector(lambda: directory, clock, lanes, Settings(segment_bytes=500, journal_bytes=0))
    collector.startService()
    return collector, clock


def make_log() -> MemoryDirectory:
    """Half of its entries are written, half are only in the journal; the power was lost."""
    directory = MemoryDirectory()
    collector, clock = make_collector(directory, START)
    for batch in range(BATCHES):
        time = int(clock.seconds() * 1_000_000_000)
        collector.append([Entry(time + n, "INFO", "s", f"{batch * SIZE + n}") for n in range(SIZE)])
        if batch == BATCHES // 2:
            clock.advance(3)
    return directory.survive()


LOG = make_log()
PLACES = [(name, place) for name in LOG.names() for place in range(LOG.size(name))]


class DamageTests(SynchronousTestCase):
    """Starts on damaged logs."""

    def read(self, directory: MemoryDirectory) -> list[int]:
        """Start, serve one more entry, and what of the numbers there is then."""
        collector, clock = make_collector(directory, START + 10)
        self.successResultOf(collector.append([Entry(None, "INFO", "s", "999")]))
        clock.advance(4)
        reader = collector.reader
        found = []
        for volume in reader.volumes():
            for lines in (reader.lines(volume), reader.lines(volume, is_late=True)):
                records = [parse_record(line) for _, line in lines]
                found += [int(record.Message) for record in records if record is not None and record.Message.isdigit()]
        self.successResultOf(collector.stopService())
        self.assertIn(999, found)
        self.assertEqual(collector.counts.quarantined > 0, any("quarantine" in name for name in directory.names()))
        return found

    def test_whole(self) -> None:
        """Nothing is lost of the whole one."""
        self.assertEqual(sorted(self.read(LOG.survive())), [*range(BATCHES * SIZE), 999])

    @settings(max_examples=300, deadline=None)
    @given(st.sampled_from(PLACES), st.integers(0, 7))
    def test_a_flipped_bit(self, place: tuple[str, int], bit: int) -> None:
        """One frame is lost at most, or a line of a volume, and nothing comes twice."""
        directory = LOG.survive()
        name, position = place
        content = bytearray(directory.read(name))
        content[position] ^= 1 << bit
        directory.write_from(name, 0, bytes(content))
        numbers = self.read(directory)
        found = set(numbers)
        self.assertEqual(len(found), len(numbers), place)
        lost = set(range(BATCHES * SIZE)) - found
        # A line of a volume; two if it was the newline between them that was hit.
        is_a_line = name.startswith("open") and len(lost) <= 2
        self.assertTrue(is_a_line or len({number // SIZE for number in lost}) <= 1, f"{place}: {lost} lost")

    def test_files_that_are_gone(self) -> None:
        """Any one of them: it starts and serves."""
        for name in LOG.names():
            directory = LOG.survive()
            directory.remove(name)
            self.read(directory)

    def test_quarantine_has_a_bound(self) -> None:
        """What is beyond it is told and not kept; what was known is not counted again."""
        directory = MemoryDirectory()
        for number in range(1, FILE_LIMIT + 5):
            directory.write_from(f"journal-{number:08d}", 0, b"damaged")
        for expected in (FILE_LIMIT + 4, 4):
            collector, _ = make_collector(directory, START)
            self.assertEqual(collector.counts.quarantined, expected)
            self.successResultOf(collector.stopService())
        kept = [name for name in directory.names() if name.startswith("quarantine-")]
        self.assertEqual((len(kept), directory.read(kept[0])), (FILE_LIMIT, b"damaged"))
