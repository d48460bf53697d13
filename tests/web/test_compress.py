"""Compress: zstd, br and gzip by negotiation, whole and streamed."""

from __future__ import annotations

import gc
from typing import Any, ClassVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import OurFault
from scalekit.http.heads import Fields, RequestHead, ResponseHead
from scalekit.web.compress import QUIET_SECONDS, STREAMS_BYTES, THREADS, Compress
from scalekit.web.compressors import CODINGS
from scalekit.web.memory import MemoryExchange, ask, respond
from tests.web.decoders import NAMES, decoded, partly

HTML = [(b"Content-Type", b"text/html")]
PAGE = b"<p>the same again and again</p>" * 100


class Fixed:
    """Answers everything with one head and body; remembers the exchanges."""

    def __init__(self, fields: Fields, body: bytes = b"", status: int = 200, length: int | None = None) -> None:
        self.answer = (status, fields, length, body)
        self.exchanges: list[Any] = []

    def respond(self, exchange: Any) -> None:
        self.exchanges.append(exchange)
        status, fields, length, body = self.answer
        exchange.answer(ResponseHead(status, list(fields), length), body)


class Streaming:
    """Leaves the exchange to the test, and keeps what its observer hears."""

    def respond(self, exchange: Any) -> None:
        self.exchange = exchange
        self.heard: list[str] = []
        exchange.observe(self)

    def pause(self) -> None:
        self.heard.append("pause")

    def resume(self) -> None:
        self.heard.append("resume")

    def aborted(self, fault: Exception) -> None:
        self.heard.append("aborted")


