"""Tests of `scalekit.framing`; `tests.logs.test_frames` and `tests.kit.test_spool` use it with frames of theirs."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.framing import Damage, scan


def decode_at(data: memoryview, start: int) -> tuple[bytes, int] | None:
    """A frame is ``<`` and two equal bytes."""
    piece = bytes(data[start : start + 3])
    return (piece[1:], start + 3) if len(piece) == 3 and piece[0] == ord("<") and piece[1] == piece[2] else None


class ScanTests(SynchronousTestCase):
    def test_frames_between_damage(self) -> None:
        for data, expected in {
            b"": ([], []),
            b"\0\0": ([], []),
            b"<aa<bb\0\0": ([b"aa", b"bb"], []),
            b"x<aa<bc<dd": ([b"aa", b"dd"], [Damage(0, 1), Damage(4, 7)]),
            b"<aa<b": ([b"aa"], [Damage(3, 5)]),
        }.items():
            self.assertEqual(scan(data, b"<", decode_at), expected, data)
