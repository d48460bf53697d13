"""
What a cache leaves for the next one at its end, as bytes: a heading, and a record for each entry.

::

    file     magic, length of the heading (4 bytes), its CRC-32 (4 bytes), the heading
    record   marker (8 bytes), length (4 bytes), CRC-32 of the payload (4 bytes), CRC-32 of these 16 bytes, the payload

Heading and payloads are MessagePack.  The marker is drawn at random for each file: where a record is damaged, the next
one is looked for by it, and no value that a client has stored can pass for a record.  Pure: no file and no clock.
"""

from __future__ import annotations

from struct import Struct
from zlib import crc32

import msgspec

MAGIC = b"scalekit cache 1\n"
MARKER_BYTES = 8

# A heading has some 80 bytes.
LONGEST_HEADING = 1024

_START = Struct("<II")
_RECORD = Struct("<8sII")
_CHECK = Struct("<I")
_FRAME_BYTES = _RECORD.size + _CHECK.size


class Heading(msgspec.Struct, array_like=True):
    """
    :ivar marker: begins each record.
    :ivar boot: names the run of the machine; empty: unknown.
    :ivar steady: the store's seconds at the end; ``wall``: the same in seconds since 1970.
    """

    marker: bytes
    boot: str
    steady: float
    wall: float

    def elapsed(self, boot: str, steady: float, wall: float) -> float | None:
        """Seconds since then; None if no clock can tell."""
        # The steady one counts from the start of the machine; the other may be set at any time, but only back is seen.
        seconds = steady - self.steady if boot and boot == self.boot else wall - self.wall
        return seconds if seconds >= 0 else None


class Record(msgspec.Struct, array_like=True, gc=False):
    """
    One entry; its times are those of `scalekit.cache.entry.Entry`.

    :ivar is_used: whether it was served lately.
    """

    key: bytes
    value: bytes
    stored: float
    expires: float
    revalidates: float
    leaves: float
    tags: tuple[bytes, ...] = ()
    is_used: bool = False


_encode = msgspec.msgpack.Encoder().encode
_decode_heading = msgspec.msgpack.Decoder(Heading).decode
_decode_record = msgspec.msgpack.Decoder(Record).decode


def heading_bytes(heading: Heading) -> bytes:
    """What the file begins with."""
    payload = _encode(heading)
    return MAGIC + _START.pack(len(payload), crc32(payload)) + payload


def record_bytes(record: Record, marker: bytes) -> bytes:
    """One record."""
    payload = _encode(record)
    start = _RECORD.pack(marker, len(payload), crc32(payload))
    return start + _CHECK.pack(crc32(start)) + payload


class Reading:
    """
    Takes a file in pieces; gives the heading, then the records.

    :ivar damaged: how often something was no record and had to be skipped.
    """

    def __init__(self) -> None:
        self._data = bytearray()
        self._marker = b""
        self._is_lost = False
        self.damaged = 0

    def feed(self, piece: bytes) -> None:
        """The next bytes of the file."""
        self._data += piece

    def heading(self) -> Heading:
        """
        The heading; to be asked for once, when `LONGEST_HEADING` bytes or the whole file are there.

        :raises ValueError: it is none, or damaged.
        """
        start = len(MAGIC) + _START.size
        if not self._data.startswith(MAGIC) or len(self._data) < start:
            raise ValueError("it is no snapshot of a cache")
        length, check = _START.unpack_from(self._data, len(MAGIC))
        payload = bytes(self._data[start : start + length])
        if len(payload) != length or crc32(payload) != check:
            raise ValueError("its heading is damaged")
        heading = _decode_heading(payload)  # msgspec's errors are ValueErrors
        self._marker = heading.marker
        del self._data[: start + length]
        return heading

    def records(self) -> list[Record]:
        """Those that are complete by now."""
        found: list[Record] = []
        data, place = self._data, 0
        while len(data) - place >= _FRAME_BYTES:
            start = place + _FRAME_BYTES
            marker, length, check = _RECORD.unpack_from(data, place)
            is_record = marker == self._marker
            if (
                is_record
                and crc32(data[place : place + _RECORD.size]) == _CHECK.unpack_from(data, start - _CHECK.size)[0]
            ):
                if start + length > len(data):
                    break
                payload = bytes(data[start : start + length])
                try:
                    if crc32(payload) == check:
                        found.append(_decode_record(payload))
                        self._is_lost = False
                        place = start + length
                        continue
                except msgspec.MsgspecError:
                    pass
            place = self._skipped(place, is_record)
        del data[:place]
        return found

    def end(self) -> list[Record]:
        """There is no more: what is left after the complete ones begins with none."""
        found = self.records()
        while self._data:
            del self._data[: self._skipped(0, self._data.startswith(self._marker))]
            found += self.records()
        return found

    def _skipped(self, place: int, is_record: bool) -> int:
        """Where the next record may begin."""
        if is_record or not self._is_lost:
            self.damaged += 1
        self._is_lost = True
        found = self._data.find(self._marker, place + 1)
        # Its first bytes may stand at the end of what is there.
        return max(place + 1, len(self._data) - MARKER_BYTES + 1) if found < 0 else found
