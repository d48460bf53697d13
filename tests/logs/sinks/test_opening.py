"""Sinks as a configuration names them, and their metrics."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.config.model import LogSink
from scalekit.errors import ClientFault, ConfigurationFault
from scalekit.logs.collector import Collector
from scalekit.logs.entry import Entry
from scalekit.logs.memory import MemoryDirectory
from scalekit.logs.otlp.forms import PROTOBUF
from scalekit.logs.sinks import opening
from scalekit.logs.sinks.metrics import SinkMetrics
from scalekit.logs.sinks.opening import Surroundings, open_sinks
from scalekit.logs.threads import DirectLane, Lane
from tests.logs.sinks.test_otlp import Answer


class OpenSinksTests(SynchronousTestCase):
    """`open_sinks`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.cas: list[str | None] = []
        self.lanes: list[str] = []
        self.collector = Collector(MemoryDirectory, self.clock, (DirectLane(), DirectLane(), DirectLane()))
        self.around = Surroundings(
            self.clock,
            self.clock.seconds,
            lambda: 1.0,
            lambda: "log1",
            self.make_lane,
            self.make_client,
            lambda path: lambda: {"Authorization": f"Bearer of {path}"} if path else {},
        )

    def make_lane(self, name: str) -> Lane:
        self.lanes.append(name)
        return DirectLane()

    def make_client(self, ca: str | None) -> Any:
        self.cas.append(ca)
        return self

    def fetch(self, method: str, url: str, *, headers: dict[str, str], **_: Any) -> Deferred[Answer]:
        self.asked.append((url, headers))
        return succeed(Answer(200 if len(self.asked) > 1 else 503, {}, b""))

    def close(self) -> None:
        pass

    def test_all_that_can_be_said(self) -> None:
        """Goes where it belongs."""
        ca = self.mktemp()
        with open(ca, "w"):
            pass
        [sink] = open_sinks(
            [LogSink(name="team", url="https://a.example/otlp", encoding="protobuf", compression="none",
                     headers=(("X-Team", "shop"),), token_file="token", ca=ca)],
            self.collector,
            self.around,
        )  # fmt: skip
        self.collector.startService()
        sink.startService()
        self.collector.append([Entry(None, "INFO", "shop", "sold")])
        for _ in range(10):
            self.clock.advance(0.1)
        headers = {"Content-Type": "application/x-protobuf", "X-Team": "shop", "Authorization": "Bearer of token"}
        self.assertEqual(self.asked, [("https://a.example/otlp/v1/logs", headers)] * 2)
        self.assertEqual((self.cas, self.lanes), ([ca], ["logs sink team"]))
        self.assertIn("sink-team.json", self.collector.directory.names())

    def test_the_whole_path(self) -> None:
        """May be said as well."""
        [sink] = open_sinks([LogSink(url="https://a.example/v1/logs")], self.collector, self.around)
        self.assertIn("https://a.example/v1/logs in", repr(sink._destination))
        self.assertEqual(self.cas, [None])

    def test_what_cannot_be_had(self) -> None:
        """Ends the start with one line."""

        def form_of(kind: bytes) -> Any:
            if kind == PROTOBUF:
                raise ClientFault(415, "no-protobuf", "")

        self.patch(opening, "form_of", form_of)
        for settings, line in (
            (
                LogSink(url="https://a", encoding="protobuf"),
                'logs.sink[1].encoding: found "protobuf", expected pip install \'scalekit[otlp]\', or "json"',
            ),
            (
                LogSink(url="https://a", ca="/nowhere/ca.pem"),
                "logs.sink[1].ca: found /nowhere/ca.pem, expected a PEM file that can be read",
            ),
        ):
            with self.assertRaises(ConfigurationFault) as caught:
                open_sinks([LogSink(url="https://a"), settings], self.collector, self.around)
            self.assertEqual(str(caught.exception), line)

    def test_metrics(self) -> None:
        """What was sent, what waits and for how long, and whether it is well."""
        sinks = open_sinks([LogSink(url="https://a.example")], self.collector, self.around)
        registry = CollectorRegistry()
        registry.register(SinkMetrics(sinks))

        def value(name: str, **labels: str) -> float | None:
            return registry.get_sample_value(f"scalekit_logs_sink_{name}", {"sink": "otlp", **labels})

        self.collector.startService()
        sinks[0].startService()
        self.collector.append([Entry(None, "INFO", "shop", "sold")] * 3)
        for _ in range(4):
            self.clock.advance(0.1)
        self.assertEqual((value("lag"), value("healthy"), value("retries_total")), (3, 0, 1))
        self.assertAlmostEqual(value("lag_seconds") or 0.0, 0.4, places=3)
        for _ in range(10):
            self.clock.advance(0.1)
        self.assertEqual((value("lag"), value("lag_seconds"), value("healthy")), (0, 0, 1))
        self.assertEqual(value("entries_total", result="sent"), 3)
        for result in ("rejected", "refused", "missed", "circular"):
            self.assertEqual(value("entries_total", result=result), 0)

    def test_no_sinks(self) -> None:
        """Have no metrics."""
        self.assertEqual(list(SinkMetrics([]).collect()), [])
