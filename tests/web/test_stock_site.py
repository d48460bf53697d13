"""
The reverse proxy, the cache and the log collector as children of somebody else's site: a stock `twisted.web` one, on a
real port, asked by treq.
"""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any, cast

import treq
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock, deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, HTTPConnectionPool, ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from scalekit.balancer.instance import Endpoint
from scalekit.balancer.per_service import PerService
from scalekit.balancer.proxy import ReverseProxy
from scalekit.balancer.roster import Roster
from scalekit.balancer.routes import Routing
from scalekit.balancer.tunnels import Tunnels
from scalekit.balancer.upstreams import Upstreams
from scalekit.cache.resource import CacheResource
from scalekit.cache.store import Store
from scalekit.http.forwarding import Forwarder
from scalekit.logs.collector import Collector
from scalekit.logs.directory import LocalDirectory
from scalekit.logs.resource import LogResource
from scalekit.logs.threads import ThreadLane
from scalekit.net.deadlines import Wheel
from scalekit.net.pooled import UpstreamTimeouts
from scalekit.web.compress import Compress
from scalekit.web.resource import ResponderResource

reactor = cast(Any, global_reactor)
LARGE = random.Random(1).randbytes(3_000_000)


class Backend(Resource):
    """The app server behind the proxy: tells what it was asked."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.began: Deferred[Any] = Deferred()

    def render_GET(self, request: Any) -> Any:
        if request.path == b"/site/app/large":
            return LARGE
        if request.path == b"/site/app/begun":
            request.setHeader(b"content-length", b"100")
            request.write(b"some of it")
            self.began.callback(request)
            return NOT_DONE_YET
        request.setHeader(b"content-type", b"application/json")
        names = ("host", "x-forwarded-for", "x-forwarded-proto", "transfer-encoding")
        fields = {name: request.getHeader(name) for name in names}
        return json.dumps({"uri": request.uri.decode(), **fields}).encode()

    def render_POST(self, request: Any) -> bytes:
        return bytes(request.content.read())


class StockSiteTests(TestCase):
    """`Resource.putChild` of each of the three."""

    timeout = 60

    def setUp(self) -> None:
        self.backend = Backend()
        self.backend_port = self.listen(self.backend)
        site, root = Resource(), Resource()
        root.putChild(b"site", site)
        site.putChild(b"app", ResponderResource(self.proxy(self.backend_port)))
        site.putChild(b"coded", ResponderResource(Compress(self.proxy(self.backend_port), reactor, deferToThread)))
        site.putChild(b"stripped", ResponderResource(self.proxy(self.backend_port), strip_prefix=True))
        site.putChild(b"nobody", ResponderResource(self.proxy(None)))
        site.putChild(b"cache", CacheResource(Store(1_000_000), reactor))
        self.folder = Path(self.mktemp())
        lanes = (ThreadLane(reactor, "journal"), ThreadLane(reactor, "output"), ThreadLane(reactor, "upkeep"))
        # A clock of its own: what is written to the file, and when, is not the reactor's to decide.
        self.clock = Clock()
        self.clock.advance(time.time())
        self.collector = Collector(lambda: LocalDirectory(str(self.folder)), self.clock, lanes)
        self.collector.startService()
        self.addCleanup(self.collector.stopService)
        site.putChild(b"logs", LogResource(self.collector))
        self.url = f"http://127.0.0.1:{self.listen(root)}/site"
        pool = HTTPConnectionPool(reactor)
        self.addCleanup(pool.closeCachedConnections)
        self.treq = treq.client.HTTPClient(Agent(reactor, pool=pool))

    def listen(self, root: Resource) -> int:
        port = reactor.listenTCP(0, Site(root), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return cast(int, port.getHost().port)

    def proxy(self, port: int | None) -> ReverseProxy:
        wheel = Wheel(reactor)
        wheel.start()
        self.addCleanup(wheel.stop)
        roster = Roster(random.random)
        upstreams = Upstreams(reactor, wheel, PerService(UpstreamTimeouts()), lambda: self.fail("no TLS here"))
        if port is not None:
            roster.settle_static("default", [Endpoint("http", "127.0.0.1", port)], reactor.seconds())
            self.addCleanup(upstreams.pool(roster.instances("default")[0]).close)
        forwarder = Forwarder(b"test", (), lambda: 1 << 64 | 2)
        return ReverseProxy(roster, Routing(()), upstreams, Tunnels(wheel, lambda: 0.5), forwarder, reactor)

    async def ask(self, method: str, path: str, body: bytes | None = None, **fields: str) -> tuple[Any, bytes]:
        headers = Headers({name.replace("_", "-"): [value] for name, value in fields.items()})
        response = await self.treq.request(method, self.url + path, data=body, headers=headers, timeout=30)
        return response, await response.content()

    async def test_the_proxy(self) -> None:
        response, body = await self.ask("GET", "/app/page?a=1", X_Forwarded_For="203.0.113.9")
        self.assertEqual(response.code, 200)
        self.assertEqual(response.headers.getRawHeaders("content-type"), ["application/json"])
        self.assertEqual(len(response.headers.getRawHeaders("date")), 1)
        told = json.loads(body)
        self.assertEqual(told["uri"], "/site/app/page?a=1")
        self.assertEqual(told["host"], self.url.split("/")[2])
        # What a stranger says of itself is replaced.
        self.assertEqual((told["x-forwarded-for"], told["x-forwarded-proto"]), ("127.0.0.1", "http"))
        told = json.loads((await self.ask("GET", "/stripped/page?a=1"))[1])
        self.assertEqual(told["uri"], "/page?a=1")
        response, body = await self.ask("HEAD", "/app/large")
        lengths = response.headers.getRawHeaders("content-length")
        self.assertEqual((response.code, lengths, body), (200, [str(len(LARGE))], b""))

    async def test_large_bodies_both_ways(self) -> None:
        self.assertEqual((await self.ask("GET", "/app/large"))[1], LARGE)
        self.assertEqual((await self.ask("POST", "/app/x", LARGE))[1], LARGE)
        answers = await gatherResults([Deferred.fromCoroutine(self.ask("GET", "/app/large")) for _ in range(4)])
        self.assertEqual({body for _, body in answers}, {LARGE})

    async def test_a_decorated_proxy(self) -> None:
        response, body = await self.ask("GET", "/coded/" + "x" * 2000, Accept_Encoding="gzip")
        # treq takes the coding off.
        self.assertEqual(json.loads(body)["uri"], "/site/coded/" + "x" * 2000)
        self.assertEqual(response.headers.getRawHeaders("vary"), ["Accept-Encoding"])

    async def test_faults(self) -> None:
        response, body = await self.ask("GET", "/nobody/page")
        self.assertEqual((response.code, json.loads(body)["detail"]), (503, "No app servers found"))
        self.assertEqual(response.headers.getRawHeaders("content-type"), ["application/problem+json"])
        response, body = await self.ask("GET", "/app/../nobody/page")  # the stock site would ask the first
        self.assertEqual((response.code, json.loads(body)["reason"]), (400, "ambiguous-path"))

    async def test_an_app_server_that_goes_away_in_its_answer(self) -> None:
        response = await self.treq.get(self.url + "/app/begun", timeout=30)
        content = response.content()
        (await self.backend.began).transport.abortConnection()
        await self.assertFailure(content, ResponseFailed)

    async def test_the_cache(self) -> None:
        self.assertEqual((await self.ask("GET", "/cache/?key=%2Fposts"))[0].code, 404)
        response, _ = await self.ask("POST", "/cache/?key=%2Fposts", b"stored", Cache_Control="max-age=60")
        self.assertEqual(response.code, 201)
        response, body = await self.ask("GET", "/cache/?key=%2Fposts")
        self.assertEqual((response.code, body), (200, b"stored"))
        self.assertEqual(response.headers.getRawHeaders("age"), ["0"])
        self.assertEqual((await self.ask("POST", "/cache/invalidate?key=%2Fposts"))[0].code, 204)
        self.assertEqual((await self.ask("GET", "/cache/?key=%2Fposts"))[0].code, 404)
        response, body = await self.ask("POST", "/cache/?key=k", b"stored")
        self.assertEqual(response.code, 400)
        self.assertIn("max-age", json.loads(body)["detail"])

    async def test_the_log(self) -> None:
        times = ("2023-11-14T22:13:21Z", "2023-11-14T22:13:20Z")
        for number, moment in enumerate(times):
            entry = {"Level": "INFO", "Timestamp": moment, "Source": "shop", "Message": f"sold {number}"}
            response, body = await self.ask("POST", "/logs/", json.dumps(entry).encode())
            self.assertEqual((response.code, json.loads(body)), (200, {"accepted": 1}))
        response, body = await self.ask("POST", "/logs/", b'{"Level": "LOUD"}')
        self.assertEqual(response.code, 400)
        self.assertIn("Level", json.loads(body)["detail"])
        self.clock.advance(5)
        written = self.folder / "log.txt"
        while not written.exists() or written.read_text().count("\n") < len(times):
            await deferLater(reactor, 0.01)
        lines = ["2023-11-14 22:13:20;INFO;shop;sold 1", "2023-11-14 22:13:21;INFO;shop;sold 0"]
        self.assertEqual(written.read_text().splitlines(), lines)
