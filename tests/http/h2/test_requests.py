"""Which fields a request may have: what the grammar of HTTP/1.1 takes, however many are looked at at once."""

from __future__ import annotations

import re

from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.http.grammar import FIELD_NAME, FIELD_VALUE
from scalekit.http.h2.requests import Malformed, request_head
from tests.http.h2.frames import REQUEST

NAME, VALUE = re.compile(FIELD_NAME), re.compile(FIELD_VALUE)
#: Names and values of few letters, so that what is refused is not all of them.
PARTS = st.lists(
    st.sampled_from((b"a", b"A", b" ", b"\t", b"\n", b"\r", b"\0", b"\x7f", b"\xff", b"-")), max_size=4
).map(b"".join)


class FieldTests(SynchronousTestCase):
    @settings(max_examples=200, deadline=None)
    @given(st.lists(st.tuples(PARTS, PARTS), max_size=3))
    @example([(b"a", b"b\nc: d")])
    @example([(b"a", b"b\n"), (b"c", b"d")])
    @example([(b"a", b" ")])
    @example([(b"a", b"b ")])
    @example([(b"a", b"b\t"), (b"c", b"d")])
    @example([(b"a", b""), (b"b", b"")])
    def test_names_and_values_by_the_grammar(self, fields: list[tuple[bytes, bytes]]) -> None:
        is_good = all(
            NAME.fullmatch(name) and name == name.lower() and VALUE.fullmatch(value) for name, value in fields
        )
        if is_good:
            self.assertEqual(request_head([*REQUEST, *fields], True).fields, fields)
        else:
            self.assertRaises(Malformed, request_head, [*REQUEST, *fields], True)

    def test_a_pseudo_field_holds_no_line_either(self) -> None:
        for path in (b"/\n", b"/\r\nx: y", b"/a b", b" /", b"/\0"):
            fields = [(b":path", path) if name == b":path" else (name, value) for name, value in REQUEST]
            self.assertRaises(Malformed, request_head, fields, True)
