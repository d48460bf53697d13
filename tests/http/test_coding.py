"""Which answers may be coded, and their heads."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from scalekit.http.coding import coded_head, is_codable, is_gaining, unmodified_head, varied
from scalekit.http.heads import ResponseHead

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
        for kind in (b"image/png", b"video/mp4", b"application/octet-stream", b"application/zip", b"font/woff2", b""):
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
        self.assertEqual(
            unmodified_head(head, b'"y", W/"x"').fields, [(b"ETag", b'W/"x"'), (b"Vary", b"Accept-Encoding")]
        )
        for condition in (None, b'"x"', b'W/"y"', b"*"):
            self.assertIs(unmodified_head(head, condition), head)
