"""What the files of volumes are called."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs import volumes
from scalekit.logs.volumes import (
    Closing,
    Extent,
    Manifest,
    format_manifest,
    number_of,
    open_numbers,
    parse_manifest,
    volume_name,
)

HOUR = 3600 * 1_000_000_000


class NameTests(SynchronousTestCase):
    def test_names(self) -> None:
        """Of open and sealed ones, told apart from all others."""
        extent = Extent(7)
        self.assertEqual(volume_name(7, 1_700_000_000_999_999_999), "log-20231114T221320Z-00000007")
        self.assertEqual(Closing(extent, 1_700_000_000_999_999_999).name, "log-20231114T221320Z-00000007")
        names = [extent.truth, extent.late_truth, Extent(3).late_truth, "open-.ndjson", "log.txt", "open-00000009.txt"]
        self.assertEqual(open_numbers(names), [3, 7])
        self.assertEqual(number_of("log-20231114T221320Z-00000007.txt.late"), 7)
        self.assertEqual([number_of(name) for name in ("log.txt", "log-found-1.txt")], [None, None])
        self.assertIsNone(parse_manifest(b"{}"))

    def test_manifests(self) -> None:
        """Any flipped bit is noticed, or changes nothing; those without a checksum, and impossible ones."""
        manifest = Manifest("log-20231114T221320Z-00000007", 7, 3, 3000, 77, 99, 1, 2, 3, 4, [0, 50, 80], 1000)
        data = format_manifest(manifest)
        self.assertEqual(parse_manifest(data), manifest)
        for place in range(len(data)):
            for bit in range(8):
                flipped = bytearray(data)
                flipped[place] ^= 1 << bit
                self.assertIn(parse_manifest(bytes(flipped)), (None, manifest), place)
        self.assertEqual(parse_manifest(msgspec.json.encode(manifest)), manifest)
        impossible: tuple[dict[str, Any], ...] = (
            {"length": -1},
            {"block_bytes": 0},
            {"length": 3001},
            {"blocks": [0, 80, 50]},
            {"blocks": [1, 50, 80]},
            {"blocks": []},
        )
        for wrong in impossible:
            self.assertIsNone(parse_manifest(format_manifest(replace(manifest, **wrong))), wrong)

    def test_when_one_is_full(self) -> None:
        """By bytes, late bytes, and the hour of the watermark; never while it is empty."""
        began = 1_700_000_000_000_000_000 // HOUR * HOUR + 5
        for extent, watermark, expected in (
            (Extent(), began + HOUR, False),
            (Extent(entries=1, began=began), began + HOUR - 6, False),
            (Extent(entries=1, began=began), began + HOUR - 5, True),
            (Extent(entries=1, began=began, length=volumes.VOLUME_BYTES), began, True),
            (Extent(entries=1, began=began, late_length=volumes.LATE_BYTES), began, True),
        ):
            self.assertEqual(extent.is_full(watermark), expected)
