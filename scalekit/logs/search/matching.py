"""
Whether an entry is one that a query finds.

`Matcher` says it exactly.  `Matcher.may_match` looks at the bytes of an entry's line without decoding it, and lets
through all that the query finds and some more: with a rare word it leaves out nearly everything at a tenth of the cost.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from scalekit.logs.search.language import Field, Level, Query, Source, Text, whole_match
from scalekit.logs.search.words import plan_lookup

_decode = msgspec.json.Decoder().decode
#: Level, source, message, and the decoded fields.
_Test = Callable[[str, str, str, Any], bool]
# What JSON may write in another way: quotes, backslashes, control characters; and letters beyond ASCII, as bytes have
# no upper and lower case of them.
_PLAIN = re.compile(r"[ !#-\[\]-~]+")
# In Unicode these two are k and s in another case (KELVIN SIGN, LONG S): a query in ASCII is compared in ASCII.
_ASCII = "(?ai:%s)"
# This sign (COMBINING GREEK YPOGEGRAMMENI) is no letter, and words end before it; yet in Unicode its other case is an
# iota.  Here it is itself alone.
_SIGN = "(?-i:\u0345)"
_IOTAS = "\u03b9\u0399\u1fbe"


class Matcher:
    """
    See the module.

    :ivar since: the first nanosecond since the epoch that counts; `until`: the first that does not any more.
    :ivar lookup: what an index is asked for.
    """

    def __init__(self, query: Query) -> None:
        self.since, self.until = query.since, query.until
        self.lookup = plan_lookup(query.terms)
        # The cheapest first: most entries fail there.
        cost = {Level: 0, Source: 1, Text: 2, Field: 3}
        terms = sorted(query.terms, key=lambda term: cost[type(term)])
        self._tests = [_test(term) for term in terms]
        self._needs_fields = any(isinstance(term, Text | Field) for term in terms)
        # In lower case, as is what they are looked for in: ten times as fast as a pattern.
        self._needles = [
            term.text.lower().encode()
            for term in terms
            if isinstance(term, Text) and not term.is_not and _PLAIN.fullmatch(term.text)
        ]
        self._levels = [
            re.compile(b"|".join(b'"Level":"%b"' % name.encode() for name in sorted(term.names)) or b"(?!)").search
            for term in terms
            if isinstance(term, Level)
        ]

    def may_match(self, line: bytes) -> bool:
        """False only if no entry with this line of the log's truth is found."""
        for search in self._levels:
            if search(line) is None:
                return False
        lower = line.lower() if self._needles else b""
        for needle in self._needles:  # noqa: SIM110 - a generator costs as much as a search
            if needle not in lower:
                return False
        return True

    def matches(self, time: int, level: str, source: str, message: str, fields: str | bytes | None) -> bool:
        """
        Whether the query finds it.

        :param time: nanoseconds since the epoch.
        :param fields: a JSON object; None: there are none.
        """
        if not self.since <= time < self.until:
            return False
        decoded = _decode(fields) if fields is not None and self._needs_fields else None
        for test in self._tests:  # noqa: SIM110 - as above
            if not test(level, source, message, decoded):
                return False
        return True

    def __repr__(self) -> str:
        return f"<Matcher of {len(self._tests)} terms>"


def _test(term: Text | Level | Source | Field) -> _Test:
    match term:
        case Level(names):
            return lambda level, source, message, fields: level in names
        case Source(pattern, is_not):
            whole = whole_match(pattern)
            return lambda level, source, message, fields: (whole(source) is None) == is_not
        case Field(name, pattern, is_not):
            whole = whole_match(pattern)
            return lambda level, source, message, fields: any(whole(text) for text in _values(fields, name)) != is_not
        case Text():
            return _text_test(term)


def _text_test(term: Text) -> _Test:
    find = re.compile(word_pattern(term)).search

    def has(level: str, source: str, message: str, fields: Any) -> bool:
        found = find(message) is not None or find(source) is not None
        if not found and fields:
            found = any(find(text) is not None for text in texts_of(fields))
        return found != term.is_not

    return has


def word_pattern(term: Text) -> str:
    """The regular expression of a word or phrase: whole words, any case."""
    text = term.text
    pattern = re.escape(text)
    pattern = _ASCII % pattern if text.isascii() else _any_case(pattern)
    # Where the text itself ends with what is no letter, there is no word that could go on.
    before = "" if term.is_open_left or not _is_letter(text[0]) else r"(?<!\w)"
    after = "" if term.is_open_right or not _is_letter(text[-1]) else r"(?!\w)"
    return f"{before}{pattern}{after}"


def _any_case(pattern: str) -> str:
    pattern = pattern.replace("\u0345", _SIGN)
    for iota in _IOTAS:
        pattern = pattern.replace(iota, f"(?!{_SIGN}){iota}")
    return f"(?i:{pattern})"


def _is_letter(character: str) -> bool:
    return character == "_" or character.isalnum()


def text_of(value: object) -> str:
    """A field's value as people write it: a string as it is, all else as JSON."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _values(fields: Any, name: str) -> Iterator[str]:
    """What the field of this name holds: one that is called so, or along the dots; several, if there are lists."""
    if not isinstance(fields, dict):
        return
    if name in fields:
        value = fields[name]
        for each in value if isinstance(value, list) else (value,):
            yield text_of(each)
    head, dot, rest = name.partition(".")
    if dot:
        yield from _values(fields.get(head), rest)


def texts_of(value: Any) -> Iterator[str]:
    """All that is written in fields, names included."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield name
            yield from texts_of(each)
    elif isinstance(value, list):
        for each in value:
            yield from texts_of(each)
    else:
        yield text_of(value)
