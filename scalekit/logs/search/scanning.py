"""
The lines of a volume within a span of time, forwards or backwards.

A volume's truth is in time order: where the span begins and ends in it is found by halving, so that a quarter of an
hour of a large volume costs some twenty reads before the first line.
"""

from __future__ import annotations

from collections.abc import Iterator

from scalekit.logs.reading import LogReader, Volume
from scalekit.logs.records import parse_key

#: What is read at once; a compressed truth is unpacked in blocks of this size.
PIECE_BYTES = 1024 * 1024
#: What is read to find one line in the middle.
_PROBE_BYTES = 16 * 1024


class Unreadable(Exception):
    """Bytes of a volume are not there (any more): it was sealed or removed meanwhile, or it is damaged."""


def find_position(reader: LogReader, volume: Volume, time: int) -> int:
    """Where the first line begins that is not before this time, in nanoseconds since the epoch; the length: none."""
    if time <= volume.first_time:
        return 0
    if time > volume.last_time:
        return volume.length
    low, high = 0, volume.length  # lines that begin before low are too early
    found = volume.length
    while low < high:
        middle = (low + high) // 2
        start, line = _line_after(reader, volume, middle, high)
        key = parse_key(line)
        if start < high and (key is None or key.time < time):
            low = start + len(line) + 1
            continue
        high = middle  # none begins between there and what was found
        if line:
            found = start
    return found


def _line_after(reader: LogReader, volume: Volume, position: int, high: int) -> tuple[int, bytes]:
    """The first line that begins at or after this position, and where; ``high`` and nothing if that is not before."""
    start = position
    if position:
        # A line begins here exactly if the byte before is its predecessor's end.
        start = _newline_from(reader, volume, position - 1) + 1
    if start >= high:
        return high, b""
    end = _newline_from(reader, volume, start)
    return start, reader.read(volume, start, end - start)


def _newline_from(reader: LogReader, volume: Volume, position: int) -> int:
    while position < volume.length:
        piece = reader.read(volume, position, _PROBE_BYTES)
        if not piece:
            raise Unreadable
        found = piece.find(b"\n")
        if found >= 0:
            return position + found
        position += len(piece)
    return volume.length


def lines_between(
    reader: LogReader, volume: Volume, start: int, end: int, *, is_backwards: bool, gaps: list[int] | None = None
) -> Iterator[bytes]:
    """
    The lines from one position to another.

    :param gaps: gets the position of each block that cannot be read, and of its lines none come (or parts, at its
        ends); None: raises `Unreadable`.
    """
    step = PIECE_BYTES if volume.manifest is None else volume.manifest.block_bytes or PIECE_BYTES
    between = _backwards if is_backwards else _forwards
    return between(reader, volume, start, end, step, gaps)


def _forwards(
    reader: LogReader, volume: Volume, start: int, end: int, step: int, gaps: list[int] | None
) -> Iterator[bytes]:
    rest: list[bytes] = []  # of a line that is not whole yet
    while start < end:
        piece = reader.read(volume, start, min(PIECE_BYTES, end - start))
        if not piece:
            if gaps is None:
                raise Unreadable
            gaps.append(start)
            start += step - start % step
            rest = []
            continue
        start += len(piece)
        lines = piece.split(b"\n")
        if len(lines) > 1:
            lines[0] = b"".join((*rest, lines[0]))
            rest = [lines.pop()]
            yield from lines
        else:
            rest.append(piece)


def _backwards(
    reader: LogReader, volume: Volume, start: int, end: int, step: int, gaps: list[int] | None
) -> Iterator[bytes]:
    rest: list[bytes] = []  # of a line whose beginning is not there yet, its last piece first
    while start < end:
        # As blocks are: no two of them for one piece.
        size = min(PIECE_BYTES, end - start, (end - 1) % step + 1)
        piece = reader.read(volume, end - size, size)
        end -= size
        if len(piece) < size:
            if gaps is None:
                raise Unreadable
            gaps.append(end)
            rest = []
            continue
        lines = piece.split(b"\n")
        if len(lines) > 1:
            last = lines.pop()
            whole = b"".join((last, *reversed(rest)))
            rest = [lines.pop(0)]
            if whole:
                yield whole
            yield from reversed(lines)
        else:
            rest.append(piece)
    whole = b"".join(reversed(rest))
    if whole:
        yield whole
