"""Frames: what went in comes out, and damage costs only what it hit."""

from __future__ import annotations

import struct
import zlib

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.framing import Damage
from scalekit.logs.entry import LEVELS, Entry
from scalekit.logs.frames import MAGIC, NOBODY, Frame, first_number, make_frame, scan

int64 = st.integers(-(1 << 63), (1 << 63) - 1)
entries = st.builds(
    Entry,
    st.none() | int64,
    st.sampled_from(LEVELS),
    st.text(st.characters(codec="utf-8"), max_size=5),
    st.text(st.characters(codec="utf-8"), max_size=20),
)
clients = st.sampled_from([NOBODY, b"c" * 16])
frames = st.lists(
    st.builds(
        make_frame, st.integers(1, 1 << 63), int64, st.lists(entries, max_size=4), clients, st.integers(0, 1 << 60)
    ),
    max_size=4,
)


def encoded(values: list[Frame]) -> list[bytes]:
    """Each of them as bytes."""
    return [value.encode() for value in values]


class FrameTests(SynchronousTestCase):
    """`Frame` and `scan`."""

    @given(frames)
    def test_round_trip(self, values: list[Frame]) -> None:
        """Frames one after the other are found whole."""
        self.assertEqual(scan(b"".join(encoded(values))), (values, []))
        for value in values:
            self.assertEqual([entry.time for entry in value.entries()], value.said)
            self.assertEqual(
                (value.last, first_number(value.encode())), (value.first + len(value.said) - 1, value.first)
            )

    @given(frames, st.integers(0, 100))
    def test_room_that_is_not_used(self, values: list[Frame], zeros: int) -> None:
        """Zeros at the end are no damage."""
        self.assertEqual(scan(b"".join(encoded(values)) + bytes(zeros)), (values, []))

    @given(frames, st.data())
    def test_a_torn_tail(self, values: list[Frame], data: st.DataObject) -> None:
        """Cut anywhere: the frames before the cut, and where the torn one begins."""
        pieces = encoded(values)
        whole = b"".join(pieces)
        length = data.draw(st.integers(0, len(whole)))
        good = [value for number, value in enumerate(values) if len(b"".join(pieces[: number + 1])) <= length]
        end = len(b"".join(encoded(good)))
        used = max(end, len(whole[:length].rstrip(b"\0")))
        self.assertEqual(scan(whole[:length]), (good, [Damage(end, used)] if end < used else []))

    @given(frames.filter(len), st.data())
    def test_a_flipped_bit(self, values: list[Frame], data: st.DataObject) -> None:
        """Flipped anywhere: exactly the frame that it is in is lost."""
        pieces = encoded(values)
        whole = bytearray(b"".join(pieces))
        position = data.draw(st.integers(0, len(whole) - 1))
        whole[position] ^= 1 << data.draw(st.integers(0, 7))
        hit = next(number for number in range(len(pieces)) if position < len(b"".join(pieces[: number + 1])))
        start = len(b"".join(pieces[:hit]))
        good = values[:hit] + values[hit + 1 :]
        end = min(start + len(pieces[hit]), len(bytes(whole).rstrip(b"\0")))
        self.assertEqual(scan(bytes(whole)), (good, [Damage(start, end)]))

    @given(st.binary(max_size=300) | st.lists(st.sampled_from([MAGIC, b"\0" * 8, b"\xff"])).map(b"".join))
    def test_noise(self, noise: bytes) -> None:
        """No noise is a frame, and a frame after noise is found."""
        frame = make_frame(1, 2, [Entry(3, "INFO", "s", "m")])
        self.assertEqual(scan(noise)[0], [])
        self.assertEqual(scan(noise + frame.encode())[0], [frame])

    def test_a_payload_of_another_make(self) -> None:
        """A frame whose checksum is right and whose payload is not ours counts as damage, not as a crash."""
        payload = b"\xc1"
        covered = struct.pack(">IQq16sQI", len(payload), 1, 2, NOBODY, 0, 1)
        strange = MAGIC + zlib.crc32(covered + payload).to_bytes(4) + covered + payload
        self.assertEqual(scan(strange), ([], [Damage(0, len(strange))]))
        self.assertIsNone(first_number(strange[:20]))
