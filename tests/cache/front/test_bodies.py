"""Bodies that come while they are read."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.front.bodies import PIECE_BYTES, PIECE_OVERHEAD_BYTES, Body, Reader

PIECES = st.lists(st.binary(min_size=1, max_size=40), max_size=8)


class Taking:
    """An exchange that takes so many pieces before it has enough."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.taken = b""
        self.is_finished = False
        self.reader: Reader

    def observe(self, observer: Reader) -> None:
        self.reader = observer

    def write(self, piece: bytes) -> None:
        assert piece and not self.is_finished
        self.taken += piece
        self.room -= 1
        if self.room <= 0:
            self.reader.pause()

    def finish(self) -> None:
        self.is_finished = True


class BodyTests(SynchronousTestCase):
    @given(st.lists(st.binary(min_size=1, max_size=9).map(lambda seed: seed * 9000), max_size=6))
    def test_packed_is_the_same_in_fewer_pieces(self, pieces: list[bytes]) -> None:
        body = Body(pieces, True)
        packed = body.packed()
        self.assertEqual(b"".join(packed.pieces), b"".join(pieces))
        self.assertEqual((packed.size, packed.is_complete), (body.size, True))
        self.assertTrue(all(len(piece) <= PIECE_BYTES for piece in packed.pieces))
        self.assertLessEqual(len(packed.pieces), 2 * body.size // PIECE_BYTES + 1)

    def test_what_is_dropped_is_not_paid_for(self) -> None:
        body = Body([b"one", b"two"])
        body.drop(1)
        body.add(b"three")
        self.assertEqual((body.size, body.dropped_bytes, body.charge), (11, 3, 8 + 2 * PIECE_OVERHEAD_BYTES))
        self.assertIsNone(body.whole)
        self.assertEqual(repr(body), "<Body 11 bytes in 2 pieces, 1 gone, growing>")
        self.assertEqual((Body([], True).whole, Body([b"x"], True).whole), (b"", b"x"))


class ReaderTests(SynchronousTestCase):
    @given(PIECES, PIECES, st.integers(1, 3), st.integers(0, 50), st.integers(0, 80))
    def test_each_gets_its_part_however_it_comes(
        self, before: list[bytes], after: list[bytes], room: int, first: int, size: int
    ) -> None:
        whole = b"".join([*before, *after])
        end = first + size
        body = Body(before[:])
        all_of_it, part = Taking(room), Taking(room)
        readers = [Reader(all_of_it, body), Reader(part, body, None, first, end)]
        for piece in after:
            for reader in readers:
                reader.send()
            body.add(piece)
        body.is_complete = True
        for exchange in (all_of_it, part):
            while not exchange.is_finished:
                exchange.room = room
                exchange.reader.resume()
        self.assertEqual((all_of_it.taken, part.taken), (whole, whole[first:end]))

    def test_who_is_gone(self) -> None:
        moved: list[str] = []
        body = Body([b"one"])
        exchange = Taking(9)
        reader = Reader(exchange, body, lambda reader: moved.append(repr(reader)))
        reader.send()
        reader.aborted(Exception())
        reader.aborted(Exception())
        body.add(b"two")
        reader.send()
        self.assertEqual(exchange.taken, b"one")
        self.assertEqual(moved, ["<Reader at 3 sending>", "<Reader at 3 over>"])
