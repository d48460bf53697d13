"""
Lines of a sealed volume by their positions, which come in order or backwards.

Where they are far from each other, little more is read than they are; where they are close, ever larger pieces.
"""

from __future__ import annotations

from scalekit.logs.reading import LogReader, Volume
from scalekit.logs.search.scanning import PIECE_BYTES, Unreadable

#: As much as a disk reads anyway.
_LEAST_BYTES = 16 * 1024


class Lines:
    """See the module."""

    def __init__(self, reader: LogReader, volume: Volume, *, is_backwards: bool) -> None:
        self._reader = reader
        self._volume = volume
        self._is_backwards = is_backwards
        # What is unpacked at all is a whole block.
        self._block = volume.manifest.block_bytes if volume.manifest is not None else 0
        self._start = 0
        self._piece = b""
        self._size = _LEAST_BYTES

    def line(self, position: int, length: int) -> bytes:
        """The line that begins there; raises `Unreadable`."""
        offset = position - self._start
        if offset < 0 or offset + length > len(self._piece):
            self._read(position, length)
            offset = position - self._start
        return self._piece[offset : offset + length]

    def _read(self, position: int, length: int) -> None:
        end = position + length
        if self._block:
            start = position - position % self._block
            end += -end % self._block
        else:
            is_close = self._start - PIECE_BYTES < position < self._start + len(self._piece) + PIECE_BYTES
            self._size = min(2 * self._size, PIECE_BYTES) if is_close else _LEAST_BYTES
            size = max(length, self._size)
            start = max(0, end - size) if self._is_backwards else position
            end = end if self._is_backwards else start + size
        self._piece = self._reader.read(self._volume, start, end - start)
        self._start = start
        if start + len(self._piece) < position + length:
            raise Unreadable
