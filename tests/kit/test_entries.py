"""Tests of `scalekit.kit.entries`."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit.entries import CUT_LENGTH, LIGHT_LENGTH, MESSAGE_LENGTH, entry_line, is_light, is_low, level_of


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

    def test_what_is_light(self) -> None:
        """Short, and of values that cannot change."""
        for fields in (None, {}, {"a": "x", "b": 1, "c": 0.5, "d": None, "e": True}):
            self.assertTrue(is_light("m", fields), fields)
        self.assertTrue(is_light("m" * LIGHT_LENGTH, None))
        self.assertFalse(is_light("m" * LIGHT_LENGTH, {"a": "x"}))
        for value in ([], {}, (), object(), b"x", "x" * LIGHT_LENGTH):
            self.assertFalse(is_light("m", {"a": value}), value)
        self.assertFalse(is_light("m", {str(number): 1 for number in range(1000)}))

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
