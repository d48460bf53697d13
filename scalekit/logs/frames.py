"""
The journal's frames: what was appended in one go, with its sequence numbers, when it was received, and a checksum.

::

    magic 4 | crc32 4 | payload length 4 | first sequence number 8 | received 8 | client 16 | batch 8 | count 4
    payload

Big-endian; ``received`` is nanoseconds since the epoch; the CRC covers all that follows it; the payload is `Columns` of
entries in msgpack, numbered upwards from the first sequence number.  ``client`` and ``batch`` are what a client that
wants its batches exactly once has called this one (see `batches`).

`scan` goes over damage, as `scalekit.framing` says.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from scalekit import framing
from scalekit.framing import Damage
from scalekit.logs.columns import Columns, columns_of, decode_columns
from scalekit.logs.entry import Entry

_HEAD = struct.Struct(">4sIIQq16sQI")
_COVERED = struct.Struct(">IQq16sQI")
_CRC_END = 8
# None of the first two bytes occurs in UTF-8, so that no client can write a frame into its message.
MAGIC = b"\xf5\xffL3"
# The client of a frame whose batch has no name.
NOBODY = bytes(16)
# The client of a frame that holds no entries but the table of clients: no digest of a name.
TABLE = b"\xff" * 16


class _Said(msgspec.Struct, array_like=True, gc=False):
    """The first of the `Columns`: the others are passed over, which is several times as fast."""

    said: list[int | None]


_said_decoder = msgspec.msgpack.Decoder(_Said)


class Frame(NamedTuple):
    """
    A frame; times are nanoseconds since the epoch.

    :ivar said: of each entry, the time that it says.
    :ivar payload: the entries, or the table of clients.
    """

    first: int
    received: int
    said: Sequence[int | None]
    payload: bytes
    client: bytes = NOBODY
    batch: int = 0

    @property
    def last(self) -> int:
        return self.first + len(self.said) - 1

    def entries(self) -> Columns:
        """The decoded payload."""
        return decode_columns(self.payload)

    def encode(self) -> bytes:
        """The frame's bytes."""
        payload = self.payload
        covered = _COVERED.pack(len(payload), self.first, self.received, self.client, self.batch, len(self.said))
        crc = zlib.crc32(payload, zlib.crc32(covered))
        return b"".join((MAGIC, crc.to_bytes(4), covered, payload))


def make_frame(first: int, received: int, entries: Sequence[Entry], client: bytes = NOBODY, batch: int = 0) -> Frame:
    """The frame that holds these entries."""
    columns = columns_of(entries)
    return Frame(first, received, columns.said, columns.encode(), client, batch)


def _decode_at(data: memoryview, start: int) -> tuple[Frame, int] | None:
    """The frame that begins here, and where it ends; None if none does."""
    if len(data) - start < _HEAD.size:
        return None
    magic, crc, length, first, received, client, batch, count = _HEAD.unpack_from(data, start)
    end = start + _HEAD.size + length
    if magic != MAGIC or end > len(data) or zlib.crc32(data[start + _CRC_END : end]) != crc:
        return None
    payload = bytes(data[end - length : end])
    if client == TABLE:
        return Frame(first, received, [], payload, client, batch), end
    try:
        said = _said_decoder.decode(payload).said
    except ValueError:
        return None
    return (Frame(first, received, said, payload, client, batch), end) if len(said) == count else None


def scan(data: bytes) -> tuple[list[Frame], list[Damage]]:
    """
    All good frames of a segment, in order, and what lies between and after them.

    Zeros after the last frame are no damage: segments are made at their full size before anything is in them.
    """
    return framing.scan(data, MAGIC, _decode_at)


def first_number(data: bytes) -> int | None:
    """
    The first sequence number of a segment that begins with these bytes; None if they are too few or no frame.

    The checksum is not looked at.
    """
    if len(data) < _HEAD.size or not data.startswith(MAGIC):
        return None
    number: int = _HEAD.unpack_from(data)[3]
    return number


HEAD_BYTES = _HEAD.size
