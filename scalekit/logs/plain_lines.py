"""
NDJSON in which each line is as nearly every client sends it, read as columns: all lines in one go.

What is anything else is for `scalekit.logs.entry.parse_entry`, line by line.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import msgspec

from scalekit.errors import ClientFault
from scalekit.logs.columns import Columns, Head, kinds_of
from scalekit.logs.entry import (
    FIELD_LIMIT,
    SURELY_FEW,
    SURELY_SHORT,
    Plain,
    checked_source,
    level_named,
    refuse_width,
    short_fields,
    short_message,
)
from scalekit.logs.moments import parse_timestamp, parse_timestamps

# Of fewer entries, to look at their timestamps together takes longer than to parse each.
_WORTH_A_LOOK = 8
_decoder = msgspec.json.Decoder(Plain)
_encoder = msgspec.json.Encoder()


def parse_plain_lines(document: bytes) -> Columns | None:
    """The entries of NDJSON in which each line is as `Plain` says and nothing is wrong; None for any other."""
    try:
        plains = _decoder.decode_lines(document)
        messages = [plain.Message for plain in plains]
        # No text of the document is longer than all of it.
        if len(document) > SURELY_SHORT and max(map(len, messages)) > SURELY_SHORT:
            messages = [short_message(message) for message in messages]
        return Columns(_times(plains), *_kinds(plains), messages, _fields(plains), _is_plain(document))
    except (ValueError, RecursionError, ClientFault):
        return None


def _is_plain(document: bytes) -> bool:
    """Whether no text in it has a character of which `scalekit.logs.columns.Columns.is_plain` says that it has none."""
    # Without a backslash JSON can have no quote and no control character but this one (RFC 8259 section 7).
    return b"\\" not in document and b"\x7f" not in document and document.isascii()


def _kinds(plains: Sequence[Plain]) -> tuple[list[int], list[Head]]:
    """Raises `ClientFault`."""
    if not plains:
        return [], []
    levels = [plain.Level for plain in plains]
    sources = [plain.Source for plain in plains]
    if levels.count(levels[0]) == len(levels) and sources.count(sources[0]) == len(sources):
        return [], [(level_named(levels[0]), checked_source(sources[0]))]
    level_of = {level: level_named(level) for level in set(levels)}
    for source in set(sources):
        checked_source(source)
    return kinds_of([(level_of[level], source) for level, source in zip(levels, sources, strict=True)])


def _times(plains: Sequence[Plain]) -> Sequence[int | None]:
    """Raises ValueError."""
    given = [plain.Timestamp for plain in plains]
    if len(given) >= _WORTH_A_LOOK and None not in given:
        return parse_timestamps(cast("list[str]", given))
    return [None if text is None else parse_timestamp(text) for text in given]


def _fields(plains: Sequence[Plain]) -> Sequence[str | None]:
    """What `scalekit.logs.entry.fields_of` says of each, for all at once; raises `ClientFault` if one has too many."""
    given = [plain.Fields for plain in plains if plain.Fields]
    if not given:
        return ()
    if max(map(len, given)) > FIELD_LIMIT:
        refuse_width()
    # The encoder writes a newline behind each, and none within.
    texts = _encoder.encode_lines(given).decode().split("\n")
    del texts[-1]
    if max(map(len, texts)) > SURELY_FEW:
        texts = [short_fields(text.encode()) for text in texts]
    if len(given) == len(plains):
        return texts
    left = iter(texts)
    return [next(left) if plain.Fields else None for plain in plains]
