"""Entries from JSON: what is let in, and which field a refusal names."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ClientFault
from scalekit.logs.entry import (
    DEPTH_LIMIT,
    FIELD_LIMIT,
    FIELDS_LIMIT,
    MESSAGE_LIMIT,
    SOURCE_LIMIT,
    Entry,
    cut,
    nearest_level,
    parse_entries,
    parse_entry,
)

GOOD = {"Level": "INFO", "Timestamp": "2006-01-02T15:04:05Z", "Source": "shop", "Message": "sold"}
SECOND = 1_000_000_000
AT = 1_136_214_245 * SECOND


def parse(**changes: Any) -> Entry:
    """Parse the good entry with these fields changed; ``...`` leaves one out."""
    fields = {name: value for name, value in {**GOOD, **changes}.items() if value is not ...}
    return parse_entry(json.dumps(fields).encode())


class FieldTests(SynchronousTestCase):
    """`parse_entry`."""

    def refused(self, document: bytes) -> str:
        """The detail of the 400 that this document gets."""
        fault = self.assertRaises(ClientFault, parse_entry, document)
        self.assertEqual(fault.status, 400)
        return str(fault.detail)

    def test_the_four_fields(self) -> None:
        """The usual spelling, and others."""
        expected = Entry(AT, "INFO", "shop", "sold")
        self.assertEqual(parse(), expected)
        for change in (str.lower, str.upper):
            self.assertEqual(parse_entry(json.dumps({change(k): v for k, v in GOOD.items()}).encode()), expected)

    def test_further_fields(self) -> None:
        """Are kept as JSON, also those in an object that is called so; too much of them is replaced by a note."""
        self.assertEqual(parse(request_id="x", more={"a": [1]}).fields, '{"request_id":"x","more":{"a":[1]}}')
        self.assertEqual(parse(Fields={"a": 1, "b": 2}, b=3).fields, '{"a":1,"b":3}')
        self.assertEqual(parse(Fields="text").fields, '{"Fields":"text"}')
        self.assertIsNone(parse(Fields={}).fields)
        self.assertIn(f"{FIELDS_LIMIT + 8} bytes", str(parse(x="y" * FIELDS_LIMIT).fields))

    def test_no_timestamp(self) -> None:
        """Absent or null: the collector says when it was."""
        self.assertIsNone(parse(Timestamp=...).time)
        self.assertIsNone(parse(Timestamp=None).time)
        self.assertIsNone(parse(Timestamp=None, x=1).time)

    def test_levels(self) -> None:
        """The common names are mapped; a strange one is refused, or taken for INFO where nobody can be told."""
        for name, level in (
            ("debug", "DEBUG"),
            ("Notice", "INFO"),
            ("WARNING", "WARN"),
            ("err", "ERROR"),
            ("CRITICAL", "PANIC"),
            ("FATAL", "PANIC"),
        ):
            self.assertEqual(parse(Level=name).level, level)
            self.assertEqual(nearest_level(name), level)
        self.assertIn(
            "Level: found 'LOUD', expected one of DEBUG", self.refused(b'{"Level":"LOUD","Source":"","Message":""}')
        )
        self.assertEqual(nearest_level("LOUD"), "INFO")

    def test_refusals_name_the_field(self) -> None:
        """Missing, of a wrong type, malformed, given twice."""
        for name in ("Level", "Source", "Message"):
            self.assertEqual(
                self.refused(json.dumps({**GOOD, name: 7}).encode()), f"{name}: found 7, expected a string."
            )
            without = {key: value for key, value in GOOD.items() if key != name}
            self.assertEqual(self.refused(json.dumps(without).encode()), f"{name}: missing.")
            self.assertEqual(self.refused(json.dumps({**GOOD, name.lower(): "x"}).encode()), f"{name}: given twice.")
        for timestamp in (7, "yesterday", "2006-02-30T00:00:00Z", "2006-01-02T24:00:00Z", "2006-01-02T00:00:00+24:00"):
            detail = self.refused(json.dumps({**GOOD, "Timestamp": timestamp}).encode())
            self.assertTrue(detail.startswith("Timestamp: "), detail)
        self.assertIn("Source", self.refused(json.dumps({**GOOD, "Source": "x" * (SOURCE_LIMIT + 1)}).encode()))

    def test_what_is_no_entry(self) -> None:
        """Not JSON, not an object, not UTF-8, too deep, too wide."""
        for document in (b"", b"{", b"nonsense", b"[]", b"7", b'{"Level":"\xff"}', b"[" * 200_000, b'{"a":' * 200_000):
            self.assertTrue(self.refused(document))
        just = self.nested(DEPTH_LIMIT - 1)
        self.assertEqual(parse(more=just).source, "shop")
        self.assertIn("'more': nested", self.refused(json.dumps({**GOOD, "more": [just]}).encode()))
        wide = {**GOOD, **{str(number): 0 for number in range(FIELD_LIMIT + 1)}}
        self.assertIn("fields", self.refused(json.dumps(wide).encode()))

    def nested(self, depth: int) -> object:
        """Empty lists and objects in each other, this deep."""
        value: object = []
        for number in range(depth - 1):
            value = [value] if number % 2 else {"x": value}
        return value

    @given(st.binary(max_size=200))
    def test_any_bytes(self, document: bytes) -> None:
        """Bytes are an entry or a 400, and nothing else."""
        try:
            parse_entry(document)
        except ClientFault as fault:
            self.assertEqual(fault.status, 400)

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
            lambda children: st.lists(children) | st.dictionaries(st.sampled_from([*GOOD, "level", "x"]), children),
        )
    )
    def test_any_json(self, value: object) -> None:
        """JSON is an entry or a 400, and nothing else."""
        try:
            parse_entry(json.dumps(value).encode())
        except ClientFault as fault:
            self.assertEqual(fault.status, 400)

    def test_long_messages_are_cut(self) -> None:
        """At a character, with a note of how much is missing."""
        message = parse(Message="x" + "ü" * MESSAGE_LIMIT).message
        self.assertLess(len(message.encode()), MESSAGE_LIMIT + 40)
        self.assertTrue(message.endswith(f"ü [cut: {MESSAGE_LIMIT + 2} bytes more]"), message[-40:])
        self.assertEqual(cut("üü", 4), "üü")
        self.assertEqual(parse(Message="x" * MESSAGE_LIMIT).message, "x" * MESSAGE_LIMIT)

    def test_arrays(self) -> None:
        """An array's members, a single object; nothing else, and not too many."""
        self.assertEqual(parse_entries(b'[1, {"a": 2}]', 2), [1, {"a": 2}])
        self.assertEqual(parse_entries(b'{"a": 2}', 2), [{"a": 2}])
        self.assertEqual(self.assertRaises(ClientFault, parse_entries, b"7", 2).status, 400)
        self.assertEqual(self.assertRaises(ClientFault, parse_entries, b"[1, 2, 3]", 2).status, 413)
