"""Checkpoints: whole or not at all."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.checkpoint import Checkpoint, decode_checkpoint, newest
from scalekit.logs.volumes import Closing, Extent

count = st.integers(0, (1 << 63) - 1)
time = st.integers(-(1 << 63), (1 << 63) - 1)
extents = st.builds(Extent, count, time, count, count, count, count, count, time, time, count, count)
closing = st.none() | st.builds(Closing, extents, time, st.booleans())
checkpoints = st.builds(Checkpoint, count, count, time, count, extents, closing)


class CheckpointTests(SynchronousTestCase):
    """`Checkpoint` and its form on disk."""

    @given(checkpoints)
    def test_round_trip(self, checkpoint: Checkpoint) -> None:
        """What was written is read."""
        self.assertEqual(decode_checkpoint(checkpoint.encode()), checkpoint)

    @given(checkpoints, st.data())
    def test_damage_is_noticed(self, checkpoint: Checkpoint, data: st.DataObject) -> None:
        """A flipped bit or a cut anywhere: no checkpoint."""
        coded = bytearray(checkpoint.encode())
        position = data.draw(st.integers(0, len(coded) - 1))
        self.assertIsNone(decode_checkpoint(bytes(coded[:position])))
        coded[position] ^= 1 << data.draw(st.integers(0, 7))
        self.assertIsNone(decode_checkpoint(bytes(coded)))

    def test_the_newest_readable_one_counts(self) -> None:
        """Of two, one, none."""
        old, new = Checkpoint(generation=3, sequence=5), Checkpoint(generation=4, sequence=9)
        self.assertEqual(newest([new.encode(), old.encode()]), new)
        self.assertEqual(newest([new.encode()[:-3], old.encode()]), old)
        self.assertIsNone(newest([b"", b"nonsense\n"]))

    def test_the_rule(self) -> None:
        """Written exactly if both the number and the time are covered."""
        checkpoint = Checkpoint(sequence=10, watermark=100)
        for sequence, time, is_written in ((10, 100, True), (11, 100, False), (10, 101, False), (1, -5, True)):
            self.assertEqual(checkpoint.is_written(sequence, time), is_written)
