"""What is found with an index is what is found without."""

from __future__ import annotations

import sqlite3
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs import sealing
from scalekit.logs.counts import Counts
from scalekit.logs.entry import LEVELS, Entry, fields_of
from scalekit.logs.memory import MemoryDirectory
from scalekit.logs.records import parse_record
from scalekit.logs.search import indexes as indexes_module
from scalekit.logs.search.budget import Budget, Cancelled
from scalekit.logs.search.building import Unsuitable, build
from scalekit.logs.search.counting import histogram
from scalekit.logs.search.indexes import Index, Indexes, Unusable
from scalekit.logs.search.language import Field, Query, QuerySyntax, Text, parse_query
from scalekit.logs.search.matching import Matcher
from scalekit.logs.search.searching import search
from tests.logs.search.indexed import T, add_index, no_indexes, reader_of, sealed

# Few characters, so that queries find something: cases beyond ASCII, what JSON escapes, what is no letter anywhere.
CHARACTERS = 'ab1_kKsSßẞ\u212a\u017f\u0131İéÉ中\u03b9\u0345 -"\\\n\u2014.\0*'
texts = st.text(CHARACTERS, max_size=6)
numbers = st.sampled_from([0, -1, 1.5, 1e300, 10**20, True, None])
values: st.SearchStrategy[Any] = st.recursive(
    texts | numbers, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2), max_leaves=3
)
entries = st.builds(
    lambda offset, level, source, message, fields: Entry(T + offset, level, source, message, fields_of(fields)),
    st.integers(0, 9),
    st.sampled_from(LEVELS),
    st.sampled_from(["a", "b-1", "é k"]),
    texts,
    st.dictionaries(st.sampled_from(["a", "k.1", "b"]) | texts, values, max_size=2),
)
words = st.builds(Text, texts.filter(lambda text: bool(text.strip())), st.booleans(), st.booleans(), st.booleans())
typed = st.sampled_from(
    [
        "level>=warn",
        "-level:info",
        "source:b*",
        "source!=a",
        "a=*",
        "a=1*",
        "k.1=*s*",
        'b="a b"',
        "a=1.5",
        "b!=k",
        "a=[*",
    ]
)


def found(value: str, name: str = "a") -> Field:
    """A field with this pattern, as it is typed."""
    (term,) = parse_query(f'{name}="x"', 0).terms
    pattern = parse_query(f"f={value.replace(' ', '')}", 0).terms[0] if value.strip(' "') else term
    assert isinstance(pattern, Field)
    return pattern._replace(name=name)


@st.composite
def fields(draw: st.DrawFn) -> Field:
    """Fields and values with wildcards."""
    try:
        return found(draw(texts), draw(st.sampled_from(["a", "k.1", "b", "k"])))
    except QuerySyntax:
        return found("*")


terms = st.lists(words | fields() | typed.map(lambda text: parse_query(text, 0).terms[0]), min_size=1, max_size=3)
spans = st.tuples(st.integers(-1, 10), st.integers(-1, 10))


class IndexedTests(SynchronousTestCase):
    """`search` and `histogram` with an index."""

    def setUp(self) -> None:
        self.path = self.mktemp()
        self.patch(sealing, "BLOCK_BYTES", 200)

    @settings(max_examples=60, deadline=None)
    @given(st.lists(entries, min_size=1, max_size=12), st.lists(terms, min_size=1, max_size=8), spans, st.booleans())
    @example(
        [Entry(T, "INFO", "a", "x", fields_of({"a": {"k": "a\nb"}}))],
        [[Field("a", '.*"a.*')], [Field("a", ".*a\\\\nb.*")]],
        (0, 9),
        True,
    )
    def test_the_same_answer(
        self, written: list[Entry], queries: list[list[Any]], span: tuple[int, int], is_compressed: bool
    ) -> None:
        """Whatever is looked for in whatever there is."""
        directory = MemoryDirectory()
        manifest, output = sealed(directory, written, is_compressed=is_compressed)
        add_index(directory, manifest, self.path)
        reader = reader_of(directory, output)
        counts = Counts()
        with_index, without = Indexes(counts), no_indexes()
        without.distrust(manifest.index)
        for terms in queries:
            matcher = Matcher(Query(tuple(terms), T + span[0], T + span[1]))
            for is_backwards in (False, True):
                answers = [
                    search(reader, indexes, matcher, Budget(float), 100, is_backwards=is_backwards).lines
                    for indexes in (with_index, without)
                ]
                self.assertEqual(answers[0], answers[1], terms)
            figures = [histogram(reader, each, matcher, Budget(float), 3, T).counts for each in (with_index, without)]
            self.assertEqual(figures[0], figures[1], terms)
        self.assertEqual(counts.index_damaged, 0)


