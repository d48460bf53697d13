"""Compress: gzip by negotiation, whole and streamed."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import OurFault
from scalekit.http.heads import Fields, RequestHead, ResponseHead
from scalekit.web.compress import QUIET_SECONDS, Compress
from scalekit.web.memory import MemoryExchange, ask, respond

GZIP = [(b"Accept-Encoding", b"gzip")]
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


def at_once(function: Any, *arguments: Any) -> Deferred[Any]:
    return succeed(function(*arguments))


def partly(data: bytes) -> bytes:
    """What a client can read of a gzip body so far."""
    return zlib.decompressobj(31).decompress(data)


class WholeTests(SynchronousTestCase):
    def ask(self, responder: Any, fields: Fields, method: bytes = b"GET") -> MemoryExchange:
        return ask(Compress(responder, Clock(), at_once), method, fields=fields)

    def test_coded(self) -> None:
        exchange = self.ask(Fixed([*HTML, (b"ETag", b'"x"')], PAGE, length=len(PAGE)), GZIP)
        self.assertEqual(gzip.decompress(exchange.sent), PAGE)
        assert exchange.answer_head is not None
        self.assertEqual((exchange.answer_head.length, exchange.is_whole), (len(exchange.sent), True))
        self.assertEqual(exchange.values(b"content-encoding"), [b"gzip"])
        self.assertEqual((exchange.values(b"vary"), exchange.values(b"etag")), ([b"Accept-Encoding"], [b'W/"x"']))

    def test_not_coded_but_varied_for_who_takes_no_coding(self) -> None:
        for fields in ([], [(b"Accept-Encoding", b"gzip;q=0")], [(b"accept-encoding", b"br")]):
            exchange = self.ask(Fixed([*HTML, (b"ETag", b'"x"')], PAGE), fields)
            self.assertEqual((exchange.sent, exchange.values(b"content-encoding")), (PAGE, []))
            self.assertEqual((exchange.values(b"vary"), exchange.values(b"etag")), ([b"Accept-Encoding"], [b'"x"']))

    def test_no_transform_in_the_request(self) -> None:
        exchange = self.ask(Fixed(HTML, PAGE), [*GZIP, (b"Cache-Control", b"no-transform")])
        self.assertEqual(exchange.sent, PAGE)

    def test_untouched(self) -> None:
        for fields, body, status in (
            (HTML, b"short", 200),
            ([(b"Content-Type", b"image/png")], PAGE, 200),
            ([*HTML, (b"Content-Encoding", b"br")], PAGE, 200),
            ([*HTML, (b"Cache-Control", b"no-transform")], PAGE, 200),
            ([*HTML, (b"Content-Range", b"bytes 0-9/10")], PAGE, 206),
            (HTML, b"", 204),
        ):
            for request in (GZIP, []):
                exchange = self.ask(Fixed(fields, body, status), request)
                self.assertEqual((exchange.sent, exchange.fields), (body, fields))

    def test_head_says_what_get_would(self) -> None:
        for length, coded in ((5000, [b"gzip"]), (None, [b"gzip"]), (10, [])):
            exchange = self.ask(Fixed(HTML, b"", length=length), GZIP, b"HEAD")
            assert exchange.answer_head is not None
            self.assertEqual((exchange.values(b"content-encoding"), exchange.sent), (coded, b""))
            self.assertEqual(exchange.answer_head.length, None if coded else length)
            self.assertTrue(exchange.is_finished)

    def test_conditions_name_the_strong_form_too(self) -> None:
        for name in (b"If-None-Match", b"If-Match"):
            for accepted in (GZIP, []):
                inner = Fixed(HTML)
                self.ask(inner, [*accepted, (name, b'W/"x"')])
                self.assertEqual(inner.exchanges[0].head.get(name.lower()), b'W/"x", "x"')

    def test_304_keeps_the_weak_tag_and_vary(self) -> None:
        exchange = self.ask(Fixed([(b"ETag", b'"x"')], status=304), [*GZIP, (b"If-None-Match", b'W/"x"')])
        self.assertEqual(exchange.fields, [(b"ETag", b'W/"x"'), (b"Vary", b"Accept-Encoding")])

    def test_304_to_the_strong_tag_stays_as_it_is(self) -> None:
        exchange = self.ask(Fixed([(b"ETag", b'"x"')], status=304), [*GZIP, (b"If-None-Match", b'"x"')])
        self.assertEqual(exchange.fields, [(b"ETag", b'"x"')])

    def test_faults_are_answered(self) -> None:
        class Failing:
            def respond(self, exchange: Any) -> None:
                exchange.fail(OurFault(500, "x", "y"))

        self.assertEqual(self.ask(Failing(), GZIP).status, 500)

    def test_an_unknown_coding_is_refused(self) -> None:
        self.assertRaises(ValueError, Compress, Fixed([]), Clock(), at_once, ("lzma",))


class StreamTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.threads = Threads()
        self.source = Streaming()
        self.exchange = MemoryExchange(RequestHead(b"GET", b"/", list(GZIP)))
        respond(Compress(self.source, self.clock, self.threads), self.exchange)  # type: ignore[arg-type]

    def begin(self, content_type: bytes = b"text/html") -> Any:
        self.source.exchange.begin(ResponseHead(200, [(b"Content-Type", content_type)]))
        return self.source.exchange

    def test_pieces_in_order_and_trailers(self) -> None:
        coded = self.begin()
        for piece in (b"one ", b"two ", b"x" * 60_000):
            coded.write(piece)
        coded.finish([(b"X-Sum", b"1")])
        self.assertEqual(gzip.decompress(self.exchange.sent), b"one two " + b"x" * 60_000)
        self.assertEqual((self.exchange.is_finished, self.exchange.trailers), (True, [(b"X-Sum", b"1")]))

    def test_a_quiet_stream_is_flushed_soon(self) -> None:
        coded = self.begin()
        coded.write(b"one")
        self.assertEqual(self.exchange.sent, b"")
        self.clock.advance(QUIET_SECONDS)
        self.assertEqual(partly(self.exchange.sent), b"one")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        coded.write(b"two")
        self.clock.advance(QUIET_SECONDS)
        self.assertEqual(partly(self.exchange.sent), b"onetwo")
        coded.finish()
        self.assertEqual(gzip.decompress(self.exchange.sent), b"onetwo")

    def test_events_are_flushed_at_once(self) -> None:
        coded = self.begin(b"text/event-stream")
        for count in (1, 2, 3):
            coded.write(b"data: x\n\n")
            self.assertEqual(partly(self.exchange.sent), b"data: x\n\n" * count)

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
        big = bytes(range(256)) * 2000  # two slices
        coded.write(big)
        coded.write(b"small")
        coded.finish()
        self.assertEqual((len(self.threads.waiting), self.exchange.is_finished), (1, False))
        self.threads.run()
        self.threads.run()
        self.assertEqual(self.threads.waiting, [])
        self.assertEqual(gzip.decompress(self.exchange.sent), big + b"small")
        self.assertTrue(self.exchange.is_finished)

    def test_a_flush_waits_for_the_thread(self) -> None:
        coded = self.begin()
        coded.write(b"a")
        coded.write(b"x" * 100_000)
        self.clock.advance(QUIET_SECONDS)
        self.assertEqual(self.exchange.sent, b"")
        self.threads.run()
        self.clock.advance(QUIET_SECONDS)
        self.assertEqual(partly(self.exchange.sent), b"a" + b"x" * 100_000)

    def test_a_large_whole_answer_goes_through_the_thread(self) -> None:
        body = PAGE * 100
        self.source.exchange.answer(ResponseHead(200, list(HTML)), body)
        while self.threads.waiting:
            self.assertFalse(self.exchange.is_finished)
            self.threads.run()
        self.assertEqual((gzip.decompress(self.exchange.sent), self.exchange.is_finished), (body, True))

    def test_a_full_queue_pauses_the_source(self) -> None:
        coded = self.begin()
        for _ in range(9):
            coded.write(b"x" * 100_000)
        self.assertEqual(self.source.heard, ["pause"])
        while self.threads.waiting:
            self.threads.run()
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
        self.assertEqual(gzip.decompress(self.exchange.sent), b"x" * 300_000)
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
        coded.write(b"x" * 100_000)
        self.threads.waiting.pop()[0].errback(MemoryError())
        self.assertIsNotNone(self.exchange.fault)
        self.assertEqual(self.source.heard, ["aborted"])
        self.assertEqual(len(self.flushLoggedErrors(MemoryError)), 1)

    def test_one_tick_serves_all_quiet_streams(self) -> None:
        exchanges = []
        sources = []
        for _ in range(3):
            sources.append(Streaming())
            exchanges.append(MemoryExchange(RequestHead(b"GET", b"/", list(GZIP))))
        compress = Compress(Streaming(), self.clock, self.threads)  # type: ignore[arg-type]
        for source, exchange in zip(sources, exchanges, strict=True):
            compress._responder = source  # type: ignore[assignment]
            respond(compress, exchange)
            source.exchange.begin(ResponseHead(200, list(HTML)))
            source.exchange.write(b"piece")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(QUIET_SECONDS)
        self.assertEqual([partly(exchange.sent) for exchange in exchanges], [b"piece"] * 3)
