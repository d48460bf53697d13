"""
Messages of protobuf field by field, without its library (protobuf.dev, "Encoding").
"""

from __future__ import annotations

from collections.abc import Iterator


def varint(number: int) -> bytes:
    """A number of any size."""
    pieces = bytearray()
    while number > 0x7F:
        pieces.append(number & 0x7F | 0x80)
        number >>= 7
    pieces.append(number)
    return bytes(pieces)


def parts(body: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a message that are numbers or bytes; raises ValueError if it is none."""
    position = 0
    while position < len(body):
        tag, position = _read_varint(body, position)
        if tag & 7 == 0:
            number, position = _read_varint(body, position)
            yield tag >> 3, number
        elif tag & 7 == 2:
            length, position = _read_varint(body, position)
            if position + length > len(body):
                raise ValueError("it ends within a field")
            yield tag >> 3, body[position : position + length]
            position += length
        else:
            raise ValueError("a field of another kind")


def _read_varint(body: bytes, position: int) -> tuple[int, int]:
    """A number, and where it ends."""
    number = 0
    for shift in range(0, 70, 7):
        if position >= len(body):
            raise ValueError("it ends within a number")
        byte = body[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
    raise ValueError("a number of more than 64 bits")
