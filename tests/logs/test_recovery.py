"""A start goes on, whatever the disk holds."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.checkpoint import Checkpoint
from scalekit.logs.entry import Entry
from scalekit.logs.frames import make_frame
from scalekit.logs.memory import MemoryDirectory
from scalekit.logs.order import NEVER, take
from scalekit.logs.recovery import Recovered, recover
from scalekit.logs.volumes import Extent

T = 1_700_000_000_000_000_000


def entry(number: int) -> Entry:
    """The entry of this number, which is also its nanosecond."""
    return Entry(T + number, "INFO", "s", str(number))


def frame(first: int, last: int) -> bytes:
    """A frame with these entries."""
    return make_frame(first, T, [entry(number) for number in range(first, last + 1)]).encode()


class RecoveryTests(SynchronousTestCase):
    """`recover`."""

    def setUp(self) -> None:
        self.directory = MemoryDirectory()

    def put(self, name: str, content: bytes) -> None:
        """A file that the disk holds."""
        self.directory.write_from(name, 0, content)

    def recovered(self) -> tuple[Recovered, list[int]]:
        """What is found, and the numbers that are to be written yet."""
        found = recover(self.directory, 0)
        return found, [number for span in found.buffer.rest() for number in take(span).numbers]

    def test_an_empty_directory(self) -> None:
        """The first start ever."""
        found, rest = self.recovered()
        self.assertEqual((rest, found.sequence, found.next_number, found.segments, found.findings), ([], 0, 1, [], []))
        self.assertEqual(found.buffer.watermark, NEVER)

    def test_the_rule(self) -> None:
        """What the checkpoint covers is left out, what is beyond it in the files is cut off."""
        volume = Extent(length=4, text_length=10, late_text_length=5)
        checkpoint = Checkpoint(generation=7, sequence=4, watermark=T + 2, volume=volume)
        self.put("checkpoint-1", checkpoint.encode())
        self.put("journal-00000003", frame(1, 2) + frame(3, 5))
        self.put("journal-00000004", frame(6, 6))
        self.put("log.txt", b"0123456789torn")
        self.put("log.txt.late", b"01234torn")
        self.put("open-00000001.ndjson", b"trutht")
        found, rest = self.recovered()
        self.assertEqual((rest, found.sequence, found.next_number, found.findings), ([3, 4, 5, 6], 6, 5, []))
        self.assertEqual(
            (self.directory.read("log.txt"), self.directory.read("log.txt.late")), (b"0123456789", b"01234")
        )
        self.assertEqual([(s.name[-1], s.last, s.latest - T) for s in found.segments], [("3", 5, 5), ("4", 6, 6)])
        self.assertEqual(found.output.checkpoint, checkpoint)

    def test_the_older_checkpoint(self) -> None:
        """Serves when the newer is damaged."""
        self.put(
            "checkpoint-0", Checkpoint(generation=2, sequence=2, watermark=T + 2, volume=Extent(text_length=3)).encode()
        )
        self.put("checkpoint-1", Checkpoint(generation=3, sequence=9, watermark=T + 9).encode()[:-2])
        self.put("journal-00000001", frame(1, 4))
        self.put("log.txt", b"abcdef")
        found, rest = self.recovered()
        self.assertEqual((rest, found.findings, self.directory.read("log.txt")), ([3, 4], [], b"abc"))

    def test_no_checkpoint(self) -> None:
        """The files that nobody knows the state of are kept under other names, the journal is written again."""
        for kept in ("log-found-1.txt", "log-found-2.txt"):
            self.put("log.txt", b"abc")
            self.put("journal-00000001", frame(1, 2))
            found, rest = self.recovered()
            self.assertEqual(rest, [1, 2])
            self.assertEqual(self.directory.read(kept), b"abc")
            self.assertEqual(self.directory.size("log.txt"), 0)
            self.assertIn(f"log.txt is kept as {kept}", found.findings[0])

    def test_damage(self) -> None:
        """Costs the damaged frame, and is told."""
        content = bytearray(frame(1, 1) + frame(2, 2) + frame(3, 3))
        content[len(frame(1, 1)) + 20] ^= 1
        self.put("journal-00000001", bytes(content) + frame(4, 4)[:-1])
        found, rest = self.recovered()
        self.assertEqual((rest, len(found.findings), found.sequence), ([1, 3], 2, 3))
        self.assertIn("journal-00000001: ", found.findings[0])
        self.assertIn("torn or damaged", found.findings[1])

    def test_a_group_that_was_written_twice(self) -> None:
        """Counts once: its first sync had failed, and yet it is there."""
        self.put("journal-00000001", frame(1, 2))
        self.put("journal-00000002", frame(2, 2) + frame(3, 3))
        self.assertEqual(self.recovered()[1], [1, 2, 3])

    def test_a_log_that_somebody_emptied(self) -> None:
        """It goes on at the end; the shorter length is safe before anything is written."""
        volume = Extent(text_length=100)
        self.put("checkpoint-1", Checkpoint(generation=1, sequence=2, watermark=T + 2, volume=volume).encode())
        self.put("log.txt", b"short\n")
        found, _ = self.recovered()
        self.assertIn("shorter", found.findings[0])
        self.assertEqual(found.output.checkpoint.volume.text_length, 6)
        found, _ = self.recovered()
        self.assertEqual(
            (found.findings, found.output.checkpoint.volume.text_length, found.buffer.watermark), ([], 6, T + 2)
        )
