"""Tests of `scalekit.balancer.explain`: why a request would go where it goes."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from scalekit.balancer.explain import Asked, asked_head, explain
from scalekit.balancer.picking import ALGORITHMS
from scalekit.balancer.picking.keys import key_on
from scalekit.balancer.roster import Endpoint, Roster
from scalekit.balancer.routes import Claim, RouteTable, Routing, plan_routes
from scalekit.balancer.sticky import Sticky
from scalekit.balancer.traffic import Traffic
from scalekit.errors import ClientFault
from scalekit.http.heads import Client
from scalekit.interfaces import ICacheForecast

CLIENT = Client("192.0.2.1", 1, True, 443)


class Case(SynchronousTestCase):
    def setUp(self) -> None:
        self.roster = Roster(lambda: 0.5)
        self.table: RouteTable = Routing().table
        self.traffic = self.new_traffic()

    def new_traffic(self, algorithm: str = "round-robin", hash_on: str = "client", **more: Any) -> Traffic:
        key = key_on(hash_on, lambda head, client: client.address)
        return Traffic(ALGORITHMS[algorithm](lambda: 0.5, key), **more)

    def add(self, port: int, *, is_up: bool = True, service: str = "default") -> Any:
        instance = self.roster.register(service, Endpoint("http", "127.0.0.1", port), 0.0)
        for _ in range(2 * is_up):
            self.roster.probed(instance, 200, "answered 200", 0.0)
        self.roster.expire(60.0)  # the slow start is over
        return instance

    def explain(self, url: str = "https://shop.example/cart", *headers: str, method: str = "GET") -> dict[str, Any]:
        asked = Asked(asked_head(method, url, headers), CLIENT)
        return explain(asked, self.table, self.roster, lambda service: self.traffic, 60.0)


@implementer(ICacheForecast)
class FakeForecast:
    """Always the same."""

    def __init__(self, decision: str) -> None:
        self.said = {"decision": decision, "detail": "why", "fresh_seconds": 12.0}

    def forecast(self, head: Any, client: Any) -> dict[str, Any]:
        return self.said


class CacheTests(Case):
    def cached(self, decision: str) -> dict[str, Any]:
        asked = Asked(asked_head("GET", "https://shop.example/", ()), CLIENT)
        return explain(asked, self.table, self.roster, lambda service: self.traffic, 60.0, FakeForecast(decision))

    def test_told(self) -> None:
        """What the cache would do is told with the rest; it answers where no app server does."""
        self.assertEqual(self.explain()["cache"]["decision"], "off")
        said = self.cached("stale")
        self.assertEqual((said["status"], said["cache"]["fresh_seconds"]), (None, 12.0))
        self.assertEqual(said["detail"], "No app servers found; but the HTTP cache has an answer.")
        self.assertEqual(self.cached("miss")["status"], 503)
        self.add(3000)
        self.assertEqual((self.cached("hit")["status"], self.cached("hit")["detail"]), (None, None))
        self.assertEqual(self.cached("unavailable")["status"], 504)

    def test_no_route(self) -> None:
        self.table = plan_routes([Claim.of("default", ["other.test"], "/")], ())
        self.assertIsNone(self.cached("hit")["cache"])


class RouteTests(Case):
    def setUp(self) -> None:
        super().setUp()
        configured = [
            Claim.of("shop", ["shop.example"], "/"),
            Claim.of("cart", ["shop.example"], "/cart"),
            Claim.of("all", ["*.example"], "/cart"),
            Claim.of("late", ["shop.example"], "/cart"),
            Claim.of("help", ["shop.example"], "/help"),
            Claim.of("else", ["other.test"], "/cart"),
        ]
        self.table = plan_routes(configured, ())

    def test_the_one_that_matched_and_those_that_nearly_did(self) -> None:
        said = self.explain("https://shop.example:8443/cart?x=1")
        self.assertEqual((said["service"], said["route"]), ("cart", "shop.example/cart"))
        self.assertEqual(
            {near["service"]: near["why"] for near in said["near"]},
            {
                "late": "another service has claimed this host and path first",
                "all": "the host of the one taken is more exact",
                "shop": "the path of the one taken is longer",
                "default": "the host of the one taken is more exact",
                "help": "the path does not begin with /help, ending at a slash or its end",
                "else": "it is for the host other.test",
            },
        )
        self.assertEqual([near["service"] for near in said["near"]][-2:], ["help", "else"])

    def test_none(self) -> None:
        self.table = plan_routes([Claim.of("default", ["shop.example"], "/cart")], ())
        said = self.explain("https://shop.example/carts")
        self.assertEqual((said["status"], said["service"], said["route"]), (503, None, None))
        self.assertIn("/cart", said["near"][0]["why"])

    def test_ambiguous(self) -> None:
        self.assertEqual(self.explain("https://shop.example/cart%2f..%2fhelp/x")["status"], 400)

    def test_few_of_many(self) -> None:
        claims = [Claim.of("default", ["shop.example"], f"/{number}") for number in range(100)]
        self.table = plan_routes(claims, ())
        self.assertEqual(len(self.explain()["near"]), 20)


class CandidateTests(Case):
    def why_not(self, said: dict[str, Any]) -> dict[int, str | None]:
        return {int(one["id"].rpartition(":")[2]): one["why_not"] for one in said["candidates"]}

    def test_states(self) -> None:
        """Each that gets nothing has a sentence that says why, and stands behind those that do."""
        up, down, leaving = self.add(1), self.add(2), self.add(3)
        self.add(4), self.add(5, is_up=False)
        for _ in range(3):
            self.roster.probed(down, None, "connection refused", 60.0, True)
        leaving.in_flight = 1
        self.roster.unregister("default", leaving.id, 60.0)
        up.in_flight, up.max_in_flight = 2, 2
        said = self.explain()
        self.assertIsNone(said["status"])
        self.assertEqual(
            self.why_not(said),
            {
                4: None,
                1: "full: 2 of 2 are in flight",
                2: "down: nobody listens there (3 probes failed: connection refused)",
                3: "draining: takes nothing new (unregistered)",
                5: "joining: waits for its probes while there are others (registered)",
            },
        )
        self.assertEqual(said["candidates"][0]["id"], "127.0.0.1:4")
        self.assertEqual((said["algorithm"], said["candidates"][0]["score"]), ("round-robin", 0.5))

    def test_nobody(self) -> None:
        self.assertEqual(self.explain()["status"], 503)

    def test_all_are_full(self) -> None:
        self.traffic = self.new_traffic(most=1)
        self.add(1).in_flight = 1
        said = self.explain()
        self.assertEqual((said["status"], said["candidates"][0]["limit"]), (None, 1))
        self.assertIn("wait in line", said["detail"])

    def test_hash(self) -> None:
        """The first candidate is the one that gets it."""
        instances = [self.add(port) for port in range(1, 6)]
        self.traffic = self.new_traffic("hash", "header:X-User")
        for user in ("ada", "bob", "eve"):
            said = self.explain("/x", "Host: a.example", f"X-User: {user}")
            asked = Asked(asked_head("GET", "/x", [f"X-User: {user}", "Host: a"]), CLIENT)
            first = self.traffic.picker.first(tuple(instances), asked)
            self.assertEqual(said["candidates"][0]["id"], first.id)
        self.assertEqual(self.explain("/", "Host: a")["candidates"][0]["score"], 0.2)

    def test_least_requests(self) -> None:
        first, _ = self.add(1), self.add(2)
        first.in_flight = 3
        for algorithm in ("least-requests", "two-choices"):
            self.traffic = self.new_traffic(algorithm)
            self.assertEqual([one["score"] for one in self.explain()["candidates"]], [0.0, 3.0])

    def test_weights(self) -> None:
        self.add(1).weight = 3
        self.add(2)
        for algorithm, scores in (("weighted-round-robin", [0.75, 0.25]), ("round-robin", [0.5, 0.5])):
            self.traffic = self.new_traffic(algorithm)
            self.assertEqual([one["score"] for one in self.explain()["candidates"]], scores)

    def test_sticky(self) -> None:
        self.add(1)
        second = self.add(2)
        sticky = Sticky(b"k" * 32, "default")
        self.traffic = self.new_traffic(sticky=sticky)
        said = self.explain("/", "Host: a", f"Cookie: {sticky.cookie.decode()}={sticky.token(second).decode()}")
        self.assertEqual([one["is_sticky"] for one in said["candidates"]], [True, False])
        self.assertEqual(said["candidates"][0]["id"], second.id)

    def test_nothing_is_moved(self) -> None:
        """Who is next does not change by asking."""
        for port in (1, 2, 3):
            self.add(port)
        for algorithm in ALGORITHMS:
            self.traffic = self.new_traffic(algorithm)
            before = repr(self.traffic)
            self.explain()
            self.assertEqual(repr(self.traffic), before)

    def test_what_may_be_repeated(self) -> None:
        self.assertEqual([self.explain(method=m)["may_be_repeated"] for m in ("GET", "POST")], [True, False])


class HeadTests(SynchronousTestCase):
    def test_host(self) -> None:
        """The URL's, or the field's."""
        self.assertEqual(asked_head("GET", "https://a.example/x?y#z", ["A: b"]).target, b"/x?y")
        self.assertEqual(asked_head("GET", "https://a.example", []).host, b"a.example")
        self.assertEqual(asked_head("GET", "https://a.example", ["host:b"]).host, b"b")

    @given(st.text(), st.text(), st.lists(st.text()))
    def test_anything(self, method: str, url: str, headers: list[str]) -> None:
        """Whatever is given is a request, or a refusal of one."""
        try:
            asked_head(method, url, headers)
        except ClientFault as fault:
            self.assertIn(fault.status, range(400, 506))
