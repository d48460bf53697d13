"""Tests of `scalekit.kit.cache`."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit import cache as module
from scalekit.kit.cache import AsyncCache
from scalekit.kit.cache_requests import LATE_SECONDS
from scalekit.kit.lookup import Look, Looked
from scalekit.kit.token_file import TokenFile
from tests.kit.fakes import FakeClient


class AsyncCacheTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.client = FakeClient(self.clock)
        self.cache = AsyncCache("https://cache:5000/", self.client, self.clock)

    def test_get(self) -> None:
        got = self.cache.get("/posts/1?a=b&c=é")
        self.client.answer(200, b"value")
        self.assertEqual(self.successResultOf(got), b"value")
        self.assertEqual(self.client.requests, ["GET https://cache:5000/v1/keys/%2Fposts%2F1%3Fa%3Db%26c%3D%C3%A9"])

    def test_a_miss(self) -> None:
        got = self.cache.get("k")
        self.client.answer(404, b"not here")
        self.assertIsNone(self.successResultOf(got))

    def test_away_and_too_slow_are_misses(self) -> None:
        got = self.cache.get("k")
        self.client.cut()
        self.assertIsNone(self.successResultOf(got))
        got = self.cache.get("k")
        self.clock.advance(0.049)
        self.assertNoResult(got)
        self.clock.advance(0.002)
        self.assertIsNone(self.successResultOf(got))

    def test_what_took_too_long_has_a_connection_opened_for_the_next(self) -> None:
        for _ in range(2):
            self.cache.get("k")
            self.clock.advance(0.06)
        self.assertEqual(self.client.requests[1:], ["GET https://cache:5000/ping", "GET https://cache:5000/v1/keys/k"])
        self.client.answer(200)
        self.cache.warm_up()
        self.assertEqual(self.client.requests[3:], ["GET https://cache:5000/ping"])
        self.client.cut()

    def test_put_says_whether_it_is_stored(self) -> None:
        for status, is_stored in [(201, True), (204, True), (409, False), (413, False), (503, False)]:
            put = self.cache.put("k", b"value", 86400)
            self.client.answer(status)
            self.assertEqual(self.successResultOf(put), is_stored)
        self.assertEqual(self.client.requests[0], "PUT https://cache:5000/v1/keys/k")
        self.assertEqual(self.client.bodies[0], b"value")
        self.assertEqual(self.client.headers[0]["Cache-Control"], "max-age=86400")

    def test_five_failures_and_it_is_not_asked_for_two_seconds(self) -> None:
        for _ in range(5):
            self.cache.get("k")
            self.client.answer(500)
        self.assertIsNone(self.successResultOf(self.cache.get("k")))
        self.assertFalse(self.successResultOf(self.cache.put("k", b"", 1)))
        self.assertEqual(len(self.client.requests), 5)
        self.clock.advance(2.0)
        got = self.cache.get("k")
        self.client.answer(200, b"back")
        self.assertEqual(self.successResultOf(got), b"back")

    def test_a_miss_is_no_failure(self) -> None:
        for _ in range(10):
            self.cache.get("k")
            self.client.answer(404)
        self.assertEqual(len(self.client.requests), 10)

    def test_delete_is_asked_for_even_while_the_breaker_is_open(self) -> None:
        for _ in range(5):
            self.cache.get("k")
            self.client.cut()
        deleted = self.cache.delete("k")
        self.assertEqual(self.client.requests[-1], "POST https://cache:5000/v1/purge")
        self.assertEqual(self.client.bodies[-1], b'{"keys":["k"],"tags":[],"all":false,"soft":false}')
        self.client.answer(200)
        self.assertTrue(self.successResultOf(deleted))

    def test_delete_is_tried_twice_and_then_not_confirmed(self) -> None:
        deleted = self.cache.delete("k")
        self.client.cut()
        self.assertNoResult(deleted)
        self.client.cut()
        self.assertFalse(self.successResultOf(deleted))

    def test_put_with_tags_windows_and_a_lease(self) -> None:
        self.cache.put("k", b"v", 60, tags=['a "b"', "c"], while_revalidating=5, if_error=9, lease="token")
        self.assertEqual(
            self.client.headers[0],
            {
                "Cache-Control": "max-age=60, stale-while-revalidate=5, stale-if-error=9",
                "Content-Type": "application/octet-stream",
                "Cache-Groups": '"a \\"b\\"", "c"',
                "Cache-Lease": '"token"',
            },
        )

    def test_look(self) -> None:
        for status, lease, expected in (
            (200, None, Looked(b"v")),
            (200, '"abc";for=10', Looked(b"v", "abc")),
            (404, '"abc";for=10', Looked(None, "abc")),
            (404, "taken", Looked(None)),
            (404, None, Looked(None, is_unkept=True)),
        ):
            looked = self.cache.look(Look("k", 10, 2, True))
            self.client.answer(status, b"v", {"Cache-Lease": lease} if lease else {})
            self.assertEqual(self.successResultOf(looked), expected)
        self.assertEqual(
            self.client.headers[0],
            {"Cache-Lease": "request;for=10", "Prefer": "wait=2", "Cache-Control": "stale-if-error"},
        )

    def test_waiting_has_its_own_time(self) -> None:
        looked = self.cache.look(Look("k", 10, 2))
        self.clock.advance(2.04 + LATE_SECONDS)
        self.assertNoResult(looked)
        self.clock.advance(0.02)
        self.assertIsNone(self.successResultOf(looked))

    def test_those_who_look_at_the_same_time_share_one_request(self) -> None:
        first, second, third = (self.cache.look(Look("k", 10)) for _ in range(3))
        other = self.cache.look(Look("k", 10, 1))
        self.assertEqual(len(self.client.requests), 2)
        first.addErrback(lambda _: None)
        first.cancel()
        self.client.answer(404, b"", {"Cache-Lease": '"abc";for=10'})
        self.assertEqual(self.successResultOf(second), Looked(None, "abc"))
        self.assertEqual(self.successResultOf(third), Looked(None))
        self.client.cut()
        self.assertIs(self.successResultOf(other), None)
        self.cache.look(Look("k", 10))
        self.assertEqual(len(self.client.requests), 3)

    def test_who_comes_while_others_wait_waits_with_them(self) -> None:
        self.cache.look(Look("k", 10).waiting)
        later = self.cache.look(Look("k", 10))
        self.assertEqual(len(self.client.requests), 1)
        self.client.answer(200, b"made")
        self.assertEqual(self.successResultOf(later), Looked(b"made"))

    def test_a_lease_that_nobody_takes_is_given_back(self) -> None:
        looked = self.cache.look(Look("k", 10)).addErrback(lambda _: None)
        looked.cancel()
        self.client.answer(404, b"", {"Cache-Lease": '"abc";for=10'})
        self.assertEqual(self.client.requests[-1], "DELETE https://cache:5000/v1/leases/abc")

    def test_who_comes_after_a_purge_does_not_share_what_came_before(self) -> None:
        purged = self.cache.purge(["k"])
        self.cache.look(Look("k", 10))
        self.client.answer(200)
        self.assertTrue(self.successResultOf(purged))
        self.cache.look(Look("k", 10))
        self.assertEqual(len(self.client.requests), 3)

    def test_give_back(self) -> None:
        given = self.cache.give_back("abc")
        self.assertEqual(self.client.requests, ["DELETE https://cache:5000/v1/leases/abc"])
        self.client.answer(204)
        self.assertTrue(self.successResultOf(given))

    def test_many(self) -> None:
        found = self.cache.get_many(["a", "b"])
        self.assertEqual(self.client.bodies, [b'{"keys":["a","b"]}'])
        self.client.answer(200, b'{"values":{"a":{"value":"AP8="}},"missing":["b"],"left_out":[]}')
        self.assertEqual(self.successResultOf(found), {"a": b"\0\xff"})
        found = self.cache.get_many(["a"])
        self.client.cut()
        self.assertEqual(self.successResultOf(found), {})

    def test_purge(self) -> None:
        purged = self.cache.purge(tags=["t"], prefix="/p", soft=True)
        self.assertEqual(self.client.bodies, [b'{"keys":[],"tags":["t"],"all":false,"soft":true,"prefix":"/p"}'])
        self.client.answer(503)
        self.client.answer(400)
        self.assertFalse(self.successResultOf(purged))

    def test_the_token_of_a_file_that_changes(self) -> None:
        path = Path(self.mktemp())
        cache = AsyncCache("https://cache:5000", self.client, self.clock, TokenFile(str(path), None).headers)
        warnings: list[str] = []
        self.patch(module._log, "warn", lambda text, **fields: warnings.append(text.format(**fields)))
        for _ in range(2):
            self.assertIsNone(self.successResultOf(cache.get("k")))
        self.assertEqual((len(warnings), self.client.requests), (1, []))
        self.assertIn(str(path), warnings[0])
        for token in ("secret", "another"):
            path.write_text(token)
            cache.get("k")
            self.assertEqual(self.client.headers[-1], {"Authorization": f"Bearer {token}"})
