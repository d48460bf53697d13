"""Which answers may be coded, and their heads."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from scalekit.http.coding import (
    coded_head,
    coded_tag,
    is_codable,
    is_gaining,
    unmodified_head,
    varied,
    varied_head,
    with_origin_tags,
)
from scalekit.http.conditional import entity_tags, is_none_match_hit
from scalekit.http.heads import ResponseHead

CODINGS = (b"zstd", b"br", b"gzip")
OPAQUE = st.text("ab-zstdr", max_size=6).map(lambda text: b'"%s"' % text.encode())
TEXT = (b"Content-Type", b"text/html; charset=utf-8")


class CodableTests(SynchronousTestCase):
    def test_types(self) -> None:
        for kind in (
            b"text/plain",
            b"TEXT/HTML; charset=utf-8",
            b"application/json",
            b"application/problem+json",
            b"image/svg+xml",
            b"application/javascript",
            b"application/wasm",
            b"text/event-stream",
        ):
            self.assertTrue(is_gaining(kind), kind)
        for kind in (b"image/png", b"video/mp4", b"application/zip", b"font/woff2", b"application/grpc+json", b""):
            self.assertFalse(is_gaining(kind), kind)

    def test_table(self) -> None:
        for status, size, more, codable in (
            (200, 1024, [], True),
            (200, None, [], True),
            (404, 5000, [], True),
            (200, 1023, [], False),
            (206, 5000, [], False),
            (204, None, [], False),
            (304, None, [], False),
            (200, 5000, [(b"Content-Encoding", b"br")], False),
            (200, 5000, [(b"Cache-Control", b"public, No-Transform")], False),
            (200, 5000, [(b"cache-control", b"public")], True),
            (200, 5000, [(b"Repr-Digest", b"sha-256=:x:")], False),
        ):
            self.assertEqual(is_codable(ResponseHead(status, [TEXT, *more]), size), codable, (status, size, more))

    def test_without_a_type_nothing_is_coded(self) -> None:
        self.assertFalse(is_codable(ResponseHead(200, []), 5000))


class HeadTests(SynchronousTestCase):
    def test_vary_is_merged_and_never_doubled(self) -> None:
        for before, after in (
            ([], [(b"Vary", b"Accept-Encoding")]),
            ([(b"vary", b"Cookie")], [(b"vary", b"Cookie, Accept-Encoding")]),
            ([(b"Vary", b"accept-encoding")], [(b"Vary", b"accept-encoding")]),
            ([(b"Vary", b"*")], [(b"Vary", b"*")]),
            ([(b"Vary", b"")], [(b"Vary", b"Accept-Encoding")]),
            (
                [(b"Vary", b"A"), (b"X", b"y"), (b"Vary", b"B")],
                [(b"Vary", b"A, Accept-Encoding"), (b"X", b"y"), (b"Vary", b"B")],
            ),
            ([(b"Vary", b"A"), (b"Vary", b"Accept-Encoding")], [(b"Vary", b"A"), (b"Vary", b"Accept-Encoding")]),
        ):
            self.assertEqual(varied(before), after)

    def test_coded_head(self) -> None:
        head = ResponseHead(
            200, [TEXT, (b"ETag", b'"x"'), (b"Accept-Ranges", b"bytes"), (b"Date", b"d")], 5000, b"Fine", True
        )
        coded = coded_head(head, b"gzip", 300)
        self.assertEqual(
            coded.fields,
            [TEXT, (b"ETag", b'W/"x"'), (b"Date", b"d"), (b"Vary", b"Accept-Encoding"), (b"Content-Encoding", b"gzip")],
        )
        self.assertEqual((coded.length, coded.reason, coded.has_date), (300, b"Fine", True))
        self.assertEqual(head.length, 5000)

    def test_unmodified_head_tells_a_client_the_tag_it_knows(self) -> None:
        head = ResponseHead(304, [(b"ETag", b'"x"')])
        for condition, coding, told in (
            (b'"y", W/"x"', b"gzip", b'W/"x"'),
            (b'W/"x-br"', b"br", b'W/"x-br"'),
            (b'W/"x", W/"x-br"', b"br", b'W/"x-br"'),
            (b'W/"x", W/"x-br"', b"gzip", b'W/"x"'),
            (b'W/"x"', b"zstd", b'W/"x"'),
        ):
            self.assertEqual(
                unmodified_head(head, condition, coding).fields, [(b"ETag", told), (b"Vary", b"Accept-Encoding")]
            )
        for other in (None, b'"x"', b'W/"y"', b'W/"x-br"', b"*", b"x"):
            self.assertIs(unmodified_head(head, other, b"zstd"), head)

    def test_varied_head(self) -> None:
        head = ResponseHead(200, [TEXT], 5000, b"Fine")
        self.assertEqual((varied_head(head).fields, varied_head(head).length), (varied([TEXT]), 5000))
        known = ResponseHead(200, [(b"Vary", b"*")])
        self.assertIs(varied_head(known), known)

    @given(st.lists(st.sampled_from([b"Vary", b"vary", b"X"]), max_size=4), st.lists(st.binary(max_size=9), max_size=4))
    def test_vary_names_it_once_and_loses_nothing(self, names: list[bytes], values: list[bytes]) -> None:
        fields = list(zip(names, values, strict=False))
        after = varied(fields)
        self.assertEqual(varied(after), after)
        lists = [value for name, value in after if name.lower() == b"vary"]
        tokens = [token.strip(b" \t").lower() for value in lists for token in value.split(b",")]
        self.assertTrue(b"*" in tokens or b"accept-encoding" in tokens)
        for (name, value), (same, longer) in zip(fields, after, strict=False):
            self.assertEqual(name, same)
            self.assertTrue(longer.startswith(value) or not value.strip(b" \t,"))


class TagTests(SynchronousTestCase):
    def test_tags_of_codings(self) -> None:
        for origin, coding, tag in (
            (b'"x"', b"gzip", b'W/"x"'),
            (b'"x"', b"br", b'W/"x-br"'),
            (b'W/"x"', b"zstd", b'W/"x-zstd"'),
            (b'""', b"br", b'W/"-br"'),
            (b"nonsense", b"br", b"W/nonsense"),
        ):
            self.assertEqual(coded_tag(origin, coding), tag)

    def test_the_way_back(self) -> None:
        for condition, codings, longer in (
            (b'W/"a"', (b"gzip",), b'W/"a", "a"'),
            (b'W/"a"', (), b'W/"a", "a"'),
            (b'W/"a-br"', (b"br",), b'W/"a-br", "a", "a-br"'),
            (b'W/"a-br"', (b"zstd",), b'W/"a-br", "a-br"'),
            (b'W/"a-br", W/"a-zstd"', CODINGS, b'W/"a-br", W/"a-zstd", "a", "a-br", "a-zstd"'),
            (b'W/"a", "a"', CODINGS, b'W/"a", "a"'),
            (b'"a"', CODINGS, b'"a"'),
            (b'W/"a", W/"b"', CODINGS, b'W/"a", W/"b", "a", "b"'),
            (b"*", CODINGS, b"*"),
            (b"nonsense W/", CODINGS, b"nonsense W/"),
        ):
            self.assertEqual(with_origin_tags(condition, codings), longer)

    @given(OPAQUE, st.booleans(), st.sampled_from(CODINGS))
    def test_what_was_coded_is_found_again(self, opaque: bytes, is_weak: bool, coding: bytes) -> None:
        origin = b"W/" + opaque if is_weak else opaque
        tag = coded_tag(origin, coding)
        condition = with_origin_tags(tag, (coding,))
        self.assertIn((False, opaque), entity_tags(condition) or [])
        self.assertTrue(is_none_match_hit(condition, origin))
        told = unmodified_head(ResponseHead(304, [(b"ETag", origin)]), tag, coding)
        self.assertEqual(told.get(b"etag"), tag)

    @given(OPAQUE)
    def test_no_two_codings_share_a_tag(self, opaque: bytes) -> None:
        self.assertEqual(len({coded_tag(opaque, coding) for coding in CODINGS}), 3)

    @given(st.binary(max_size=60), st.lists(st.sampled_from(CODINGS), max_size=3))
    def test_any_bytes_are_kept(self, condition: bytes, codings: list[bytes]) -> None:
        longer = with_origin_tags(condition, codings)
        self.assertTrue(longer.startswith(condition))
        self.assertEqual(with_origin_tags(longer, codings), longer)
