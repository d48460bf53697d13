"""
OpenTelemetry's own exporter writes into a log, and that log into another one: every entry once, as it was; and a log
that is killed while it sends.
"""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import requests
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.bodies import decode_body
from scalekit.logs.otlp.forms import JSON, form_of
from scalekit.logs.otlp.mapping import UID, batch_of
from tests.http_servers import Answers, serve
from tests.scenarios.running import Daemon, connect, exchange, until

COUNT = 300
T = 1_700_000_000_000_000_000
UNDER_WAY = 2000


class LogDaemon(Daemon):
    """
    A running ``twistd scalekit-logs``.

    :param sink: what stands in its ``[[logs.sink]]``; empty: there is none.
    """

    def __init__(self, directory: Path, sink: str = "") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        config = directory / "scalekit.toml"
        text = '[logs]\nlisten = ["https://127.0.0.1:0"]\ndelay = "0s"\n'
        config.write_text(text + (f"[[logs.sink]]\n{sink}\n" if sink else ""))
        output = directory / "stdout"
        earlier = output.read_text().count("listening on") if output.exists() else 0
        state = str(directory / "state")
        super().__init__(directory, "scalekit-logs", "--config", str(config), "--state-directory", state)
        self.ca = self.state / "tls" / "ca.pem"

        def ports() -> list[str]:
            assert self.process.poll() is None, self.stdout + self.stderr
            return re.findall(r"listening on https://127\.0\.0\.1:([0-9]+)\n", self.stdout)[earlier:]

        [port] = until(ports, "the log listens")
        self.port = int(port)
        self.url = f"https://127.0.0.1:{port}"

    def ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        connection = connect(self.state, self.port)
        try:
            answer = exchange(connection, method, path, body)
        finally:
            connection.close()
        assert answer.status == 200, answer
        return answer.body

    def entries(self, **asked: Any) -> list[dict[str, Any]]:
        """What a query finds, in order."""
        body = self.ask("GET", f"/v1/query?{urlencode({'order': 'asc', 'limit': COUNT + 10, **asked})}")
        found = [json.loads(line) for line in body.splitlines()]
        return [one for one in found if "Partial" not in one]


def emit(log: LogDaemon) -> None:
    """Have OpenTelemetry's SDK send records of three kinds."""
    session = requests.Session()
    session.trust_env = False  # an authority in REQUESTS_CA_BUNDLE would stand above the one that is named here
    exporter = OTLPLogExporter(
        f"{log.url}/v1/logs", certificate_file=str(log.ca), compression=Compression.Gzip, session=session
    )
    provider = LoggerProvider(Resource({"service.name": "shop", "host.name": "web1"}), shutdown_on_exit=False)
    provider.add_log_record_processor(BatchLogRecordProcessor(exporter))
    logger = provider.get_logger("shop.till", "2")
    severities = (SeverityNumber.DEBUG, SeverityNumber.INFO, SeverityNumber.ERROR)
    for number in range(COUNT):
        record = LogRecord(
            timestamp=T + number,
            observed_timestamp=T + number + 1,
            severity_number=severities[number % 3],
            severity_text=severities[number % 3].name,
            body=f"sold {number}"
            if number % 2
            else {"message": f"sold {number}", "items": [number, 2.5, True, b"\xff"]},
            attributes={"request_id": f"r-{number}", "n": number, "tags": ["a", "b"]},
            trace_id=number,
            span_id=number,
        )
        logger.emit(record)
    provider.shutdown()


def as_sent(entry: dict[str, Any]) -> tuple[Any, ...]:
    """All of an entry but what each log has its own of."""
    fields = {name: value for name, value in entry["Fields"].items() if name != UID}
    return entry["Timestamp"], entry["Level"], entry["Source"], entry["Message"], fields


class OTLPTests(SynchronousTestCase):
    timeout = 120

    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()

    def start(self, name: str, sink: str = "") -> LogDaemon:
        log = LogDaemon(self.folder / name, sink)
        self.addCleanup(log.clean_up)
        return log

    def test_from_the_sdk_through_two_logs(self) -> None:
        """Every entry once in each, the same in both."""
        second = self.start("second")
        first = self.start("first", f'url = "{second.url}"\nca = "{second.ca}"\nencoding = "protobuf"')
        emit(first)
        here = first.entries()
        self.assertEqual([entry["Message"] for entry in here], [f"sold {number}" for number in range(COUNT)])
        self.assertEqual(
            as_sent(here[4]),
            (
                "2023-11-14T22:13:20.000000004Z",
                "INFO",
                "shop",
                "sold 4",
                {
                    "trace_id": f"{4:032x}",
                    "span_id": f"{4:016x}",
                    "request_id": "r-4",
                    "n": 4,
                    "tags": ["a", "b"],
                    "items": [4, 2.5, True, "/w=="],
                    "logger": "shop.till",
                    "scope.version": "2",
                    "host.name": "web1",
                },
            ),
        )
        self.assertEqual([entry["Message"] for entry in first.entries(q='"r-7"')], ["sold 7"])
        until(lambda: len(second.entries()) >= COUNT, "all of it is in the second log")
        there = second.entries()
        self.assertEqual([as_sent(entry) for entry in there], [as_sent(entry) for entry in here])
        self.assertEqual(len({entry["Fields"][UID] for entry in there}), COUNT)

        def sink() -> dict[str, Any]:
            [found] = json.loads(first.ask("GET", "/v1/stats"))["sinks"]
            return dict(found)

        until(lambda: sink()["lag"] == 0, "the first one knows that the second one has it")
        self.assertEqual((sink()["name"], sink()["sent"], sink()["trouble"]), ("otlp", COUNT, None))
        metrics = first.ask("GET", "/metrics").decode()
        self.assertIn(f'scalekit_logs_sink_entries_total{{result="sent",sink="otlp"}} {COUNT}.0\n', metrics)
        self.assertEqual((first.end(), second.end()), (0, 0))

    def test_a_log_that_is_killed_while_it_sends(self) -> None:
        """Some entries come twice, by the same names; none is missing."""
        arrived: list[tuple[str, str]] = []
        killed: list[LogDaemon] = []

        class Receiver(Answers):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                batch = batch_of(form_of(JSON).read(decode_body(body, self.headers["Content-Encoding"])))
                names = [json.loads(entry.fields or "{}")[UID] for entry in batch.entries]
                arrived.extend(zip(names, (entry.message for entry in batch.entries), strict=True))
                if not killed:  # it has it, but the log never hears of that
                    killed.append(log)
                    log.end(signal.SIGKILL)
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

        sink = f'url = "http://127.0.0.1:{serve(self, Receiver)}"'
        log = self.start("log", sink)
        entries = [{"Level": "INFO", "Source": "shop", "Message": str(number)} for number in range(UNDER_WAY)]
        log.ask("POST", "/v1/entries", "\n".join(map(json.dumps, entries)).encode())
        log.wait()
        first = dict(arrived)
        log = self.start("log", sink)
        until(lambda: len(dict(arrived)) >= UNDER_WAY, "all have arrived")
        self.assertEqual(log.end(), 0)
        names = dict(arrived)
        self.assertEqual(sorted(map(int, names.values())), list(range(UNDER_WAY)))
        self.assertEqual({name: names[name] for name in first}, first)
        self.assertEqual(len(arrived), UNDER_WAY + len(first))
