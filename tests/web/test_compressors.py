"""The codings: what they make can be read, at once where that is asked for, and costs no more memory than they say."""

from __future__ import annotations

import random

import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.web.compress import STREAMS_BYTES
from scalekit.web.compressors import CODINGS, Coding, Compressor
from tests.web.decoders import NAMES, decoded, partly

MIB = 1024 * 1024

BODIES = st.one_of(
    st.binary(max_size=300),
    st.text(max_size=300).map(str.encode),
    st.builds(lambda piece, times: piece * times, st.binary(min_size=1, max_size=40), st.integers(0, 3000)),
    # Incompressible and longer than a block of any coding.
    st.builds(lambda seed, size: random.Random(seed).randbytes(size), st.integers(), st.integers(0, 300_000)),
)
# Bodies are large: a hundred would take seconds.
FEW = settings(max_examples=40)
# Where a body is cut, and what happens there.
CUTS = st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=6).map(sorted)

MADE: dict[bytes, Coding] = {name: CODINGS[name]() for name in NAMES}


class CodingTests(SynchronousTestCase):
    def test_all_are_read_back_here(self) -> None:
        self.assertEqual(tuple(CODINGS), NAMES)

    @FEW
    @given(BODIES)
    def test_whole(self, body: bytes) -> None:
        for name, coding in MADE.items():
            self.assertEqual(decoded(name, coding.whole(body)), body)

    @FEW
    @given(BODIES, CUTS, st.booleans())
    def test_any_pieces_and_flushes(self, body: bytes, cuts: list[tuple[float, bool]], is_live: bool) -> None:
        for name, coding in MADE.items():
            compressor = coding.stream(is_live)
            coded, taken = b"", 0
            for place, is_flushed in cuts:
                at = int(place * len(body))
                coded += compressor.compress(memoryview(body)[taken:at])
                taken = at
                if is_flushed:
                    coded += compressor.flush()
                    self.assertEqual(partly(name, coded), body[:taken])
            coded += compressor.compress(body[taken:]) + compressor.finish()
            self.assertEqual(decoded(name, coded), body)

    @given(st.lists(st.tuples(st.integers(0, 2), st.binary(max_size=50)), max_size=12))
    def test_streams_do_not_mix(self, written: list[tuple[int, bytes]]) -> None:
        for name, coding in MADE.items():
            streams: list[Compressor] = [coding.stream(False), coding.stream(True), coding.stream(False)]
            coded, plain = [b"", b"", b""], [b"", b"", b""]
            for which, piece in written:
                coded[which] += streams[which].compress(piece)
                plain[which] += piece
                self.assertEqual(decoded(name, coding.whole(piece)), piece)
            for which, stream in enumerate(streams):
                self.assertEqual(decoded(name, coded[which] + stream.finish()), plain[which])

    def test_a_flush_with_nothing_new_costs_little(self) -> None:
        for name, coding in MADE.items():
            stream = coding.stream(True)
            coded = stream.compress(b"event") + stream.flush()
            again = stream.flush()
            self.assertLess(len(again), 10, name)
            self.assertEqual(partly(name, coded + again), b"event")

    def test_text_gets_under_a_third(self) -> None:
        text = b"".join(b'{"id": %d, "name": "%x"},\n' % (number, number * number) for number in range(2000))
        for name, coding in MADE.items():
            self.assertLess(len(coding.whole(text)), len(text) / 3, name)

    def test_zstd_windows_are_what_clients_must_take(self) -> None:
        """RFC 9659 section 3: at most 8 MiB."""
        coding = CODINGS[b"zstd"]()
        frames = [coding.whole(b"x" * coding.inline_bytes)]
        for is_live in (False, True):
            stream = coding.stream(is_live)
            frames.append(stream.compress(b"x" * MIB) + stream.finish())
        for frame in frames:
            self.assertLessEqual(zstandard.get_frame_parameters(frame).window_size, 8 * MIB)

    def test_streams_stay_small(self) -> None:
        for coding in MADE.values():
            for is_live in (False, True):
                self.assertLess(0, coding.stream_bytes(is_live))
                # Enough of them fit, of whichever kind.
                self.assertLess(coding.stream_bytes(is_live), STREAMS_BYTES / 300)
