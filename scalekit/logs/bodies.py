"""
Bodies of ``POST /v1/entries``: what they are coded with, and the entries of a batch, good and bad ones apart.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

import msgspec
import zstandard

from scalekit.errors import ClientFault
from scalekit.logs.entry import Entry, entry_of, parse_entries, parse_entry, parse_plain_lines

# Of one body, decoded: 80 times what the kit's client sends at once.
BODY_LIMIT = 20 * 1024 * 1024
# Text shrinks to a tenth, a log of equal lines to a hundredth; zlib's bound for zeros is 1,032.
RATIO_LIMIT = 200
# Below it, the ratio says nothing: a small batch of equal entries may pass it, and harms nobody.
RATIO_FLOOR = 1024 * 1024
_ZSTD_PIECE = 256
_zstd = zstandard.ZstdDecompressor(max_window_size=8 * 1024 * 1024)  # what RFC 9659 allows the content coding
# What is parsed in one go in the reactor's thread: some 30 ms. The kit's client sends 500.
ENTRIES_LIMIT = 10_000
# Enough to see what is wrong with a client.
REPORT_LIMIT = 100

T = TypeVar("T")


class Batch(NamedTuple):
    """
    A batch's entries.

    :ivar rejected: for each bad one its number in the batch, from 1, and what is wrong; at most `REPORT_LIMIT`.
    :ivar rejected_count: how many there were.
    :ivar bad: the bad ones themselves, as far as they are in `rejected`.
    """

    entries: list[Entry]
    rejected: list[tuple[int, str]]
    rejected_count: int
    bad: list[bytes]


def decode_body(body: bytes, coding: str) -> bytes:
    """
    The body without its Content-Encoding (RFC 9110 section 8.4): gzip, zstd (RFC 8878), identity or none.

    Raises `ClientFault`: 413 if it gets too big, 415 for another coding, 400 if it is damaged.
    """
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return body
    limit = min(BODY_LIMIT, max(RATIO_FLOOR, RATIO_LIMIT * len(body)))
    try:
        if coding in ("gzip", "x-gzip"):
            return _gunzip(body, limit)
        if coding == "zstd":
            return _unpack_zstd(body, limit)
    except (zlib.error, zstandard.ZstdError, EOFError):
        raise ClientFault(400, "bad-coding", f"The body is not the {coding} that it claims to be.") from None
    raise ClientFault(415, "bad-coding", f"Content-Encoding: found {coding[:40]!r}, expected gzip, zstd or none.")


def _gunzip(body: bytes, limit: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    rest = body
    while rest or not pieces:  # there may be several members (RFC 1952 section 2.2)
        member = zlib.decompressobj(wbits=31)
        piece = member.decompress(rest, limit - size + 1)
        size += len(piece)
        _check_size(size, limit)
        if not member.eof:
            raise EOFError
        pieces.append(piece)
        rest = member.unused_data
    return b"".join(pieces)


def _unpack_zstd(body: bytes, limit: int) -> bytes:
    pieces: list[bytes] = []
    size = 0
    position = 0
    frame = None
    while position < len(body) or frame is not None or not pieces:
        frame = frame or _zstd.decompressobj(read_across_frames=False)
        if position >= len(body):
            raise EOFError
        # Four bytes can stand for a block of 128 KiB: so little at a time that no bomb goes off.
        given = body[position : position + _ZSTD_PIECE]
        piece = frame.decompress(given)
        position += len(given) - len(frame.unused_data)
        size += len(piece)
        _check_size(size, limit)
        pieces.append(piece)
        frame = None if frame.eof else frame
    return b"".join(pieces)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise ClientFault(413, "body-too-big", f"The body is longer than {limit} bytes when decoded.")


def parse_lines(body: bytes) -> Batch:
    """The batch of an NDJSON body; empty lines do not count. Raises `ClientFault` 413 for too many."""
    if body.count(b"\n") > ENTRIES_LIMIT:
        raise ClientFault(413, "too-many-entries", f"The body has more than {ENTRIES_LIMIT} lines.")
    entries = parse_plain_lines(body)
    if entries is not None:
        return Batch(entries, [], 0, [])
    lines = ((number, line) for number, line in enumerate(body.split(b"\n"), 1) if line and not line.isspace())
    return _batch(parse_entry, lines)


def parse_array(body: bytes) -> Batch:
    """The batch of a JSON array, or of one object. Raises `ClientFault`: 400 if it is neither, 413 for too many."""
    return _batch(entry_of, enumerate(parse_entries(body, ENTRIES_LIMIT), 1))


def _batch(parse: Callable[[T], Entry], numbered: Iterable[tuple[int, T]]) -> Batch:
    entries: list[Entry] = []
    rejected: list[tuple[int, str]] = []
    bad: list[bytes] = []
    count = 0
    for number, raw in numbered:
        try:
            entries.append(parse(raw))
        except ClientFault as fault:
            count += 1
            if len(rejected) < REPORT_LIMIT:
                rejected.append((number, fault.detail))
                bad.append(raw if isinstance(raw, bytes) else msgspec.json.encode(raw))
    return Batch(entries, rejected, count, bad)
