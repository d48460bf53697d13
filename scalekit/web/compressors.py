"""
The three content codings that we make: `Zstd` (RFC 8878 and 9659), `Brotli` (RFC 7932) and `Gzip` (RFC 1952).

Levels were chosen by this table: 64 KiB of each, CPU milliseconds and what is left in percent.

========  ============  ============  ============
..        JSON          HTML          Python
========  ============  ============  ============
zstd 1    0.1 ms, 24.3  0.1 ms, 32.6  0.2 ms, 32.7
zstd 3    0.2 ms, 23.6  0.3 ms, 30.1  0.3 ms, 30.4
zstd 6    0.8 ms, 22.3  1.0 ms, 28.9  0.9 ms, 28.3
br 4      0.6 ms, 22.9  0.8 ms, 29.7  0.8 ms, 29.6
br 5      1.0 ms, 21.6  1.2 ms, 27.9  1.2 ms, 27.4
br 6      1.2 ms, 21.4  1.9 ms, 27.7  1.8 ms, 27.1
gzip 1    0.4 ms, 27.5  0.4 ms, 33.6  0.5 ms, 34.2
gzip 5    0.8 ms, 23.5  1.2 ms, 29.3  1.2 ms, 28.5
gzip 6    1.1 ms, 23.1  1.7 ms, 28.9  1.7 ms, 28.1
gzip 9    3.7 ms, 22.3  3.3 ms, 28.8  4.0 ms, 28.0
========  ============  ============  ============

zstd 3 (its authors' default) leaves about what gzip 5 does in a quarter of the time, br 4 (Cloudflare's) in three
quarters; br 5 leaves a twentieth less, but through the balancer it took twice as long as gzip.  gzip 5 as in Go and
Caddy: nginx takes 1, Twisted 9.  All of them let other threads run while they work.

A stream keeps its compressor for as long as it lasts, so windows are small, and so is `Coding.stream_bytes`.  Of 1 MiB
of JSON, br 4 leaves 21.2 % with 64 KiB (and takes 0.8 MiB of memory), 19.5 % with 256 KiB (1.2 MiB, and twice as long
for what is done at the end); zstd 3 leaves 20.8 % as it is set below (0.7 MiB), 20.1 % with 2 MiB (1.5 MiB).  RFC 9659
allows zstd 8 MiB.
"""

from __future__ import annotations

import zlib
from typing import Any, Protocol

import brotli  # type: ignore[import-untyped]
import zstandard

KIB = 1024


class Compressor(Protocol):
    """One body under way; used by one thread at a time."""

    def compress(self, data: Any) -> bytes:
        """Take more (bytes or a memoryview); returns what is ready, often nothing."""

    def flush(self) -> bytes:
        """Return what has been kept back, so that all that was given can be read."""

    def finish(self) -> bytes:
        """The rest and the end."""


class Coding(Protocol):
    """
    A content coding.

    :ivar inline_bytes: up to this size a piece is coded on the reactor's thread: the worst text found takes 3 ms.
    """

    inline_bytes: int

    def whole(self, body: bytes) -> bytes:
        """A body of up to `inline_bytes`, coded; for the reactor's thread only."""

    def stream(self, is_live: bool) -> Compressor:
        """A new compressor; ``is_live``: for one that lasts long and says little (``text/event-stream``)."""

    def stream_bytes(self, is_live: bool) -> int:
        """The most memory that such a compressor takes (measured, or its own estimate)."""


class Gzip:
    """gzip: what every client reads."""

    inline_bytes = 64 * KIB
    _LEVEL = 5

    def whole(self, body: bytes) -> bytes:
        compressor = self._compressor()
        coded: bytes = compressor.compress(body) + compressor.flush()
        return coded

    def stream(self, is_live: bool) -> Compressor:
        return _GzipStream(self._compressor())

    def stream_bytes(self, is_live: bool) -> int:
        return 256 * KIB  # zlib.h: (1 << (windowBits + 2)) + (1 << (memLevel + 9))

    def _compressor(self) -> Any:
        return zlib.compressobj(self._LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)


class _GzipStream:
    __slots__ = ("_compressor", "compress", "finish")

    def __init__(self, compressor: Any) -> None:
        self._compressor = compressor
        self.compress = compressor.compress
        self.finish = compressor.flush

    def flush(self) -> bytes:
        flushed: bytes = self._compressor.flush(zlib.Z_SYNC_FLUSH)
        return flushed


class Brotli:
    """br: what browsers read over TLS."""

    inline_bytes = 64 * KIB
    _QUALITY = 4
    _WINDOW_BITS = 16

    def whole(self, body: bytes) -> bytes:
        coded: bytes = brotli.compress(body, quality=self._QUALITY, lgwin=self._WINDOW_BITS)
        return coded

    def stream(self, is_live: bool) -> Compressor:
        return _BrotliStream(brotli.Compressor(quality=self._QUALITY, lgwin=self._WINDOW_BITS))

    def stream_bytes(self, is_live: bool) -> int:
        # It grows with what it has been given: 540 KiB after 20 KiB of events, 791 KiB after half a megabyte.
        return 800 * KIB


class _BrotliStream:
    __slots__ = ("compress", "finish", "flush")

    def __init__(self, compressor: Any) -> None:
        self.compress = compressor.process
        self.flush = compressor.flush
        self.finish = compressor.finish


class Zstd:
    """zstd: what browsers since 2024 and curl read."""

    inline_bytes = 128 * KIB
    _LEVEL = 3

    def __init__(self) -> None:
        # Kept: making its tables anew for each would cost 10 us, as much as coding 2 KiB.
        self._whole = zstandard.ZstdCompressor(level=self._LEVEL)
        # Of small events 39.9 % are left with tables of 8,192 entries, 39.8 % with the usual ones, which take 0.8 MiB.
        self._live = zstandard.ZstdCompressionParameters.from_level(
            self._LEVEL, window_log=16, hash_log=13, chain_log=13
        )
        self._long = zstandard.ZstdCompressionParameters.from_level(
            self._LEVEL, window_log=18, hash_log=15, chain_log=15
        )

    def whole(self, body: bytes) -> bytes:
        return self._whole.compress(body)

    def stream(self, is_live: bool) -> Compressor:
        # A `ZstdCompressor` serves one stream at a time.
        return _ZstdStream(zstandard.ZstdCompressor(compression_params=self._parameters(is_live)).compressobj())

    def stream_bytes(self, is_live: bool) -> int:
        return self._parameters(is_live).estimated_compression_context_size()

    def _parameters(self, is_live: bool) -> zstandard.ZstdCompressionParameters:
        return self._live if is_live else self._long


class _ZstdStream:
    __slots__ = ("_compressor", "compress", "finish")

    def __init__(self, compressor: zstandard.ZstdCompressionObj) -> None:
        self._compressor = compressor
        self.compress = compressor.compress
        self.finish = compressor.flush

    def flush(self) -> bytes:
        return self._compressor.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)


#: By the name that Accept-Encoding and Content-Encoding know.
CODINGS: dict[bytes, type[Gzip | Brotli | Zstd]] = {b"zstd": Zstd, b"br": Brotli, b"gzip": Gzip}
