"""``/v1/keys/{key}``: reading, storing and purging one value; leases have a file of their own."""

from __future__ import annotations

from typing import Any

from treq.testing import StubTreq
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.resource import LARGEST_VALUE_BYTES, CacheResource
from scalekit.cache.store import Store
from tests.cache.asking import Asking, answer_of


class ReadTests(Asking, SynchronousTestCase):
    def test_absent(self) -> None:
        for method in ("GET", "HEAD"):
            answer = self.get(method=method)
            self.assertEqual((answer.status, answer.fields["cache-status"]), (404, "scalekit-cache;fwd=uri-miss"))
        self.assertEqual(self.get().reason, "absent")

    def test_hit(self) -> None:
        self.put(value=b"\0\xff", Cache_Groups='"posts", "a \\"b\\""')
        self.clock.advance(2.5)
        answer = self.get()
        self.assertEqual((answer.status, answer.body), (200, b"\0\xff"))
        etag = answer.fields.pop("etag")
        self.assertRegex(etag, '^"[0-9a-f]{16}"$')
        self.assertEqual(
            answer.fields,
            {
                "content-type": "application/octet-stream",
                "x-content-type-options": "nosniff",
                "age": "2",
                "cache-control": "max-age=57",
                "cache-status": "scalekit-cache;hit;ttl=57",
                "cache-groups": '"posts", "a \\"b\\""',
            },
        )
        head = self.get(method="HEAD")
        self.assertEqual((head.status, head.body, head.fields["etag"]), (200, b"", etag))

    def test_stale_while_it_is_made_anew(self) -> None:
        self.put(cache="max-age=10, stale-while-revalidate=20, stale-if-error=60")
        self.clock.advance(12.5)
        answer = self.get()
        self.assertEqual((answer.status, answer.fields["cache-status"]), (200, "scalekit-cache;hit;ttl=-3"))
        self.assertEqual((answer.fields["age"], answer.fields["cache-control"]), ("12", "max-age=0"))
        self.clock.advance(20)
        self.assertEqual(self.get().status, 404)
        self.assertEqual(self.get(Cache_Control="stale-if-error").status, 200)
        self.clock.advance(40)
        self.assertEqual(self.get(Cache_Control="stale-if-error").status, 404)

    def test_the_tutorials_route_serves_the_same_but_nothing_stale(self) -> None:
        self.put(cache="max-age=10, stale-while-revalidate=20")
        self.assertEqual(self.ask("GET", "/?key=a").body, b"value")
        self.clock.advance(10)
        self.assertEqual(self.ask("GET", "/?key=a").status, 404)
        self.ask("POST", "/?key=b", {"Cache-Control": "max-age=5"}, b"b")
        self.assertEqual(self.get("b").body, b"b")

    def test_conditions(self) -> None:
        etag = self.put().fields["etag"]
        for fields, status in (
            ({"If-None-Match": etag}, 304),
            ({"If-None-Match": f'"x", W/{etag}'}, 304),
            ({"If-None-Match": "*"}, 304),
            ({"If-None-Match": '"x"'}, 200),
            ({"If-Match": etag}, 200),
            ({"If-Match": "*"}, 200),
            ({"If-Match": '"x"'}, 412),
            ({"If-Match": f"W/{etag}"}, 412),
        ):
            answer = self.ask("GET", "/v1/keys/a", fields)
            self.assertEqual(answer.status, status, fields)
            self.assertEqual(answer.fields["etag"], etag)
        self.assertEqual(self.ask("GET", "/v1/keys/b", {"If-Match": "*"}).status, 412)
        self.assertEqual(self.ask("GET", "/v1/keys/b", {"If-None-Match": "*"}).status, 404)

    def test_the_same_value_is_still_the_same(self) -> None:
        etag = self.put().fields["etag"]
        self.assertEqual(self.put().fields["etag"], etag)
        self.assertNotEqual(self.put(value=b"other").fields["etag"], etag)

    def test_ranges(self) -> None:
        etag = self.put(value=b"0123456789").fields["etag"]
        for fields, status, place, body in (
            ({"Range": "bytes=2-4"}, 206, "bytes 2-4/10", b"234"),
            ({"Range": "bytes=-3"}, 206, "bytes 7-9/10", b"789"),
            ({"Range": "bytes=2-4", "If-Range": etag}, 206, "bytes 2-4/10", b"234"),
            ({"Range": "bytes=2-4", "If-Range": '"x"'}, 200, None, b"0123456789"),
            ({"Range": "bytes=0-1,4-5"}, 200, None, b"0123456789"),
            ({"Range": "bytes=2-4", "If-None-Match": etag}, 304, None, b""),
        ):
            answer = self.ask("GET", "/v1/keys/a", fields)
            self.assertEqual((answer.status, answer.fields.get("content-range")), (status, place), fields)
            self.assertEqual(answer.body, body)
        answer = self.ask("GET", "/v1/keys/a", {"Range": "bytes=10-"})
        self.assertEqual((answer.status, answer.fields["content-range"]), (416, "bytes */10"))
        self.assertEqual(self.ask("HEAD", "/v1/keys/a", {"Range": "bytes=2-4"}).status, 200)

    def test_keys(self) -> None:
        self.put("a%20b%2fc")
        for key in ("a%20b/c", "%61%20b%2Fc"):
            self.assertEqual(self.get(key).status, 200)
        self.assertEqual(self.get("a+b/c").status, 404)
        self.assertEqual(self.ask("GET", "/?key=a+b/c").status, 200)
        for key, status, reason in (("", 400, "empty-key"), ("a%4", 400, "bad-key"), ("x" * 1025, 413, "key-too-long")):
            answer = self.get(key)
            self.assertEqual((answer.status, answer.reason), (status, reason))

    def test_other_methods(self) -> None:
        answer = self.get(method="POST")
        self.assertEqual((answer.status, answer.fields["allow"]), (405, "DELETE, GET, HEAD, PUT"))


