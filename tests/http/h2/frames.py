"""Frames made by hand, for what no library would send (RFC 9113 sections 4 and 6)."""

from __future__ import annotations

import struct

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """One frame."""
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def literal(name: bytes, value: bytes) -> bytes:
    """A field as HPACK has it without compression and without indexing (RFC 7541 section 6.2.2)."""
    return b"\0" + _string(name) + _string(value)


def _string(data: bytes) -> bytes:
    if len(data) < 127:
        return bytes((len(data),)) + data
    rest, out = len(data) - 127, b"\x7f"
    while rest >= 128:
        out += bytes((rest & 127 | 128,))
        rest >>= 7
    return out + bytes((rest,)) + data


def block(*fields: tuple[bytes, bytes]) -> bytes:
    """A field block."""
    return b"".join(literal(name, value) for name, value in fields)


REQUEST = ((b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/"), (b":authority", b"a"))


def request(stream: int, *fields: tuple[bytes, bytes], end: bool = True, start: object = REQUEST) -> bytes:
    """A HEADERS frame with a request's head."""
    flags = END_HEADERS | (END_STREAM if end else 0)
    return frame(HEADERS, flags, stream, block(*start, *fields))  # type: ignore[misc]


def split(data: bytes) -> list[tuple[int, int, int, bytes]]:
    """The frames in these bytes: ``(kind, flags, stream, payload)``."""
    found = []
    while data:
        length = int.from_bytes(data[:3], "big")
        found.append((data[3], data[4], int.from_bytes(data[5:9], "big") & 0x7FFFFFFF, data[9 : 9 + length]))
        data = data[9 + length :]
    return found
