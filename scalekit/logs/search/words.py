r"""
Words as the index of a volume has them, and what a query asks of it.

A word of the index is what ``\w+`` matches, without upper and lower case; SQLite's own tokenizer takes a text apart in
the same way once `folded` has taken out of it what that does not know.  What a query finds has all the words of its
`Lookup`, never the other way round: the index gives candidates, `scalekit.logs.search.matching` says.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from scalekit.logs.search.language import Field, Level, Source, Term, Text, literals

#: What begins with less begins too many words: to gather them takes as long as to look at the lines.
PREFIX_LENGTH = 3

_WORD = re.compile(r"\w+")


class _Folding(dict[int, int | str]):
    """For `str.translate`: a letter beyond ASCII in its one form, what is no part of a word as a blank."""

    def __missing__(self, code: int) -> int | str:
        character = chr(code)
        if code < 0x80:
            folded: int | str = code  # SQLite's part
        elif character.isalnum():
            # One letter for all that are the same in any case, also by way of a third: "ß" is an "s" here.
            folded = character.lower()[0].upper()[0].lower()[0]
        else:
            folded = " "
        self[code] = folded
        return folded


_folding = _Folding()


def folded(text: str) -> str:
    """The text for SQLite's ``ascii`` tokenizer, which has all beyond ASCII for letters of one case."""
    return text if text.isascii() else text.translate(_folding)


class Lookup(NamedTuple):
    """
    What the index is asked for.

    :ivar match: the words, as FTS5 takes them; empty: any.
    :ivar levels: None: any.
    :ivar is_exact: whether it is all that the query says, but for the time.
    """

    match: str = ""
    levels: frozenset[str] | None = None
    sources: tuple[Source, ...] = ()
    is_exact: bool = False

    @property
    def is_any(self) -> bool:
        """Whether it leaves nothing out."""
        return not self.match and self.levels is None and not self.sources


def plan_lookup(terms: Sequence[Term]) -> Lookup:
    """What of a query's terms the index can answer."""
    words: dict[str, None] = {}  # each once, in their order
    levels: frozenset[str] | None = None
    sources = []
    is_exact = True
    for term in terms:
        match term:
            case Level(names):
                levels = names if levels is None else levels & names
            case Source():
                sources.append(term)
            case _:
                is_exact = False
                words.update(dict.fromkeys(_asked(term)))
    return Lookup(" ".join(words), levels, tuple(sources), is_exact)


def _asked(term: Text | Field) -> Iterator[str]:
    if term.is_not:
        return
    if isinstance(term, Text):
        yield from _whole_words(term.text, term.is_open_left, term.is_open_right)
        return
    pieces = literals(term.pattern)
    found: list[str] = []
    # An object or a list is compared as JSON, where a backslash makes other words of a text.
    if not any("\\" in piece for piece in pieces):
        last = len(pieces) - 1
        for place, piece in enumerate(pieces):
            found += _whole_words(piece, place > 0, place < last)
    # Names have the same words in all entries of a kind: no use beside a value.
    yield from found or _whole_words(term.name, False, False)


def _whole_words(text: str, is_open_left: bool, is_open_right: bool) -> Iterator[str]:
    """The words, in FTS5's syntax, that are in every text in which this one stands; open: where a word may go on."""
    text = folded(text)
    for found in _WORD.finditer(text):
        if is_open_left and found.start() == 0:
            continue
        if not is_open_right or found.end() < len(text):
            yield f'"{found[0]}"'
        elif len(found[0]) >= PREFIX_LENGTH:
            yield f'"{found[0]}"*'