class StoreTests(Asking, SynchronousTestCase):
    def test_new_and_replaced(self) -> None:
        self.assertEqual(self.put().status, 201)
        answer = self.put(value=b"2")
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assertEqual(self.get().body, b"2")

    def test_what_is_refused(self) -> None:
        for fields, reason in (
            ({}, "no-age"),
            ({"Cache-Control": "no-store"}, "no-store"),
            ({"Cache-Control": "max-age=60", "Cache-Groups": "posts"}, "bad-groups"),
            ({"Cache-Control": "max-age=60", "Surrogate-Key": "x" * 257}, "bad-tag"),
            ({"Cache-Control": "max-age=60", "Content-Range": "bytes 0-1/2"}, "content-range"),
            ({"Cache-Control": "max-age=60", "Cache-Lease": "request"}, "bad-lease"),
            ({"Cache-Control": "max-age=60", "Cache-Lease": "no such one"}, "bad-lease"),
        ):
            answer = self.ask("PUT", "/v1/keys/a", fields, b"1")
            self.assertEqual((answer.status, answer.reason), (400, reason))
        self.assertEqual(len(self.store), 0)

    def test_default_age(self) -> None:
        self.open(Store(1 << 20), default_max_age=7)
        self.ask("PUT", "/v1/keys/a", {}, b"1")
        self.assertEqual(self.get().fields["cache-control"], "max-age=7")

    def test_too_big(self) -> None:
        for length in (LARGEST_VALUE_BYTES + 1, None):
            exchange = self.sending("/v1/keys/a", length=length)
            if length is None:
                for _ in range(17):
                    exchange.feed(bytes(64 * 1024))
            self.assertEqual(answer_of(exchange).reason, "body-too-big")
        self.open(Store(80_000))
        for length in (10_000, None):
            exchange = self.sending("/v1/keys/a", length=length)
            if length is None:
                exchange.feed(bytes(10_000))
                exchange.feed(b"more of what nobody wants")
                exchange.end()
            self.assertEqual(answer_of(exchange).reason, "too-big-for-cache")
        self.assertEqual((self.store.stats().fills, self.store.stats().reserved_bytes), (0, 0))

    def test_room_is_reserved_while_it_comes_in(self) -> None:
        self.open(Store(80_000))
        self.put("old")
        sending = [self.sending(f"/v1/keys/{number}", length=8300) for number in range(9)]
        self.assertEqual([exchange.status for exchange in sending], [0] * 8 + [503])
        self.assertEqual((answer_of(sending[8]).reason, answer_of(sending[8]).fields["retry-after"]), ("no-room", "1"))
        self.assertEqual(self.get("old").status, 404)
        for exchange in sending[1:8]:
            exchange.leave()
        sending[0].feed(bytes(8300))
        sending[0].end()
        self.assertEqual(sending[0].status, 201)
        stats = self.store.stats()
        self.assertEqual((stats.fills, stats.reserved_bytes, stats.entries), (0, 0, 1))

    def test_purged_while_it_comes_in(self) -> None:
        exchange = self.sending("/v1/keys/a", {"Surrogate-Key": "posts news"})
        exchange.feed(b"old")
        self.assertEqual(self.ask("POST", "/v1/purge", {}, b'{"tags":["news"]}').status, 200)
        exchange.end()
        self.assertEqual((exchange.status, answer_of(exchange).reason), (409, "purged"))
        self.assertEqual(self.get().status, 404)

    def test_conditions(self) -> None:
        self.assertEqual(self.put(If_Match="*").status, 412)
        etag = self.put(If_None_Match="*").fields["etag"]
        self.assertEqual(self.put(If_None_Match="*").status, 412)
        self.assertEqual(self.put(value=b"2", If_Match='"x"').status, 412)
        self.assertEqual(self.put(value=b"2", If_Match=etag).status, 204)
        self.assertEqual(self.put(value=b"3", If_Match=etag).status, 412)
        self.assertEqual(self.get().body, b"2")

    def test_conditions_hold_at_the_end_too(self) -> None:
        exchange = self.sending("/v1/keys/a", {"If-None-Match": "*"})
        self.put(value=b"quicker")
        exchange.end()
        self.assertEqual(exchange.status, 412)
        self.assertEqual((self.get().body, self.store.stats().fills), (b"quicker", 0))

    def test_tags_both_ways(self) -> None:
        self.put(Cache_Groups='"a", "b"', Surrogate_Key="b c")
        self.assertEqual(self.get().fields["cache-groups"], '"a", "b", "c"')


