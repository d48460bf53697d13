"""Tests of `scalekit.balancer.registrar` and `scalekit.balancer.listing`, under a stock twisted.web site."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Site

from scalekit.balancer.departed import KEPT_SECONDS
from scalekit.balancer.instance import Registration
from scalekit.balancer.registering import LOOK_SECONDS
from scalekit.balancer.registrar import RegistrarResource
from scalekit.balancer.roster import Endpoint, Roster, State
from scalekit.balancer.routes import Claim, Routing
from scalekit.balancer.turnover import DRAIN_SECONDS
from scalekit.config.tokens import Grant, Tokens
from scalekit.http.heads import Client
from scalekit.web.access import registration_role
from scalekit.web.answers import Absent
from scalekit.web.guard import Guard
from scalekit.web.memory import ask
from scalekit.web.site import Site as OurSite

HERE = IPv4Address("TCP", "127.0.0.1", 40000)
THERE = IPv4Address("TCP", "10.0.0.7", 40000)
LOCAL = IPv4Address("TCP", "10.0.0.1", 2001)


class Answer:
    """One answer, taken apart."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        self.status = int(lines[0].split()[1]) if raw else 0
        self.fields = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:])}

    @property
    def value(self) -> Any:
        return json.loads(self.body)


class RegistrarTestCase(SynchronousTestCase):
    """A private port in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000.0)
        self.roster = Roster(lambda: 0.5)
        self.routing = Routing([Claim.of("shop", ["shop.example"], "/")])
        self.roster.observe_claims(self.routing.settle)
        self.resource = RegistrarResource(
            self.roster,
            self.routing,
            self.clock,
            lambda: [("::", 2000), ("127.0.0.1", 2001)],
            lambda: "secret",
            Absent(),
            awaited=lambda instance, seconds: self.awaited.append((instance.id, seconds)),
        )
        self.awaited: list[tuple[str, float]] = []
        self.site = Site(self.resource, timeout=None)

    def open(self, target: str, method: str = "GET", peer: Any = HERE) -> StringTransport:
        """Send a request; returns the transport that its answer comes to."""
        transport = StringTransport(hostAddress=LOCAL, peerAddress=peer)
        channel = self.site.buildProtocol(peer)
        assert channel is not None
        channel.makeConnection(transport)
        transport.protocol = channel  # type: ignore[attr-defined]
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close", "Accept: application/json"]
        if method == "POST":
            lines.append("Content-Length: 0")
        channel.dataReceived("\r\n".join([*lines, "", ""]).encode())
        return transport

    def ask(self, target: str, method: str = "GET", peer: Any = HERE) -> Answer:
        return Answer(self.open(target, method, peer).value())

    def states(self) -> list[str]:
        return [
            f"{one.service}@{one.id} {one.state}" for s in self.roster.services() for one in self.roster.instances(s)
        ]


class RegisterTests(RegistrarTestCase):
    """``/register``."""

    def test_tutorial(self) -> None:
        """GET or POST with a port: the peer's address and that port, https, in the default service."""
        for method in ("GET", "POST"):
            answer = self.ask("/register?port=3000", method)
            self.assertEqual((answer.status, answer.fields["content-type"]), (200, "application/json"))
            self.assertEqual(
                answer.value,
                {
                    "service": "default",
                    "id": "127.0.0.1:3000",
                    "url": "https://127.0.0.1:3000",
                    "scheme": "https",
                    "address": "127.0.0.1",
                    "port": 3000,
                    "server_name": None,
                    "weight": 1,
                    "static": False,
                    "state": "joining",
                    "reason": "registered",
                    "state_seconds": 0.0,
                    "in_flight": 0,
                    "generation": 0,
                    "lease_seconds": None,
                    "lease_left": None,
                    "share": 1.0,
                    "keep_alive": None,
                    "max_in_flight": None,
                    "meta": {},
                },
            )
        self.assertEqual(self.states(), ["default@127.0.0.1:3000 joining"])

    def test_everything(self) -> None:
        """Service, scheme, weight and routes."""
        answer = self.ask("/register?port=3000&service=blog&scheme=http&weight=256&hosts=Blog.example,*.b&path=/x/")
        self.assertEqual(answer.status, 200)
        (instance,) = self.roster.instances("blog")
        self.assertEqual((instance.scheme, instance.weight), ("http", 256))
        self.assertEqual(instance.claim, Claim("blog", ("blog.example", "*.b"), "/x"))
        self.assertEqual(self.ask("/v1/services/blog").value["routes"], ["blog.example/x", "*.b/x"])

    def test_keep_alive(self) -> None:
        """When the app server closes idle connections: kept until it says something else."""
        for query, seconds in (("", None), ("&keep_alive=5", 5.0), ("", 5.0), ("&keep_alive=2.5", 2.5)):
            answer = self.ask(f"/register?port=3000{query}")
            self.assertEqual((answer.status, answer.value["keep_alive"]), (200, seconds))
        self.assertEqual(self.ask("/register?port=3000&keep_alive=soon").status, 400)

    def test_http2_in_clear(self) -> None:
        self.assertEqual(self.ask("/register?port=3000&scheme=h2c").value["scheme"], "h2c")
        (instance,) = self.roster.instances("default")
        self.assertEqual(instance.scheme, "h2c")

    def test_bad_parameters(self) -> None:
        """Each wrong value is a 400 that names the parameter, and registers nobody."""
        for query, name in [
            ("", "port"),
            ("port=", "port"),
            ("port=0", "port"),
            ("port=65536", "port"),
            ("port=-1", "port"),
            ("port=+3000", "port"),
            ("port=3000x", "port"),
            ("port=%D9%A3", "port"),  # a digit, but not one of ours
            ("port=3000&service=a/b", "service"),
            ("port=3000&service=" + "a" * 65, "service"),
            ("port=3000&scheme=ftp", "scheme"),
            ("port=3000&scheme=HTTP", "scheme"),
            ("port=3000&weight=0", "weight"),
            ("port=3000&weight=257", "weight"),
            ("port=3000&weight=1.5", "weight"),
            ("port=3000&hosts=a%20b", "hosts"),
            ("port=3000&hosts=a,,b", "hosts"),
            ("port=3000&hosts=" + ",".join(["a.example"] * 65), "hosts"),
            ("port=3000&path=x", "path"),
            ("port=3000&path=/a/../b", "path"),
            ("port=3000&port=3001", "port"),
            ("port=3000&weigth=3", "weigth"),
        ]:
            answer = self.ask(f"/register?{query}")
            self.assertEqual((answer.status, answer.fields["content-type"]), (400, "application/problem+json"), query)
            self.assertIn(name, answer.value["detail"], query)
        self.assertEqual(self.states(), [])

    def test_unix(self) -> None:
        """A unix socket's peer is on this machine."""
        answer = self.ask("/register?port=3000", "POST", UNIXAddress(""))
        self.assertEqual((answer.status, answer.value["id"]), (200, "127.0.0.1:3000"))

    def test_without_a_guard(self) -> None:
        """Under anybody's site, where nobody shows a token: this machine only."""
        answer = self.ask("/register?port=3000", "POST", THERE)
        self.assertEqual((answer.status, answer.value["reason"]), (403, "consent"))
        self.assertEqual(self.states(), [])

    def test_refused(self) -> None:
        """A refused address is a 403 with a reason and one audit line."""
        for peer, port, reason in [
            (HERE, 2000, "own-listener"),
            (HERE, 2001, "own-listener"),
            (IPv4Address("TCP", "10.0.0.1", 1), 2000, "own-listener"),
            (IPv4Address("TCP", "169.254.1.1", 1), 3000, "link-local"),
            (IPv6Address("TCP", "fe80::1%eth0", 1), 3000, "link-local"),
            (IPv4Address("TCP", "0.0.0.0", 1), 3000, "unspecified"),
        ]:
            with capturedLogs() as captured:
                answer = self.ask(f"/register?port={port}", "POST", peer)
            self.assertEqual((answer.status, answer.value["reason"]), (403, reason))
            self.assertEqual([event["reason"] for event in captured if "reason" in event], [reason])
        self.assertEqual(self.states(), [])

    def test_what_is_misspelt_when_leaving(self) -> None:
        self.ask("/register?port=3000")
        for query, reason in [("port=3000&wiat=1", "unknown-parameter"), ("port=3000&wait=1&wait=2", "bad-wait")]:
            answer = self.ask(f"/unregister?{query}")
            self.assertEqual((answer.status, answer.value["reason"]), (400, reason))
        self.assertEqual(self.states(), ["default@127.0.0.1:3000 joining"])

    def test_get_changes_nothing_from_elsewhere(self) -> None:
        """Off loopback only POST registers and unregisters."""
        self.roster.register("default", Endpoint("https", "10.0.0.7", 3000), 0.0)
        for target in ("/register?port=3001", "/unregister?port=3000"):
            for method in ("GET", "HEAD"):
                answer = self.ask(target, method, THERE)
                self.assertEqual((answer.status, answer.fields["allow"]), (405, "POST"))
        self.assertEqual(self.states(), ["default@10.0.0.7:3000 joining"])

    def test_methods(self) -> None:
        """Other methods are a 405 with Allow; HEAD registers nobody."""
        for target in ("/register?port=3000", "/unregister?port=3000"):
            for method in ("HEAD", "PUT", "DELETE", "PATCH"):
                answer = self.ask(target, method)
                self.assertEqual(answer.status, 405, method)
                self.assertEqual({one.strip() for one in answer.fields["allow"].split(",")}, {"GET", "POST"})
        self.assertEqual(self.states(), [])


