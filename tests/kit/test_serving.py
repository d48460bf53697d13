"""Tests of `scalekit.kit.serving`: an app server on real sockets, over TLS by a local CA."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from scalekit.config import Config, ListenURL
from scalekit.kit.client import Client, make_client
from scalekit.kit.serving import app_server
from scalekit.ops.certificates import ServerCertificate

NAMES = ["localhost", "127.0.0.1"]


class Application(Resource):
    """Answers ``/`` at once, and any other path when the test says so."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Any] = []
        self.asked: Deferred[None] = Deferred()

    def render_GET(self, request: Any) -> Any:
        if request.path == b"/":
            return b"the application"
        self.waiting.append(request)
        self.asked.callback(None)
        return NOT_DONE_YET


class Balancer(Resource):
    """Keeps what it is asked."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.shown: list[str] = []
        self.registered: Deferred[None] = Deferred()

    def render_PUT(self, request: Any) -> bytes:
        self.shown.append(request.getHeader("authorization"))
        self.asked.append(f"{request.uri.decode()} {json.loads(request.content.read())}")
        return self.render_POST(request, is_noted=False)

    def render_POST(self, request: Any, is_noted: bool = True) -> bytes:
        if is_noted:
            self.asked.append(request.uri.decode())
        if not self.registered.called:
            self.registered.callback(None)
        return b""


class AppServerTests(TestCase):
    def setUp(self) -> None:
        self.reactor = cast(Any, reactor)
        self.balancer = Balancer()
        self.application = Application()
        port = self.reactor.listenTCP(0, Site(self.balancer), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.balancer_url = f"http://127.0.0.1:{port.getHost().port}"
        settings = Config(state_directory=self.mktemp())
        self.directory = Path(settings.state_directory, "tls")
        self.tls = ServerCertificate(settings, NAMES, self.reactor, time.time).tls

    def client(self) -> Client:
        client = make_client(self.reactor, str(self.directory / "ca.pem"))
        self.addCleanup(client.close)
        return client

    def token_file(self) -> str:
        file = Path(self.mktemp())
        file.write_text("register:blog fedcba9876543210\nregister:shop 0123456789abcdef\n")
        return str(file)

    def test_a_balancer_that_is_none(self) -> None:
        with self.assertRaises(ValueError):
            app_server(
                self.application,
                [ListenURL("http", "127.0.0.1", 0)],
                client=self.client(),
                reactor=self.reactor,
                wall=lambda: 7.0,
                random=random.random,
                balancer="https://lb:20o1",
            )

    async def test_the_whole_life(self) -> None:
        client = self.client()
        server = app_server(
            self.application,
            [ListenURL("https", "127.0.0.1", 0)],
            client=self.client(),
            reactor=self.reactor,
            wall=lambda: 7.0,
            random=random.random,
            tls=self.tls,
            balancer=self.balancer_url,
            service="shop",
            hosts=["shop.example"],
            path="/shop",
            token_file=self.token_file(),
        )
        server.privilegedStartService()
        server.startService()
        url = f"https://127.0.0.1:{server.port}"
        await self.balancer.registered
        instance = f"/v1/services/shop/instances/127.0.0.1:{server.port}"
        said = {"generation": 7_000_000, "port": server.port, "scheme": "https", "keep_alive": 60.0}
        said |= {"hosts": ["shop.example"], "path": "/shop"}
        self.assertEqual(self.balancer.asked, [f"{instance} {said}"])
        self.assertEqual(self.balancer.shown, ["Bearer 0123456789abcdef"])
        self.assertEqual((await client.fetch("GET", url + "/", seconds=20)).body, b"the application")
        self.assertEqual((await client.fetch("GET", url + "/ping", seconds=20)).status, 200)

        slow = client.fetch("GET", url + "/slow", seconds=20)
        await self.application.asked
        stopped = cast("Deferred[None]", server.stopService())
        self.application.waiting[0].write(b"finished")
        self.application.waiting[0].finish()
        self.assertEqual((await slow).body, b"finished")
        await stopped
        self.assertEqual(self.balancer.asked[1], f"{instance}/drain?generation=7000000&wait=30")
