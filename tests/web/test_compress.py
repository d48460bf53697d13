"""Compress: zstd, br and gzip by negotiation, for whole answers."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import OurFault
from scalekit.http.heads import Fields
from scalekit.web.compress import REMEMBERED_BYTES, Compress
from scalekit.web.memory import MemoryExchange, ask
from tests.web.coded import HTML, PAGE, CodingCase, Fixed, at_once, made
from tests.web.decoders import NAMES, decoded


class WholeCase(CodingCase):
    """Answers that come in one call."""

    def ask(self, responder: Any, fields: Fields, method: bytes = b"GET") -> MemoryExchange:
        return ask(Compress(responder, Clock(), at_once), method, fields=fields)

    def test_coded(self) -> None:
        exchange = self.ask(Fixed([*HTML, (b"ETag", b'"x"')], PAGE, length=len(PAGE)), self.accepts)
        self.assertEqual(self.decoded(exchange), PAGE)
        assert exchange.answer_head is not None
        self.assertEqual((exchange.answer_head.length, exchange.is_whole), (len(exchange.sent), True))
        self.assertEqual(exchange.values(b"content-encoding"), [self.coding])
        self.assertEqual((exchange.values(b"vary"), exchange.values(b"etag")), ([b"Accept-Encoding"], [self.tag(b"x")]))

    def test_not_coded_but_varied_for_who_takes_no_coding(self) -> None:
        for fields in ([], [(b"Accept-Encoding", self.coding + b";q=0")], [(b"accept-encoding", b"deflate")]):
            exchange = self.ask(Fixed([*HTML, (b"ETag", b'"x"')], PAGE), fields)
            self.assertEqual((exchange.sent, exchange.values(b"content-encoding")), (PAGE, []))
            self.assertEqual((exchange.values(b"vary"), exchange.values(b"etag")), ([b"Accept-Encoding"], [b'"x"']))

    def test_no_transform_in_the_request(self) -> None:
        exchange = self.ask(Fixed(HTML, PAGE), [*self.accepts, (b"Cache-Control", b"no-transform")])
        self.assertEqual(exchange.sent, PAGE)

    def test_untouched(self) -> None:
        for fields, body, status in (
            (HTML, b"short", 200),
            ([(b"Content-Type", b"image/png")], PAGE, 200),
            ([*HTML, (b"Content-Encoding", b"compress")], PAGE, 200),
            ([*HTML, (b"Cache-Control", b"no-transform")], PAGE, 200),
            ([*HTML, (b"Content-Range", b"bytes 0-9/10")], PAGE, 206),
            (HTML, b"", 204),
        ):
            for request in (self.accepts, []):
                exchange = self.ask(Fixed(fields, body, status), request)
                self.assertEqual((exchange.sent, exchange.fields), (body, fields))

    def test_head_says_what_get_would(self) -> None:
        for length, coded in ((5000, [self.coding]), (None, [self.coding]), (10, [])):
            exchange = self.ask(Fixed(HTML, b"", length=length), self.accepts, b"HEAD")
            assert exchange.answer_head is not None
            self.assertEqual((exchange.values(b"content-encoding"), exchange.sent), (coded, b""))
            self.assertEqual(exchange.answer_head.length, None if coded else length)
            self.assertTrue(exchange.is_finished)

    def origin_sees(self, name: bytes, value: bytes, method: bytes, fields: Fields) -> bytes | None:
        inner = Fixed(HTML)
        self.ask(inner, [*fields, (name, value)], method)
        found: bytes | None = inner.exchanges[0].head.get(name.lower())
        return found

    def test_the_origin_is_asked_by_its_own_tag(self) -> None:
        tag = self.tag(b"x")
        both = tag + (b', "x"' if self.coding == b"gzip" else b', "x", ' + tag.removeprefix(b"W/"))
        for name, method in ((b"If-None-Match", b"GET"), (b"If-Match", b"PUT"), (b"If-None-Match", b"PUT")):
            self.assertEqual(self.origin_sees(name, tag, method, self.accepts), both)
        # Who writes may have read another form than it would get now; who reads is sent that one.
        self.assertEqual(self.origin_sees(b"If-Match", tag, b"PUT", []), both)
        if self.coding != b"gzip":
            self.assertNotIn(b'"x"', self.origin_sees(b"If-None-Match", tag, b"GET", []) or b"")

    def test_304_names_the_tag_that_the_client_has(self) -> None:
        gzips = b'W/"x"'
        for held, told in (
            (self.tag(b"x"), self.tag(b"x")),
            (gzips + b", " + self.tag(b"x"), self.tag(b"x")),
            (b'W/"y", ' + gzips, gzips),
        ):
            exchange = self.ask(Fixed([(b"ETag", b'"x"')], status=304), [*self.accepts, (b"If-None-Match", held)])
            self.assertEqual(exchange.fields, [(b"ETag", told), (b"Vary", b"Accept-Encoding")])

    def test_304_to_the_strong_tag_stays_as_it_is(self) -> None:
        exchange = self.ask(Fixed([(b"ETag", b'"x"')], status=304), [*self.accepts, (b"If-None-Match", b'"x"')])
        self.assertEqual(exchange.fields, [(b"ETag", b'"x"')])

    def test_faults_are_answered(self) -> None:
        class Failing:
            def respond(self, exchange: Any) -> None:
                exchange.fail(OurFault(500, "x", "y"))

        self.assertEqual(self.ask(Failing(), self.accepts).status, 500)

    def test_an_unknown_coding_is_refused(self) -> None:
        self.assertRaises(ValueError, Compress, Fixed([]), Clock(), at_once, ("lzma",))

    def test_an_event_stream_in_one_piece(self) -> None:
        exchange = self.ask(Fixed([(b"Content-Type", b"text/event-stream")], PAGE), self.accepts)
        self.assertEqual((self.decoded(exchange), exchange.is_whole), (PAGE, True))


class ZstdWholeTests(WholeCase):
    coding = b"zstd"


class BrotliWholeTests(WholeCase):
    coding = b"br"


class GzipWholeTests(WholeCase):
    coding = b"gzip"


del CodingCase, WholeCase  # trial would run them too


class ChoiceTests(SynchronousTestCase):
    def test_what_clients_get(self) -> None:
        for accepted, coding in (
            (b"gzip, deflate, br, zstd", b"zstd"),  # Chromium and Firefox over TLS
            (b"gzip, deflate, br", b"br"),  # Safari; Chromium before 2024
            (b"gzip, deflate", b"gzip"),  # browsers in clear, requests
            (b"deflate, gzip, br, zstd", b"zstd"),  # curl --compressed
            (b"gzip, br;q=0.9, zstd;q=0.8", b"gzip"),
            (b"zstd;q=0, *", b"br"),
        ):
            exchange = ask(made(Fixed(HTML, PAGE)), fields=[(b"Accept-Encoding", accepted)])
            self.assertEqual(exchange.values(b"content-encoding"), [coding])
            self.assertEqual(decoded(coding, exchange.sent), PAGE)

    def test_what_is_remembered_is_short(self) -> None:
        compress = made(Fixed(HTML, PAGE))
        for size, remembered in ((REMEMBERED_BYTES, 1), (REMEMBERED_BYTES + 1, 1), (30_000, 1)):
            exchange = ask(compress, fields=[(b"Accept-Encoding", b"br;q=0.5, gzip".ljust(size, b","))])
            self.assertEqual(exchange.values(b"content-encoding"), [b"gzip"])
            self.assertEqual(compress._pick.cache_info().currsize, remembered)

    def test_the_order_is_the_configuration_s(self) -> None:
        accepts = [(b"Accept-Encoding", b"gzip, br, zstd")]
        for algorithms in (("br", "gzip"), ("gzip",), ("gzip", "zstd")):
            exchange = ask(made(Fixed(HTML, PAGE), *algorithms), fields=accepts)
            self.assertEqual(exchange.values(b"content-encoding"), [algorithms[0].encode()])

    def test_each_form_has_a_tag_of_its_own(self) -> None:
        inner = Fixed([*HTML, (b"ETag", b'"x"')], PAGE)
        asked: list[Fields] = [[], *([(b"Accept-Encoding", name)] for name in NAMES)]
        tags = [ask(made(inner), fields=fields).values(b"etag") for fields in asked]
        self.assertEqual(tags, [[b'"x"'], [b'W/"x-zstd"'], [b'W/"x-br"'], [b'W/"x"']])
