"""Tests of `scalekit.balancer.registrar`: who registers, and with which token; routes that outlive their claimants."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.logger import capturedLogs

from scalekit.balancer.departed import KEPT_SECONDS
from scalekit.balancer.roster import Endpoint
from scalekit.balancer.routes import Claim
from scalekit.config.tokens import Grant, Tokens
from scalekit.http.heads import Client
from scalekit.web.access import registration_role
from scalekit.web.guard import Guard
from scalekit.web.memory import ask
from scalekit.web.site import Site as OurSite
from tests.balancer.registrars import HERE, THERE, RegistrarCase


class RegisterTests(RegistrarCase):
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


class TokenTests(RegistrarCase):
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


class DepartedTests(RegistrarCase):
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
