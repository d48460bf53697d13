"""NDJSON as columns: the same entries as one by one."""

from __future__ import annotations

import json

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.entry import FIELD_LIMIT, FIELDS_LIMIT, MESSAGE_LIMIT, SOURCE_LIMIT, Entry, entry_of
from scalekit.logs.line import escape
from scalekit.logs.plain_lines import parse_plain_lines
from tests.logs.test_entry import GOOD, parse

_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
_FIELD_NAMES = st.sampled_from([*GOOD, "level", "Fields", "cut"]) | st.text(st.characters(exclude_categories=["Cs"]))
_FLAT_FIELDS = st.dictionaries(_FIELD_NAMES, _SCALARS, max_size=4)


def _line(pairs: list[tuple[str, object]], is_ascii: bool) -> bytes:
    """An object of these members, also if some have one name."""
    members = (f"{json.dumps(name)} : {json.dumps(value, ensure_ascii=is_ascii)}" for name, value in pairs)
    return f"{{{','.join(members)}}}".encode()


_FLAT_LINE = st.builds(
    _line,
    st.permutations(list(GOOD.items())).flatmap(lambda four: _FLAT_FIELDS.map(lambda f: [*four, ("Fields", f)])),
    st.booleans(),
) | st.just(json.dumps(GOOD).encode())
_ANY_LINE = _FLAT_LINE | st.builds(
    _line,
    st.lists(
        st.sampled_from([*GOOD.items(), ("level", "x"), ("Level", "debug"), ("Message", None)])
        | st.tuples(
            st.just("Fields"), _SCALARS | _FLAT_FIELDS | st.dictionaries(_FIELD_NAMES, _FLAT_FIELDS, max_size=2)
        ),
        max_size=4,
    ).map(lambda more: [*GOOD.items(), *more]),
    st.booleans(),
)


def plain(document: bytes) -> list[Entry] | None:
    """What `parse_plain_lines` finds."""
    found = parse_plain_lines(document)
    return None if found is None else list(found)


class PlainLineTests(SynchronousTestCase):
    """`parse_plain_lines`."""

    def test_plain_lines(self) -> None:
        """Many at once, the same as one by one; None as soon as one needs a closer look."""
        good = json.dumps(GOOD).encode()
        self.assertEqual(plain(good + b"\n\n" + good + b"\n"), [parse(), parse()])
        for other in (b"nonsense", b'{"Level":"INFO"}', json.dumps({**GOOD, "x": 1}).encode(), b"[" * 200_000):
            self.assertIsNone(parse_plain_lines(good + b"\n" + other))
        self.assertIsNone(parse_plain_lines(json.dumps({**GOOD, "Timestamp": "now"}).encode()))

    def test_plain_lines_with_fields(self) -> None:
        """Fields that are flat are no reason to look closer, long ones neither; what is to be refused is."""
        some = [{}, {"a": 1, "Level": None}, {}, {"é\n\u2028": True, "f": 1.5}, {"x": "y" * FIELDS_LIMIT}]
        lines = [json.dumps({**GOOD, "Fields": fields}).encode() for fields in some]
        found = plain(b"\n".join([*lines, json.dumps(GOOD).encode()]))
        self.assertEqual(found, [*(parse(Fields=fields) for fields in some), parse()])
        wide = {str(number): 0 for number in range(FIELD_LIMIT)}
        self.assertEqual(plain(json.dumps({**GOOD, "Fields": wide}).encode()), [parse(Fields=wide)])
        others: list[object] = [{**wide, "x": 0}, None, "text", [], {"nested": []}]
        for other in others:
            self.assertIsNone(parse_plain_lines(lines[0] + b"\n" + json.dumps({**GOOD, "Fields": other}).encode()))

    @given(st.lists(_ANY_LINE, max_size=5))
    def test_plain_lines_are_what_they_are_one_by_one(self, lines: list[bytes]) -> None:
        """Whatever they hold: the same entries as by the way that takes everything, unless they are left to it."""
        found = plain(b"\n".join(lines))
        if found is not None:
            self.assertEqual(found, [entry_of(msgspec.json.decode(line)) for line in lines])

    @given(st.lists(_FLAT_LINE, min_size=1, max_size=5))
    def test_flat_lines_are_plain(self, lines: list[bytes]) -> None:
        """Good entries with flat fields, or none, are all taken at once."""
        expected = [entry_of(msgspec.json.decode(line)) for line in lines]
        self.assertEqual(plain(b"\n".join(lines)), expected)

    @given(st.lists(st.text(st.sampled_from('a;é"\\\x1f\x7f\x85\u2028') | st.characters(codec="utf-8")), min_size=1))
    def test_which_are_plain(self, texts: list[str]) -> None:
        """Only those of which nothing is written in another way, as JSON or as text."""
        found = parse_plain_lines(b"\n".join(json.dumps({**GOOD, "Message": text}).encode() for text in texts))
        assert found is not None
        self.assertEqual(found.messages, texts)
        if found.is_plain:
            self.assertEqual([escape(text) for text in texts], texts)
            self.assertEqual([msgspec.json.encode(text)[1:-1].decode() for text in texts], texts)

    def test_nearly_all_are_plain(self) -> None:
        """A message of letters, digits and signs."""
        found = parse_plain_lines(json.dumps({**GOOD, "Message": "GET /a?b=c;d 200 [x] {y} 'z'"}).encode())
        assert found is not None
        self.assertTrue(found.is_plain)

    def test_kinds(self) -> None:
        """Levels and sources may differ within a batch; a level that nobody uses and a long source are refused."""
        lines = [
            {**GOOD, "Level": level, "Source": source} for level, source in (("info", "a"), ("ERR", "a"), ("INFO", "b"))
        ]
        found = parse_plain_lines(b"\n".join(json.dumps(line).encode() for line in lines))
        assert found is not None
        self.assertEqual(found.heads, [("INFO", "a"), ("ERROR", "a"), ("INFO", "b")])
        self.assertEqual([entry.source for entry in found], list(found.sources()))
        for bad in ({"Level": "LOUD"}, {"Source": "s" * (SOURCE_LIMIT + 1)}):
            for others in ([], [GOOD]):
                lines = [*others, {**GOOD, **bad}]
                self.assertIsNone(plain(b"\n".join(json.dumps(line).encode() for line in lines)))

    def test_a_long_message(self) -> None:
        """Is cut as it is elsewhere."""
        long = {**GOOD, "Message": "m" * (MESSAGE_LIMIT + 1)}
        self.assertEqual(plain(json.dumps(long).encode()), [parse(Message=long["Message"])])
