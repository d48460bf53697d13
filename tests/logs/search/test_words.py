"""The words of the index are those of the matcher."""

from __future__ import annotations

import re
import sys

from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.search.language import Text, parse_query
from scalekit.logs.search.matching import word_pattern
from scalekit.logs.search.words import Lookup, folded, plan_lookup


class FoldedTests(SynchronousTestCase):
    """`folded`."""

    def test_every_character(self) -> None:
        """Beyond ASCII, what is a letter stays one, and what is none becomes a blank; ASCII is left to SQLite."""
        every = "".join(map(chr, range(sys.maxunicode + 1)))
        made = folded(every)
        self.assertEqual(made[:128], every[:128])
        self.assertEqual(re.sub(r"[^\w]", " ", every[128:]).count(" "), made[128:].count(" "))
        self.assertTrue(all(new.isalnum() == old.isalnum() for new, old in zip(made, every, strict=True)))

    def test_every_letter(self) -> None:
        """Letters that a pattern has for the same in any case are one letter of the index."""
        cased = [c for c in map(chr, range(sys.maxunicode + 1)) if c.lower() != c or c.upper() != c]
        text = "".join(cased)
        for letter in cased:
            same = re.findall(word_pattern(Text(letter, True, True)), text)
            self.assertIn(letter, same)
            self.assertEqual({folded(f"é{one}").lower()[1:] for one in same}, {folded(f"é{letter}").lower()[1:]}, same)


class LookupTests(SynchronousTestCase):
    """`plan_lookup`."""

    def test_terms(self) -> None:
        """What the index is asked for each."""
        for text, expected in (
            ("", ""),
            ("timeout", '"timeout"'),
            ("tim*", '"tim"*'),
            ("ti*", ""),
            ("*out", ""),
            ("*out-of", '"of"'),
            ("-absent", ""),
            ('"No such host."', '"No" "such" "host"'),
            ("...", ""),
            ("Ärger—x", '"ärger" "x"'),
            ("status=503", '"503"'),
            ("user.name=*", '"user" "name"'),
            ("path=*a-b-cde*", '"b" "cde"*'),
            ('path="a*b"', '"a" "b"'),
            (r"path=a\b", '"path"'),
            ("status!=503", ""),
            ("a a b=a", '"a"'),
        ):
            terms = parse_query(text, 0).terms
            self.assertEqual(plan_lookup(terms), Lookup(expected, is_exact=not terms), text)

    def test_levels_and_sources(self) -> None:
        """Alone they are all that is to be known."""
        lookup = plan_lookup(parse_query("level>=warn level<=error source:a* -source:b", 0).terms)
        self.assertEqual((lookup.levels, len(lookup.sources), lookup.is_exact), ({"WARN", "ERROR"}, 2, True))
        self.assertFalse(lookup.is_any)
        self.assertTrue(plan_lookup(parse_query("-a", 0).terms).is_any)
        self.assertFalse(plan_lookup(parse_query("level:info a", 0).terms).is_exact)
