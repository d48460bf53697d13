"""App servers of HTTP/2 behind the balancer, as node's http2 makes them."""

from __future__ import annotations

import hashlib
import http.client
import json
import random
import socket
import ssl
import struct
import subprocess
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosedOK
from websockets.sync.client import connect

from tests.ports import free_ports
from tests.requirements import require
from tests.scenarios.daemons import ScenarioCase, ask, is_listening
from tests.scenarios.running import PATIENCE_SECONDS, until
from tests.scenarios.test_clients import run

APP = Path(__file__).with_name("h2_app.js")


class InClear(ScenarioCase):
    scheme = "h2c"

    def setUp(self) -> None:
        super().setUp()
        node = require("node")
        self.balancer = self.start_balancer()
        (self.port,) = free_ports(1)
        tls = self.state / "tls"
        certificate = [str(tls / "server.pem"), str(tls / "server.key")] if self.scheme == "https" else []
        self.start_program(node, str(APP), str(self.port), *certificate)
        until(lambda: is_listening(self.port), "the app server listens")
        self.balancer.register(self.port, self.scheme)
        self.balancer.await_up(self.port)

    def counts(self) -> dict[str, int]:
        """Of the app server."""
        found: dict[str, int] = json.loads(ask(self.balancer.url("/counts", False))[1])
        return found

    def curl(self, *options: str, path: str) -> subprocess.CompletedProcess[bytes]:
        return run("curl", "-sS", "--cacert", str(self.balancer.ca), *options, self.balancer.url(path))

    def test_its_connections_end_and_no_request_does(self) -> None:
        before = self.counts()["sessions"]
        for options in (("-c", "8", "-m", "16"), ("--h1", "-c", "32")):
            finished = run("h2load", "-n", "3000", *options, self.balancer.url("/", False))
            self.assertIn(b" 3000 succeeded, 0 failed, 0 errored", finished.stdout, finished.stdout)
        opened = self.counts()["sessions"] - before
        # 60 at least, and a few for the probes; far fewer than requests.
        self.assertTrue(50 < opened < 600, opened)

    def test_bodies_both_ways_at_once(self) -> None:
        sent = self.folder / "body"
        body = random.Random(1).randbytes(5_000_000)
        sent.write_bytes(body)
        for version in ("--http1.1", "--http2"):
            for options in ([], ["-H", "Transfer-Encoding: chunked"], ["--limit-rate", "10M"]):
                finished = self.curl(version, "-H", "Expect:", "-X", "POST", "-T", str(sent), *options, path="/echo")
                told = hashlib.sha256(finished.stdout).digest()
                self.assertEqual(told, hashlib.sha256(body).digest(), finished.stderr)

    def test_trailers_and_early_hints(self) -> None:
        for version in ("--http1.1", "--http2"):
            finished = self.curl(version, "-i", "-H", "TE: trailers", "--data", "abc", path="/echo")
            self.assertIn(b"x-trailer: done", finished.stdout.lower())
            hinted = self.curl(version, "-i", path="/page")
            self.assertIn(b" 103 ", hinted.stdout.splitlines()[0])
            self.assertIn(b"</style.css>", hinted.stdout)

    def test_who_leaves_is_a_cancel(self) -> None:
        connection = http.client.HTTPConnection(f"127.0.0.1:{self.balancer.clear}", timeout=PATIENCE_SECONDS)
        connection.request("GET", "/hang")
        answer = connection.getresponse()
        self.assertEqual(answer.read(4), b"here")
        before = self.counts()["aborted"]
        # With a reset: after an orderly end of its request a client still gets its answer.
        connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sock.close()
        answer.close()
        until(lambda: self.counts()["aborted"] == before + 1, "the app server hears of it")

    def test_websocket_by_extended_connect(self) -> None:
        context = ssl.create_default_context(cafile=str(self.balancer.ca))
        url = "ws" + self.balancer.url("/chat").removeprefix("http")
        with connect(url, ssl=context, open_timeout=PATIENCE_SECONDS, proxy=None) as client:
            self.assertEqual(client.recv(PATIENCE_SECONDS), "hello")
            client.send("bye")
            with self.assertRaises(ConnectionClosedOK):
                client.recv(PATIENCE_SECONDS)


class OverTLS(InClear):
    """HTTP/2 by ALPN."""

    scheme = "https"

    def test_websocket_by_extended_connect(self) -> None:
        """Node's server of HTTP/2 speaks nothing else here: no tunnel can be had by HTTP/1.1."""
        context: Any = ssl.create_default_context(cafile=str(self.balancer.ca))
        connection = http.client.HTTPSConnection(
            f"127.0.0.1:{self.balancer.secure}", timeout=PATIENCE_SECONDS, context=context
        )
        handshake = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
        connection.request("GET", "/chat", headers=handshake | {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="})
        answer = connection.getresponse()
        self.assertEqual((answer.status, json.loads(answer.read())["reason"]), (502, "tls-handshake"))
        connection.close()


class WantsHTTP1(ScenarioCase):
    def test_what_it_wants_over_http_1_goes_there_so(self) -> None:
        """A POST too, once; and nobody thinks that it is unwell."""
        node, balancer = require("node"), self.start_balancer()
        (port,) = free_ports(1)
        tls = self.state / "tls"
        self.start_program(node, str(APP), str(port), str(tls / "server.pem"), str(tls / "server.key"), "both")
        until(lambda: is_listening(port), "the app server listens")
        balancer.register(port, "https")
        balancer.await_up(port)
        self.assertIn(b"sessions", ask(balancer.url("/counts", False))[1])  # which it says over HTTP/2 only
        for number in range(3):
            body = b"sent %d" % number
            self.assertEqual(ask(balancer.url("/", False), "POST", body=body), (200, body))
        self.assertEqual(balancer.states()[port], "up")
