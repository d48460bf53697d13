"""
Bodies of ``POST /v1/entries``: what they are coded with, and the entries of a batch, good and bad ones apart.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

import msgspec
import zstandard

from scalekit.errors import ClientFault
from scalekit.logs.entry import Entry, entry_of, parse_entries, parse_entry
from scalekit.logs.plain_lines import parse_plain_lines

# Of one body, decoded: 80 times what the kit's client sends at once.
BODY_LIMIT = 20 * 1024 * 1024
# Text shrinks to a tenth, a log of equal lines to a hundredth; zlib's bound for zeros is 1,032.
RATIO_LIMIT = 200
# Below it, the ratio says nothing: a small batch of equal entries may pass it, and harms nobody.
RATIO_FLOOR = 1024 * 1024
# A byte of gzip stands for 1,032 at most, four bytes of zstd can stand for a block of 128 KiB: so little at a time that
# no bomb goes off.
_GZIP_STEP = 8 * 1024
_ZSTD_STEP = 256
_zstd = zstandard.ZstdDecompressor(max_window_size=8 * 1024 * 1024)  # what RFC 9659 allows the content coding
# What is parsed in one go in the reactor's thread: some 30 ms. The kit's client sends 500. There may be as many coded
# parts: who codes each entry by itself has no more.
ENTRIES_LIMIT = 10_000
# Of commas and opening brackets in a body of JSON, one for eight bytes of the largest one: each may be a value, which
# costs a hundred times what its three bytes say. Logs have one for twenty.
VALUES_LIMIT = BODY_LIMIT // 8
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

    entries: Sequence[Entry]
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
            return _unpack(body, limit, _GZIP_STEP, partial(zlib.decompressobj, wbits=31))
        if coding == "zstd":
            return _unpack(body, limit, _ZSTD_STEP, partial(_zstd.decompressobj, read_across_frames=False))
    except (zlib.error, zstandard.ZstdError, EOFError):
        raise ClientFault(400, "bad-coding", f"The body is not the {coding} that it claims to be.") from None
    raise ClientFault(415, "bad-coding", f"Content-Encoding: found {coding[:40]!r}, expected gzip, zstd or none.")


def _unpack(body: bytes, limit: int, step: int, begin: Callable[[], Any]) -> bytes:
    """
    The body of one member or frame after the other (RFC 1952 section 2.2, RFC 8878 section 3.1).

    :param step: bytes that are unpacked in one go: what comes of them has to be bounded, and what is left of them
        behind a member is copied.
    :param begin: what unpacks a member.
    """
    pieces: list[bytes] = []
    size = 0
    position = 0
    members = 0
    member = None
    while position < len(body) or member is not None or not pieces:
        if position >= len(body):
            raise EOFError
        if member is None:
            members += 1
            if members > ENTRIES_LIMIT:
                raise ClientFault(413, "too-many-members", f"The body has more than {ENTRIES_LIMIT} coded parts.")
            member = begin()
        given = body[position : position + step]
        piece = member.decompress(given)
        position += len(given) - len(member.unused_data)
        size += len(piece)
        _check_size(size, limit)
        pieces.append(piece)
        member = None if member.eof else member
    return b"".join(pieces)


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise ClientFault(413, "body-too-big", f"The body is longer than {limit} bytes when decoded.")


def check_values(body: bytes) -> None:
    """Raise `ClientFault` 413 for a body of JSON that nearly all of is brackets and commas."""
    # One that is shorter cannot have as many.
    if len(body) > VALUES_LIMIT and sum(map(body.count, (b",", b"[", b"{"))) > VALUES_LIMIT:
        raise ClientFault(413, "too-many-values", f"The body has more than {VALUES_LIMIT} values.")


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
