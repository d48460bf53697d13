"""``POST /v1/logs``: what exporters are told."""

from __future__ import annotations

import gzip
import json
from typing import Any

import zstandard
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.http.heads import RequestHead
from scalekit.logs.bodies import VALUES_LIMIT
from scalekit.logs.budget import Budget
from scalekit.logs.collector import Collector
from scalekit.logs.memory import MemoryDirectory
from scalekit.logs.otlp.forms import JSON, PROTOBUF, form_of
from scalekit.logs.otlp.records import Record
from scalekit.logs.otlp.taking import ExportLogs
from scalekit.logs.settings import Settings
from scalekit.web.memory import MemoryExchange, ask
from tests.logs.lanes import SteppedLane

T = 1_700_000_000
SHOP = {"service.name": "shop"}
GOOD = Record(T * 10**9, number=9, body="sold password=secret1", resource=SHOP)
LONG = Record(T * 10**9, body="long", resource={"service.name": "x" * 257})


class ExportLogsTests(SynchronousTestCase):
    """`ExportLogs`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(T)
        self.directory = MemoryDirectory()
        self.lanes = (SteppedLane(), SteppedLane(), SteppedLane())
        settings = Settings(memory_bytes=100_000, segment_bytes=1_000_000)
        self.collector = Collector(lambda: self.directory, self.clock, self.lanes, settings)
        self.collector.startService()
        self.responder = ExportLogs(self.collector)

    def post(self, body: bytes, kind: bytes = JSON, *fields: tuple[bytes, bytes]) -> MemoryExchange:
        """Ask, and let the disk work."""
        exchange = ask(self.responder, b"POST", b"/v1/logs", [(b"Content-Type", kind), *fields], body)
        while self.lanes[0].step():
            pass
        self.assertTrue(exchange.is_finished)
        self.assertEqual(exchange.values(b"content-type"), [PROTOBUF if kind == PROTOBUF else JSON])
        return exchange

    def error(self, exchange: MemoryExchange) -> Any:
        """What it says, in either form."""
        if exchange.values(b"content-type") == [JSON]:
            return json.loads(exchange.sent)
        said = Status.FromString(exchange.sent)
        return {"code": said.code, "message": said.message}

    def test_taken(self) -> None:
        """An empty answer once they are on disk; secrets are not in it."""
        for kind, empty in ((JSON, b"{}"), (PROTOBUF, b"")):
            body = form_of(kind).write([GOOD, GOOD])
            for coding, coded in (
                (b"", body),
                (b"gzip", gzip.compress(body)),
                (b"zstd", zstandard.compress(body)),
            ):
                exchange = self.post(coded, kind, *([(b"Content-Encoding", coding)] if coding else []))
                self.assertEqual((exchange.status, exchange.sent), (200, empty))
        self.assertEqual(self.collector.counts.accepted, 12)
        self.clock.advance(2)
        while self.lanes[1].step():
            pass
        line = b"2023-11-14 22:13:20;INFO;shop;sold password=[redacted]\n"
        self.assertEqual(self.directory.read("log.txt"), line * 12)

    def test_partly_taken(self) -> None:
        """Says how many are not, and why; they are in quarantine."""
        exchange = self.post(form_of(PROTOBUF).write([GOOD, LONG]), PROTOBUF)
        said = ExportLogsServiceResponse.FromString(exchange.sent).partial_success
        self.assertEqual((exchange.status, said.rejected_log_records), (200, 1))
        self.assertEqual(said.error_message, "record 2: service.name: longer than 256 characters.")
        exchange = self.post(form_of(JSON).write([LONG] * 5))
        told = json.loads(exchange.sent)["partialSuccess"]
        self.assertEqual(told["rejectedLogRecords"], "5")
        self.assertTrue(told["errorMessage"].endswith("; and 2 more"), told)
        self.assertEqual((self.collector.counts.accepted, self.collector.counts.rejected), (1, 6))
        self.lanes[2].step()
        self.assertIn(b"long", self.directory.read("quarantine-lines.txt"))

    def test_errors(self) -> None:
        """A status in the request's form, which exporters do not try again."""
        bomb = gzip.compress(bytes(2_000_000))
        for kind in (JSON, PROTOBUF):
            exchange = self.post(b"{]", kind)
            self.assertEqual((exchange.status, self.error(exchange)["code"]), (400, 3))
            self.assertIn("ExportLogsServiceRequest", self.error(exchange)["message"])
            self.assertEqual(exchange.record.reason, "bad-json" if kind == JSON else "bad-protobuf")
            exchange = self.post(bomb, kind, (b"Content-Encoding", b"gzip"))
            self.assertEqual((exchange.status, self.error(exchange)["code"]), (413, 8))
        exchange = self.post(b"", b"text/plain")
        self.assertEqual((exchange.status, self.error(exchange)["code"]), (415, 3))

    def test_brackets(self) -> None:
        """Records by the million, of which no entry says anything: 413, before they are decoded."""
        exchange = self.post(b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[%b{}]}]}]}' % (b"{}," * VALUES_LIMIT))
        self.assertEqual((exchange.status, self.error(exchange)["code"]), (413, 8))
        self.assertEqual(exchange.record.reason, "too-many-values")

    def test_too_big_by_its_head(self) -> None:
        """413 before anything is read."""
        head = RequestHead(b"POST", b"/v1/logs", [(b"Content-Type", JSON)], length=30_000_000)
        exchange = MemoryExchange(head)
        self.responder.respond(exchange)
        self.assertEqual((exchange.status, self.error(exchange)["code"]), (413, 8))

    def test_later(self) -> None:
        """429 and 503 say when."""
        self.collector._budget = Budget(1)
        self.assertEqual(self.post(form_of(JSON).write([GOOD] * 11)).status, 200)
        exchange = self.post(form_of(PROTOBUF).write([GOOD]), PROTOBUF)
        self.assertEqual((exchange.status, exchange.values(b"retry-after")), (429, [b"1"]))
        self.assertEqual(self.error(exchange)["code"], 8)
        self.collector._budget = Budget(0)
        self.post(form_of(JSON).write([GOOD._replace(body="x" * 110_000)]))
        exchange = self.post(form_of(JSON).write([GOOD]))
        self.assertEqual((exchange.status, exchange.values(b"retry-after")), (503, [b"1"]))
        self.assertEqual(self.error(exchange)["code"], 14)

    def test_once(self) -> None:
        """A batch with a name, as with entries."""
        for _ in range(2):
            exchange = self.post(form_of(JSON).write([GOOD]), JSON, (b"X-Scalekit-Batch", b"app/1"))
            self.assertEqual((exchange.status, exchange.sent), (200, b"{}"))
        self.assertEqual(self.collector.counts.accepted, 1)