class Threads:
    """Threads that finish when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Deferred[Any], Any, Any]] = []

    def __call__(self, function: Any, *arguments: Any) -> Deferred[Any]:
        done: Deferred[Any] = Deferred()
        self.waiting.append((done, function, arguments))
        return done

    def run(self) -> None:
        done, function, arguments = self.waiting.pop(0)
        done.callback(function(*arguments))

    def run_all(self) -> None:
        while self.waiting:
            self.run()


def at_once(function: Any, *arguments: Any) -> Deferred[Any]:
    return succeed(function(*arguments))


def made(responder: Any, *algorithms: str) -> Compress:
    return Compress(responder, Clock(), at_once, *([algorithms] if algorithms else []))


class CodingCase(SynchronousTestCase):
    """Each coding, asked for by a client that takes no other."""

    coding: ClassVar[bytes]

    @property
    def accepts(self) -> Fields:
        return [(b"Accept-Encoding", self.coding)]

    def decoded(self, exchange: MemoryExchange) -> bytes:
        return decoded(self.coding, exchange.sent)

    def partly(self, exchange: MemoryExchange) -> bytes:
        return partly(self.coding, exchange.sent)

    def tag(self, opaque: bytes) -> bytes:
        """What the tag of a coded answer is."""
        return b'W/"%s%s"' % (opaque, b"" if self.coding == b"gzip" else b"-" + self.coding)


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


class StreamCase(CodingCase):
    """Answers that come in pieces."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.threads = Threads()
        self.source = Streaming()
        self.exchange = MemoryExchange(RequestHead(b"GET", b"/", self.accepts))
        respond(Compress(self.source, self.clock, self.threads), self.exchange)  # type: ignore[arg-type]

    def begin(self, content_type: bytes = b"text/html") -> Any:
        self.source.exchange.begin(ResponseHead(200, [(b"Content-Type", content_type)]))
        return self.source.exchange

    def test_pieces_in_order_and_trailers(self) -> None:
        coded = self.begin()
        for piece in (b"one ", b"two ", b"x" * 20_000):
            coded.write(piece)
        coded.finish([(b"X-Sum", b"1")])
        self.assertEqual(self.decoded(self.exchange), b"one two " + b"x" * 20_000)
        self.assertEqual((self.exchange.is_finished, self.exchange.trailers), (True, [(b"X-Sum", b"1")]))

    def test_a_quiet_stream_is_flushed_soon(self) -> None:
        coded = self.begin()
        coded.write(b"one")
        self.assertEqual(self.exchange.sent, b"")
        self.clock.advance(QUIET_SECONDS)
        self.assertEqual(self.partly(self.exchange), b"one")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        coded.write(b"two")
        self.clock.advance(QUIET_SECONDS)
        self.assertEqual(self.partly(self.exchange), b"onetwo")
        coded.finish()
        self.assertEqual(self.decoded(self.exchange), b"onetwo")

    def test_events_are_flushed_at_once(self) -> None:
        coded = self.begin(b"text/event-stream")
        for count in (1, 2, 3):
            coded.write(b"data: x\n\n")
            self.assertEqual(self.partly(self.exchange), b"data: x\n\n" * count)

    def test_known_small_length_is_not_coded(self) -> None:
        self.source.exchange.begin(ResponseHead(200, list(HTML), 5))
        self.source.exchange.write(b"12345")
        self.source.exchange.finish()
        self.assertEqual((self.exchange.sent, self.exchange.is_finished), (b"12345", True))

    def test_known_length_is_not_kept(self) -> None:
        self.source.exchange.begin(ResponseHead(200, list(HTML), 5000))
        assert self.exchange.answer_head is not None
        self.assertIsNone(self.exchange.answer_head.length)

    def test_large_pieces_are_coded_in_a_thread_in_order(self) -> None:
        coded = self.begin()
        big = bytes(range(256)) * 2000  # at least two slices
        coded.write(big)
        coded.write(b"small")
        coded.finish()
        self.assertEqual((len(self.threads.waiting), self.exchange.is_finished), (1, False))
        self.threads.run_all()
        self.assertEqual(self.decoded(self.exchange), big + b"small")
        self.assertTrue(self.exchange.is_finished)

    def test_a_flush_waits_for_the_thread(self) -> None:
        coded = self.begin()
        coded.write(b"a")
        coded.write(b"x" * 300_000)
        self.clock.advance(QUIET_SECONDS)
        self.assertEqual(self.exchange.sent, b"")
        self.threads.run_all()
        self.clock.advance(QUIET_SECONDS)
        self.assertEqual(self.partly(self.exchange), b"a" + b"x" * 300_000)

    def test_a_large_whole_answer_goes_through_the_thread(self) -> None:
        body = PAGE * 200
        self.source.exchange.answer(ResponseHead(200, list(HTML)), body)
        while self.threads.waiting:
            self.assertFalse(self.exchange.is_finished)
            self.threads.run()
        self.assertEqual((self.decoded(self.exchange), self.exchange.is_finished), (body, True))

    def test_a_full_queue_pauses_the_source(self) -> None:
        coded = self.begin()
        for _ in range(9):
            coded.write(b"x" * 150_000)
        self.assertEqual(self.source.heard, ["pause"])
        self.threads.run_all()
        self.assertEqual(self.source.heard, ["pause", "resume"])

    def test_a_client_without_room_stops_coding_and_the_source(self) -> None:
        coded = self.begin()
        coded.write(b"x" * 300_000)
        self.exchange.hold()
        self.assertEqual(self.source.heard, ["pause"])
        self.threads.run()
        self.assertEqual(self.threads.waiting, [])
        self.exchange.release()
        coded.finish()
        self.threads.run_all()
        self.assertEqual(self.decoded(self.exchange), b"x" * 300_000)
        self.assertEqual(self.source.heard, ["pause", "resume"])

    def test_client_gone_forgets_everything(self) -> None:
        coded = self.begin()
        coded.write(b"x" * 600_000)
        self.exchange.leave()
        self.assertEqual(self.source.heard[-1], "aborted")
        self.threads.run()
        self.assertEqual((self.threads.waiting, self.exchange.sent), ([], b""))
        coded.write(b"more")
        self.clock.advance(QUIET_SECONDS)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_abort_by_the_source_forgets_everything(self) -> None:
        coded = self.begin()
        coded.write(b"x" * 600_000)
        coded.abort(OurFault(500, "x", "y"))
        self.threads.run()
        self.assertEqual((self.threads.waiting, self.exchange.sent), ([], b""))
        self.assertIsNotNone(self.exchange.fault)

    def test_a_failing_thread_cuts_the_answer_once(self) -> None:
        coded = self.begin()
        coded.write(b"x" * 300_000)
        self.threads.waiting.pop()[0].errback(MemoryError())
        self.assertIsNotNone(self.exchange.fault)
        self.assertEqual(self.source.heard, ["aborted"])
        self.assertEqual(len(self.flushLoggedErrors(MemoryError)), 1)

    def test_one_tick_serves_all_quiet_streams(self) -> None:
        exchanges = []
        sources = []
        for _ in range(3):
            sources.append(Streaming())
            exchanges.append(MemoryExchange(RequestHead(b"GET", b"/", self.accepts)))
        compress = Compress(Streaming(), self.clock, self.threads)  # type: ignore[arg-type]
        for source, exchange in zip(sources, exchanges, strict=True):
            compress._responder = source  # type: ignore[assignment]
            respond(compress, exchange)
            source.exchange.begin(ResponseHead(200, list(HTML)))
            source.exchange.write(b"piece")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(QUIET_SECONDS)
        self.assertEqual([self.partly(exchange) for exchange in exchanges], [b"piece"] * 3)

    def test_the_origin_s_head_is_not_touched(self) -> None:
        head = ResponseHead(200, list(HTML), 5000)
        self.source.exchange.begin(head)
        self.assertEqual((head.fields, head.length), (HTML, 5000))


