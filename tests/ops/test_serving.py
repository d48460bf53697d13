"""Tests of `scalekit.ops.serving`: what stands around every private listener."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from scalekit.errors import ConfigurationFault
from scalekit.http.heads import Client
from scalekit.net.listening import HTTPListening
from scalekit.ops.serving import add_private_listener
from scalekit.web.memory import LOCAL, MemoryExchange, ask
from tests.ops import daemons

ELSEWHERE = Client("10.0.0.7", 40000, False, 5000)
FIRST, SECOND = "first-token-of-16", "second-token-of-16"


class Echo(Resource):
    isLeaf = False

    def getChild(self, path: bytes, request: Any) -> Resource:
        return self

    def render_GET(self, request: Any) -> bytes:
        return b"here"

    def render_POST(self, request: Any) -> bytes:
        return bytes(request.content.read())


class DataOptions(daemons.CacheOptions):
    """Of a daemon that knows no tokens."""

    daemon = "scalekit-data"
    sections = ("data",)
    optParameters = []
    flag_keys = {}


class PrivateListenerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.state = self.mktemp()
        self.tokens = Path(self.mktemp()).absolute()
        self.told: list[int] = []
        self.trouble: str | None = None

    def make(self, *arguments: str, kind: Any = daemons.CacheOptions, **settings: Any) -> HTTPListening:
        options = daemons.options(self.state, *(arguments or ("--listen", "http://127.0.0.1:0")), kind=kind)
        self.daemon = daemons.daemon(options, self.clock)
        self.listening = add_private_listener(
            self.daemon,
            options.settings,
            options.sections[0],
            Echo(),
            names=["dev.example"],
            certificate=None,
            reactor=self.clock,
            wall=lambda: 0.0,
            request_name=b"x",
            body_limit=10,
            trouble=lambda: self.trouble,
            outcomes=lambda exchange, seconds: self.told.append(exchange.record.status),
            **settings,
        )
        return self.listening

    def with_tokens(self) -> HTTPListening:
        return self.make("--listen", "http://0.0.0.0:0", "--token-file", str(self.tokens))

    def ask(
        self, method: bytes = b"GET", target: bytes = b"/", token: str = "", client: Client = LOCAL, **settings: Any
    ) -> MemoryExchange:
        fields = [(b"Authorization", b"Bearer " + token.encode())] if token else []
        return ask(cast(Any, self.listening.http), method, target, fields, client=client, **settings)

    def test_the_tree_and_the_operational_routes(self) -> None:
        self.make()
        self.assertEqual(self.ask().sent, b"here")
        for path in (b"ping", b"healthz", b"readyz", b"metrics"):
            self.assertEqual(self.ask(target=b"/" + path).status, 200)

    def test_the_guard_stands_before_it(self) -> None:
        self.make()
        self.assertEqual(self.ask(host=b"evil.example").status, 421)
        self.assertEqual(self.ask(host=b"dev.example").status, 200)

    def test_bodies_are_limited(self) -> None:
        self.make()
        self.assertEqual([self.ask(b"POST", body=b"x" * size).status for size in (10, 11)], [200, 413])

    def test_readiness(self) -> None:
        self.make()
        self.trouble = "the disk is full"
        self.assertEqual(self.ask(target=b"/readyz").sent, b"the disk is full\n")
        self.daemon.is_draining = True
        self.assertEqual(self.ask(target=b"/readyz").sent, b"draining\n")

    def test_requests_are_counted_and_told(self) -> None:
        self.report(self.make())
        self.assertEqual(self.told, [200])
        self.assertIn(b'scalekit_requests_total{service="",status="2xx"} 1.0', self.ask(target=b"/metrics").sent)
        self.assertIn(b'scalekit_connections_open{listener="cache"} 0.0', self.ask(target=b"/metrics").sent)

    def test_requests_may_be_counted_elsewhere(self) -> None:
        self.report(self.make(counts_requests=False))
        self.assertEqual(self.told, [200])
        self.assertNotIn(b"scalekit_requests", self.ask(target=b"/metrics").sent)

    def report(self, listening: HTTPListening) -> None:
        """As the connection does at the end of an exchange."""
        exchange: Any = self.ask()
        exchange.started = 0.0
        listening.http.report(exchange)

    def test_tokens_are_read_again(self) -> None:
        self.tokens.write_text(f"read {FIRST}\n")
        self.with_tokens()
        self.assertEqual(self.ask(client=ELSEWHERE).status, 401)
        self.assertEqual(self.ask(client=ELSEWHERE, token=FIRST).status, 200)
        self.tokens.write_text(f"read {SECOND}\n")
        self.daemon.reload()
        self.assertEqual(self.ask(client=ELSEWHERE, token=FIRST).status, 401)
        self.assertEqual(self.ask(client=ELSEWHERE, token=SECOND).status, 200)

    def test_tokens_that_cannot_be_read_leave_the_old_ones(self) -> None:
        self.tokens.write_text(f"read {FIRST}\n")
        self.with_tokens()
        self.tokens.unlink()
        self.daemon.reload()
        self.assertEqual(self.ask(client=ELSEWHERE, token=FIRST).status, 200)

    def test_a_token_file_is_named_by_its_key(self) -> None:
        fault = self.assertRaises(ConfigurationFault, self.with_tokens)
        self.assertEqual(
            str(fault), f"cache.token_file: found {self.tokens}: cannot be read: No such file or directory"
        )

    def test_a_daemon_without_tokens(self) -> None:
        self.make(kind=DataOptions)
        self.daemon.reload()
        self.assertEqual(self.ask(client=ELSEWHERE, host=b"dev.example").status, 200)

    def test_draining_ends_the_connections(self) -> None:
        listening = self.make()
        self.assertNoResult(self.drain_with_a_connection(listening))
        self.assertTrue(listening.http.is_draining)

    def drain_with_a_connection(self, listening: HTTPListening) -> Any:
        connection: Any = type("Connection", (), {"close_when_idle": lambda self: None})()
        listening.http.connections.add(connection)
        (drain,) = self.daemon._drains
        return drain(False)
