"""The lines of the truth."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.entry import LEVELS, Entry, parse_entry
from scalekit.logs.frames import make_frame
from scalekit.logs.order import EVER, Chunk, Row, Span, effective_times
from scalekit.logs.records import format_rows, format_spans, parse_key, parse_record

T = 1_700_000_000_123_456_789
text = st.text(st.characters(codec="utf-8"), max_size=30)


class RecordTests(SynchronousTestCase):
    """`format_rows` and `parse_record`."""

    @given(st.sampled_from(LEVELS), text, text, st.none() | st.dictionaries(text, text))
    def test_round_trip(self, level: str, source: str, message: str, fields: dict[str, str] | None) -> None:
        """A record has all that its entry had, on one line; and can be sent again as it is."""
        entry = Entry(T, level, source, message, None if fields is None else json.dumps(fields))
        truth, line = format_rows([(T, 7, entry, T + 1)])
        self.assertEqual((truth.count(b"\n"), truth[-1:], line[-1:]), (1, b"\n", b"\n"))
        record = parse_record(truth)
        assert record is not None
        self.assertEqual((record.Sequence, record.time, record.Level), (7, T, level))
        self.assertEqual((record.Source, record.Message), (source, message))
        self.assertEqual(record.text().encode(), line)
        again = parse_entry(truth)
        self.assertEqual(
            (again.time, again.level, again.source, again.message),
            (T, level, source, message),
        )
        self.assertEqual({**json.loads(again.fields or "{}"), "Sequence": 7}, {**(fields or {}), "Sequence": 7})

    @given(st.lists(st.tuples(st.integers(0, 2_000_000_000), text, st.booleans()), min_size=1, max_size=4))
    def test_many_are_as_one_by_one(self, drawn: list[tuple[int, str, bool]]) -> None:
        """However alike they are."""
        rows = [
            (T + time, number, Entry(T + time if is_usual else None, "INFO", "s", message), T)
            for number, (time, message, is_usual) in enumerate(sorted(drawn))
        ]
        for is_late in (False, True):
            single = [format_rows([row], is_late) for row in rows]
            truth, lines = format_rows(rows, is_late)
            self.assertEqual(truth, b"".join(one for one, _ in single))
            self.assertEqual(lines, b"".join(one for _, one in single))

    @given(st.lists(st.integers(-(1 << 61), 1 << 62) | st.integers(-3_000_000_000, 3_000_000_000), min_size=1))
    def test_times(self, times: list[int]) -> None:
        """Any, also those of a clock that was never set: each line has its entry's."""
        rows = [(time, number, Entry(time, "INFO", "s", "m"), time) for number, time in enumerate(sorted(times))]
        records = [parse_record(line) for line in format_rows(rows)[0].splitlines(keepends=True)]
        self.assertEqual([record and record.time for record in records], sorted(times))

    @given(
        st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2_000_000_000), text), min_size=1, max_size=5)),
        st.integers(0, 2_000_000_000),
    )
    def test_spans(self, drawn: list[list[tuple[int, int, str]]], low: int) -> None:
        """The chosen entries of all chunks, as lines sorted by time and number; and what there is to know of them."""
        spans = []
        rows: list[Row] = []
        first = 1
        for some in drawn:
            entries = [
                Entry(None if not what else T + time, LEVELS[what % 2], "s" * (what % 3), message)
                for what, time, message in some
            ]
            frame = make_frame(first, T + 1, entries)
            times = effective_times(frame.said, T + 1)
            spans.append(Span(Chunk(frame, times), T + low, EVER))
            rows += [(time, first + place, entries[place], T + 1) for place, time in enumerate(times) if time > T + low]
            first += len(some)
        rows.sort(key=lambda row: row[:2])
        lines = format_spans(spans[::-1])
        if not rows:
            self.assertIsNone(lines)
            return
        assert lines is not None
        self.assertEqual((b"".join(lines.truth), b"".join(lines.text)), format_rows(rows))
        self.assertEqual((lines.entries, lines.times), (len(rows), (rows[0][0], rows[-1][0])))
        self.assertEqual(lines.numbers, (min(row[1] for row in rows), max(row[1] for row in rows)))

    def test_what_was_not_believed(self) -> None:
        """Is kept beside the time that the entry is sorted by; so is when late entries came."""
        for said, is_late, expected in (
            (T, False, {}),
            (None, False, {"Received": "2023-11-14T22:13:20.123456789Z"}),
            (5, False, {"Received": "2023-11-14T22:13:20.123456789Z", "Said": "1970-01-01T00:00:00.000000005Z"}),
            (
                -(1 << 63),
                False,
                {"Received": "2023-11-14T22:13:20.123456789Z", "Said": "1677-09-21T00:12:43.145224192Z"},
            ),
            (T, True, {"Received": "2023-11-14T22:13:20.123456789Z"}),
        ):
            truth, _ = format_rows([(T, 7, Entry(said, "INFO", "s", "m"), T)], is_late)
            found = json.loads(truth)
            self.assertEqual(found["Timestamp"], "2023-11-14T22:13:20.123456789Z")
            self.assertEqual({name: found[name] for name in ("Received", "Said") if name in found}, expected)

    def test_damage(self) -> None:
        """Is no record."""
        for line in (b"", b"{}", b'{"Sequence":', b"nonsense"):
            self.assertIsNone(parse_record(line))
            self.assertIsNone(parse_key(line))
