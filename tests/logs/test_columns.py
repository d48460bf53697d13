"""Entries as columns are the entries that they were."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.columns import Columns, columns_of, decode_columns, together
from scalekit.logs.entry import LEVELS, Entry

text = st.text(st.characters(codec="utf-8"), max_size=4)
some = st.lists(
    st.builds(
        Entry, st.none() | st.integers(-(1 << 63), (1 << 63) - 1), st.sampled_from(LEVELS), text, text, st.none() | text
    ),
    max_size=4,
)


class ColumnsTests(SynchronousTestCase):
    """`Columns`, `columns_of` and `together`."""

    def check(self, columns: Columns, entries: Iterable[Entry]) -> None:
        """They are these."""
        entries = list(entries)
        self.assertEqual(list(columns), entries)
        self.assertEqual((len(columns), list(columns.sources())), (len(entries), [entry.source for entry in entries]))
        self.assertEqual([columns[place] for place in range(len(columns))], entries)
        self.assertEqual(len(set(columns.heads)), len(columns.heads))

    @given(some)
    def test_round_trip(self, entries: list[Entry]) -> None:
        """Also by way of the disk."""
        columns = columns_of(entries)
        self.check(columns, entries)
        self.assertIs(columns_of(columns), columns)
        self.check(decode_columns(columns.encode()), entries)
        self.check(columns[1:3], entries[1:3])

    @given(some, st.data())
    def test_chosen(self, entries: list[Entry], data: st.DataObject) -> None:
        """Some of them."""
        selectors = [data.draw(st.booleans()) for _ in entries]
        expected = [entry for entry, is_chosen in zip(entries, selectors, strict=True) if is_chosen]
        self.check(columns_of(entries).chosen(selectors), expected)

    @given(st.lists(some, min_size=1, max_size=4), st.lists(st.booleans(), min_size=4, max_size=4))
    def test_together(self, several: list[list[Entry]], plain: list[bool]) -> None:
        """One after the other; they are plain if all are."""
        parts = [columns_of(entries) for entries in several]
        for part, is_plain in zip(parts, plain, strict=False):
            part.is_plain = is_plain
        whole = together(parts)
        self.check(whole, [entry for entries in several for entry in entries])
        self.assertEqual(whole.is_plain, all(plain[: len(parts)]))

    def test_damage(self) -> None:
        """Is a ValueError."""
        for payload in (b"", b"\x90", b"nonsense"):
            self.assertRaises(ValueError, decode_columns, payload)

    def test_repr(self) -> None:
        """Says how many."""
        self.assertEqual(repr(columns_of([Entry(1, "INFO", "s", "m")])), "<Columns of 1 entries of 1 kinds>")
