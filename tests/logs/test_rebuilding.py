"""Manifests that are damaged are made anew."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs import rebuilding, sealing
from scalekit.logs.memory import MemoryDirectory
from scalekit.logs.reading import manifests
from scalekit.logs.rebuilding import rebuild_manifests
from scalekit.logs.sealing import seal
from tests.logs.written import write

NAME = "log-20231114T221320Z-00000001"


class RebuildTests(SynchronousTestCase):
    """`rebuild_manifests`."""

    def setUp(self) -> None:
        for module in (sealing, rebuilding):
            self.patch(module, "BLOCK_BYTES", 300)

    def sealed(self, is_compressed: bool) -> MemoryDirectory:
        """A volume with late entries."""
        directory = MemoryDirectory()
        volume = write(directory, range(20), [3, 1]).checkpoint.volume
        seal(directory, volume, NAME, is_compressed)
        return directory

    def test_they_are_the_same_again(self) -> None:
        """Of a missing and of a damaged one, compressed or not; not of a volume that is not sealed."""
        for is_compressed in (False, True):
            directory = self.sealed(is_compressed)
            expected = manifests(directory)
            directory.remove(f"{NAME}.json")
            findings: list[str] = []
            rebuild_manifests(directory, {1}, findings)
            self.assertEqual(manifests(directory), [])
            for _ in range(2):
                rebuild_manifests(directory, (), findings)
                self.assertEqual(manifests(directory), expected)
                directory.write_from(f"{NAME}.json", 0, b"{}")
            self.assertEqual(len(findings), 2)
            self.assertIn("made anew of 22 entries", findings[0])

    def test_a_truth_that_is_damaged_as_well(self) -> None:
        """What can be read of it counts."""
        directory = self.sealed(True)
        (before,) = manifests(directory)
        directory.write_from(f"{NAME}.ndjson.gz", before.blocks[2], b"damaged")
        directory.remove(f"{NAME}.json")
        rebuild_manifests(directory, (), [])
        (after,) = manifests(directory)
        self.assertEqual((after.blocks, after.length), (before.blocks[:2], 600))
