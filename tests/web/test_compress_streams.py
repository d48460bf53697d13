"""Compress: answers in pieces, and how many of them at once."""

from __future__ import annotations

import gc
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import OurFault
from scalekit.http.heads import RequestHead, ResponseHead
from scalekit.web.compress import QUIET_SECONDS, STREAMS_BYTES, THREADS, Compress
from scalekit.web.compressors import CODINGS
from scalekit.web.memory import MemoryExchange, respond
from tests.web.coded import HTML, PAGE, CodingCase, Streaming, Threads
from tests.web.decoders import NAMES, decoded


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


class ZstdStreamTests(StreamCase):
    coding = b"zstd"


class BrotliStreamTests(StreamCase):
    coding = b"br"


class GzipStreamTests(StreamCase):
    coding = b"gzip"


del CodingCase, StreamCase  # trial would run them too


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
