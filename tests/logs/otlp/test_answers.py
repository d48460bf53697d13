"""What receivers say: in our binary form as the real libraries have it."""

from __future__ import annotations

import json

from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.otlp.answers import TEXT_LIMIT, Told, read_response, read_status, response, status
from scalekit.logs.otlp.forms import JSON, PROTOBUF

texts = st.text(st.characters(codec="utf-8"), max_size=200)


class AnswersTests(SynchronousTestCase):
    """Responses and errors."""

    @given(st.integers(0, (1 << 63) - 1), texts)
    def test_responses(self, number: int, text: str) -> None:
        """There and back in both forms; and the library reads ours."""
        told = Told(number, text)
        for kind in (JSON, PROTOBUF):
            self.assertEqual(read_response(kind, response(kind, told)), told)
        found = ExportLogsServiceResponse.FromString(response(PROTOBUF, told)).partial_success
        self.assertEqual((found.rejected_log_records, found.error_message), told)
        theirs = ExportLogsServiceResponse(partial_success=found).SerializeToString()
        self.assertEqual(read_response(PROTOBUF, theirs), told)

    def test_all_taken(self) -> None:
        """Says nothing (the protocol forbids it to)."""
        self.assertEqual((response(JSON, Told()), response(PROTOBUF, Told())), (b"{}", b""))
        for kind, body in ((JSON, b""), (JSON, b"{}"), (PROTOBUF, b""), (JSON, b'{"partialSuccess":{}}')):
            self.assertEqual(read_response(kind, body), Told())

    @given(texts)
    def test_errors(self, text: str) -> None:
        """A google.rpc.Status with a code that clients know."""
        found = Status.FromString(status(PROTOBUF, 429, text))
        self.assertEqual((found.code, found.message), (8, text))
        self.assertEqual(json.loads(status(JSON, 503, text)), {"code": 14, "message": text})
        self.assertEqual(json.loads(status(JSON, 599, text))["code"], 2)
        for kind in (JSON, PROTOBUF):
            if text:
                self.assertEqual(read_status(kind, status(kind, 400, text)), text)

    def test_errors_of_others(self) -> None:
        """Are shown as they are, as far as they are text."""
        self.assertEqual(read_status(JSON, b"<h1>Bad Gateway</h1>"), "<h1>Bad Gateway</h1>")
        self.assertEqual(read_status(PROTOBUF, b"nonsense"), "nonsense")
        self.assertEqual(len(read_status(JSON, b"x" * 10_000)), TEXT_LIMIT)

    @given(st.binary(max_size=40))
    def test_nonsense(self, body: bytes) -> None:
        """Says nothing, and raises nothing."""
        for kind in (JSON, PROTOBUF):
            read_status(kind, body)
            told = read_response(kind, body)
            self.assertIsInstance(told.number, int)