class TokenTests(RegistrarTestCase):
    """Off this machine, behind the guard, on our own site."""

    def ask_with(self, token: str, target: str, address: str = "10.0.0.7") -> tuple[int, Any]:
        """The status and the JSON that somebody elsewhere gets."""
        tokens = Tokens([("o" * 16, Grant("operator")), ("b" * 16, Grant("register", "blog"))])
        guard = Guard(OurSite(self.resource), ["10.0.0.1"], tokens, registration_role)
        fields = [(b"Authorization", b"Bearer " + token.encode())] if token else []
        client = Client(address, 40000, True, 2001, local_address="10.0.0.1")
        exchange = ask(guard, b"POST", target.encode(), fields, client=client, host=b"10.0.0.1:2001")
        return exchange.status, json.loads(exchange.sent)

    def test_routes_of_an_operator(self) -> None:
        """An operator's token makes routes, also from elsewhere."""
        self.assertEqual(self.ask_with("o" * 16, "/register?port=3000&service=blog&path=/blog")[0], 200)
        self.assertEqual(self.ask("/v1/services/blog").value["routes"], ["*/blog"])

    def test_addresses(self) -> None:
        """The peer's own address counts, v4-mapped or not."""
        for address, id in [
            ("10.0.0.7", "10.0.0.7:3000"),
            ("::ffff:10.0.0.8", "10.0.0.8:3000"),
            ("2001:db8::1", "[2001:db8::1]:3000"),
        ]:
            status, answer = self.ask_with("o" * 16, "/register?port=3000", address)
            self.assertEqual((status, answer["id"]), (200, id))

    def test_consent(self) -> None:
        """Nobody who registers so is challenged: a token for registering does not do, and the answer says what does."""
        with capturedLogs() as captured:
            status, answer = self.ask_with("b" * 16, "/register?port=3000&service=blog")
        self.assertEqual((status, answer["reason"]), (403, "consent"))
        self.assertIn("operator's token", answer["detail"])
        self.assertIn("PUT /v1/services/", answer["detail"])
        self.assertEqual([event["reason"] for event in captured if "reason" in event], ["consent"])
        self.assertEqual(self.states(), [])

    def test_token_of_a_service(self) -> None:
        """A token that names a service is good for that one only; to leave it is enough."""
        for path in ("/register", "/unregister"):
            status, answer = self.ask_with("b" * 16, f"{path}?port=3000&service=shop")
            self.assertEqual((status, answer["reason"]), (403, "token-scope"))
        status, answer = self.ask_with("b" * 16, "/unregister?port=3000&service=blog")
        self.assertEqual((status, answer["id"], answer["state"]), (200, "10.0.0.7:3000", "gone"))

    def test_no_token(self) -> None:
        """Without a token nobody registers from elsewhere."""
        self.assertEqual(self.ask_with("", "/register?port=3000")[0], 401)
        self.assertEqual(self.states(), [])


