"""What people type, and what is wrong with it."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.entry import LEVELS
from scalekit.logs.order import EVER, NEVER
from scalekit.logs.search.language import Field, Level, Query, QuerySyntax, Source, Text, parse_query, whole_match

NOW = 1_700_000_000_000_000_000


class LanguageTests(SynchronousTestCase):
    """`parse_query`."""

    def terms(self, text: str) -> tuple[object, ...]:
        return parse_query(text, NOW).terms

    def test_terms(self) -> None:
        """Each kind, and its opposite."""
        for text, expected in (
            ("", ()),
            ("  \t ", ()),
            ("timeout", (Text("timeout"),)),
            ("a -b", (Text("a"), Text("b", is_not=True))),
            ("time* *out", (Text("time", False, True), Text("out", True, False))),
            ('"no such \\"host\\" *"', (Text('no such "host" *'),)),
            ('-"a b"', (Text("a b", is_not=True),)),
            ("source:shop-*", (Source("shop\\-.*"),)),
            ('-Source="a*b"', (Source("a\\*b", True),)),
            ("source!=a", (Source("a", True),)),
            ("status=503", (Field("status", "503"),)),
            ('user.name="Ann B"', (Field("user.name", "Ann\\ B"),)),
            ("-status!=5*", (Field("status", "5.*"),)),
            ('key=""', (Field("key", ""),)),
            ("https://host:80/x 12:30", (Text("https://host:80/x"), Text("12:30"))),
        ):
            self.assertEqual(self.terms(text), expected, text)

    def test_levels(self) -> None:
        """By any name, with any sign."""
        for text, expected in (
            ("level>=warning", LEVELS[2:]),
            ("level:ERR", LEVELS[3:4]),
            ("level!=debug", LEVELS[1:]),
            ("level<info", LEVELS[:1]),
            ("-level<=warn", LEVELS[3:]),
            ("level>fatal", ()),
        ):
            self.assertEqual(self.terms(text), (Level(frozenset(expected)),), text)

    def test_times(self) -> None:
        """Timestamps, whole or not, and times ago; several make the span narrower."""
        minute = 60_000_000_000
        for text, since, until in (
            ("from:15m", NOW - 15 * minute, EVER),
            ("from:-15m to:5m from:1d", NOW - 15 * minute, NOW - 5 * minute),
            ("from:2023-11-14T22:13:20Z", NOW, EVER),
            ("to:2023-11-14T22:13", NEVER, NOW - 20_000_000_000),
            ('to:"2023-11-15 00:13:20+02:00"', NEVER, NOW),
        ):
            self.assertEqual(parse_query(text, NOW), Query((), since, until), text)

    def test_mistakes(self) -> None:
        """Each names the character."""
        for text, place, word in (
            ('ab "cd', 4, "not closed"),
            ("a level>=loud", 10, "'loud'"),
            ("level=", 7, "no value"),
            ("from:tomorrow", 6, "15m"),
            ("-from:1h", 7, "no opposite"),
            ("a - b", 3, "minus"),
            ("status>=500", 7, "expected = or !="),
            ("source<a", 7, "expected"),
            ("**", 1, "no text"),
            ('""', 1, "no text"),
            ("a " * 33, 65, "32 terms"),
            ("a" * 1001, 1001, "1000"),
        ):
            fault = self.assertRaises(QuerySyntax, parse_query, text, NOW)
            self.assertEqual((fault.place, fault.status), (place, 400), text)
            self.assertIn(word, fault.detail)

    @given(st.text(max_size=60) | st.text('ab"\\*-:=<>! level source from to 1m', max_size=40))
    def test_anything(self, text: str) -> None:
        """Is a query or a mistake at one of its characters, or behind the last."""
        try:
            query = parse_query(text, NOW)
        except QuerySyntax as fault:
            self.assertTrue(1 <= fault.place <= len(text) + 1)
        else:
            self.assertIsInstance(query, Query)

    @given(st.text(min_size=1).filter(lambda text: bool(text.strip())))
    def test_quoted(self, text: str) -> None:
        """In quotes, every text is itself."""
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        if len(quoted) < 900:
            self.assertEqual(self.terms(f'"{quoted}"'), (Text(text),))

    @given(st.text("ab*", max_size=12), st.text("ab\n", max_size=12))
    def test_wildcards(self, value: str, text: str) -> None:
        """A whole value, with anything for each asterisk, as a regular expression has it that tries all ways."""
        (term,) = parse_query(f"x={value or chr(34) * 2}", NOW).terms
        assert isinstance(term, Field)
        expected = re.fullmatch(term.pattern, text, re.DOTALL)
        self.assertEqual(whole_match(term.pattern)(text) is None, expected is None)

    def test_many_wildcards(self) -> None:
        """They take no longer on a text that they nearly fit: by trying all ways this would not end."""
        (term,) = parse_query(f"x={'*a' * 40}*b", NOW).terms
        assert isinstance(term, Field)
        matches = whole_match(term.pattern)
        self.assertIsNone(matches("a" * 60_000))
        self.assertIsNotNone(matches("a" * 60_000 + "b"))
