"""Tests of `scalekit.kit.spool`."""

from __future__ import annotations

import fcntl
import itertools
import os
from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit.entries import entry_line
from scalekit.kit.spool import Batch, Spool, decode_batch, encode_batch


def batch(number: int, *levels: str, size: int = 10) -> Batch:
    lines = [entry_line(level, 0.0, "shop", f"{number}".ljust(size)) for level in levels or ("INFO",)]
    return Batch("me", number, b"\n".join(lines) + b"\n")


class FrameTests(SynchronousTestCase):
    @given(st.text("abc-", min_size=1, max_size=64), st.integers(0, 10**18), st.binary(), st.integers(0, 10**9))
    def test_a_frame_is_read_back_and_any_wrong_bit_is_seen(
        self, client: str, number: int, lines: bytes, bit: int
    ) -> None:
        frame = encode_batch(Batch(client, number, lines))
        self.assertEqual(decode_batch(memoryview(b"x" + frame), 1), (Batch(client, number, lines), len(frame) + 1))
        wrong = bytearray(frame)
        wrong[bit // 8 % len(frame)] ^= 1 << bit % 8
        self.assertIsNone(decode_batch(memoryview(bytes(wrong)), 0))
        self.assertIsNone(decode_batch(memoryview(frame[:-1]), 0))


class SpoolTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.names = (f"p{number}" for number in itertools.count())
        self.lost: Counter[str] = Counter()

    def spool(self, limit: int = 1 << 20) -> Spool:
        spool = Spool(str(self.directory), lambda: next(self.names), self.lost.update, limit)
        self.addCleanup(spool.close)
        return spool

    def drain(self, spool: Spool) -> list[int]:
        numbers = []
        while (first := spool.first()) is not None:
            numbers.append(first.number)
            spool.done(first)
        return numbers

    def files(self, end: str = ".spool") -> list[Path]:
        return sorted(self.directory.glob(f"*{end}"))

    def test_nothing_is_made_before_it_is_needed(self) -> None:
        spool = self.spool()
        spool.adopt()
        self.assertEqual((spool.first(), self.directory.exists()), (None, False))

    def test_first_in_first_out_also_while_it_is_emptied(self) -> None:
        spool = self.spool()
        spool.append(batch(1))
        spool.append(batch(2))
        self.assertEqual(spool.first(), batch(1))
        spool.append(batch(3))
        self.assertEqual(self.drain(spool), [1, 2, 3])
        self.assertEqual((self.files(), spool.size), ([], 0))

    def test_what_a_dead_process_has_left_is_adopted_a_living_one_keeps_its_own(self) -> None:
        dead, living = self.spool(), self.spool()
        dead.append(batch(1))
        living.append(batch(2))
        dead.close()  # as the system does
        heir = self.spool()
        heir.adopt()
        self.assertEqual(self.drain(heir), [1])
        self.assertEqual(self.drain(living), [2])
        living.close()
        self.assertEqual(list(self.directory.iterdir()), [])

    def test_two_heirs(self) -> None:
        dead = self.spool()
        dead.append(batch(1))
        dead.close()
        heirs = [self.spool(), self.spool()]
        for heir in heirs:
            heir.adopt()
        self.assertEqual([self.drain(heir) for heir in heirs], [[1], []])

    def test_after_a_fork_it_is_the_parents(self) -> None:
        parent = self.spool()
        parent.append(batch(1))
        child = self.spool()
        child.__dict__.update({**parent.__dict__, "_locks": {"p0": os.dup(parent._locks["p0"])}})
        child.forget()
        self.assertEqual((child.first(), child.size), (None, 0))
        child.adopt()
        self.assertIsNone(child.first())
        self.assertEqual(self.drain(parent), [1])

    def test_over_the_bound_the_oldest_low_entries_go_then_the_oldest(self) -> None:
        spool = self.spool(limit=3_000_000)
        for number in range(1, 7):
            spool.append(batch(number, *["INFO", "ERROR"] * 10, size=35_000))
        # Each file has one batch; of the oldest those are gone that make room enough.
        self.assertEqual(self.lost, {"INFO": 40})
        self.assertLessEqual(spool.size, 3_000_000)
        for number in range(7, 13):
            spool.append(batch(number, *["ERROR"] * 20, size=35_000))
        self.assertLessEqual(spool.size, 3_000_000)
        self.assertEqual(self.drain(spool)[-1], 12)
        self.assertGreater(self.lost["ERROR"], 0)

    def test_what_is_being_sent_is_not_given_up(self) -> None:
        spool = self.spool(limit=1000)
        spool.append(batch(1, size=500))
        first = spool.first()
        for number in range(2, 6):
            spool.append(batch(number, size=500))
        self.assertEqual(spool.first(), first)
        self.assertEqual(self.drain(spool), [1, 5])
        self.assertEqual(self.lost, {"INFO": 3})

    def test_damage_costs_what_it_hit(self) -> None:
        spool = self.spool()
        for number in range(1, 4):
            spool.append(batch(number))
        (file,) = self.files()
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
        self.assertEqual(self.drain(spool), [1, 3])

    def test_a_directory_that_is_cleared_by_somebody(self) -> None:
        spool = self.spool()
        spool.append(batch(1))
        for file in self.files(""):
            file.unlink()
        self.assertEqual(self.drain(spool), [])
        spool.close()

    def test_a_directory_that_cannot_be_made(self) -> None:
        self.directory.write_text("a file")
        self.assertRaises(OSError, self.spool().append, batch(1))

    def test_a_file_system_without_locks(self) -> None:
        def flock(descriptor: int, operation: int) -> None:
            raise OSError(37, "No locks available")

        self.patch(fcntl, "flock", flock)
        self.assertRaises(OSError, self.spool().append, batch(1))
