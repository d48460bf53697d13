"""Tests of `scalekit.blog.tap` and `scalekit.blog.data_tap`: options, and real processes under twistd."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.server import Site

import scalekit
from scalekit.blog import data_tap, tap
from scalekit.cache.resource import CacheResource
from scalekit.cache.store import Store
from scalekit.errors import UpstreamFault
from scalekit.kit.client import Answer, make_client
from tests.ports import free_ports

TWISTD = "from twisted.scripts.twistd import run; run()"
CHECKOUT = Path(scalekit.__file__).parent.parent


class OptionsTests(SynchronousTestCase):
    def parse(self, options: Any, environ: dict[str, str], *arguments: str) -> Any:
        options.environ = environ
        options.parseOptions(["--state-directory", self.mktemp(), *arguments])
        return options

    def test_flags_stand_above_the_environment_and_that_above_the_defaults(self) -> None:
        environ = {
            "SCALEKIT_BALANCER": "https://lb:1",
            "SCALEKIT_CACHE": "https://cache:1",
            "SCALEKIT_SERVICE": "shop",
            "SCALEKIT_LOGS": "https://logs:1",
            "SCALEKIT_CA": "/etc/ca.pem",
        }
        settings = self.parse(tap.Options(), environ, "--balancer", "https://lb:2").settings
        self.assertEqual(settings.blog.balancer, "https://lb:2")
        self.assertEqual((settings.blog.cache, settings.blog.service), ("https://cache:1", "shop"))
        self.assertEqual(settings.blog.data, "https://127.0.0.1:4000")
        self.assertEqual(settings.log_client.url, "https://logs:1")
        self.assertEqual(settings.balancer.upstream_tls.ca, "/etc/ca.pem")

    def test_tokens_are_shown_elsewhere_only(self) -> None:
        settings = self.parse(tap.Options(), {"SCALEKIT_TOKEN_FILE": "/t"}, "--logs-token-file", "/l").settings
        self.assertEqual((settings.blog.token_file, settings.log_client.token_file), ("/t", "/l"))
        for url, is_shown in (("https://127.0.0.1:2001", False), ("https://lb:2001", True)):
            self.assertEqual(tap.is_shown(settings, url), is_shown)
        settings = self.parse(tap.Options(), {}).settings
        self.assertFalse(tap.is_shown(settings, "https://lb:2001"))

    def test_data_options(self) -> None:
        options = self.parse(data_tap.Options(), {}, "--seed-posts", "20", "--seed-comments", "7")
        self.assertEqual((options["seed-posts"], options["seed-comments"]), (20, 7))
        self.assertTrue(options.settings.data.database.endswith("blog.sqlite3"))

    def test_what_is_wrong_is_one_line(self) -> None:
        rows: list[tuple[Any, list[str], str]] = [
            (data_tap.Options(), ["--seed-comments", "7"], "--seed-comments needs --seed-posts"),
            (data_tap.Options(), ["--seed-posts", "many"], "expected a number"),
            (tap.Options(), ["--cache", "nonsense"], "--cache"),
        ]
        for options, arguments, expected in rows:
            error = self.assertRaises(SystemExit, self.parse, options, {}, *arguments)
            self.assertIn(expected, str(error))
            self.assertNotIn("\n", str(error))


class ProcessTests(TestCase):
    """``twistd scalekit-data`` and ``twistd scalekit-blog`` with a cache of the test's."""

    timeout = 90

    def setUp(self) -> None:
        self.reactor = cast(Any, reactor)
        self.state = Path(self.mktemp()).absolute()
        self.state.mkdir()
        self.store = Store(1024 * 1024)
        port = self.reactor.listenTCP(0, Site(CacheResource(self.store, self.reactor)), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.cache_url = f"http://127.0.0.1:{port.getHost().port}"
        self.client = make_client(self.reactor, str(self.state / "tls" / "ca.pem"))
        self.addCleanup(self.client._treq._agent._pool.closeCachedConnections)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-c", TWISTD, "-n", *arguments, "--state-directory", str(self.state)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=os.environ | {"SCALEKIT_CACHE": self.cache_url, "PYTHONPATH": str(CHECKOUT)},
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process

    async def ask(self, url: str) -> Answer:
        """Ask, and again while nobody listens yet."""
        for _ in range(300):
            try:
                return await self.client.fetch("GET", url, seconds=20)
            except UpstreamFault:
                await deferLater(self.reactor, 0.1)
        raise AssertionError(f"{url} does not answer")

    def ended(self, process: subprocess.Popen[bytes]) -> Deferred[tuple[bytes, bytes]]:
        return deferToThread(process.communicate)

    async def test_two_processes_and_a_cache(self) -> None:
        data_url, blog_url, nobody = (f"https://127.0.0.1:{port}" for port in free_ports(3))
        data = self.start("scalekit-data", "--listen", data_url)
        blog = self.start("scalekit-blog", "--listen", blog_url, "--data", data_url, "--balancer", nobody)
        await self.ask(f"{data_url}/ping")
        first = await self.ask(f"{blog_url}/posts/1")
        self.assertIn(b"One server was fine until Tuesday", first.body)
        self.assertIn(f'<b id="server">{blog_url.removeprefix("https://")}</b>'.encode(), first.body)
        # A look into the cache that takes over 50 ms is a miss, as may be on a busy machine.
        deadline = time.monotonic() + 20
        while b"from the cache" not in (await self.ask(f"{blog_url}/posts/1")).body:
            self.assertLess(time.monotonic(), deadline, "it is never cached")
            await deferLater(self.reactor, 0.01)
        self.assertIsNotNone(self.store.get(b"/posts/1", self.reactor.seconds()))
        for route, expected in {
            "ping": b"pong\n",
            "healthz": b"alive\n",
            "readyz": b"ready\n",
            "metrics": b'scalekit_requests_total{service="",status="2xx"}',
        }.items():
            self.assertIn(expected, (await self.ask(f"{data_url}/{route}")).body)
        for process in (blog, data):
            process.send_signal(signal.SIGTERM)
            await self.ended(process)
            self.assertEqual(process.returncode, 0)

    async def test_a_start_that_fails_is_one_line_and_status_1(self) -> None:
        (taken,) = free_ports(1)
        held = socket.create_server(("127.0.0.1", taken))
        self.addCleanup(held.close)
        rows = [
            (["scalekit-blog", "--listen", f"https://127.0.0.1:{taken}"], b"Address already in use"),
            (["scalekit-data", "--listen", "http://127.0.0.1:0", "--database", str(self.state)], b"data.database"),
        ]
        for process, expected in [(self.start(*arguments), expected) for arguments, expected in rows]:
            _, said = await self.ended(process)
            self.assertEqual(process.returncode, 1, said)
            self.assertIn(expected, said)
            self.assertEqual(said.count(b"\n"), 1, said)
