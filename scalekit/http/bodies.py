"""
Body framing, reading side (RFC 9112 sections 6 and 7): by length, chunked, and until the connection closes.

Each decoder takes pieces of the wire by ``decode(data)`` and returns the body bytes in them.  Once ``is_complete``,
``rest`` holds what belongs to the next message and ``trailers`` the trailer fields.
"""

from __future__ import annotations

from scalekit.errors import ClientFault
from scalekit.http import diagnosis
from scalekit.http.grammar import BARE_LF, CHUNK_LINE, FIELDS, SMALL_CHUNK, SMALL_CHUNKS
from scalekit.http.heads import Fields
from scalekit.http.limits import CHUNK_EXTENSION_BYTES, FIELD_COUNT, HEAD_BYTES

#: 16 digits, the extensions, CRLF.
_LONGEST_CHUNK_LINE = 16 + CHUNK_EXTENSION_BYTES + 2


class LengthDecoder:
    """A body of ``length`` bytes."""

    __slots__ = ("is_complete", "remaining", "rest", "trailers")

    def __init__(self, length: int) -> None:
        self.remaining = length
        self.is_complete = length == 0
        self.rest = b""
        self.trailers: Fields = []

    def decode(self, data: bytes) -> bytes:
        """The body bytes in ``data``."""
        remaining = self.remaining - len(data)
        if remaining > 0:
            self.remaining = remaining
            return data
        self.is_complete = True
        if remaining:
            self.rest = data[remaining:]
            data = data[:remaining]
        self.remaining = 0
        return data

    def __repr__(self) -> str:
        return f"<LengthDecoder {self.remaining} to come>"


class CloseDecoder:
    """A body that ends with the connection; its owner sets ``is_complete`` then."""

    __slots__ = ("is_complete", "rest", "trailers")

    def __init__(self) -> None:
        self.is_complete = False
        self.rest = b""
        self.trailers: Fields = []

    def decode(self, data: bytes) -> bytes:
        """All of ``data``."""
        return data

    def __repr__(self) -> str:
        return "<CloseDecoder>"


_SIZE, _DATA, _DATA_END, _TRAILERS = range(4)


class ChunkedDecoder:
    """
    A chunked body; states: size line -> data -> its CRLF -> size line ... -> trailers -> complete.

    Lines are looked at only when their end has come, so a body fed byte by byte costs no more than its bytes.
    """

    __slots__ = ("_extension_bytes", "_held", "_remaining", "_state", "is_complete", "rest", "trailers")

    def __init__(self) -> None:
        self._state = _SIZE
        self._held = bytearray()
        self._remaining = 0
        self._extension_bytes = 0
        self.is_complete = False
        self.rest = b""
        self.trailers: Fields = []

    def decode(self, data: bytes) -> bytes:
        """
        The body bytes in ``data``.

        :raises ClientFault: 400 for anything but the strict grammar.  Bytes decoded before that are lost with it.
        """
        if self._held:
            if b"\n" not in data and self._state != _DATA_END:
                self._hold(data)
                return b""
            if self._state == _TRAILERS and not self._may_end(data):
                return b""
            self._held += data
            data = bytes(self._held)
            self._held.clear()
        out: list[bytes] = []
        position, size = 0, len(data)
        while position < size and not self.is_complete:
            if self._state == _DATA:
                take = min(self._remaining, size - position)
                out.append(data[position : position + take])
                position += take
                self._remaining -= take
                if not self._remaining:
                    self._state = _DATA_END
            elif self._state == _DATA_END:
                if data[position : position + 2] == b"\r\n":
                    position += 2
                    self._state = _SIZE
                elif data[position:] == b"\r":
                    break
                else:
                    raise ClientFault(400, "bad-chunk", "A chunk is not followed by CRLF.")
            elif self._state == _SIZE:
                position = self._whole_chunks(data, position, out)
                after = self._size_line(data, position)
                if not after:
                    break
                position = after
            else:
                after = self._trailer_block(data, position)
                if not after:
                    break
                position = after
        if self.is_complete:
            self.rest = data[position:]
        elif position < size:
            self._hold(data[position:])
        return out[0] if len(out) == 1 else b"".join(out)

    def _whole_chunks(self, data: bytes, position: int, out: list[bytes]) -> int:
        """Take the chunks that are here to their end: small ones, which cost most, in as few steps as can be."""
        small = SMALL_CHUNKS.match(data, position)
        if small is not None:
            out += SMALL_CHUNK.findall(data, position, small.end())
            position = small.end()
        match_line, append = CHUNK_LINE.match, out.append
        while (match := match_line(data, position)) is not None:
            digits, extension = match.groups()
            start = match.end()
            end = start + int(digits, 16)
            if extension is not None or end == start or data[end : end + 2] != b"\r\n":
                break
            append(data[start:end])
            position = end + 2
        return position

    def _may_end(self, data: bytes) -> bool:
        """Whether the trailers can end in ``data``, which follows what is held; else it is held as well."""
        held = self._held
        tail = bytes(held[-3:]) + data
        if b"\r\n\r\n" in tail or held == b"\r":
            return True
        if BARE_LF.search(tail, len(tail) - len(data)):
            raise ClientFault(400, "bare-lf", "A trailer line ends in LF without CR.")
        self._hold(data)
        return False

    def _hold(self, data: bytes) -> None:
        self._held += data
        limit = HEAD_BYTES if self._state == _TRAILERS else _LONGEST_CHUNK_LINE
        if len(self._held) > limit:
            raise ClientFault(400, "bad-chunk", "A chunk's size line or the trailers are too long.")

    def _size_line(self, data: bytes, position: int) -> int:
        match = CHUNK_LINE.match(data, position)
        if match is None:
            if data.find(b"\n", position) >= 0:
                raise ClientFault(400, "bad-chunk", "A chunk's size is not hexadecimal digits and CRLF.")
            return 0
        if match[2]:
            self._extension_bytes += len(match[2])
            if self._extension_bytes > CHUNK_EXTENSION_BYTES:
                raise ClientFault(400, "bad-chunk", f"Chunk extensions are over {CHUNK_EXTENSION_BYTES} bytes.")
        self._remaining = int(match[1], 16)
        self._state = _DATA if self._remaining else _TRAILERS
        return match.end()

    def _trailer_block(self, data: bytes, position: int) -> int:
        if data.startswith(b"\r\n", position):
            self.is_complete = True
            return position + 2
        end = data.find(b"\r\n\r\n", position)
        if end < 0:
            if BARE_LF.search(data, position):
                raise ClientFault(400, "bare-lf", "A trailer line ends in LF without CR.")
            return 0
        if end - position > HEAD_BYTES:
            raise ClientFault(400, "bad-trailer", f"The trailers are over {HEAD_BYTES} bytes.")
        fields = FIELDS.findall(data, position, end + 2)
        if not fields[-1][0]:
            raise diagnosis.of_fields(data[position : end + 2])
        if len(fields) > FIELD_COUNT:
            raise ClientFault(400, "bad-trailer", f"The request has over {FIELD_COUNT} trailer fields.")
        self.trailers = fields
        self.is_complete = True
        return end + 4

    def __repr__(self) -> str:
        return f"<ChunkedDecoder {('size', 'data', 'data end', 'trailers')[self._state]} {self._remaining} to come>"


Decoder = LengthDecoder | ChunkedDecoder | CloseDecoder