class ZstdWholeTests(WholeCase):
    coding = b"zstd"


class BrotliWholeTests(WholeCase):
    coding = b"br"


class GzipWholeTests(WholeCase):
    coding = b"gzip"


class ZstdStreamTests(StreamCase):
    coding = b"zstd"


class BrotliStreamTests(StreamCase):
    coding = b"br"


class GzipStreamTests(StreamCase):
    coding = b"gzip"


del CodingCase, WholeCase, StreamCase  # trial would run them too


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


class BoundTests(SynchronousTestCase):
    """How many streams there may be, and how many threads."""

    def setUp(self) -> None:
        self.threads = Threads()
        self.sources: list[Streaming] = []
        self.compress = Compress(self, Clock(), self.threads)  # type: ignore[arg-type]

    def respond(self, exchange: Any) -> None:
        self.sources.append(Streaming())
        self.sources[-1].respond(exchange)

    def begin(self, coding: bytes) -> MemoryExchange:
        exchange = MemoryExchange(RequestHead(b"GET", b"/", [(b"Accept-Encoding", coding)]))
        respond(self.compress, exchange)
        self.sources[-1].exchange.begin(ResponseHead(200, list(HTML)))
        return exchange

    def fill(self, coding: bytes) -> list[MemoryExchange]:
        return [self.begin(coding) for _ in range(STREAMS_BYTES // CODINGS[coding]().stream_bytes(False))]

    def test_more_streams_than_there_is_room_for_are_not_coded(self) -> None:
        full = self.fill(b"br")
        self.assertEqual(full[-1].values(b"content-encoding"), [b"br"])
        over = self.begin(b"br")
        self.assertEqual((over.values(b"content-encoding"), over.values(b"vary")), ([], [b"Accept-Encoding"]))
        self.sources[-1].exchange.write(b"plain")
        self.sources[-1].exchange.finish()
        self.assertEqual((over.sent, over.is_finished), (b"plain", True))
        large = MemoryExchange(RequestHead(b"GET", b"/", [(b"Accept-Encoding", b"br")]))
        respond(self.compress, large)
        self.sources[-1].exchange.answer(ResponseHead(200, list(HTML)), PAGE * 40)
        self.assertEqual((large.values(b"content-encoding"), large.sent), ([], PAGE * 40))

    def test_room_comes_back_when_a_stream_ends_however_it_does(self) -> None:
        full = self.fill(b"br")
        for end in (
            lambda: self.sources[0].exchange.finish(),
            lambda: self.sources[1].exchange.abort(OurFault(500, "x", "y")),
            lambda: full[2].leave(),
        ):
            self.assertEqual(self.begin(b"br").values(b"content-encoding"), [])
            end()
            self.assertEqual(self.begin(b"br").values(b"content-encoding"), [b"br"])

    def test_room_comes_back_when_a_stream_is_forgotten(self) -> None:
        self.fill(b"br").clear()
        self.sources.clear()
        gc.collect()
        self.assertEqual([exchange.values(b"content-encoding") for exchange in self.fill(b"br")][-1], [b"br"])

    def test_so_many_slices_are_coded_at_a_time(self) -> None:
        exchanges = [self.begin(coding) for coding in NAMES * 4]
        for source in self.sources:
            source.exchange.write(b"x" * 200_000)
            source.exchange.finish()
        self.assertEqual(len(self.threads.waiting), THREADS)
        while self.threads.waiting:
            self.assertLessEqual(len(self.threads.waiting), THREADS)
            self.threads.run()
        for coding, exchange in zip(NAMES * 4, exchanges, strict=True):
            self.assertEqual(decoded(coding, exchange.sent), b"x" * 200_000)

    def test_who_leaves_while_waiting_costs_nothing(self) -> None:
        exchanges = [self.begin(b"gzip") for _ in range(THREADS + 1)]
        for source in self.sources:
            source.exchange.write(b"x" * 200_000)
        exchanges[-1].leave()
        self.threads.run_all()
        self.assertEqual(exchanges[-1].sent, b"")