class DeleteTests(Asking, SynchronousTestCase):
    def test_delete(self) -> None:
        self.put()
        for _ in range(2):
            answer = self.get(method="DELETE")
            self.assertEqual((answer.status, answer.body), (204, b""))
            self.assertEqual(self.get().status, 404)

    def test_conditions(self) -> None:
        etag = self.put().fields["etag"]
        self.assertEqual(self.get(method="DELETE", If_Match='"x"').status, 412)
        self.assertEqual(self.get(method="DELETE", If_Match=etag).status, 204)


class StockSiteTests(SynchronousTestCase):
    """treq, against a stock site in which the cache is a child like any other."""

    def test_below_the_root(self) -> None:
        client: Any = StubTreq(CacheResource(Store(64 << 20), Clock()))
        url = "http://localhost/v1/keys/a%20b"
        stored = self.successResultOf(client.put(url, headers={"Cache-Control": "max-age=60"}, data=b"value"))
        self.assertEqual(stored.code, 201)
        found = self.successResultOf(client.get(url))
        self.assertEqual((found.code, self.successResultOf(found.content())), (200, b"value"))
        self.assertEqual(self.successResultOf(client.get("http://localhost/v1/stats")).code, 200)
        self.assertEqual(self.successResultOf(client.delete(url)).code, 204)
        self.assertEqual(self.successResultOf(client.get(url)).code, 404)

    def test_the_parent_has_no_page(self) -> None:
        client: Any = StubTreq(CacheResource(Store(64 << 20), Clock()))
        self.assertEqual(self.successResultOf(client.get("http://localhost/v1")).code, 405)
