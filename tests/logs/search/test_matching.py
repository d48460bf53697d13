"""Whether an entry is found."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.entry import LEVELS, Entry, fields_of
from scalekit.logs.records import format_rows
from scalekit.logs.search.language import Query, Term, Text, parse_query
from scalekit.logs.search.matching import Matcher

NOW = 1_700_000_000_000_000_000
FIELDS = {
    "status": 503,
    "user": {"name": "Ann B", "ids": [7, 8]},
    "ok": True,
    "a.b": "dotted",
    "trace": "x\nValueError",
}
letters = st.text('abkKsS\u212a\u017f\u00e9 _-"\\\n1', min_size=1, max_size=4)


class MatcherTests(SynchronousTestCase):
    """`Matcher`."""

    def test_terms(self) -> None:
        """What each finds in one entry, and what not."""
        for text, expected in (
            ("", True),
            ("timeout", True),
            ("TIMEOUT", True),
            ("time", False),
            ("time*", True),
            ("*meout", True),
            ('"timeout of host-1"', True),
            ('"host-1 of"', False),
            ("host-1", True),
            ("host", True),
            ("host-", True),
            ("-timeout", False),
            ("-absent", True),
            ("ValueError", True),
            ("nValueError", False),
            ("503", True),
            ("ann", True),
            ("shop", True),
            ("level>=warn", True),
            ("level>error", False),
            ("source:shop-*", True),
            ("source:shop", False),
            ("-source:blog", True),
            ("status=503", True),
            ("status=5*", True),
            ("status=50", False),
            ("status!=200", True),
            ("absent!=200", True),
            ("absent=*", False),
            ('user.name="Ann B"', True),
            ("user.ids=8", True),
            ("a.b=dotted", True),
            ("ok=true", True),
            ("ok=True", False),
            ("from:1s", True),
            ("from:2023-11-14T22:13:21Z", False),
            ("to:2023-11-14T22:13:20Z", False),
        ):
            self.assertEqual(self.finds(text, "Timeout of host-1.", FIELDS), expected, text)

    def finds(self, text: str, message: str, fields: dict[str, Any] | None) -> bool:
        """Whether it is found, and also said to be perhaps found if so."""
        coded = None if fields is None else json.dumps(fields)
        matcher = Matcher(parse_query(text, NOW))
        found = matcher.matches(NOW, "ERROR", "shop-1", message, coded)
        entry = Entry(NOW, "ERROR", "shop-1", message, None if fields is None else fields_of(fields))
        line = format_rows([(NOW, 1, entry, NOW)])[0]
        self.assertTrue(matcher.may_match(line) or not found, text)
        return found

    @given(letters, letters, letters, st.booleans(), st.sampled_from(LEVELS))
    def test_a_look_at_the_bytes(self, text: str, message: str, field: str, is_not: bool, level: str) -> None:
        """Leaves out nothing that is found."""
        if not text.strip():
            return
        terms: tuple[Term, ...] = (Text(text, True, True, is_not), *parse_query(f"level:{level}", NOW).terms)
        matcher = Matcher(Query(terms))
        entry = Entry(NOW, "INFO", "s", message, fields_of({"f": field}))
        line = format_rows([(NOW, 1, entry, NOW)])[0]
        found = matcher.matches(NOW, "INFO", "s", message, entry.fields)
        if found:
            self.assertTrue(matcher.may_match(line))
        is_there = any(text in each for each in (message, field))
        if is_there and level == "INFO":
            self.assertEqual(found, not is_not)
