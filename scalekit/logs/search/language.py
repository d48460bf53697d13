r"""
What people type to find entries, as terms that all have to hold::

    timeout "no such host" -healthz level>=warn source:shop-* status=503 from:15m

====================  =================================================================================================
``word``              stands as a whole word in the message, the source, or a field; upper and lower case are the same
``time*``             begins a word; ``*out`` ends one
``"two words"``       stand there in this order; ``\"`` and ``\\`` are the characters themselves
``level>=warn``       also ``=``, ``:``, ``!=``, ``<``, ``<=``, ``>``; levels by all names that entries may use
``source:shop-*``     its whole source, ``*`` being anything; ``=`` is the same
``key=value``         a field of this name has this value, ``*`` being anything; ``a.b=c``: within an object; ``!=``
``from:15m to:5m``    between a quarter of an hour and five minutes ago; also RFC 3339, without seconds or zone (UTC)
``-term``             the opposite of any of them
====================  =================================================================================================

Every refusal is a `QuerySyntax` that names the character.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, NoReturn

from scalekit.errors import ClientFault
from scalekit.logs.entry import LEVELS, level_of
from scalekit.logs.moments import nearest_timestamp
from scalekit.logs.order import EVER, NEVER

#: What somebody types is some dozen terms; each costs something for every line that is looked at.
TEXT_LIMIT = 1000
TERM_LIMIT = 32

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_AGO = re.compile(r"-?([0-9]{1,9})([smhdw])")
_SHORT_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[Tt ]([0-9]{2}:[0-9]{2}))?(Z)?")
_NAMED = re.compile(r"([A-Za-z_][\w.@/-]*)(>=|<=|!=|[:=<>])")
_BARE = re.compile(r"[^\s\"]+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
# Of a pattern; an escaped text has no dot without a backslash before it, and no asterisk behind one.
_ANYTHING = ".*"
_OPPOSITES = {"=": "!=", "!=": "=", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}


class QuerySyntax(ClientFault):
    """400: the query cannot be understood; ``place`` counts its characters from 1."""

    def __init__(self, place: int, what: str) -> None:
        super().__init__(400, "bad-query", f"At character {place} of the query: {what}")
        self.place = place


class Text(NamedTuple):
    """
    A word or phrase.

    :ivar is_open_left: it may begin within a word; `is_open_right`: and end.
    """

    text: str
    is_open_left: bool = False
    is_open_right: bool = False
    is_not: bool = False


class Level(NamedTuple):
    """The levels that are wanted."""

    names: frozenset[str]


class Source(NamedTuple):
    """The pattern of a source, ``*`` being anything."""

    pattern: str
    is_not: bool = False


class Field(NamedTuple):
    """A field and the pattern of its value."""

    name: str
    pattern: str
    is_not: bool = False


Term = Text | Level | Source | Field


class Query(NamedTuple):
    """
    Terms that all have to hold.

    :ivar since: the first nanosecond since the epoch that counts; `until`: the first that does not any more.
    """

    terms: tuple[Term, ...] = ()
    since: int = NEVER
    until: int = EVER


def parse_query(text: str, now: int) -> Query:
    """
    The query that a text is; an empty one finds everything.

    :param now: nanoseconds since the epoch.
    :raises QuerySyntax: it is none.
    """
    if len(text) > TEXT_LIMIT:
        raise QuerySyntax(TEXT_LIMIT + 1, f"it is longer than {TEXT_LIMIT} characters.")
    parser = _Parser(text, now)
    terms: list[Term] = []
    while parser.skip():
        if len(terms) == TERM_LIMIT:
            parser.refuse(f"there are more than {TERM_LIMIT} terms.")
        term = parser.term()
        if term is not None:
            terms.append(term)
    return Query(tuple(terms), parser.since, parser.until)


def parse_moment(text: str, now: int) -> int:
    """Nanoseconds since the epoch of ``15m`` (ago) or a timestamp, also without its end; raises ValueError."""
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return max(now - int(ago[1]) * _UNITS[ago[2]] * 1_000_000_000, NEVER)
    short = _SHORT_TIME.fullmatch(text)
    if short is not None:
        text = f"{short[1]}T{short[2] or '00:00'}:00Z"
    return nearest_timestamp(text)


class _Parser:
    def __init__(self, text: str, now: int) -> None:
        self._text = text
        self._now = now
        self._at = 0
        self.since, self.until = NEVER, EVER

    def skip(self) -> bool:
        """Go over blanks; whether something is left."""
        text = self._text
        while self._at < len(text) and text[self._at].isspace():
            self._at += 1
        return self._at < len(text)

    def refuse(self, what: str, at: int | None = None) -> NoReturn:
        raise QuerySyntax((self._at if at is None else at) + 1, what)

    def term(self) -> Term | None:
        """The next one; None if it was about the time."""
        start = self._at
        is_not = self._text[start] == "-"
        if is_not:
            self._at += 1
            if not self._text[self._at : self._at + 1].strip():
                self.refuse("there is nothing after this minus; put it in quotes to look for it.", start)
        named = _NAMED.match(self._text, self._at)
        # As in a URL: nobody has a field called "https".
        if named is None or (named[2] == ":" and named[1].lower() not in ("level", "source", "from", "to")):
            return self._words(is_not)
        self._at = named.end()
        name, sign = named[1], named[2]
        at = self._at
        value, is_quoted = self._value()
        match name.lower():
            case "level":
                return self._level(sign, value, is_not, at)
            case "source":
                self._only(sign, (":", "=", "!="), "source", named.start(2))
                return Source(_pattern(value, is_quoted), is_not != (sign == "!="))
            case "from" | "to" if sign == ":":
                self._time(name.lower(), value, is_not, at)
                return None
        self._only(sign, ("=", "!="), "a field", named.start(2))
        return Field(name, _pattern(value, is_quoted), is_not != (sign == "!="))

    def _words(self, is_not: bool) -> Text:
        at = self._at
        value, is_quoted = self._value()
        is_open_left = is_open_right = False
        if not is_quoted:
            is_open_left, is_open_right = value.startswith("*"), value.endswith("*")
            value = value.strip("*")
        if not value.strip():
            self.refuse("there is no text to look for.", at)
        return Text(value, is_open_left, is_open_right, is_not)

    def _value(self) -> tuple[str, bool]:
        """What stands here, up to a blank or in quotes, and whether it is in quotes."""
        if self._text[self._at : self._at + 1] == '"':
            quoted = _QUOTED.match(self._text, self._at)
            if quoted is None:
                self.refuse("this quote is not closed.")
            self._at = quoted.end()
            return re.sub(r"\\(.)", r"\1", quoted[1], flags=re.DOTALL), True
        bare = _BARE.match(self._text, self._at)
        if bare is None:
            self.refuse('there is no value; "" is the empty one.')
        self._at = bare.end()
        return bare[0], False

    def _only(self, sign: str, signs: tuple[str, ...], what: str, at: int) -> None:
        if sign not in signs:
            self.refuse(f"found {sign}, expected {' or '.join(signs)} after {what}.", at)

    def _level(self, sign: str, value: str, is_not: bool, at: int) -> Level:
        level = level_of(value)
        if level is None:
            self.refuse(f"found {value[:40]!r}, expected a level: {', '.join(LEVELS).lower()}.", at)
        sign = "=" if sign == ":" else sign
        sign = _OPPOSITES[sign] if is_not else sign
        rank = LEVELS.index(level)
        ranks = {
            "=": [rank],
            "!=": [other for other in range(len(LEVELS)) if other != rank],
            "<": range(rank),
            "<=": range(rank + 1),
            ">": range(rank + 1, len(LEVELS)),
            ">=": range(rank, len(LEVELS)),
        }[sign]
        return Level(frozenset(LEVELS[each] for each in ranks))

    def _time(self, name: str, value: str, is_not: bool, at: int) -> None:
        if is_not:
            self.refuse(f"{name} has no opposite.", at)
        try:
            moment = parse_moment(value, self._now)
        except ValueError as error:
            self.refuse(f"{error}, or a time ago such as 15m, 2h, 7d.", at)
        if name == "from":
            self.since = max(self.since, moment)
        else:
            self.until = min(self.until, moment)


def _pattern(value: str, is_quoted: bool) -> str:
    """A regular expression for a whole value; within quotes ``*`` is itself."""
    if is_quoted:
        return re.escape(value)
    return _ANYTHING.join(re.escape(part) for part in value.split("*"))


def literals(pattern: str) -> list[str]:
    """What stands between the wildcards of a source's or a field's pattern."""
    return [re.sub(r"\\(.)", r"\1", part, flags=re.DOTALL) for part in pattern.split(_ANYTHING)]


def whole_match(pattern: str) -> Callable[[str], re.Match[str] | None]:
    """What says whether the whole of a text is as a source's or a field's pattern says, in time linear in the text."""
    first, *others = pattern.split(_ANYTHING)
    if others:
        *between, last = others
        # Where a piece is found first is as good as any other place. Without that being final, a text without an end
        # that fits takes its length to the power of the pieces, and nobody else has a turn meanwhile.
        pattern = f"{first}{''.join(f'(?>.*?{piece})' for piece in between)}.*{last}"
    return re.compile(pattern, re.DOTALL).fullmatch
