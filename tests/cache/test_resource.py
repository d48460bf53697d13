"""
The routes row by row, each under a stock ``twisted.web`` site and under our own, and once with a stock client.
"""

import json
from typing import Any, NamedTuple

from treq.testing import StubTreq
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import server
from twisted.web.resource import Resource

from scalekit.cache.resource import LARGEST_VALUE_BYTES, CacheResource
from scalekit.cache.store import Store
from scalekit.http.heads import Client
from scalekit.web import memory
from scalekit.web.site import Site

HERE = "127.0.0.1"
AGE = {"Cache-Control": "max-age=60"}


class Answer(NamedTuple):
    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def reason(self) -> str:
        """The reason token of a problem."""
        assert self.fields["content-type"] == "application/problem+json", self
        problem = json.loads(self.body)
        assert problem["status"] == self.status, self
        return str(problem["reason"])


class Routes:
    """What holds under every site; a subclass says how to ask one."""

    assertEqual: Any
    assertNotIn: Any
    assertIn: Any
    default_max_age: float | None = None

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.store = Store(64 << 20)
        self.open(CacheResource(self.store, self.clock, self.default_max_age))

    def open(self, resource: Resource) -> None:
        raise NotImplementedError

    def ask(
        self, method: str, target: str, fields: dict[str, str] | None = None, body: bytes = b"", peer: str = HERE
    ) -> Answer:
        raise NotImplementedError

    def put(self, value: bytes = b"value", key: str = "a", age: int = 60) -> None:
        self.ask("POST", f"/?key={key}", {"Cache-Control": f"max-age={age}"}, value)

    # GET and HEAD

    def test_get_absent(self) -> None:
        answer = self.ask("GET", "/?key=a")
        self.assertEqual((answer.status, answer.reason), (404, "absent"))

    def test_get_without_key(self) -> None:
        for target, reason in (("/", "no-key"), ("/?key=", "empty-key"), ("/?key=a&key=b", "double-key")):
            answer = self.ask("GET", target)
            self.assertEqual((answer.status, answer.reason), (400, reason), target)

    def test_get(self) -> None:
        self.put(b"\0\xff\r\n")
        self.clock.advance(2.5)
        answer = self.ask("GET", "/?key=a")
        self.assertEqual((answer.status, answer.body), (200, b"\0\xff\r\n"))
        for name, value in (
            ("content-type", "application/octet-stream"),
            ("content-length", "4"),
            ("age", "2"),
            ("cache-control", "max-age=57"),
            ("x-content-type-options", "nosniff"),
        ):
            self.assertEqual(answer.fields[name], value)

    def test_get_until_the_moment_of_expiry(self) -> None:
        self.put(age=5)
        self.clock.advance(4.999)
        self.assertEqual(self.ask("GET", "/?key=a").fields["cache-control"], "max-age=0")
        self.clock.advance(0.001)
        self.assertEqual(self.ask("GET", "/?key=a").status, 404)

    def test_head(self) -> None:
        self.put(b"12345")
        answer = self.ask("HEAD", "/?key=a")
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertEqual((answer.fields["content-length"], answer.fields["age"]), ("5", "0"))

    def test_head_absent(self) -> None:
        answer = self.ask("HEAD", "/?key=a")
        self.assertEqual((answer.status, answer.body), (404, b""))

    # POST

    def test_post_new(self) -> None:
        answer = self.ask("POST", "/?key=a", AGE, b"1")
        self.assertEqual((answer.status, answer.body), (201, b""))
        self.assertEqual(self.ask("GET", "/?key=a").body, b"1")

    def test_post_replaces(self) -> None:
        self.put(b"1")
        answer = self.ask("POST", "/?key=a", AGE, b"2")
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assertNotIn("content-length", answer.fields)
        self.assertEqual(self.ask("GET", "/?key=a").body, b"2")

    def test_post_over_an_expired_one_is_new(self) -> None:
        self.put(b"1", age=5)
        self.clock.advance(5)
        self.assertEqual(self.ask("POST", "/?key=a", AGE, b"2").status, 201)

    def test_post_as_the_tutorial_does(self) -> None:
        """Its field in lower case, its spelling, and its nanoseconds."""
        self.assertEqual(self.ask("POST", "/?key=a", {"cache-control": "maxage=86400000000000"}, b"1").status, 201)
        self.assertEqual(self.ask("GET", "/?key=a").fields["cache-control"], "max-age=315360000")

    def test_post_nothing(self) -> None:
        self.assertEqual(self.ask("POST", "/?key=a", AGE).status, 201)
        answer = self.ask("GET", "/?key=a")
        self.assertEqual((answer.status, answer.body, answer.fields["content-length"]), (200, b"", "0"))

    def test_post_without_a_good_age(self) -> None:
        for fields, reason in (
            ({}, "no-age"),
            ({"Cache-Control": "public"}, "no-age"),
            ({"Cache-Control": "max-age=-1"}, "bad-age"),
            ({"Cache-Control": "max-age=soon"}, "bad-age"),
            ({"Cache-Control": "max-age=60;"}, "bad-cache-control"),
            ({"Cache-Control": "max-age=60, no-store"}, "no-store"),
        ):
            answer = self.ask("POST", "/?key=a", fields, b"1")
            self.assertEqual((answer.status, answer.reason), (400, reason), fields)
        self.assertEqual(len(self.store), 0)

    def test_post_without_key(self) -> None:
        for target, reason in (("/", "no-key"), ("/?key=", "empty-key"), ("/?key=a&key=b", "double-key")):
            answer = self.ask("POST", target, AGE, b"1")
            self.assertEqual((answer.status, answer.reason), (400, reason), target)

    def test_post_too_big(self) -> None:
        self.put(b"old")
        answer = self.ask("POST", "/?key=a", AGE, b"x" * (LARGEST_VALUE_BYTES + 1))
        self.assertEqual((answer.status, answer.reason), (413, "body-too-big"))
        self.assertEqual(self.ask("GET", "/?key=a").body, b"old")
        self.assertEqual(self.ask("POST", "/?key=a", AGE, b"x" * LARGEST_VALUE_BYTES).status, 204)

    def test_post_too_big_for_the_store(self) -> None:
        self.open(CacheResource(Store(80_000), self.clock))
        answer = self.ask("POST", "/?key=a", AGE, b"x" * 10_000)
        self.assertEqual((answer.status, answer.reason), (413, "too-big-for-cache"))

    def test_key_too_long(self) -> None:
        self.assertEqual(self.ask("POST", "/?key=" + "a" * 1024, AGE, b"1").status, 201)
        answer = self.ask("POST", "/?key=" + "a" * 1025, AGE, b"1")
        self.assertEqual((answer.status, answer.reason), (413, "key-too-long"))

    def test_post_of_a_form_is_a_value_like_any_other(self) -> None:
        """What curl -d sends; the form's fields are no part of the query."""
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        self.assertEqual(self.ask("POST", "/?key=a", AGE | form, b"key=b&x=1").status, 201)
        self.assertEqual(self.ask("GET", "/?key=a").body, b"key=b&x=1")
        answer = self.ask("POST", "/", AGE | form, b"key=b")
        self.assertEqual((answer.status, answer.reason), (400, "no-key"))

    def test_keys_are_bytes(self) -> None:
        self.put(b"space", "a%20b")
        self.put(b"plus", "a%2Bb")
        self.put(b"upper", "A%20B")
        self.put(b"utf-8", "%C3%A9")
        self.put(b"latin-1", "%E9")
        for key, value in (
            ("a+b", b"space"),
            ("a%20b", b"space"),
            ("%61%2bb", b"plus"),
            ("A+B", b"upper"),
            ("%c3%a9", b"utf-8"),
            ("%e9", b"latin-1"),
        ):
            self.assertEqual(self.ask("GET", f"/?key={key}").body, value)

    # invalidate

    def test_invalidate(self) -> None:
        for method in ("POST", "GET"):
            self.put()
            answer = self.ask(method, "/invalidate?key=a")
            self.assertEqual((answer.status, answer.body), (204, b""))
            self.assertNotIn("content-length", answer.fields)
            self.assertEqual(self.ask("GET", "/?key=a").status, 404)

    def test_invalidate_absent(self) -> None:
        self.assertEqual(self.ask("POST", "/invalidate?key=a").status, 204)

    def test_invalidate_needs_a_key(self) -> None:
        for method in ("POST", "GET"):
            answer = self.ask(method, "/invalidate")
            self.assertEqual((answer.status, answer.reason), (400, "no-key"))

    def test_invalidate_from_elsewhere(self) -> None:
        """POST may; GET may only from this machine."""
        for peer in ("10.0.0.7", "2001:db8::7", "::ffff:10.0.0.7"):
            self.put()
            answer = self.ask("GET", "/invalidate?key=a", peer=peer)
            self.assertEqual((answer.status, answer.reason), (403, "get-not-here"), peer)
            self.assertEqual(self.ask("GET", "/?key=a").status, 200)
            self.assertEqual(self.ask("POST", "/invalidate?key=a", peer=peer).status, 204)
            self.assertEqual(self.ask("GET", "/?key=a").status, 404)

    def test_invalidate_from_here(self) -> None:
        for peer in ("127.0.0.1", "127.8.8.8", "::1", "unix"):
            self.put()
            self.assertEqual(self.ask("GET", "/invalidate?key=a", peer=peer).status, 204, peer)
            self.assertEqual(self.ask("GET", "/?key=a").status, 404)

    def test_head_does_not_invalidate(self) -> None:
        self.put()
        answer = self.ask("HEAD", "/invalidate?key=a")
        self.assertEqual((answer.status, answer.fields["allow"]), (405, "GET, POST"))
        self.assertEqual(self.ask("GET", "/?key=a").status, 200)

    # what is not there

    def test_other_methods(self) -> None:
        self.put()
        for target, allowed in (("/?key=a", "GET, HEAD, POST"), ("/invalidate?key=a", "GET, POST")):
            for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "PURGE"):
                answer = self.ask(method, target)
                self.assertEqual((answer.status, answer.fields["allow"]), (405, allowed), method)
                self.assertEqual(answer.reason, "method")
        self.assertEqual(len(self.store), 1)

    def test_other_paths(self) -> None:
        self.put()
        for target in (
            "/a?key=a",
            "/a/",
            "//?key=a",
            "//invalidate?key=a",
            "/invalidate/?key=a",
            "/invalidate/x?key=a",
        ):
            for method in ("GET", "POST"):
                answer = self.ask(method, target, AGE)
                self.assertEqual((answer.status, answer.reason), (404, "not-found"), target)
        self.assertEqual(self.ask("GET", "/?key=a").status, 200)

    def test_text_for_those_who_ask_for_it(self) -> None:
        answer = self.ask("GET", "/?key=a", {"Accept": "text/plain"})
        self.assertEqual(answer.fields["content-type"], "text/plain; charset=utf-8")
        self.assertIn(b"nothing under this key", answer.body)