class DepartedTests(RegistrarTestCase):
    """A service whose app servers are all gone."""

    def test_kept(self) -> None:
        """Its routes are; they are shown with how long, in JSON and as text."""
        self.ask("/register?port=3000&service=blog&path=/blog")
        self.assertIsNone(self.ask("/v1/services/blog").value["departed"])
        self.ask("/unregister?port=3000&service=blog")
        self.clock.advance(60.0)
        view = self.ask("/v1/services/blog").value
        self.assertEqual(view["departed"], {"seconds": 60.0, "kept_seconds": KEPT_SECONDS - 60.0})
        self.assertEqual((view["routes"], view["instances"]), (["*/blog"], []))
        text = self.ask("/").body.decode()
        self.assertIn("nobody has claimed these routes for 60 s; they are kept for another 540 s\n  no app", text)

    def test_forget(self) -> None:
        """DELETE lets go of them, and of nothing that somebody claims or that stands in the configuration."""
        self.ask("/register?port=3000&service=blog&path=/blog")
        self.ask("/register?port=3000&service=shop&path=/x")
        self.ask("/unregister?port=3000&service=shop")
        for name in ("blog", "shop", "default"):
            answer = self.ask(f"/v1/services/{name}", "DELETE")
            self.assertEqual((answer.status, answer.value["reason"]), (409, "not-departed"), name)
        self.ask("/unregister?port=3000&service=blog")
        self.assertEqual(self.ask("/v1/services/blog?x=1", "DELETE").status, 400)
        self.assertEqual(self.ask("/v1/services/blog", "DELETE", THERE).status, 403)
        answer = self.ask("/v1/services/blog", "DELETE")
        self.assertEqual((answer.status, answer.value), (200, {"name": "blog", "forgotten": ["*/blog"]}))
        self.assertEqual(self.ask("/v1/services/blog", "DELETE").status, 404)


