"""``--repair``: as a start, and what can be read is never lost."""

from __future__ import annotations

import os

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.directory import LocalDirectory
from scalekit.logs.entry import Entry
from scalekit.logs.fsck import repairing
from scalekit.logs.fsck.checking import check
from scalekit.logs.fsck.repairing import repair
from scalekit.logs.memory import MemoryDirectory
from scalekit.logs.reading import manifests
from scalekit.logs.records import parse_record
from tests.logs.fsck.logs import HOUR, SECOND, START, after_power_loss, start
from tests.logs.search.indexed import T, sealed

NOW = (START + 2 * HOUR + 300) * SECOND
DELAY = 2 * SECOND


LOG = after_power_loss(is_compressed=False)
JOURNAL = [name for name in LOG.names() if name.startswith("journal")]


class RepairTests(SynchronousTestCase):
    """`repair`."""

    def messages(self, directory: MemoryDirectory) -> list[str]:
        """Of all entries, as the next start has them."""
        collector, clock = start(directory, START + 2 * HOUR + 400)
        clock.advance(5)
        reader = collector.reader
        found = []
        for volume in reader.volumes():
            for lines in (reader.lines(volume), reader.lines(volume, is_late=True)):
                found += [record.Message for _, line in lines if (record := parse_record(line)) is not None]
        self.successResultOf(collector.stopService())
        return sorted(found)

    def test_nothing_is_wrong(self) -> None:
        """What only the journal had is written, once; nothing else changes."""
        directory = LOG.survive()
        expected = self.messages(LOG.survive())
        done = repair(directory, DELAY, NOW)
        self.assertEqual(done, ["2 entries that only the journal had are in their volume"])
        report = check(directory)
        self.assertEqual((report.is_clean, report.entries), (True, 13))
        self.assertEqual(self.messages(directory), expected)
        self.assertEqual(repair(directory, DELAY, NOW), [])

    def test_an_empty_directory(self) -> None:
        """Stays a log with nothing in it."""
        directory = MemoryDirectory()
        self.assertEqual(repair(directory, DELAY, NOW), [])
        self.assertTrue(check(directory).is_clean)

    @settings(max_examples=40, deadline=None)
    @given(st.sampled_from([(name, place) for name in JOURNAL for place in range(LOG.size(name))]), st.integers(0, 7))
    def test_a_damaged_journal(self, place: tuple[str, int], bit: int) -> None:
        """The damaged frame is kept, all others count, and it is clean then."""
        name, position = place
        directory = LOG.survive()
        content = bytearray(directory.read(name))
        content[position] ^= 1 << bit
        directory.write_from(name, 0, bytes(content))
        repair(directory, DELAY, NOW)
        self.assertEqual([one for one in check(directory).findings if not one.is_note], [])
        self.assertTrue(any(name.startswith("quarantine-journal") for name in directory.names()))
        found = self.messages(directory)
        self.assertIn(len(found), (11, 13))  # at most the frame of two that no volume had
        self.assertEqual(len([each for each in found if each != "waits"]), 11)

    def test_checkpoints(self) -> None:
        """Damaged or missing, one or both: all is there once, and it is clean then; also if the clock was set back."""
        expected = self.messages(LOG.survive())
        for gone in (["checkpoint-0"], ["checkpoint-1"], ["checkpoint-0", "checkpoint-1"]):
            for is_damaged in (False, True):
                directory = LOG.survive()
                for name in gone:
                    if is_damaged:
                        directory.replace(name, b"damaged")
                    else:
                        directory.remove(name)
                self.assertFalse(check(directory).is_clean)
                repair(directory, DELAY, NOW - is_damaged * HOUR * SECOND)
                self.assertEqual([one for one in check(directory).findings if not one.is_note], [], gone)
                self.assertEqual(self.messages(directory), expected)


class IndexRepairTests(SynchronousTestCase):
    """Indexes, which are made again."""

    def test_indexes(self) -> None:
        """Of volumes that are worth it; damaged ones, and those of no volume, go."""
        path = self.mktemp()
        directory = LocalDirectory(path)
        self.addCleanup(directory.close)
        sealed(directory, [Entry(T, "INFO", "s", "m" * 100)])
        (manifest,) = manifests(directory)
        self.assertEqual(repair(directory, DELAY, T), [])
        self.patch(repairing, "WORTH_BYTES", 10)
        self.assertEqual(repair(directory, DELAY, T), [f"{manifest.index} is made anew"])
        self.assertEqual(repair(directory, DELAY, T), [])
        with open(os.path.join(path, manifest.index), "r+b") as file:
            file.seek(5000)
            file.write(b"damage")
        directory.write_from("indexing", 0, b"left")
        directory.write_from("log-20231114T221320Z-00000009.index", 0, b"left")
        self.assertEqual(len(repair(directory, DELAY, T)), 3)
        self.assertTrue(check(directory).is_clean)
        directory.write_from(manifest.truth, 0, directory.read(manifest.truth).replace(b"mm", b"nn"))
        directory.remove(manifest.index)
        (told,) = repair(directory, DELAY, T)
        self.assertIn("cannot be made", told)
        self.assertFalse(check(directory).is_clean)
