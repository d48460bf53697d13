"""OTLP over real connections: what servers do that are well, ill, or none."""

from __future__ import annotations

import socket
import threading
from typing import ClassVar

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from scalekit.kit.client import make_client
from scalekit.logs.bodies import decode_body
from scalekit.logs.otlp.answers import Told, response, status
from scalekit.logs.otlp.forms import JSON, form_of
from scalekit.logs.otlp.mapping import batch_of
from scalekit.logs.sinks.otlp import OTLPDestination, Target
from scalekit.logs.sinks.outcomes import Delivered, Later, Outcome, Refused
from tests.http_servers import Answers, serve
from tests.logs.sinks.conformance import leaving

NOW = 1_700_000_000.0


class Receiver(Answers):
    """What it does depends on what is in the batch's only message."""

    arrived: ClassVar[list[str]] = []
    over: ClassVar[threading.Event]

    def do_POST(self) -> None:
        body = decode_body(self.rfile.read(int(self.headers["Content-Length"])), self.headers["Content-Encoding"])
        [entry] = batch_of(form_of(JSON).read(body)).entries
        self.arrived.append(f"{self.path} {entry.message}")
        if entry.message == "hang":
            self.over.wait()
            return
        if entry.message == "cut":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{")
            self.close_connection = True
            return
        code = int(entry.message)
        text = response(JSON, Told(1, "odd")) if code == 200 else status(JSON, code, "no")
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        if code == 429:
            self.send_header("Retry-After", "7")
        self.end_headers()
        self.wfile.write(text)


class WireTests(TestCase):
    """`OTLPDestination` with the client that daemons give it."""

    def setUp(self) -> None:
        Receiver.arrived.clear()
        Receiver.over = threading.Event()
        self.port = serve(self, Receiver)
        self.addCleanup(Receiver.over.set)
        self.client = make_client(reactor, None)
        self.addCleanup(self.client.close)

    async def send(self, message: str, seconds: float = 30.0, port: int = 0) -> Outcome:
        url = f"http://127.0.0.1:{port or self.port}/v1/logs"
        destination = OTLPDestination(self.client, Target(url, dict, form_of(JSON), "gzip", seconds), lambda: NOW)
        outcome: Outcome = await destination.send(destination.pack([leaving(1, message)]))
        return outcome

    async def test_answers(self) -> None:
        """Each as it is meant."""
        self.assertEqual(await self.send("200"), Delivered(1, "odd"))
        self.assertEqual(await self.send("400"), Refused("400 no"))
        self.assertEqual(await self.send("429"), Later("429 no", 7.0))
        self.assertEqual(await self.send("503"), Later("503 no"))
        self.assertEqual(Receiver.arrived, [f"/v1/logs {code}" for code in (200, 400, 429, 503)])

    async def test_no_answers(self) -> None:
        """It is sent again: to one that hangs, one that is cut, and to nobody."""
        with socket.socket() as nobody:  # the port is taken, and nobody listens
            nobody.bind(("127.0.0.1", 0))
            for message, seconds, port in (
                ("hang", 0.05, self.port),
                ("cut", 30.0, self.port),
                ("200", 30.0, nobody.getsockname()[1]),
            ):
                outcome = await self.send(message, seconds, port)
                assert isinstance(outcome, Later), outcome
                self.assertIn(f"127.0.0.1:{port}", outcome.text)
