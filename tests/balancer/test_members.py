"""Tests of `scalekit.balancer.members`, behind the guard, on our own site."""

from __future__ import annotations

import json
from typing import Any

from scalekit.balancer.members import BODY_LIMIT, EXPECTED, AmendmentBody, RegistrationBody
from scalekit.balancer.roster import Endpoint, State
from scalekit.balancer.routes import Claim
from scalekit.http.heads import Client
from tests.balancer.registering import OPERATOR, SHOP, THERE, A, MembersCase


class PutTests(MembersCase):
    def test_least(self) -> None:
        """Generation and port are enough; the answer says when to renew."""
        status, answer = self.put()
        self.assertEqual(status, 201)
        self.assertEqual(
            {name: answer[name] for name in ("service", "id", "scheme", "address", "port", "state", "generation")},
            {
                "service": "shop",
                "id": "a",
                "scheme": "https",
                "address": "127.0.0.1",
                "port": 3000,
                "state": "joining",
                "generation": 1,
            },
        )
        self.assertEqual((answer["lease_seconds"], answer["lease_left"], answer["renew_seconds"]), (15.0, 15.0, 5.0))
        self.assertNotIn("secret", answer)
        self.assertEqual(answer["routes"], [], "no request reaches it")
        status, answer = self.put()
        self.assertEqual((status, answer["routes"]), (200, []))
        self.assertEqual(self.put(hosts=["shop.example"])[1]["routes"], ["shop.example/"])
        self.assertEqual(self.ask("GET", A)[1]["id"], "a")
        self.assertEqual([one["id"] for one in self.ask("GET", "/v1/services/shop/instances")[1]["instances"]], ["a"])

    def test_everything(self) -> None:
        more: Any = {
            "scheme": "h2c",
            "weight": 5,
            "ttl": 30,
            "hosts": ["Shop.example"],
            "path": "/x",
            "keep_alive": 65,
            "max_in_flight": 8,
        }
        status, answer = self.put(**more, meta={"zone": "b"})
        self.assertEqual((status, answer["meta"], answer["renew_seconds"]), (201, {"zone": "b"}, 10.0))
        one = self.instance()
        self.assertEqual((one.scheme, one.weight, one.lease_seconds, one.keep_alive), ("h2c", 5, 30.0, 65.0))
        self.assertEqual((one.claim, one.max_in_flight), (Claim("shop", ("shop.example",), "/x"), 8))
        self.assertEqual(self.ask("GET", "/v1/services/shop")[1]["routes"], ["shop.example/x"])

    def test_what_is_wrong_is_named(self) -> None:
        """The field, in reason and detail."""
        good = {"generation": 1, "port": 3000}
        changes: list[tuple[dict[str, Any], str]] = [
            ({"port": None}, "port"),
            ({"port": 0}, "port"),
            ({"port": "3000"}, "port"),
            ({"generation": 0}, "generation"),
            ({"generation": 2**63}, "generation"),
            ({"generation": 1.5}, "generation"),
            ({"scheme": "ftp"}, "scheme"),
            ({"weight": 0}, "weight"),
            ({"weight": 257}, "weight"),
            ({"ttl": 1}, "ttl"),
            ({"ttl": 3600}, "ttl"),
            ({"hosts": ["a"] * 65}, "hosts"),
            ({"hosts": [1]}, "hosts"),
            ({"meta": {str(n): "" for n in range(65)}}, "meta"),
            ({"meta": {"a": "x" * 257}}, "meta"),
            ({"meta": {"a": 1}}, "meta"),
            ({"keep_alive": -1}, "keep_alive"),
            ({"max_in_flight": 0}, "max_in_flight"),
            ({"consent": "no"}, "consent"),
        ]
        for change, field in changes:
            detail = self.refused(400, f"bad-{field}", "PUT", A, good | change)
            self.assertTrue(detail.startswith(f"{field}: "), detail)
        self.assertIn("port", self.refused(400, "bad-port", "PUT", A, {"generation": 1}))
        self.assertIn("prot", self.refused(400, "bad-body", "PUT", A, {"prot": 1}))
        for route in ({"hosts": ["a b"]}, {"path": "x"}):
            self.refused(400, "bad-route", "PUT", A, good | route)
        for body in (b"", b"{", b"\xff", b"[" * 10_000):
            self.assertEqual(self.ask("PUT", A, body)[0], 400, body[:10])
        self.refused(400, "unknown-parameter", "PUT", f"{A}?port=3000", good)

    def test_in_words(self) -> None:
        """What was found, as it stands there, and what was expected, not as the parser says it."""
        good: dict[str, Any] = {"generation": 1, "port": 3000}
        changes: list[tuple[dict[str, Any], str]] = [
            ({"ttl": 1}, "ttl: '1' found, seconds from 3 to 300 expected."),
            ({"scheme": "ftp"}, "scheme: '\"ftp\"' found, http, https or h2c expected."),
            ({"weight": 300}, "weight: '300' found, a whole number from 1 to 256 expected."),
        ]
        for change, detail in changes:
            self.assertEqual(self.ask("PUT", A, good | change)[1]["detail"], detail)
        missing = self.ask("PUT", A, {"port": 1})[1]["detail"]
        self.assertEqual(missing, "generation: '' found, a whole number from 1 expected.")
        self.assertEqual(self.ask("PUT", A, b"[]")[1]["detail"], "The body is no JSON object.")
        for body in (b'{"ttl":1', b'{"meta":' + b"[" * 10_000):
            self.assertEqual(self.ask("PUT", A, body)[1]["reason"], "bad-json")
        self.assertIn("draining or joining expected", self.ask("PATCH", A, {"state": "up"})[1]["detail"])
        self.assertIn("'prot' found, one of weight, state expected", self.ask("PATCH", A, {"prot": 1})[1]["detail"])
        fields = {*RegistrationBody.__struct_fields__, *AmendmentBody.__struct_fields__}
        self.assertEqual(fields, set(EXPECTED))

    def test_too_much(self) -> None:
        self.assertEqual(self.open("PUT", A, b" " * (BODY_LIMIT + 1)).status, 413)

    def test_ids(self) -> None:
        """Names, or its own address; else there is nothing there."""
        for id, status in [
            ("web-1.b", 201),
            ("127.0.0.1:3000", 201),
            ("-a", 404),
            ("a" * 129, 404),
            ("a%20b", 404),
            ("%FF", 404),
        ]:
            self.assertEqual(self.put(2, f"/v1/services/shop/instances/{id}")[0], status, id)
        self.assertEqual(self.put(target="/v1/services/a%20b/instances/a")[0], 404)
        self.refused(400, "bad-id", "PUT", "/v1/services/shop/instances/10.0.0.1:1", {"generation": 1, "port": 3001})

    def test_addresses(self) -> None:
        """Its own, unless an operator says so; the forbidden ones never, one audit line each."""
        good = {"generation": 1, "port": 3000}
        for address, reason in [
            ("169.254.169.254", "link-local"),
            ("::ffff:169.254.169.254", "link-local"),
            ("0.0.0.0", "unspecified"),
            ("224.0.0.1", "multicast"),
            ("localhost", "not-literal"),
            ("127.0.0.1", "loopback"),
        ]:
            for token in (SHOP, OPERATOR):
                said = good | {"address": address}
                self.refused(403, reason, "PUT", A, said, client=THERE, token=token)
        self.refused(403, "own-listener", "PUT", A, {"generation": 1, "port": 2001})
        self.refused(403, "own-listener", "PUT", A, good | {"address": "10.0.0.1", "port": 2000}, THERE, OPERATOR)
        self.refused(403, "foreign", "PUT", A, good | {"address": "10.0.0.8"}, THERE, SHOP)
        self.refused(403, "foreign", "PUT", A, good | {"address": "10.0.0.8"})
        self.assertEqual(self.put(address="10.0.0.8", client=THERE, token=OPERATOR)[1]["address"], "10.0.0.8")

    def test_stale(self) -> None:
        """409, one line, and the new one stays."""
        self.put(2)
        self.refused(409, "stale-generation", "PUT", A, {"generation": 1, "port": 3000})
        self.refused(409, "stale-generation", "DELETE", f"{A}?generation=1")
        self.refused(409, "stale-generation", "POST", f"{A}/renew?generation=1")
        self.refused(409, "stale-generation", "POST", f"{A}/drain?generation=1")


