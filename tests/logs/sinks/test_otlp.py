"""OTLP over HTTP as a destination."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ConfigurationFault, UpstreamFault
from scalekit.logs.bodies import decode_body
from scalekit.logs.otlp.answers import Told, response, status
from scalekit.logs.otlp.forms import JSON, PROTOBUF, form_of
from scalekit.logs.otlp.mapping import UID, batch_of
from scalekit.logs.sinks.otlp import OTLPDestination, Target, retry_after
from scalekit.logs.sinks.outcomes import Later, Refused
from tests.logs.sinks.conformance import ODD, Arrived, destination_tests, leaving

NOW = 1_700_000_000.0


class Answer(NamedTuple):
    status: int
    fields: dict[str, str]
    body: bytes

    def get(self, name: str) -> str | None:
        return self.fields.get(name)


class Receiver:
    """The other side, as its client sees it; reads what comes as the log itself does."""

    def __init__(self, kind: bytes) -> None:
        self.kind = kind
        self.how = "well"
        self.asked: list[dict[str, Any]] = []
        self.arrived: list[Arrived] = []
        self.is_closed = False

    def fetch(self, method: str, url: str, **asked: Any) -> Deferred[Any]:
        self.asked.append({"method": method, "url": url, **asked})
        if self.how == "away":
            return fail(UpstreamFault(503, "unreachable", "connection refused"))
        if self.how == "silent":
            return Deferred(lambda waiting: waiting.errback(CancelledError()))
        if self.how == "mistaken":
            return fail(ZeroDivisionError("ours"))
        code, fields = {"refusing": (400, {}), "busy": (503, {"retry-after": "7"})}.get(self.how, (200, {}))
        if code != 200:
            fields = {"content-type": self.kind.decode(), **fields}
            return succeed(Answer(code, fields, status(self.kind, code, "odd")))
        self.read(asked["body"], asked["headers"].get("Content-Encoding"))
        return succeed(Answer(200, {}, response(self.kind, Told(1, "odd") if self.how == "partly" else Told())))

    def read(self, body: bytes, coding: str | None) -> None:
        batch = batch_of(form_of(self.kind).read(decode_body(body, coding or "")))
        assert not batch.rejected, batch
        for entry in batch.entries:
            fields = json.loads(entry.fields or "{}")
            name = fields.pop(UID)
            assert entry.time is not None
            self.arrived.append(Arrived(name, entry.time, entry.level, entry.source, entry.message, fields))

    def close(self) -> Deferred[None]:
        self.is_closed = True
        return succeed(None)


class OTLPHarness:
    kind = JSON
    coding = "gzip"

    def __init__(self) -> None:
        self.receiver = Receiver(self.kind)
        target = Target("https://a.example/v1/logs", lambda: {"X-Team": "shop"}, form_of(self.kind), self.coding, 10.0)
        self.destination = OTLPDestination(self.receiver, target, lambda: NOW)  # type: ignore[arg-type]

    def arrived(self) -> list[Arrived]:
        return self.receiver.arrived

    def behave(self, how: str) -> None:
        self.receiver.how = how


class ProtobufHarness(OTLPHarness):
    kind = PROTOBUF
    coding = "zstd"


class JSONDestinationTests(destination_tests(OTLPHarness)):  # type: ignore[misc]
    """`OTLPDestination` in JSON and gzip."""


class ProtobufDestinationTests(destination_tests(ProtobufHarness)):  # type: ignore[misc]
    """`OTLPDestination` in protobuf and zstd."""


class OTLPDestinationTests(SynchronousTestCase):
    """What is OTLP's own."""

    def setUp(self) -> None:
        self.harness = OTLPHarness()

    def send(self) -> Any:
        destination = self.harness.destination
        return self.successResultOf(destination.send(destination.pack([leaving(1)])))

    def test_request(self) -> None:
        """Method, URL, fields and deadline."""
        self.send()
        [asked] = self.harness.receiver.asked
        del asked["body"]
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip", "X-Team": "shop"}
        self.assertEqual(
            asked, {"method": "POST", "url": "https://a.example/v1/logs", "seconds": 10.0, "headers": headers}
        )

    def test_uncoded(self) -> None:
        """Where nobody wants a coding."""
        target = self.harness.destination._target._replace(coding="none")
        destination = OTLPDestination(self.harness.receiver, target, lambda: NOW)  # type: ignore[arg-type]
        self.successResultOf(destination.send(destination.pack(ODD)))
        self.assertNotIn("Content-Encoding", self.harness.receiver.asked[0]["headers"])
        self.assertEqual(len(self.harness.arrived()), len(ODD))

    def test_other_answers(self) -> None:
        """What is about the batch, and what is not."""
        for code, kind in ((413, Refused), (422, Refused), (401, Later), (404, Later), (302, Later), (502, Later)):
            answer = Answer(code, {"content-type": "text/html"}, b"<h1>no</h1>")
            self.patch(self.harness.receiver, "fetch", lambda *_, answer=answer, **__: succeed(answer))
            outcome = self.send()
            self.assertIsInstance(outcome, kind)
            self.assertEqual(outcome.text, f"{code} <h1>no</h1>")

    def test_a_token_that_cannot_be_read(self) -> None:
        """Is waited for: nothing is sent without it."""

        def headers() -> dict[str, str]:
            raise ConfigurationFault("token file: gone")

        target = self.harness.destination._target._replace(headers=headers)
        destination = OTLPDestination(self.harness.receiver, target, lambda: NOW)  # type: ignore[arg-type]
        self.assertEqual(self.successResultOf(destination.send(b"")), Later("token file: gone"))
        self.assertEqual(self.harness.receiver.asked, [])

    def test_a_mistake(self) -> None:
        """Is told, and never raised."""
        self.harness.behave("mistaken")
        self.assertEqual(self.send(), Later("ZeroDivisionError: ours"))

    def test_retry_after(self) -> None:
        """Seconds, or a date."""
        for value, seconds in (
            (None, 0.0),
            ("7", 7.0),
            (" 7 ", 7.0),
            ("Tue, 14 Nov 2023 22:13:30 GMT", 10.0),
            ("Tue, 14 Nov 2022 22:13:30 GMT", 0.0),
            ("soon", 0.0),
            ("-1", 0.0),
            ("9" * 400, 999_999_999.0),
        ):
            self.assertEqual(retry_after(value, NOW), seconds, value)
