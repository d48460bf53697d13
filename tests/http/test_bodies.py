from typing import Any
from unittest.mock import Mock

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ClientFault
from scalekit.http import bodies
from scalekit.http.bodies import ChunkedDecoder, CloseDecoder, LengthDecoder
from scalekit.http.grammar import CHUNK_LINE
from scalekit.http.heads import Fields
from scalekit.http.limits import HEAD_BYTES
from scalekit.http.serializer import chunk, last_chunk
from tests.http.input_table import cut_into, single_bytes

PIECES = st.lists(st.binary(min_size=1, max_size=30), max_size=8)
TRAILERS = st.lists(
    st.tuples(
        st.from_regex(rb"x-[a-z]{0,5}", fullmatch=True),
        st.from_regex(rb"([!-~\x80-\xff]([ \t]?[!-~\x80-\xff]){0,9})?", fullmatch=True),
    ),
    max_size=4,
)


class LengthTests(SynchronousTestCase):
    def test_pieces_and_rest(self) -> None:
        decoder = LengthDecoder(5)
        self.assertEqual(b"abc", decoder.decode(b"abc"))
        self.assertFalse(decoder.is_complete)
        self.assertEqual(b"de", decoder.decode(b"defg"))
        self.assertTrue(decoder.is_complete)
        self.assertEqual(b"fg", decoder.rest)

    def test_nothing(self) -> None:
        self.assertTrue(LengthDecoder(0).is_complete)

    def test_exactly(self) -> None:
        decoder = LengthDecoder(2)
        self.assertEqual((b"ab", True, b""), (decoder.decode(b"ab"), decoder.is_complete, decoder.rest))


class CloseTests(SynchronousTestCase):
    def test_everything(self) -> None:
        decoder = CloseDecoder()
        self.assertEqual(b"0\r\n\r\n", decoder.decode(b"0\r\n\r\n"))
        self.assertFalse(decoder.is_complete)


class CountedBytes(bytearray):
    """Counts the bytes that are copied out of it as a whole."""

    copied = 0

    def __bytes__(self) -> bytes:
        CountedBytes.copied += len(self)
        return b"".join([self])


class ChunkedTests(SynchronousTestCase):
    """Beyond the table of inputs, which has what is refused."""

    @given(PIECES, TRAILERS, st.binary(max_size=9), st.lists(st.integers(0, 300), max_size=6).map(sorted))
    def test_what_is_written_is_read_however_it_is_cut(
        self, pieces: list[bytes], trailers: Fields, rest: bytes, places: list[int]
    ) -> None:
        data = b"".join(map(chunk, pieces)) + last_chunk(trailers)
        for cutting in ([data + rest], [*cut_into(data, *places), rest], [*single_bytes(data), rest]):
            decoder = ChunkedDecoder()
            body, after = b"", b""
            for piece in cutting:
                if decoder.is_complete:
                    after += piece
                elif piece:
                    body += decoder.decode(piece)
            self.assertEqual(b"".join(pieces), body)
            self.assertEqual(trailers, decoder.trailers)
            self.assertEqual(rest, decoder.rest + after)

    def test_a_piece_is_handed_on_before_its_chunk_ends(self) -> None:
        decoder = ChunkedDecoder()
        self.assertEqual(b"abc", decoder.decode(b"5\r\nabc"))
        self.assertEqual(b"d", decoder.decode(b"d"))
        self.assertEqual(b"ef", decoder.decode(b"e\r\n1\r\nf"))

    def test_runs_of_small_chunks_are_taken_at_once(self) -> None:
        """What costs most for its bytes: no step of ours for each of them."""
        lines = Mock(wraps=CHUNK_LINE)
        self.patch(bodies, "CHUNK_LINE", lines)
        sizes = [1, 2, 9] * 100 + [10, 1]
        decoder = ChunkedDecoder()
        # Data that looks like the end of a chunk, or like the next one.
        pieces = [b"1\r\n\r\n1\r\n1"[:size] for size in sizes]
        self.assertEqual(decoder.decode(b"".join(map(chunk, pieces)) + last_chunk([])), b"".join(pieces))
        self.assertTrue(decoder.is_complete)
        self.assertLess(lines.match.call_count, 9)

    def test_a_whole_chunk_needs_no_copy(self) -> None:
        decoder = ChunkedDecoder()
        self.assertEqual(b"x" * 70_000, decoder.decode(chunk(b"x" * 70_000)))

    def test_what_is_held_is_bounded(self) -> None:
        for start, endless, most in (
            (b"", b"5", 5000),
            (b"0\r\n", b"X: y\r\n", HEAD_BYTES),
            (b"0\r\nX:", b"y", HEAD_BYTES),
        ):
            decoder: Any = ChunkedDecoder()
            held = 0
            with self.assertRaises(ClientFault):
                for piece in single_bytes(start + endless * 60_000):
                    decoder.decode(piece)
                    held = max(held, len(decoder._held))
            self.assertLessEqual(held, most)
            self.assertGreater(held, most // 2)

    def test_trailers_byte_by_byte_are_looked_at_once(self) -> None:
        """Many short lines: each must not make us look at all before it again."""
        decoder: Any = ChunkedDecoder()
        for piece in single_bytes(b"0\r\nX:\r\n"):
            decoder.decode(piece)
        decoder._held = CountedBytes(decoder._held)
        CountedBytes.copied = 0
        for piece in single_bytes(b"X:\r\n" * 100 + b"\r\n"):
            decoder.decode(piece)
        self.assertEqual(101, len(decoder.trailers))
        self.assertLessEqual(CountedBytes.copied, 500)