class LifeTests(MembersCase):
    """After it has come."""

    def setUp(self) -> None:
        super().setUp()
        self.put(5)

    def test_renew(self) -> None:
        self.clock.advance(10.0)
        status, answer = self.ask("POST", f"{A}/renew?generation=5")
        self.assertEqual((status, answer["lease_left"], answer["renew_seconds"]), (200, 15.0, 5.0))
        for target in (f"{A}/renew?generation=6", "/v1/services/shop/instances/b/renew"):
            self.assertIn("register again", self.refused(404, "unknown-instance", "POST", target))
        # Not a word for operators, who cannot.
        detail = self.refused(404, "unknown-instance", "POST", "/v1/services/shop/instances/b/drain")
        self.assertEqual(detail, "There is no b in service shop.")
        self.refused(400, "bad-generation", "POST", f"{A}/renew?generation=x")

    def test_delete(self) -> None:
        self.instance().in_flight = 1
        self.refused(400, "bad-generation", "DELETE", A)
        self.refused(400, "bad-mode", "DELETE", f"{A}?generation=5&mode=later")
        self.assertEqual(self.ask("DELETE", f"{A}?generation=5")[1]["state"], "draining")
        self.assertEqual(self.ask("POST", f"{A}/renew?generation=5")[1]["state"], "draining")
        self.refused(409, "drained", "PUT", A, {"generation": 5, "port": 3000})
        self.assertEqual(self.ask("DELETE", f"{A}?generation=5&mode=now")[1]["state"], "gone")
        self.assertEqual(self.ask("DELETE", f"{A}?generation=5")[1]["state"], "gone")
        self.refused(409, "drained", "POST", f"{A}/renew?generation=5")

    def test_drain(self) -> None:
        """Answered when nothing is in flight."""
        one = self.instance()
        one.in_flight = 1
        waiting = self.open("POST", f"{A}/drain?wait=30")
        self.assertFalse(waiting.is_finished)
        one.in_flight = 0
        self.roster.expire(self.clock.seconds())
        self.assertEqual(json.loads(waiting.sent)["state"], "gone")
        self.refused(404, "unknown-instance", "POST", f"{A}/drain")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_drain_waits_as_long_as_draining_takes(self) -> None:
        """However much is asked for: by the rules of now, which a reload may have changed."""
        self.instance().in_flight = 1
        for seconds in (90.0, 2.0):
            self.roster.reconfigure(self.roster.rules, seconds, "spray", self.clock.seconds())
            waiting = self.open("POST", f"{A}/drain?wait=500")
            self.clock.advance(seconds - 1.0)
            self.assertFalse(waiting.is_finished)
            self.clock.advance(1.0)
            self.assertTrue(waiting.is_finished)

    def test_amend(self) -> None:
        self.assertEqual(self.ask("PATCH", A, {"weight": 7})[1]["weight"], 7)
        self.refused(400, "bad-weight", "PATCH", A, {"weight": 0})
        self.refused(400, "bad-state", "PATCH", A, {"state": "up"})
        self.refused(404, "unknown-instance", "PATCH", "/v1/services/shop/instances/b", {"weight": 1})
        answer = self.ask("PATCH", A, {"state": "draining"})[1]
        self.assertEqual((answer["state"], self.roster.services()), ("gone", ()))

    def test_static(self) -> None:
        """The configuration's servers are an operator's to drain, and to take back."""
        self.roster.settle_static("shop", [Endpoint("http", "127.0.0.1", 3009)], self.clock.seconds())
        target = "/v1/services/shop/instances/127.0.0.1:3009"
        self.assertEqual(self.ask("PATCH", target, {"weight": 3})[1]["weight"], 3)
        self.refused(403, "static-server", "DELETE", f"{target}?generation=1")
        own = Client("10.0.0.7", 40000, True, 2001, local_address="10.0.0.1")
        self.roster.settle_static("shop", [Endpoint("http", one, 3009) for one in ("127.0.0.1", "10.0.0.7")], 0.0)
        self.refused(403, "static-server", "POST", f"{target.replace('127.0.0.1', own.address)}/drain", None, own, SHOP)
        for method, where, value in (
            ("PATCH", target, {"state": "draining"}),
            ("POST", f"{target}/drain?wait=30", None),
        ):
            answer = self.ask(method, where, value)[1]
            self.assertEqual((answer["state"], answer["reason"]), ("gone", "nothing in flight"))
            self.assertEqual(self.ask("GET", target)[1]["state"], "drained")
            # Who waits once more does not wait for nothing.
            self.assertEqual(self.ask("POST", f"{target}/drain?wait=30")[1]["state"], "drained")
            answer = self.ask("PATCH", target, {"state": "joining"})[1]
            self.assertEqual((answer["state"], answer["weight"]), ("joining", 3))
        self.put()
        self.refused(409, "not-configured", "PATCH", A, {"state": "joining"})

    def test_a_socket_file_of_the_configuration(self) -> None:
        """It is drained and taken back as others are; nobody registers as one."""
        self.roster.settle_static("shop", [Endpoint("unix", "/run/my app.sock", 0)], 0.0)
        target = "/v1/services/shop/instances/unix:%2F%2F%2Frun%2Fmy%20app.sock"
        status, answer = self.ask("GET", target)
        self.assertEqual((status, answer["url"], answer["port"]), (200, "unix:///run/my app.sock", 0))
        self.assertEqual(self.ask("PATCH", target, {"state": "draining"})[1]["state"], "gone")
        self.assertEqual(self.ask("PATCH", target, {"state": "joining"})[1]["state"], "joining")
        self.assertEqual(self.put(target=target)[0], 400)

    def test_methods(self) -> None:
        for method, target in [("POST", A), ("GET", f"{A}/renew"), ("PUT", f"{A}/drain"), ("PUT", A[:-2])]:
            self.assertEqual(self.ask(method, target)[0], 405, target)
        self.assertEqual(self.ask("GET", f"{A}/x")[0], 404)
        self.assertIs(self.instance().state, State.JOINING)
