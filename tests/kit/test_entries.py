"""Tests of `scalekit.kit.entries`."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit.entries import CUT_LENGTH, LIGHT_LENGTH, MESSAGE_LENGTH, entry_line, is_low, kept_fields, level_of


def entry(message: str = "m", fields: Any = None, level: str = "INFO", timestamp: float = 0.0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(entry_line(level, timestamp, "shop", message, fields))
    return found


class EntryTests(SynchronousTestCase):
    def test_all_of_it(self) -> None:
        self.assertEqual(
            entry_line("WARN", 1_700_000_000.25, "shop", "é\n", {"a": 1}),
            '{"Level":"WARN","Timestamp":"2023-11-14T22:13:20.250000Z","Source":"shop","Message":"é\\n",'
            '"Fields":{"a":1}}'.encode(),
        )
        self.assertNotIn("Fields", entry())

    def test_before_1970(self) -> None:
        self.assertEqual(entry(timestamp=-0.5)["Timestamp"], "1969-12-31T23:59:59.500000Z")

    def test_what_json_cannot_say_is_text(self) -> None:
        self.assertEqual(entry("\ud800", {"\udfff": "x"})["Fields"], {"\\udfff": "x"})
        self.assertEqual(entry(fields={"at": SynchronousTestCase})["Fields"], {"at": str(SynchronousTestCase)})

    def test_what_is_too_long_deep_or_many_is_cut(self) -> None:
        self.assertEqual(len(entry("x" * 1_000_000)["Message"]), MESSAGE_LENGTH + len(" … (cut)"))
        self.assertEqual(len(entry(fields={"a": "x" * 100_000, "b": 1})["Fields"]["a"]), CUT_LENGTH)
        self.assertEqual(len(entry(fields={str(number): number for number in range(1000)})["Fields"]), 100)
        nested: list[Any] = []
        nested.append(nested)
        self.assertEqual(entry(fields={"a": nested})["Fields"], {"a": "nested more than 8 deep"})

    def test_what_is_kept_for_later(self) -> None:
        """A short entry, whatever becomes of its values until then."""
        fields: dict[str, Any] = {"a": "x", "b": 1, "c": 0.5, "d": None, "e": True}
        for nested in ({}, {"nested": [1]}, {"other": SynchronousTestCase}):
            given = fields | nested
            line = entry_line("INFO", 0.0, "shop", "m", given)
            kept = kept_fields("m", given)
            given["a"] = "changed"
            for value in nested.values():
                if isinstance(value, list):
                    value.append(2)
            self.assertEqual(entry_line("INFO", 0.0, "shop", "m", kept), line)
        self.assertEqual(kept_fields("m" * LIGHT_LENGTH, {}), {})

    def test_what_is_not(self) -> None:
        """It is long, or what JSON cannot say."""
        self.assertIsNone(kept_fields("m" * LIGHT_LENGTH, {"a": "x"}))
        for value in ("x" * LIGHT_LENGTH, ["x" * LIGHT_LENGTH], ["\ud800"]):
            self.assertIsNone(kept_fields("m", {"a": value}), value)
        self.assertIsNone(kept_fields("m", {str(number): 1 for number in range(1000)}))

    @given(st.text(), st.dictionaries(st.text(), st.floats() | st.text() | st.integers() | st.lists(st.binary())))
    def test_what_is_made_later_is_the_same(self, message: str, fields: dict[str, Any]) -> None:
        kept = kept_fields(message, fields)
        if kept is not None:
            lines = [entry_line("INFO", 1e9, "shop", message, one) for one in (fields, kept)]
            self.assertEqual(*lines)

    def test_levels_are_read_back(self) -> None:
        for level, is_given_up_first in (("DEBUG", True), ("INFO", True), ("WARN", False), ("PANIC", False)):
            line = entry_line(level, 0.0, "shop", '"Level":"INFO"')
            self.assertEqual((level_of(line), is_low(line)), (level, is_given_up_first))

    @given(st.text(), st.dictionaries(st.text(), st.floats() | st.text() | st.integers() | st.lists(st.binary())))
    def test_a_line_is_one_json_object_that_the_collector_takes(self, message: str, fields: dict[str, Any]) -> None:
        line = entry_line("INFO", 1e9, "shop", message, fields)
        self.assertNotIn(b"\n", line)
        self.assertLess(len(line), 256 * 1024)
        self.assertEqual(set(json.loads(line)) - {"Fields"}, {"Level", "Timestamp", "Source", "Message"})
