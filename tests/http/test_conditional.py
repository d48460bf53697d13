"""Entity tags and conditions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.http.conditional import entity_tags, is_match_hit, is_none_match_hit, weakened


class EntityTagTests(SynchronousTestCase):
    def test_lists(self) -> None:
        for value, tags in (
            (b'"a"', [(False, b'"a"')]),
            (b'W/"a", "b,c"', [(True, b'"a"'), (False, b'"b,c"')]),
            (b' , "a",, "" ', [(False, b'"a"'), (False, b'""')]),
            (b"a", None),
            (b'"a" "b"', None),
            (b'w/"a"', None),
            (b"", None),
            (b"*", None),
        ):
            self.assertEqual(entity_tags(value), tags, value)

    def test_none_match_compares_weakly(self) -> None:
        for condition, etag, is_hit in (
            (b"*", b'"a"', True),
            (b'"a"', b'"a"', True),
            (b'W/"a"', b'"a"', True),
            (b'"a"', b'W/"a"', True),
            (b'"b", "a"', b'"a"', True),
            (b'"b"', b'"a"', False),
            (b"a", b'"a"', False),
        ):
            self.assertEqual(is_none_match_hit(condition, etag), is_hit, condition)

    def test_if_match(self) -> None:
        for condition, etag, is_hit in (
            (b'"a"', b'"a"', True),
            (b'"b", "a"', b'"a"', True),
            (b'W/"a"', b'"a"', False),
            (b'"a"', b'W/"a"', False),
            (b"*", b'"a"', True),
            (b"*", b"", False),
            (b'"a"', b"", False),
            (b"a", b'"a"', False),
        ):
            self.assertEqual(is_match_hit(condition, etag), is_hit, condition)

    def test_weakened(self) -> None:
        self.assertEqual((weakened(b'"a"'), weakened(b'W/"a"')), (b'W/"a"', b'W/"a"'))

    @given(st.lists(st.tuples(st.booleans(), st.text("abc,", max_size=3)), min_size=1, max_size=5))
    def test_tags_survive_the_list(self, tags: list[tuple[bool, str]]) -> None:
        expected = [(is_weak, b'"%s"' % text.encode()) for is_weak, text in tags]
        value = b", ".join((b"W/" if is_weak else b"") + opaque for is_weak, opaque in expected)
        self.assertEqual(entity_tags(value), expected)

    @given(st.binary(max_size=40))
    def test_any_bytes_are_a_list_or_not(self, value: bytes) -> None:
        tags = entity_tags(value)
        self.assertTrue(tags is None or all(opaque in value for _, opaque in tags))
