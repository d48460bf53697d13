"""Tests of `scalekit.http.h2.watch`."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.http.h2.watch import Breach, FrameWatch, LargeUpdate
from tests.http.h2.frames import (
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    PREFACE,
    PRIORITY,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    request,
)

PROTOCOL_ERROR, STREAM_CLOSED = Breach(1), Breach(5)
HAS_PRIORITY = 0x20


def get(stream: int = 1, end: bool = True) -> bytes:
    return request(stream, end=end)


def data(stream: int = 1, end: bool = True) -> bytes:
    return frame(DATA, END_STREAM if end else 0, stream, b"test")


def reset(stream: int = 1) -> bytes:
    return frame(RST_STREAM, 0, stream, b"\0\0\0\x08")


def update(stream: int, increment: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, stream, increment.to_bytes(4, "big"))


def priority(stream: int, on: int) -> bytes:
    return frame(PRIORITY, 0, stream, on.to_bytes(4, "big") + b"\0")


class Watched:
    """
    A watch whose session feeds what it lets pass.

    :ivar passed: how many bytes that were; ``found``: what it found, and where.
    """

    def __init__(self, streams: int = 100) -> None:
        self.watch = FrameWatch(streams)
        self.passed = -len(PREFACE)
        self.found: list[tuple[int, Breach | LargeUpdate]] = []
        self._held = b""
        self.says(PREFACE)

    def says(self, *pieces: bytes) -> list[tuple[int, Breach | LargeUpdate]]:
        for piece in pieces:
            piece = self._held + piece
            self._held = b""
            start = 0
            while not self.found or isinstance(self.found[-1][1], LargeUpdate):
                end, found = self.watch.look(piece, start)
                self.passed += end - start
                start = end
                if found is None:
                    self._held = piece[end:]
                    break
                self.found.append((self.passed, found))
                if isinstance(found, LargeUpdate):
                    start += 13
                    self.passed += 13
        return self.found


class Watching(SynchronousTestCase):
    def check(
        self, *expected: Breach | LargeUpdate, sent: bytes, closed: tuple[int, ...] = (), then: bytes = b""
    ) -> None:
        it = Watched()
        it.says(frame(SETTINGS), sent)
        for stream in closed:
            it.watch.closed(stream)
        it.says(then)
        self.assertEqual([found for _, found in it.found], list(expected))
        if not expected:
            self.assertEqual(it.passed, 9 + len(sent + then))

    def test_what_is_in_order(self) -> None:
        self.check(sent=get() + get(3, end=False) + data(3) + reset(3) + priority(1, 3) + priority(3, 0) + update(0, 1))
        self.check(sent=get(), closed=(1,), then=get(3) + reset(1) + priority(1, 0) + update(1, 1))

    def test_streams_that_have_ended(self) -> None:
        for late in (data(), get()):
            self.check(STREAM_CLOSED, sent=get(), closed=(1,), then=late)
            self.check(STREAM_CLOSED, sent=get(end=False) + reset() + late)
            self.check(STREAM_CLOSED, sent=get(end=False) + data(), closed=(1,), then=get(3) + late)

    def test_late_frames_on_streams_that_we_have_reset(self) -> None:
        self.check(sent=get(end=False), closed=(1,), then=data(end=False) + get(3) + data() + get(1))

    def test_half_closed_streams_are_left_to_the_session(self) -> None:
        self.check(sent=get() + data())

    def test_streams_that_were_left_out(self) -> None:
        self.check(PROTOCOL_ERROR, sent=get(5) + get(3))
        self.check(PROTOCOL_ERROR, sent=get(1) + get(9) + get(5))
        self.check(STREAM_CLOSED, sent=get(1) + get(9), closed=(1,), then=get(1))

    def test_streams_that_never_were_are_left_to_the_session(self) -> None:
        self.check(sent=get(2) + data(3) + get(0) + data(0))

    def test_priorities(self) -> None:
        self.check(PROTOCOL_ERROR, sent=priority(0, 1))
        self.check(PROTOCOL_ERROR, sent=priority(3, 3))
        self.check(PROTOCOL_ERROR, sent=priority(3, 0x8000_0003))
        self.check(sent=frame(PRIORITY, 0, 1, b"\x80\0\0\1"))
        for flags, padding, is_wrong in (
            (HAS_PRIORITY, b"", True),
            (HAS_PRIORITY | PADDED, b"\0", True),
            (HAS_PRIORITY | PADDED, b"", False),
        ):
            sent = frame(HEADERS, flags | END_HEADERS, 1, padding + b"\0\0\0\1\xff")
            self.check(*[PROTOCOL_ERROR] * is_wrong, sent=sent)
        self.check(sent=frame(HEADERS, HAS_PRIORITY | END_HEADERS, 1, b"\0"))
        # With the length of the next frame it would be the stream itself.
        self.check(sent=frame(HEADERS, HAS_PRIORITY | END_HEADERS, 1, b"\0\0") + frame(DATA, 0, 1, b"x" * 300))

    def test_large_updates(self) -> None:
        self.check(LargeUpdate(1, 0x7FFF_FFFF), sent=get() + update(1, 0x7FFF_FFFF) + data(), closed=())
        self.check(sent=update(0, 0x7FFF_FFFF) + update(1, 1 << 24) + frame(WINDOW_UPDATE, 0, 1, b"\x7f\xff\xff"))

    def test_more_streams_than_may_be_open_cost_no_memory(self) -> None:
        it = Watched(streams=10)
        it.says(b"".join(get(stream, end=False) for stream in range(1, 20_001, 2)))
        self.assertEqual(repr(it.watch), "<FrameWatch 10 open up to 19999>")
        self.assertEqual(it.says(data(19_999) + data(17) + data(19)), [])
        self.assertLessEqual(len(it.watch._late), 1000)

    def test_a_stream_that_we_have_reset_long_ago(self) -> None:
        it = Watched()
        for stream in range(1, 4001, 2):
            it.says(get(stream, end=False))
            it.watch.closed(stream)
        self.assertEqual(it.says(data(1) + data(3999)), [])
        it.says(get(4001))
        it.watch.closed(4001)
        self.assertEqual([found for _, found in it.says(data(4001))], [STREAM_CLOSED])


STREAMS = st.integers(0, 9)
FRAMES = st.lists(
    st.one_of(
        st.builds(get, STREAMS, st.booleans()),
        st.builds(data, STREAMS, st.booleans()),
        st.builds(reset, STREAMS),
        st.builds(update, STREAMS, st.sampled_from([0, 1, 1 << 26, 0x7FFF_FFFF])),
        st.builds(priority, STREAMS, STREAMS),
        st.builds(
            frame,
            st.integers(0, 20),
            st.integers(0, 255),
            STREAMS,
            st.binary(max_size=20),
        ),
    ),
    max_size=12,
)


class Cutting(SynchronousTestCase):
    @settings(max_examples=400, deadline=None)
    @given(FRAMES, st.lists(st.integers(0, 300), max_size=20))
    def test_it_does_not_matter(self, frames: list[bytes], cuts: list[int]) -> None:
        """Nothing depends on what comes in one read; and nothing is lost."""
        sent = b"".join(frames)
        whole = Watched()
        whole.says(sent)
        bounds = [0, *sorted(cut for cut in cuts if cut < len(sent)), len(sent)]
        cut = Watched()
        cut.says(*[sent[a:b] for a, b in pairwise(bounds)])
        self.assertEqual((cut.passed, cut.found), (whole.passed, whole.found))
        byte_by_byte = Watched()
        byte_by_byte.says(*[sent[n : n + 1] for n in range(len(sent))])
        self.assertEqual((byte_by_byte.passed, byte_by_byte.found), (whole.passed, whole.found))
        if not whole.found:
            self.assertEqual(whole.passed, len(sent))