class StockSiteTests(Routes, SynchronousTestCase):
    """Raw HTTP to ``twisted.web.server.Site``."""

    def open(self, resource: Resource) -> None:
        self.site = server.Site(resource, timeout=None)

    def ask(
        self, method: str, target: str, fields: dict[str, str] | None = None, body: bytes = b"", peer: str = HERE
    ) -> Answer:
        kind = IPv6Address if ":" in peer else IPv4Address
        address = UNIXAddress(None) if peer == "unix" else kind("TCP", peer, 40000)
        transport = StringTransport(peerAddress=address)
        channel = self.site.buildProtocol(address)
        assert channel is not None
        channel.makeConnection(transport)
        lines = [f"{method} {target} HTTP/1.1", "Host: localhost", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in (fields or {}).items()]
        lines += [f"Content-Length: {len(body)}", "", ""]
        channel.dataReceived("\r\n".join(lines).encode() + body)
        head, _, rest = transport.value().partition(b"\r\n\r\n")
        first, *others = head.decode().split("\r\n")
        pairs = (line.partition(": ") for line in others)
        return Answer(int(first.split()[1]), {name.lower(): value for name, _, value in pairs}, rest)


class OurSiteTests(Routes, SynchronousTestCase):
    """Exchanges to ``scalekit.web.site.Site``."""

    def open(self, resource: Resource) -> None:
        self.site = Site(resource)

    def ask(
        self, method: str, target: str, fields: dict[str, str] | None = None, body: bytes = b"", peer: str = HERE
    ) -> Answer:
        pairs = [(name.encode(), value.encode()) for name, value in (fields or {}).items()]
        client = Client(peer, 40000, False, 5000)
        exchange = memory.ask(self.site, method.encode(), target.encode(), pairs, body, client)
        found = {name.decode().lower(): value.decode() for name, value in exchange.fields}
        if exchange.answer_head is not None and exchange.answer_head.length is not None and exchange.status != 204:
            found["content-length"] = str(exchange.answer_head.length)
        return Answer(exchange.status, found, exchange.sent)


