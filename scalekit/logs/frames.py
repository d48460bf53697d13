"""
The journal's frames: what was appended in one go, with its sequence numbers, when it was received, and a checksum.

::

    magic 4 | crc32 4 | payload length 4 | first sequence number 8 | received 8 | count 4 | payload

Big-endian; ``received`` is nanoseconds since the epoch; the CRC covers all that follows it; the payload is a msgpack
array of entries, numbered upwards from the first sequence number.

`scan` goes over damage: it looks for the next magic that begins a whole frame, so that one bad sector costs the frames
it hit and not those after them.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from scalekit.logs.entry import Entry

_HEAD = struct.Struct(">4sIIQqI")
_COVERED = struct.Struct(">IQqI")
_CRC_END = 8
# None of the first two bytes occurs in UTF-8, so that no client can write a frame into its message.
MAGIC = b"\xf5\xffL1"

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list[Entry])


class Frame(NamedTuple):
    """A decoded frame; ``received`` is nanoseconds since the epoch."""

    first: int
    received: int
    entries: list[Entry]

    @property
    def last(self) -> int:
        return self.first + len(self.entries) - 1


class Damage(NamedTuple):
    """Bytes of a segment that are no frame, from ``start`` to ``end``."""

    start: int
    end: int


def encode_frame(first: int, received: int, entries: Sequence[Entry]) -> bytes:
    """The frame's bytes."""
    payload = _encoder.encode(entries)
    covered = _COVERED.pack(len(payload), first, received, len(entries))
    crc = zlib.crc32(payload, zlib.crc32(covered))
    return b"".join((MAGIC, crc.to_bytes(4), covered, payload))


def _decode_at(data: memoryview, start: int) -> tuple[Frame, int] | None:
    """The frame that begins here, and where it ends; None if none does."""
    if len(data) - start < _HEAD.size:
        return None
    magic, crc, length, first, received, count = _HEAD.unpack_from(data, start)
    end = start + _HEAD.size + length
    if magic != MAGIC or end > len(data) or zlib.crc32(data[start + _CRC_END : end]) != crc:
        return None
    try:
        entries = _decoder.decode(data[end - length : end])
    except ValueError:
        return None
    return (Frame(first, received, entries), end) if len(entries) == count else None


def scan(data: bytes) -> tuple[list[Frame], list[Damage]]:
    """All good frames of a segment, in order, and what lies between and after them."""
    frames: list[Frame] = []
    damages: list[Damage] = []
    view = memoryview(data)
    position = 0
    while position < len(data):
        found = _decode_at(view, position)
        if found is None:
            start = position
            while found is None and position >= 0:
                position = data.find(MAGIC, position + 1)
                found = _decode_at(view, position) if position >= 0 else None
            damages.append(Damage(start, len(data) if found is None else position))
            if found is None:
                break
        frame, position = found
        frames.append(frame)
    return frames, damages