class IndexTests(SynchronousTestCase):
    """One volume of many lines."""

    def setUp(self) -> None:
        self.directory = MemoryDirectory()
        self.entries = [
            Entry(T + 1_000_000_000 * n, LEVELS[n % 2], f"s{n % 3}", f"n{n} even{n % 2} " + "x" * 300)
            for n in range(500)
        ]
        self.patch(sealing, "BLOCK_BYTES", 20_000)

    def fill(self, *, is_compressed: bool = False) -> None:
        """Write them, with an index."""
        self.manifest, output = sealed(self.directory, self.entries, is_compressed=is_compressed)
        self.path = self.mktemp()
        add_index(self.directory, self.manifest, self.path)
        self.reader = reader_of(self.directory, output)
        self.counts = Counts()
        self.indexes = Indexes(self.counts)

    def find(self, text: str, budget: Budget | None = None, *, is_backwards: bool = False, limit: int = 1000) -> Any:
        """What is found, the budget's last word, and how much was read."""
        matcher = Matcher(parse_query(text, T))
        answer = search(self.reader, self.indexes, matcher, budget or Budget(float), limit, is_backwards=is_backwards)
        records = [parse_record(line) for line in answer.lines]
        return [int(record.Message.split()[0][1:]) for record in records if record], answer.partial, answer.read

    def test_what_is_read(self) -> None:
        """Of a rare word its line alone; of half the lines these, in either direction."""
        for is_compressed in (False, True):
            self.directory = MemoryDirectory()
            self.fill(is_compressed=is_compressed)
            (number,), partial, read = self.find("n321")
            self.assertEqual((number, partial), (321, None))
            self.assertLess(read, 500)
            for is_backwards in (False, True):
                even = list(range(0, 500, 2))
                found, _, read = self.find("even0", is_backwards=is_backwards)
                self.assertEqual(found, even[::-1] if is_backwards else even)
                self.assertLess(read, 0.6 * self.manifest.length)

    def test_budgets(self) -> None:
        """Bytes, rows and time end it, and what is found is the beginning."""
        self.fill()
        found, partial, _ = self.find("even1", Budget(float, read_bytes=2000))
        self.assertEqual((found, partial), ([1, 3, 5, 7], "bytes"))
        self.assertEqual(self.find("even1", limit=2)[:2], ([1, 3], "rows"))
        self.patch(indexes_module, "_STEPS", 10)
        steps = iter(range(10_000))
        slow = Budget(lambda: next(steps), time_seconds=50.0)
        slow.begin()
        found, partial, _ = self.find("even1", slow)
        self.assertEqual((partial, found), ("time", list(range(1, 500, 2))[: len(found)]))
        left = Budget(float)
        left.is_cancelled = True
        self.assertRaises(Cancelled, self.find, "even1", left)
        # It may run out while the index is checked, or somebody may leave then.
        self.indexes = Indexes(self.counts)
        late = Budget(lambda: 1.0, time_seconds=0.0)
        late.begin()
        self.assertEqual(self.find("even1", late)[:2], ([], "time"))
        self.indexes = Indexes(self.counts)
        self.assertRaises(Cancelled, self.find, "even1", left)
        self.assertEqual((self.counts.index_damaged, self.indexes.distrusted), (0, frozenset()))

    def test_histogram(self) -> None:
        """Of levels and sources it reads nothing; of words their lines."""
        self.fill()
        for text, expected, is_read in (("level:info", 250, False), ("source:s1", 167, False), ("even1", 250, True)):
            counted = histogram(self.reader, self.indexes, Matcher(parse_query(text, T)), Budget(float), 7, T)
            self.assertEqual((sum(map(sum, counted.counts)), counted.read > 0), (expected, is_read), text)
        self.patch(indexes_module, "_STEPS", 1)
        steps = iter(range(10_000))
        slow = Budget(lambda: next(steps), time_seconds=5.0)
        slow.begin()
        counted = histogram(self.reader, self.indexes, Matcher(parse_query("level:info", T)), slow, 7, T)
        self.assertEqual((counted.partial, sum(map(sum, counted.counts))), ("time", 0))

    def test_any_flipped_byte(self) -> None:
        """Is noticed when the index is first opened: the volume is looked through, and the index counted once."""
        self.entries = self.entries[:3]
        self.fill()
        good = self.directory.read(self.manifest.index)
        self.assertEqual(self.find("n2"), ([2], None, self.find("n2")[2]))
        for place in range(0, len(good), 97):
            bad = bytearray(good)
            bad[place] ^= 4
            self.directory.replace(self.manifest.index, bytes(bad))
            self.indexes = Indexes(self.counts)
            self.assertEqual(self.find("n2")[0], [2])
            self.assertEqual(self.indexes.distrusted, {self.manifest.index})
            self.find("n2")
        self.assertEqual(self.counts.index_damaged, len(range(0, len(good), 97)))
        self.directory.replace(self.manifest.index, good)
        self.indexes.forget(self.manifest.index)
        self.assertEqual((self.find("n2")[0], self.indexes.distrusted), ([2], frozenset()))

    def test_damage_in_use(self) -> None:
        """What SQLite stumbles over later: the search begins anew without it."""
        self.fill()
        real = Index.candidates

        def failing(*arguments: Any, **named: Any) -> Any:
            yield from list(real(*arguments, **named))[:5]
            raise sqlite3.DatabaseError("database disk image is malformed")

        self.patch(Index, "candidates", failing)
        self.assertEqual(self.find("even0")[0], list(range(0, 500, 2)))
        self.assertEqual((self.indexes.distrusted, self.counts.index_damaged), ({self.manifest.index}, 1))

    def test_stale(self) -> None:
        """One that was made from something else, or in another way, or is none."""
        self.fill()
        index = self.directory.read(self.manifest.index)
        other = self.manifest
        for manifest in (
            type(other)(**{**{f: getattr(other, f) for f in other.__struct_fields__}, "crc": other.crc ^ 1}),
            type(other)(**{**{f: getattr(other, f) for f in other.__struct_fields__}, "length": other.length + 1}),
        ):
            self.assertRaises(Unusable, Index.open, self.directory, manifest)
        self.patch(indexes_module, "VERSION", "0")
        self.assertIn("stale", str(self.assertRaises(Unusable, Index.open, self.directory, other)))
        self.directory.replace(other.index, b"SQLite format 3\0" + index[16:60])
        self.assertRaises(Unusable, Index.open, self.directory, other)

    def test_a_damaged_volume(self) -> None:
        """Gets no index: whatever can be read of it is found by looking."""
        self.fill()
        truth = bytearray(self.directory.read(self.manifest.truth))
        truth[len(truth) // 2] ^= 1
        self.directory.replace(self.manifest.truth, bytes(truth))
        self.assertRaises(Unsuitable, build, self.directory, self.manifest, self.mktemp())
