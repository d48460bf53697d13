"""What clients read of coded bodies: zlib, and the decoders of zstandard and brotli."""

from __future__ import annotations

import zlib

import brotli  # type: ignore[import-untyped]
import zstandard

#: In the order of preference that is the default.
NAMES = (b"zstd", b"br", b"gzip")


def partly(coding: bytes, data: bytes) -> bytes:
    """What can be read of a body so far."""
    return _read(coding, data)[0]


def decoded(coding: bytes, data: bytes) -> bytes:
    """A whole body; ValueError if it has no end, or something after it."""
    body, is_whole = _read(coding, data)
    if not is_whole:
        raise ValueError(f"not one whole body in {coding.decode()}: {data[:40]!r}...")
    return body


def _read(coding: bytes, data: bytes) -> tuple[bytes, bool]:
    if coding == b"gzip":
        member = zlib.decompressobj(31)
        return member.decompress(data), member.eof and not member.unused_data
    if coding == b"zstd":
        # RFC 9659: what needs a window over 8 MiB may be refused.
        frame = zstandard.ZstdDecompressor(max_window_size=8 * 1024 * 1024).decompressobj()
        return frame.decompress(data), frame.eof and not frame.unused_data
    if coding == b"br":
        stream = brotli.Decompressor()
        pieces = [stream.process(data)]
        # It gives out what fits into its buffer, and the rest when it is asked again.
        while pieces[-1] and not stream.is_finished():
            pieces.append(stream.process(b""))
        return b"".join(pieces), stream.is_finished()
    raise ValueError(f"no such coding: {coding!r}")
