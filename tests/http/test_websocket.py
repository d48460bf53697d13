from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from websockets.frames import Close, Frame, Opcode
from websockets.streams import StreamReader

from scalekit.http.websocket import FRAME, GOING_AWAY, MESSAGE, Frames, close_frame
from tests.http.input_table import cut_into, single_bytes

KEY = b"\xa1\x02\x00\xff"


def frame(first: int, payload: bytes = b"", key: bytes = b"") -> bytes:
    """A frame with this first byte; masked, if there is a key."""
    size = len(payload)
    flag = 0x80 if key else 0
    if size < 126:
        length = bytes((flag | size,))
    elif size < 1 << 16:
        length = bytes((flag | 126,)) + size.to_bytes(2, "big")
    else:
        length = bytes((flag | 127,)) + size.to_bytes(8, "big")
    if key:
        payload = int.to_bytes(int.from_bytes(payload) ^ int.from_bytes((key * (size // 4 + 1))[:size]), size)
    return bytes((first,)) + length + key + payload


TEXT, PING, CLOSE = 0x81, 0x89, 0x88
START, MIDDLE, END = 0x01, 0x00, 0x80


class Stop(NamedTuple):
    """Where a frame ends, and whether a message may go on behind it."""

    at: int
    is_message: bool


def stops(frames: Sequence[tuple[int, bytes, bytes]]) -> list[Stop]:
    """Where each of these ends."""
    found = []
    at, is_message = 0, True
    for first, payload, key in frames:
        at += len(frame(first, payload, key))
        if not first & 8:
            is_message = bool(first & 0x80)
        found.append(Stop(at, is_message))
    return found


SIZES = st.sampled_from((0, 1, 2, 5, 124, 125, 126, 127, 300, 65535, 65536))
FRAMES = st.lists(
    st.tuples(
        # With the bits of compressed messages, too (RFC 7692 section 6).
        st.sampled_from((TEXT, 0x82, START, MIDDLE, END, PING, 0x8A, 0xC1, 0x41)),
        SIZES.map(bytes),
        st.sampled_from((b"", KEY)),
    ),
    max_size=6,
)
CUTS = st.lists(st.integers(0, 70_000), max_size=8)


class Following(SynchronousTestCase):
    def follow(self, frames: Frames, pieces: Sequence[bytes], until: int) -> int:
        """Where it stops in all of these; -1 if it does not."""
        passed = 0
        for piece in pieces:
            end = frames.follow(piece, until)
            if end >= 0:
                return passed + end
            passed += len(piece)
        return -1

    @given(FRAMES, CUTS)
    def test_the_first_end_is_found_however_it_is_cut(
        self, wanted: list[tuple[int, bytes, bytes]], cuts: list[int]
    ) -> None:
        data = b"".join(frame(*one) for one in wanted)
        pieces = cut_into(data, *sorted(cuts))
        ends = stops(wanted)
        self.assertEqual(self.follow(Frames(), pieces, FRAME), next((end.at for end in ends), -1))
        self.assertEqual(self.follow(Frames(), pieces, MESSAGE), next((end.at for end in ends if end.is_message), -1))

    @given(FRAMES, CUTS, st.integers(0, 400_000))
    def test_where_it_stands_is_known_at_every_byte(
        self, wanted: list[tuple[int, bytes, bytes]], cuts: list[int], shown: int
    ) -> None:
        data = b"".join(frame(*one) for one in wanted)[:shown]
        frames = Frames()
        for piece in cut_into(data, *sorted(cuts)):
            self.assertEqual(frames.follow(piece), -1)
        passed = [Stop(0, True), *(end for end in stops(wanted) if end.at <= len(data))]
        is_between = passed[-1].at == len(data)
        self.assertIs(frames.is_at_end(FRAME), is_between)
        self.assertIs(frames.is_at_end(MESSAGE), is_between and passed[-1].is_message)
        self.assertFalse(frames.has_closed)

    def test_bytes_one_by_one(self) -> None:
        data = frame(START, b"a" * 200, KEY) + frame(PING, b"p") + frame(END, b"b" * 70_000)
        frames = Frames()
        ends = [at + 1 for at, byte in enumerate(single_bytes(data)) if frames.follow(byte, FRAME) == 1]
        self.assertEqual(ends, [208, 211, len(data)])

    def test_a_message_in_frames_with_a_ping_inside(self) -> None:
        begun = frame(START, b"a") + frame(PING)
        frames = Frames()
        self.assertEqual(frames.follow(begun, MESSAGE), -1)
        self.assertTrue(frames.is_at_end(FRAME))
        self.assertFalse(frames.is_at_end(MESSAGE))
        self.assertEqual(frames.follow(frame(MIDDLE, b"b") + frame(END, b"c") + frame(TEXT, b"d"), MESSAGE), 6)

    def test_nothing_counts_after_a_close(self) -> None:
        for pieces in ((close_frame(4000, "bye", KEY),), single_bytes(close_frame(4000))):
            frames = Frames()
            for piece in pieces:
                self.assertFalse(frames.has_closed)
                self.assertEqual(frames.follow(piece, FRAME), -1)
            self.assertTrue(frames.has_closed)
            self.assertEqual(frames.follow(frame(TEXT, b"too late"), FRAME), -1)

    def test_an_end_before_a_close_counts(self) -> None:
        frames = Frames()
        self.assertEqual(frames.follow(frame(TEXT, b"x") + close_frame(1000), MESSAGE), 3)

    @given(st.binary(max_size=300), CUTS)
    def test_what_is_no_websocket_harms_nobody(self, data: bytes, cuts: list[int]) -> None:
        whole, cut = Frames(), Frames()
        whole.follow(data)
        for piece in cut_into(data, *sorted(cuts)):
            cut.follow(piece)
        states = [(one.has_closed, one.is_at_end(FRAME), one.is_at_end(MESSAGE)) for one in (whole, cut)]
        self.assertEqual(states[0], states[1])

    def test_what_it_says_of_itself(self) -> None:
        frames = Frames()
        self.assertEqual(repr(frames), "<Frames between messages>")
        frames.follow(frame(START))
        self.assertEqual(repr(frames), "<Frames in a message>")
        frames.follow(close_frame(1000))
        self.assertEqual(repr(frames), "<Frames closed>")


class Closing(SynchronousTestCase):
    def parse(self, data: bytes, is_masked: bool) -> tuple[Opcode, Close]:
        """As the ``websockets`` package reads it."""
        reader = StreamReader()
        reader.feed_data(data)
        parsing = Frame.parse(reader.read_exact, mask=is_masked)
        try:
            next(parsing)
        except StopIteration as done:
            found: Frame = done.value
        else:
            raise AssertionError("the frame is not whole")
        self.assertEqual(len(reader.buffer), 0)
        found.check()
        return found.opcode, Close.parse(bytes(found.data))

    @given(st.sampled_from((1000, GOING_AWAY, 4999)), st.text(max_size=30), st.binary(min_size=4, max_size=4))
    def test_both_peers_can_read_it(self, code: int, reason: str, key: bytes) -> None:
        self.assertEqual(self.parse(close_frame(code, reason), False), (Opcode.CLOSE, Close(code, reason)))
        self.assertEqual(self.parse(close_frame(code, reason, key), True), (Opcode.CLOSE, Close(code, reason)))

    def test_the_bytes(self) -> None:
        self.assertEqual(close_frame(GOING_AWAY), b"\x88\x02\x03\xe9")
        self.assertEqual(close_frame(GOING_AWAY, key=b"\x01\x02\x03\x04"), b"\x88\x82\x01\x02\x03\x04\x02\xeb")
