"""A log with one bit flipped anywhere: it is told."""

from __future__ import annotations

import gzip

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.fsck.checking import check
from scalekit.logs.fsck.findings import Report
from scalekit.logs.memory import MemoryDirectory, PowerLoss
from scalekit.logs.output import read_checkpoint
from scalekit.logs.reading import manifests
from scalekit.logs.sealing import seal
from scalekit.logs.sinks.cursor import Cursor, write_cursor
from tests.logs.fsck.logs import after_power_loss, places
from tests.logs.search.indexed import add_index

LOGS = [after_power_loss(is_compressed=False), after_power_loss(is_compressed=True)]
PLACES = places(LOGS)


class CheckTests(SynchronousTestCase):
    """`check`."""

    def told(self, report: Report) -> list[str]:
        """The findings that are no notes."""
        return [f"{one.file} {one.offset}: {one.what}" for one in report.findings if not one.is_note]

    def test_whole(self) -> None:
        """Nothing is told of a log that nothing has happened to; nor of one with nothing in it."""
        for log in LOGS:
            names = log.names()
            self.assertTrue(any(name.endswith((".ndjson.gz", ".ndjson")) for name in names if name.startswith("log-")))
            report = check(log)
            self.assertEqual((self.told(report), report.is_clean, report.entries), ([], True, 11), names)
            self.assertEqual(report.frames > 6, True)
            self.assertTrue(check(log, is_partial=True).is_clean)
        self.assertTrue(check(MemoryDirectory()).is_clean)

    @settings(max_examples=150, deadline=None)
    @given(st.sampled_from(PLACES), st.integers(0, 7))
    def test_a_flipped_bit(self, place: tuple[int, str, int], bit: int) -> None:
        """By the name of its file, or of one that has to say the same; or the bit is one that means nothing."""
        number, name, position = place
        directory = LOGS[number].survive()
        content = bytearray(directory.read(name))
        content[position] ^= 1 << bit
        directory.write_from(name, 0, bytes(content))
        report = check(directory)
        if not self.told(report):
            self.assertTrue(self.is_harmless(directory, name, position, report), place)

    def is_harmless(self, directory: MemoryDirectory, name: str, position: int, report: Report) -> bool:
        """Whether a bit means nothing: it is told that it does not count, or what is unpacked is the same."""
        if any(one.is_note and one.file == name and position >= (one.offset or 0) for one in report.findings):
            return True
        return name.endswith(".gz") and gzip.decompress(directory.read(name)) == gzip.decompress(LOGS[1].read(name))

    def test_files_that_are_gone(self) -> None:
        """Each is told; but for what of the journal is not needed any more, and spare."""
        for log in LOGS:
            for name in log.names():
                directory = log.survive()
                checkpoint = read_checkpoint(directory)
                assert checkpoint is not None
                is_written = name.startswith("journal-") and int(name[8:]) < checkpoint.journal
                if is_written or not directory.read(name).strip(b"\0"):
                    continue
                directory.remove(name)
                self.assertNotEqual(self.told(check(directory)), [], name)

    def test_files_that_are_shorter(self) -> None:
        """Each is told."""
        for log in LOGS:
            for name in log.names():
                directory = log.survive()
                content = directory.read(name).rstrip(b"\0")
                if not content or name == "log.txt.late":
                    continue
                directory.write_from(name, len(content) // 2, b"")
                self.assertNotEqual(self.told(check(directory)), [], name)

    def test_the_first_volume(self) -> None:
        """Has no checkpoint yet, if the power was lost while something was first written."""
        directory = MemoryDirectory()
        directory.write_from("open-00000001.ndjson", 0, LOGS[0].read("open-00000003.ndjson"))
        report = check(directory)
        self.assertEqual((self.told(report), report.entries), ([], 2))
        directory.write_from("open-00000002.ndjson", 0, LOGS[0].read("open-00000003.ndjson"))
        self.assertEqual(len(self.told(check(directory))), 2)

    def test_interrupted_seals(self) -> None:
        """At any step: a start does it again, and it is no finding."""
        for is_compressed in (False, True):
            steps = 0
            while True:
                directory = LOGS[0].survive()
                checkpoint = read_checkpoint(directory)
                assert checkpoint is not None and checkpoint.closing is not None
                closing = checkpoint.closing
                directory.fail_after(steps)
                try:
                    seal(directory, closing.extent, closing.name, is_compressed)
                except PowerLoss:
                    self.assertEqual(self.told(check(directory.survive())), [], steps)
                    steps += 1
                else:
                    break
            self.assertEqual(self.told(check(directory.survive())), [])
            self.assertGreater(steps, 5)

    def test_what_is_left(self) -> None:
        """Files of nobody are notes; a text or a volume that somebody should know of is not."""
        directory = LOGS[0].survive()
        for name in ("quarantine-lines.txt", "sealing-truth", "log-found-1.txt", "log-20231114T221320Z-00000077.index"):
            directory.write_from(name, 0, b"left")
        report = check(directory)
        self.assertEqual((self.told(report), len(report.findings)), ([], 4))
        for name in ("open-00000099.ndjson", "log-20231114T221320Z-00000077.txt"):
            directory.write_from(name, 0, b"left")
        self.assertEqual(len(self.told(check(directory))), 2)

    def test_sinks(self) -> None:
        """Their cursors belong to the log; what was refused is a note."""
        directory = LOGS[0].survive()
        write_cursor(directory, "otlp", Cursor("log1", 7))
        self.assertEqual(check(directory).findings, check(LOGS[0]).findings)
        directory.write_from("refused-otlp.ndjson", 0, b"{}")
        report = check(directory)
        self.assertEqual((self.told(report), len(report.findings)), ([], 1))
        directory.write_from("sink-otlp.json", 0, b"{")
        [told] = self.told(check(directory))
        self.assertIn("sink-otlp.json", str(told))

    def test_entries_that_are_missing(self) -> None:
        """What the journal has and the volumes have not, though the checkpoint says so, and the other way round."""
        directory = LOGS[0].survive()
        name = "open-00000002.ndjson"
        lines = directory.read(name).splitlines(keepends=True)
        directory.write_from(name, 0, b"".join(lines[:-1]) + lines[0])
        told = " ".join(self.told(check(directory)))
        for what in ("out of order", "is there twice", "1 entries, from", "are missing: the journal has them"):
            self.assertIn(what, told)

    def test_an_index(self) -> None:
        """Is looked at, where there is one."""
        for log in LOGS:
            directory = log.survive()
            manifest = manifests(directory)[0]
            add_index(directory, manifest, self.mktemp())
            self.assertTrue(check(directory).is_clean)
            directory.write_from(manifest.index, directory.size(manifest.index) - 5, b"12345")
            (told,) = self.told(check(directory))
            self.assertIn("it is damaged", told)

    def test_a_bad_sector(self) -> None:
        """What cannot be read is told, and all else looked at."""
        directory = LOGS[0].survive()
        manifest = manifests(directory)[0]
        real = directory.read

        def read(name: str, offset: int = 0, length: int = -1) -> bytes:
            if name == manifest.truth:
                raise OSError(5, "Input/output error")
            return real(name, offset, length)

        self.patch(directory, "read", read)
        self.assertEqual(self.told(check(directory))[0][-37:], "it cannot be read: Input/output error")