class DefaultAgeTests(OurSiteTests):
    """The same with ``default_max_age`` configured; only what has no age at all is another row."""

    default_max_age = 2.5

    def test_post_without_a_good_age(self) -> None:
        self.assertEqual(self.ask("POST", "/?key=a", {}, b"1").status, 201)
        self.assertEqual(self.ask("GET", "/?key=a").fields["cache-control"], "max-age=2")
        answer = self.ask("POST", "/?key=a", {"Cache-Control": "max-age=-1"}, b"1")
        self.assertEqual((answer.status, answer.reason), (400, "bad-age"))


class StockClientTests(SynchronousTestCase):
    """treq, against a stock site in which the cache is a child like any other."""

    def test_below_another_resource(self) -> None:
        root = Resource()
        root.putChild(b"cache", CacheResource(Store(64 << 20), Clock()))
        client: Any = StubTreq(root)
        for base in ("http://localhost/cache", "http://localhost/cache/"):
            params = {"key": "é + &"}
            stored = self.successResultOf(client.post(base, params=params, headers=AGE, data=b"value"))
            self.assertEqual(stored.code, 201)
            found = self.successResultOf(client.get(base, params=params))
            self.assertEqual((found.code, self.successResultOf(found.content())), (200, b"value"))
            gone = self.successResultOf(client.get("http://localhost/cache/invalidate", params=params))
            self.assertEqual(gone.code, 204)
            self.assertEqual(self.successResultOf(client.head(base, params=params)).code, 404)
