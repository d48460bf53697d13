"""
Bodies of ``POST /v1/entries``: what they are coded with, and the entries of a batch, good and bad ones apart.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeVar

from scalekit.errors import ClientFault
from scalekit.logs.entry import Entry, entry_of, parse_entries, parse_entry

# Of one body, decoded: 80 times what the kit's client sends at once.
BODY_LIMIT = 20 * 1024 * 1024
# Text shrinks to a tenth, a log of equal lines to a hundredth; zlib's bound for zeros is 1,032.
RATIO_LIMIT = 200
# Below it, the ratio says nothing: a small batch of equal entries may pass it, and harms nobody.
RATIO_FLOOR = 1024 * 1024
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
    """

    entries: list[Entry]
    rejected: list[tuple[int, str]]
    rejected_count: int


def decode_body(body: bytes, coding: str) -> bytes:
    """
    The body without its Content-Encoding (RFC 9110 section 8.4): gzip, identity or none.

    Raises `ClientFault`: 413 if it gets too big, 415 for another coding, 400 if it is damaged.
    """
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return body
    if coding not in ("gzip", "x-gzip"):
        raise ClientFault(415, "bad-coding", f"Content-Encoding: found {coding[:40]!r}, expected gzip or none.")
    limit = min(BODY_LIMIT, max(RATIO_FLOOR, RATIO_LIMIT * len(body)))
    pieces: list[bytes] = []
    size = 0
    rest = body
    while rest or not pieces:  # a gzip body may have several members (RFC 1952 section 2.2)
        member = zlib.decompressobj(wbits=31)
        try:
            piece = member.decompress(rest, limit - size + 1)
        except zlib.error:
            raise ClientFault(400, "bad-coding", "The body is not the gzip that it claims to be.") from None
        size += len(piece)
        if size > limit:
            raise ClientFault(413, "body-too-big", f"The body is longer than {limit} bytes when decoded.")
        if not member.eof:
            raise ClientFault(400, "bad-coding", "The body's gzip is cut off.")
        pieces.append(piece)
        rest = member.unused_data
    return b"".join(pieces)


def parse_lines(body: bytes) -> Batch:
    """The batch of an NDJSON body; empty lines do not count. Raises `ClientFault` 413 for too many."""
    if body.count(b"\n") > ENTRIES_LIMIT:
        raise ClientFault(413, "too-many-entries", f"The body has more than {ENTRIES_LIMIT} lines.")
    lines = ((number, line) for number, line in enumerate(body.split(b"\n"), 1) if line and not line.isspace())
    return _batch(parse_entry, lines)


def parse_array(body: bytes) -> Batch:
    """The batch of a JSON array, or of one object. Raises `ClientFault`: 400 if it is neither, 413 for too many."""
    return _batch(entry_of, enumerate(parse_entries(body, ENTRIES_LIMIT), 1))


def _batch(parse: Callable[[T], Entry], numbered: Iterable[tuple[int, T]]) -> Batch:
    entries: list[Entry] = []
    rejected: list[tuple[int, str]] = []
    count = 0
    for number, raw in numbered:
        try:
            entries.append(parse(raw))
        except ClientFault as fault:
            count += 1
            if len(rejected) < REPORT_LIMIT:
                rejected.append((number, fault.detail))
    return Batch(entries, rejected, count)
