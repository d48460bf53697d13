"""WebSocket through the balancer: a server and clients that people have, over TLS and in clear on either side."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import ssl
import subprocess
from collections import Counter
from contextlib import AsyncExitStack, ExitStack
from typing import Any

from websockets.asyncio.client import ClientConnection as AsyncConnection
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.ports import free_ports
from tests.requirements import require
from tests.scenarios.daemons import Balancer, ScenarioCase, ask, is_listening
from tests.scenarios.running import PATIENCE_SECONDS, until
from tests.scenarios.webdriver import Browser

#: Connects, says so, and waits for ever.
WAITING_CLIENT = "import sys; from websockets.sync.client import connect; c = connect(sys.argv[1]); c.recv()"


class WebSocketCase(ScenarioCase):
    balancer: Balancer
    process: subprocess.Popen[bytes]
    port: int

    def setUp(self) -> None:
        super().setUp()
        self.stack = ExitStack()
        self.addCleanup(self.stack.close)

    def serve(self, is_secure: bool = False, **tables: str) -> None:
        """A balancer with one WebSocket server."""
        self.balancer = self.start_balancer(**tables)
        self.port = free_ports(1)[0]
        certificate = [str(self.state / "tls" / name) for name in ("server.pem", "server.key")] if is_secure else []
        self.process = self.start("-m", "tests.scenarios.websocket_app", str(self.port), *certificate)
        until(lambda: is_listening(self.port), "the WebSocket server listens")
        self.balancer.register(self.port, "https" if is_secure else "http")
        self.balancer.await_up(self.port)

    def url(self, path: str = "/echo", is_secure: bool = True) -> str:
        return "ws" + self.balancer.url(path, is_secure).removeprefix("http")

    def open(self, path: str = "/echo", is_secure: bool = True, **options: Any) -> ClientConnection:
        """A client's WebSocket."""
        context = ssl.create_default_context(cafile=str(self.balancer.ca)) if is_secure else None
        client: ClientConnection = self.stack.enter_context(
            connect(
                self.url(path, is_secure),
                ssl=context,
                open_timeout=PATIENCE_SECONDS,
                max_size=None,
                proxy=None,
                **options,
            )
        )
        return client

    def echo(self, client: ClientConnection, message: Any) -> None:
        """Say something and hear it."""
        client.send(message)
        self.assertEqual(client.recv(PATIENCE_SECONDS), message)

    def await_end(self, client: ClientConnection) -> int:
        """Wait until it is closed; with which code."""
        with self.assertRaises(ConnectionClosed):
            client.recv(PATIENCE_SECONDS)
        assert client.close_code is not None
        return client.close_code

    def count(self) -> int:
        """How many the server has open."""
        return int(ask(f"http://127.0.0.1:{self.port}/count")[1])

    def lines(self, count: int) -> list[tuple[int, str]]:
        """Status and reason of each line of the access log, which are as many as this at least."""

        def found() -> list[tuple[int, str]]:
            return [(line["status"], line["reason"]) for line in self.balancer.access_log()]

        until(lambda: len(found()) >= count, f"{count} lines in the access log")
        return found()


class GoingThrough(WebSocketCase):
    def talk(self) -> None:
        large = "ä" * (1 << 19)
        for is_secure in (True, False):
            for compression in ("deflate", None):
                client = self.open(is_secure=is_secure, compression=compression, subprotocols=["other", "chat"])
                self.assertEqual(client.subprotocol, "chat")
                self.assertEqual(bool(client.protocol.extensions), compression is not None)
                for message in ("text", "", b"bytes", b"", large, large.encode()):
                    self.echo(client, message)
                self.assertTrue(client.ping("are you there?").wait(PATIENCE_SECONDS))
                for number in range(2000):
                    client.send(f"message {number}")
                for number in range(2000):
                    self.assertEqual(client.recv(PATIENCE_SECONDS), f"message {number}")
                client.close(4000, "enough")
                self.assertEqual(client.close_code, 4000)
        client = self.open("/close")
        client.send("x")
        self.assertEqual(self.await_end(client), 4001)
        self.assertEqual(client.close_reason, "enough")
        refusal = self.assertRaises(InvalidStatus, self.open, "/plain")
        self.assertEqual((refusal.response.status_code, refusal.response.body), (403, b"not here"))
        self.assertEqual(self.lines(6), [(101, "")] * 5 + [(403, "")])
        self.assertGreater(self.balancer.access_log()[0]["sent"], 10_000)
        self.assertNotIn("Traceback", self.balancer.stdout)

    def test_to_a_server_in_clear(self) -> None:
        self.serve()
        self.talk()

    def test_to_a_server_over_tls(self) -> None:
        self.serve(is_secure=True)
        self.talk()

    def test_in_chromium(self) -> None:
        for program in ("chromium", "chromedriver", "certutil"):
            require(program)
        self.serve()
        browser = Browser(self.folder / "home", self.balancer.ca)
        self.addCleanup(browser.close)
        for is_secure in (True, False):
            browser.open(self.balancer.url("/page", is_secure))
            until(lambda: browser.title.startswith("closed"), "the page has closed its WebSocket")
            self.assertEqual((browser.title, browser.text("#heard")), ("closed 4000 true", "hello"))
        # On https it asks by extended CONNECT on the connection that it has (RFC 8441).
        until(lambda: len(self.tunnels()) == 2, "both are in the access log")
        self.assertEqual(self.tunnels(), [(True, "2"), (False, "1.1")])

    def tunnels(self) -> list[tuple[bool, str]]:
        """Of the tunnels in the access log: whether over TLS, and the HTTP version."""
        return [(line["tls"], line["version"]) for line in self.balancer.access_log() if line["status"] == 101]


