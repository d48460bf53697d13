"""Tests of `scalekit.kit.cache`."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit.cache import AsyncCache
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
        self.assertEqual(self.client.requests, ["GET https://cache:5000/?key=%2Fposts%2F1%3Fa%3Db%26c%3D%C3%A9"])

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

    def test_put_says_whether_it_is_stored(self) -> None:
        for status, is_stored in [(201, True), (204, True), (413, False), (503, False)]:
            put = self.cache.put("k", b"value", 86400)
            self.client.answer(status)
            self.assertEqual(self.successResultOf(put), is_stored)
        self.assertEqual(self.client.requests[0], "POST https://cache:5000/?key=k")
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
        self.assertEqual(self.client.requests[-1], "POST https://cache:5000/invalidate?key=k")
        self.client.answer(204)
        self.assertTrue(self.successResultOf(deleted))

    def test_delete_is_tried_twice_and_then_not_confirmed(self) -> None:
        deleted = self.cache.delete("k")
        self.client.cut()
        self.assertNoResult(deleted)
        self.client.cut()
        self.assertFalse(self.successResultOf(deleted))
