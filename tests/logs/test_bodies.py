"""Bodies of batches: decoded within bounds, the good entries told from the bad ones."""

from __future__ import annotations

import gzip
import json
import random
import zlib

import zstandard
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ClientFault
from scalekit.logs.bodies import (
    BODY_LIMIT,
    ENTRIES_LIMIT,
    RATIO_FLOOR,
    REPORT_LIMIT,
    VALUES_LIMIT,
    check_values,
    decode_body,
    parse_array,
    parse_lines,
)

GOOD = b'{"Level":"INFO","Source":"s","Message":"m"}'


class DecodeTests(SynchronousTestCase):
    """`decode_body`."""

    def refused(self, body: bytes, coding: str = "gzip") -> int:
        """The status that it gets."""
        return int(self.assertRaises(ClientFault, decode_body, body, coding).status)

    @given(st.lists(st.binary(), min_size=1, max_size=3))
    def test_gzip(self, members: list[bytes]) -> None:
        """One member or several; any case of the name."""
        coded = b"".join(gzip.compress(member) for member in members)
        self.assertEqual(decode_body(coded, " GZIP "), b"".join(members))

    @given(st.lists(st.binary() | st.integers(0, 5000).map(bytes), min_size=1, max_size=3))
    def test_zstd(self, frames: list[bytes]) -> None:
        """One frame or several."""
        coded = b"".join(map(zstandard.compress, frames))
        self.assertEqual(decode_body(coded, "zstd"), b"".join(frames))

    def test_no_coding(self) -> None:
        """As it is."""
        self.assertEqual([decode_body(b"x", coding) for coding in ("", "identity")], [b"x", b"x"])

    @given(st.binary(max_size=100))
    def test_noise(self, noise: bytes) -> None:
        """What is not gzip is 400, cut off or followed by something else as well; other codings are 415."""
        coded = gzip.compress(b"x")
        for body in (b"noise" + noise, coded[:-1], coded + b"x", b"", zlib.compress(b"x")):
            self.assertEqual(self.refused(body), 400)
        coded = zstandard.compress(b"x" * 1000)
        for body in (b"noise" + noise, coded[:-1], coded + b"x", b""):
            self.assertEqual(self.refused(body, "zstd"), 400)
        self.assertEqual(self.refused(noise, "br"), 415)

    def test_bombs(self) -> None:
        """Beyond the limit and beyond the ratio: 413, before it is all decoded; a small one of equal lines is taken."""
        self.assertEqual(self.refused(gzip.compress(bytes(RATIO_FLOOR + 1))), 413)
        self.assertEqual(self.refused(zstandard.compress(bytes(RATIO_FLOOR + 1)), "zstd"), 413)
        self.assertEqual(self.refused(zstandard.compress(bytes(1 << 30)), "zstd"), 413)
        self.assertEqual(len(decode_body(zstandard.compress(bytes(RATIO_FLOOR)), "zstd")), RATIO_FLOOR)
        self.assertEqual(len(decode_body(gzip.compress(bytes(RATIO_FLOOR)), "gzip")), RATIO_FLOOR)
        self.assertEqual(self.refused(gzip.compress(bytes(BODY_LIMIT + 1), 0)), 413)
        self.assertEqual(len(decode_body(gzip.compress(bytes(BODY_LIMIT), 0), "gzip")), BODY_LIMIT)

    def test_many_parts(self) -> None:
        """An entry may be a part of its own; thousands of empty ones keep nobody busy: 413."""
        for coding, part in (("gzip", gzip.compress(b"x\n")), ("zstd", zstandard.compress(b"x\n"))):
            self.assertEqual(decode_body(part * ENTRIES_LIMIT, coding), b"x\n" * ENTRIES_LIMIT)
            self.assertEqual(self.refused(part * (ENTRIES_LIMIT + 1), coding), 413)

    def test_long_gzip(self) -> None:
        """What is unpacked in many pieces, and what ends between two."""
        noise = random.Random(7).randbytes(100_000)
        coded = gzip.compress(noise)
        for size in range(8190, 8194):
            padded = coded + gzip.compress(noise[: 2 * size], 0)
            self.assertEqual(decode_body(padded, "gzip"), noise + noise[: 2 * size])
        self.assertEqual(self.refused(coded[:-9]), 400)

    def test_values(self) -> None:
        """A body of nothing but brackets and commas, whose values would take a hundred times as much: 413."""
        for body in (b"[],", b"{},", b"0,", b"["):
            fault = self.assertRaises(ClientFault, check_values, body * (VALUES_LIMIT + 1))
            self.assertEqual(fault.status, 413)
        check_values(b"x" * BODY_LIMIT)
        check_values(b"," * VALUES_LIMIT)
        check_values((GOOD + b"\n") * (BODY_LIMIT // (len(GOOD) + 1)))


class BatchTests(SynchronousTestCase):
    """`parse_lines` and `parse_array`."""

    def test_lines(self) -> None:
        """Good ones are taken, bad ones reported by their number; empty ones count as lines only."""
        batch = parse_lines(b"\n".join([GOOD, b"", b"{}", b" \r", GOOD + b"\r", b"nonsense", GOOD]))
        self.assertEqual((len(batch.entries), batch.rejected_count), (3, 2))
        self.assertEqual(batch.rejected[0], (3, "Level: missing."))
        self.assertEqual(batch.rejected[1][0], 6)
        self.assertEqual((list(parse_lines(b"").entries), parse_lines(b"")[1:]), ([], ([], 0, [])))
        self.assertEqual(batch.bad, [b"{}", b"nonsense"])
        good = parse_lines(GOOD + b"\n\n" + GOOD)
        self.assertEqual((list(good.entries), good[1:]), (batch.entries[:2], ([], 0, [])))

    def test_array(self) -> None:
        """The same by the member's number."""
        batch = parse_array(b"[%s, 7, %s]" % (GOOD, GOOD))
        self.assertEqual((len(batch.entries), batch.rejected), (2, [(2, "An entry has to be a JSON object.")]))
        self.assertEqual(batch.bad, [b"7"])

    def test_bounds(self) -> None:
        """Of entries, and of what is reported."""
        self.assertEqual(len(parse_lines(b"\n".join([GOOD] * ENTRIES_LIMIT) + b"\n").entries), ENTRIES_LIMIT)
        for parse, body in (
            (parse_lines, b"\n" * (ENTRIES_LIMIT + 1)),
            (parse_array, json.dumps([0] * (ENTRIES_LIMIT + 1)).encode()),
        ):
            self.assertEqual(self.assertRaises(ClientFault, parse, body).status, 413)
        batch = parse_lines(b"x\n" * (REPORT_LIMIT + 5))
        self.assertEqual((len(batch.rejected), batch.rejected_count), (REPORT_LIMIT, REPORT_LIMIT + 5))