class UnregisterTests(RegistrarTestCase):
    """``/unregister``."""

    def test_idle(self) -> None:
        """With nothing in flight it is gone at once."""
        self.ask("/register?port=3000")
        answer = self.ask("/unregister?port=3000")
        self.assertEqual((answer.status, answer.value["state"]), (200, "gone"))
        self.assertEqual(self.states(), [])

    def test_unknown(self) -> None:
        """Who is unknown is gone: 200."""
        answer = self.ask("/unregister?port=3000&service=blog", "POST")
        self.assertEqual(
            (answer.status, answer.value),
            (200, {"service": "blog", "id": "127.0.0.1:3000", "state": "gone", "in_flight": 0}),
        )

    def test_only_ones_own(self) -> None:
        """Nobody can unregister what another address has registered."""
        self.ask("/register?port=3000")
        self.assertEqual(self.ask("/unregister?port=3000", "POST", THERE).status, 200)
        self.assertEqual(self.states(), ["default@127.0.0.1:3000 joining"])

    def test_static(self) -> None:
        """A configured server stays: 403 with a reason."""
        self.roster.settle_static("default", [Endpoint("http", "127.0.0.1", 3000)], 0.0)
        answer = self.ask("/unregister?port=3000")
        self.assertEqual((answer.status, answer.value["reason"]), (403, "static-server"))

    def busy(self) -> Any:
        self.ask("/register?port=3000")
        (instance,) = self.roster.instances("default")
        instance.in_flight = 2
        return instance

    def test_without_wait(self) -> None:
        """The answer comes at once and says what is in flight."""
        self.busy()
        answer = self.ask("/unregister?port=3000")
        self.assertEqual((answer.value["state"], answer.value["in_flight"]), ("draining", 2))
        self.assertEqual(self.awaited, [])

    def test_wait_until_drained(self) -> None:
        """With wait the answer comes when nothing is in flight."""
        instance = self.busy()
        first = self.open("/unregister?port=3000&wait=30")
        second = self.open("/unregister?port=3000&wait=30", "POST")  # asks again, as clients do
        for in_flight in (2, 1):
            instance.in_flight = in_flight
            self.clock.advance(5.0)
            self.assertEqual((first.value(), second.value()), (b"", b""))
        instance.in_flight = 0
        self.clock.advance(LOOK_SECONDS)
        for transport in (first, second):
            answer = Answer(transport.value())
            self.assertEqual((answer.status, answer.value["state"]), (200, "gone"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_wait_over(self) -> None:
        """When the wait is over the answer says what is left."""
        self.busy()
        transport = self.open("/unregister?port=3000&wait=2.5")
        self.assertEqual(self.awaited, [("127.0.0.1:3000", 2.5)])
        self.clock.advance(2.4)
        self.assertEqual(transport.value(), b"")
        self.clock.advance(0.1)
        answer = Answer(transport.value())
        self.assertEqual((answer.status, answer.value["state"], answer.value["in_flight"]), (200, "draining", 2))

    def test_wait_is_bounded(self) -> None:
        """However long somebody wants to wait, what draining itself may take is all."""
        self.busy()
        self.roster.reconfigure(self.roster.rules, 2 * DRAIN_SECONDS, "spray", self.clock.seconds())
        transport = self.open("/unregister?port=3000&wait=999999")
        self.assertEqual(self.awaited, [("127.0.0.1:3000", 2 * DRAIN_SECONDS)])
        self.clock.advance(DRAIN_SECONDS)
        self.assertEqual(transport.value(), b"")
        self.clock.advance(DRAIN_SECONDS)
        self.assertEqual(Answer(transport.value()).status, 200)

    def test_wait_given_up(self) -> None:
        """A client that goes leaves nothing behind; the instance drains on."""
        instance = self.busy()
        transport = self.open("/unregister?port=3000&wait=30")
        transport.protocol.connectionLost(Failure(ConnectionDone()))  # type: ignore[attr-defined]
        self.assertEqual(self.clock.getDelayedCalls(), [])
        instance.in_flight = 0
        self.roster.expire(self.clock.seconds())
        self.assertIs(instance.state, State.GONE)

    def test_bad_wait(self) -> None:
        """What is no number of seconds is a 400 that names the parameter, and drains nobody."""
        self.ask("/register?port=3000")
        for wait in ("x", "-1", "nan", "inf", "1e3", "1_0", "%D9%A3"):
            answer = self.ask(f"/unregister?port=3000&wait={wait}")
            self.assertEqual(answer.status, 400)
            self.assertIn("wait", answer.value["detail"])
        self.assertEqual(self.states(), ["default@127.0.0.1:3000 joining"])


class ListingTests(RegistrarTestCase):
    """What there is to see."""

    def test_text(self) -> None:
        """``GET /`` shows every service, its routes and its instances."""
        self.ask("/register?port=3000&scheme=http")
        self.clock.advance(5.0)
        answer = self.ask("/")
        self.assertTrue(answer.fields["content-type"].startswith("text/plain"))
        self.assertEqual(
            answer.body.decode(),
            "default  */\n"
            "  http://127.0.0.1:3000  joining for 5 s (registered)  0 in flight\n"
            "shop  shop.example/\n"
            "  no app servers\n",
        )

    def test_text_of_one_with_a_name(self) -> None:
        """A name is no address: it stands beside it."""
        registration = Registration("web-1", Endpoint("http", "127.0.0.1", 3000), 1, 1, 15.0)
        self.roster.enrol("shop", registration, self.clock.seconds())
        line = "  http://127.0.0.1:3000  web-1  joining for 0 s (registered)  0 in flight\n"
        self.assertTrue(self.ask("/").body.decode().endswith(line))

    def test_json(self) -> None:
        """``GET /v1/services`` shows the same to machines, draining ones too."""
        self.ask("/register?port=3000")
        (instance,) = self.roster.instances("default")
        instance.in_flight = 1
        self.ask("/unregister?port=3000")
        for target in ("/v1/services", "/v1/services/"):
            views = self.ask(target).value["services"]
            self.assertEqual([view["name"] for view in views], ["default", "shop"])
        self.assertEqual((views[0]["available"], views[0]["routes"]), (0, ["*/"]))
        (shown,) = views[0]["instances"]
        self.assertEqual((shown["state"], shown["reason"], shown["in_flight"]), ("draining", "unregistered", 1))
        self.assertEqual(self.ask("/v1/services/default").value, views[0])

    def test_missing(self) -> None:
        """What is not there is a 404 in our form, whatever the method."""
        for target in ("/x", "/v1/x", "/v1/services/x", "/v1/services/default/x", "/register/x", "/v1/services/%FF"):
            for method in ("GET", "POST", "PUT"):
                answer = self.ask(target, method)
                self.assertEqual(
                    (answer.status, answer.fields["content-type"]), (404, "application/problem+json"), target
                )

    def test_methods(self) -> None:
        """Looking is GET and HEAD."""
        for target in ("/", "/v1/services", "/v1/services/shop"):
            self.assertEqual(self.ask(target, "POST").status, 405)
            head = self.ask(target, "HEAD")
            self.assertEqual((head.status, head.body), (200, b""))
