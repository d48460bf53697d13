"""The file that a sink's cursor stands in."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.memory import MemoryDirectory, PowerLoss
from scalekit.logs.sinks.cursor import Cursor, read_cursor, write_cursor


class CursorTests(SynchronousTestCase):
    """`read_cursor` and `write_cursor`."""

    def test_there_and_back(self) -> None:
        """Each sink has its own."""
        directory = MemoryDirectory()
        self.assertIsNone(read_cursor(directory, "a"))
        write_cursor(directory, "a", Cursor("x1", 7))
        write_cursor(directory, "b", Cursor("x2", 9))
        self.assertEqual(read_cursor(directory.survive(), "a"), Cursor("x1", 7))
        self.assertEqual(directory.names(), ["sink-a.json", "sink-b.json"])

    def test_damaged(self) -> None:
        """Is none."""
        directory = MemoryDirectory()
        for content in (b"", b"{", b'{"log":"x"}', b'{"log":"x","sequence":"7"}', b"\xff"):
            directory.replace("sink-a.json", content)
            self.assertIsNone(read_cursor(directory, "a"))

    def test_a_crash_while_it_is_written(self) -> None:
        """Leaves the old one or the new one."""
        for part, sequence in ((0.0, 7), (0.5, 7), (1.0, 8)):
            directory = MemoryDirectory()
            write_cursor(directory, "a", Cursor("x1", 7))
            directory.fail_after(0, part)
            self.assertRaises(PowerLoss, write_cursor, directory, "a", Cursor("x1", 8))
            self.assertEqual(read_cursor(directory.survive(), "a"), Cursor("x1", sequence))

    def test_names(self) -> None:
        """Of entries: the same for ever, and nobody else's."""
        self.assertEqual(Cursor("x1", 7).uid(3), "x1-3")
        self.assertTrue(Cursor("x1", 9).uid(3).startswith(Cursor("x1", 7).prefix))