class Ending(WebSocketCase):
    def test_a_client_that_is_killed(self) -> None:
        self.serve()
        process = self.start("-c", WAITING_CLIENT, self.url(is_secure=False))
        until(lambda: self.count() == 1, "the client is there")
        process.kill()
        until(lambda: self.count() == 0, "the server knows that it is gone")
        self.lines(1)

    def test_a_server_that_is_killed(self) -> None:
        self.serve()
        clients = [self.open(), self.open(is_secure=False)]
        for client in clients:
            self.echo(client, "x")
        self.process.kill()
        for client in clients:
            self.assertEqual(self.await_end(client), 1006)
        self.assertEqual([status for status, _ in self.lines(2)], [101, 101])

    def test_nobody_says_anything(self) -> None:
        self.serve(timeouts='tunnel_idle = "1s"')
        client = self.open(ping_interval=None)
        self.echo(client, "x")
        self.assertEqual(self.await_end(client), 1006)
        self.assertEqual(self.lines(1), [(101, "tunnel-idle")])

    def test_one_of_two_servers_is_drained(self) -> None:
        """Its clients hear 1001 between two messages, those of the other one go on, and nothing is torn."""
        self.serve()
        other = free_ports(1)[0]
        self.start("-m", "tests.scenarios.websocket_app", str(other))
        until(lambda: is_listening(other), "the other WebSocket server listens")
        self.balancer.register(other)
        self.balancer.await_up(self.port, other)

        def drain() -> Any:
            path = f"/v1/services/default/instances/127.0.0.1:{self.port}/drain?wait=30"
            return json.loads(ask(f"{self.balancer.private_url}{path}", "POST")[1])

        async def talk_meanwhile() -> tuple[list[int | None], Any]:
            said = [0]
            is_over = asyncio.Event()

            async def talk(client: AsyncConnection) -> int | None:
                """Say something large in several frames and hear it, over and over; the code that it ends with."""
                with contextlib.suppress(ConnectionClosed):
                    while not is_over.is_set():
                        pieces = [random.randbytes(20_000 + number) for number in range(3)]
                        await client.send(pieces)
                        self.assertEqual(await client.recv(), b"".join(pieces))
                        said[0] += 1
                await client.close()
                return client.close_code

            context = ssl.create_default_context(cafile=str(self.balancer.ca))
            async with asyncio.timeout(PATIENCE_SECONDS), AsyncExitStack() as stack:
                url = self.url("/pieces")
                clients = [
                    await stack.enter_async_context(connect_async(url, ssl=context, proxy=None)) for _ in range(20)
                ]
                tasks = [asyncio.create_task(talk(client)) for client in clients]
                while said[0] < 20:
                    await asyncio.sleep(0)
                left = await asyncio.to_thread(drain)
                is_over.set()
                return [await task for task in tasks], left

        codes, left = asyncio.run(talk_meanwhile())
        told = codes.count(1001)
        self.assertEqual((set(codes), told in range(1, 20)), ({1000, 1001}, True))
        self.assertEqual((left["state"], left["in_flight"]), ("gone", 0))
        until(lambda: self.count() == 0, "the server knows")
        self.assertEqual(Counter(self.lines(20)), {(101, "going-away"): told, (101, ""): 20 - told})

    def test_the_balancer_ends(self) -> None:
        """Its clients are told, and may have the last word."""
        self.serve()
        client = self.open()
        self.echo(client, "before")
        self.balancer.send(signal.SIGINT)
        self.assertEqual(self.await_end(client), 1001)
        until(lambda: self.count() == 0, "the server knows")
        self.assertEqual(self.balancer.wait(), 0)
