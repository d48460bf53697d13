"""
Many entries as columns: one list for each of what they have, instead of an object for each entry.

So they are numbered, stored, sorted and written: what is done to a list of texts in one go takes a fifth of what it
takes to go from object to object.  Whoever wants entries gets them, made as they are asked for: `Columns` is a
sequence of `Entry`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import compress, repeat
from operator import itemgetter
from typing import Any, overload

import msgspec

from scalekit.logs.entry import Entry

#: Level and source: they are the same for most of a batch, if not for all of it.
Head = tuple[str, str]
_Lists = tuple[list[int | None], list[int], list[Head], list[str], list[str | None], bool]
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Lists)


class Columns(Sequence[Entry]):
    """
    Some entries.

    :ivar said: the time of each, nanoseconds since the epoch; None: it says none.
    :ivar kinds: for each, which of the heads it has; empty: the first one, all of them.
    :ivar heads: all different.
    :ivar messages: of each.
    :ivar fields: of each, as JSON, None: it has none; empty: no entry has any.
    :ivar is_plain: whether it is known that no message has a character that stands for something else in JSON or in
        ``log.txt``.  False says nothing.
    """

    __slots__ = ("fields", "heads", "is_plain", "kinds", "messages", "said")

    def __init__(
        self,
        said: Sequence[int | None],
        kinds: Sequence[int],
        heads: list[Head],
        messages: Sequence[str],
        fields: Sequence[str | None],
        is_plain: bool = False,
    ) -> None:
        self.said = said
        self.kinds = kinds
        self.heads = heads
        self.messages = messages
        self.fields = fields
        self.is_plain = is_plain

    def encode(self) -> bytes:
        """In msgpack."""
        return _encoder.encode((self.said, self.kinds, self.heads, self.messages, self.fields, self.is_plain))

    def mapped(self, change: Callable[[Sequence[Any]], Sequence[Any]]) -> Columns:
        """The entries that a change leaves that is made to each column."""
        said, kinds, messages, fields = map(change, (self.said, self.kinds, self.messages, self.fields))
        return Columns(said, kinds, self.heads, messages, fields, self.is_plain)

    def chosen(self, selectors: Sequence[bool]) -> Columns:
        """Those entries in whose places is True."""
        return self.mapped(lambda column: list(compress(column, selectors)))

    def without_times(self) -> Columns:
        """The same where the times are known: for what goes by `messages`, `kinds` and `fields`."""
        return Columns((), self.kinds, self.heads, self.messages, self.fields, self.is_plain)

    def sources(self) -> Iterable[str]:
        """Of each entry."""
        if self.kinds:
            return [self.heads[kind][1] for kind in self.kinds]
        return repeat(self.heads[0][1], len(self)) if self.heads else ()

    def __len__(self) -> int:
        return len(self.messages)

    def __iter__(self) -> Iterator[Entry]:
        if not self.messages:
            return
        heads = self.heads
        of_each: Iterable[Head] = [heads[kind] for kind in self.kinds] if self.kinds else repeat(heads[0])
        fields = self.fields or repeat(None)
        for time, (level, source), message, others in zip(self.said, of_each, self.messages, fields, strict=False):
            yield Entry(time, level, source, message, others)

    @overload
    def __getitem__(self, place: int) -> Entry: ...

    @overload
    def __getitem__(self, place: slice) -> Columns: ...

    def __getitem__(self, place: int | slice) -> Entry | Columns:
        if isinstance(place, slice):
            return self.mapped(itemgetter(place))
        level, source = self.heads[self.kinds[place] if self.kinds else 0]
        return Entry(self.said[place], level, source, self.messages[place], self.fields[place] if self.fields else None)

    def __repr__(self) -> str:
        return f"<Columns of {len(self)} entries of {len(self.heads)} kinds>"


def columns_of(entries: Sequence[Entry]) -> Columns:
    """These entries as columns; the same if they are."""
    if isinstance(entries, Columns):
        return entries
    fields = [entry.fields for entry in entries]
    kinds, heads = kinds_of([(entry.level, entry.source) for entry in entries])
    return Columns(
        [entry.time for entry in entries],
        kinds,
        heads,
        [entry.message for entry in entries],
        [] if fields.count(None) == len(fields) else fields,
    )


def kinds_of(heads: Iterable[Head]) -> tuple[list[int], list[Head]]:
    """The column of kinds for the heads of entries, and what there is of them."""
    heads = list(heads)
    places: dict[Head, int] = {}
    for head in dict.fromkeys(heads):
        places[head] = len(places)
    return [places[head] for head in heads] if len(places) > 1 else [], list(places)


def decode_columns(payload: bytes) -> Columns:
    """What `Columns.encode` has made; raises ValueError if it is something else."""
    return Columns(*_decoder.decode(payload))


def together(several: Sequence[Columns]) -> Columns:
    """The entries of all of them, one after the other."""
    if len(several) == 1:
        return several[0]
    said: list[int | None] = []
    messages: list[str] = []
    kinds: list[int] = []
    fields: list[str | None] = []
    places: dict[Head, int] = {}
    has_fields = any(columns.fields for columns in several)
    for columns in several:
        said += columns.said
        messages += columns.messages
        here = [places.setdefault(head, len(places)) for head in columns.heads]
        kinds += [here[kind] for kind in columns.kinds] if columns.kinds else here * len(columns)
        if has_fields:
            fields += columns.fields or [None] * len(columns)
    is_plain = all(columns.is_plain for columns in several)
    return Columns(said, kinds if len(places) > 1 else [], list(places), messages, fields, is_plain)
