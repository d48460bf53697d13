"""
What the volumes have after a sequence number, for who reads by number what the journal has no more.

Volumes are in the order of time.  So each read goes through all that may have one of the next numbers, and keeps those
with the least: as much as a read takes, however many there are.  Of sealed volumes it is remembered which numbers each
part of them has, as numbers mostly come in the order of time: all of one is read once, and then what is near.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from typing import NamedTuple

from scalekit.logs.order import EVER
from scalekit.logs.reading import LogReader, Volume

#: The largest volume has some hundred of these, and each is read in milliseconds.
PART_BYTES = 1024 * 1024
_HEAD = b'{"Sequence":'


class Past(NamedTuple):
    """
    :ivar lines: of the log's truth, without their newlines, by their numbers, in order.
    :ivar until: up to which number these are all there is; the one that was asked for: they cannot be read just now.
    :ivar missing: how many numbers up to there are nowhere; those of entries that were refused among them.
    """

    lines: list[tuple[int, bytes]]
    until: int
    missing: int


class _Part(NamedTuple):
    """Lines from one position to another, and the least and the greatest number among them."""

    start: int
    end: int
    least: int
    greatest: int


class PastReader:
    """See the module; for one thread."""

    def __init__(self) -> None:
        # Of volumes, by their numbers and whether they are sealed, and whether it is of their late entries.
        self._parts: dict[tuple[int, bool, bool], list[_Part]] = {}

    def read(
        self,
        after: int,
        oldest: int,
        reader: LogReader,
        is_wanted: Callable[[bytes], bool],
        byte_limit: int,
        number_limit: int,
    ) -> Past:
        """
        What comes after a number and before the journal's oldest one.

        Nothing, up to the same number, if one of the volumes is just being sealed: it can be read again in a moment.

        :param is_wanted: which lines.
        :param byte_limit: of these, about, and at least one.
        :param number_limit: so many numbers at most; of all of them it is known then whether they are there.
        """
        ceiling = min(oldest, after + 1 + number_limit)  # what is from here on is for another read
        there = bytearray(ceiling - after - 1)
        chosen: list[tuple[int, bytes]] = []  # a heap, the greatest number first
        size = 0
        volumes = reader.volumes()
        self._forget({volume.number for volume in volumes})
        for volume in volumes:
            if volume.last_sequence <= after or volume.first_sequence >= ceiling:
                continue
            for part, is_late in self._parts_of(reader, volume):
                if part.greatest <= after or part.least >= ceiling:
                    continue
                end = part.start
                for position, line in _lines(reader, volume, part.start, part.end, is_late):
                    end = position + len(line) + 1
                    sequence = number_of(line)
                    if not after < sequence < ceiling:
                        continue
                    there[sequence - after - 1] = 1
                    if not is_wanted(line):
                        continue
                    heappush(chosen, (-sequence, line))
                    size += len(line)
                    while size > byte_limit and len(chosen) > 1:
                        least, left = heappop(chosen)
                        size -= len(left)
                        ceiling = -least
                if end < part.end and not volume.is_sealed:
                    return Past([], after, 0)
        missing = there[: ceiling - after - 1].count(0)
        return Past([(-least, line) for least, line in sorted(chosen, reverse=True)], ceiling - 1, missing)

    def _forget(self, left: set[int]) -> None:
        """What was removed, and what is sealed since."""
        for key in list(self._parts):
            number, is_sealed, _ = key
            if number not in left or (not is_sealed and (number, True, False) in self._parts):
                del self._parts[key]

    def _parts_of(self, reader: LogReader, volume: Volume) -> Iterator[tuple[_Part, bool]]:
        for is_late, length in ((False, volume.length), (True, volume.late_length)):
            key = volume.number, volume.is_sealed, is_late
            known = self._parts.get(key, [])
            # An open one has grown since.
            if known and known[-1].end < length and known[-1].end - known[-1].start < PART_BYTES:
                known = known[:-1]
            start = known[-1].end if known else 0
            parts = [*known, *_survey(reader, volume, start, length, is_late)] if start < length else known
            if parts and parts[-1].end == length:
                self._parts[key] = parts
            elif length and not volume.is_sealed:
                # It cannot be read now: neither can this.
                parts = [_Part(0, length, 0, EVER)]
            for part in parts:
                yield part, is_late

    def __repr__(self) -> str:
        return f"<PastReader of {len(self._parts)} files>"


def _lines(reader: LogReader, volume: Volume, start: int, end: int, is_late: bool) -> Iterator[tuple[int, bytes]]:
    for position, line in reader.lines(volume, start, is_late=is_late):
        if position >= end:
            return
        yield position, line


def _survey(reader: LogReader, volume: Volume, start: int, length: int, is_late: bool) -> Iterator[_Part]:
    """The parts of a file from a position on."""
    least, greatest = EVER, 0
    position = start
    for position, line in _lines(reader, volume, start, length, is_late):
        sequence = number_of(line)
        if sequence:
            least, greatest = min(least, sequence), max(greatest, sequence)
        position += len(line) + 1
        if position - start >= PART_BYTES:
            yield _Part(start, position, least, greatest)
            start, least, greatest = position, EVER, 0
    if position > start:
        yield _Part(start, position, least, greatest)


def number_of(line: bytes) -> int:
    """The sequence number of a record's line, in a quarter of the time of decoding it; 0 for a damaged line."""
    try:
        return int(line[len(_HEAD) : line.index(b",")]) if line.startswith(_HEAD) else 0
    except ValueError:
        return 0
