"""`Cache` for threads, against a server of the test's own."""

from __future__ import annotations

import os
import socket
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit import thread_cache
from scalekit.kit.lookup import Look, Looked
from scalekit.kit.thread_cache import Cache
from scalekit.kit.token_file import TokenFile
from tests.kit.answering import PATIENCE_SECONDS, Answering


class CacheTests(Answering, SynchronousTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.cache = self.make(PATIENCE_SECONDS)

    def make(self, read_seconds: float = 0.05, **options: Any) -> Cache:
        cache = Cache(self.url, "", self.now, read_seconds=read_seconds, **options)
        self.addCleanup(cache.close)
        return cache

    def test_get(self) -> None:
        self.assertEqual(self.cache.get("/posts/1?é"), b"value")
        self.assertEqual(self.server.asked[0][:2], ("GET", "/v1/keys/%2Fposts%2F1%3F%C3%A9"))

    def test_a_miss(self) -> None:
        self.server.next = 404, {"Cache-Lease": '"abc";for=10'}, b""
        self.assertIsNone(self.cache.get("k"))
        self.assertEqual(self.cache.look(Look("k", 10)), Looked(None, "abc"))
        self.assertEqual(self.server.asked[1][2]["Cache-Lease"], "request;for=10")

    def test_threads_that_look_at_the_same_time_share_one_request(self) -> None:
        look, under_way = Look("k", 10), Future[Looked | None]()
        under_way.set_result(Looked(None, "abc"))
        self.cache._looks[os.getpid(), look] = under_way
        self.assertEqual(self.cache.look(look), Looked(None))  # the lease is the first one's
        self.assertEqual(self.server.asked, [])
        self.cache.purge(["other"])  # who comes after it is not told what was found before
        self.assertEqual(self.cache.look(look), Looked(b"value"))
        self.assertEqual(self.cache._looks, {})

    def test_who_comes_while_others_wait_waits_with_them(self) -> None:
        under_way = Future[Looked | None]()
        under_way.set_result(Looked(b"made"))
        self.cache._looks[os.getpid(), Look("k", 10).waiting] = under_way
        self.assertEqual(self.cache.look(Look("k", 10)), Looked(b"made"))
        self.assertEqual(self.server.asked, [])

    def test_what_another_looks_for_too_long(self) -> None:
        self.patch(thread_cache, "LATE_SECONDS", 0.0)
        cache = self.make()
        cache._looks[os.getpid(), Look("k", 10)] = Future()
        self.assertIs(cache.look(Look("k", 10)), None)

    def test_put(self) -> None:
        self.server.next = 413, {}, b""
        with self.assertLogs("scalekit.kit.thread_cache", "WARNING"):
            self.assertFalse(self.cache.put("k", b"v", 60, tags=["t"], lease="abc"))
        for status, is_stored in ((201, True), (204, True), (409, False), (503, False)):
            self.server.next = status, {}, b""
            self.assertIs(self.cache.put("k", b"v", 60, tags=["t"], lease="abc"), is_stored)
        method, path, fields, body, _ = self.server.asked[0]
        self.assertEqual((method, path, body), ("PUT", "/v1/keys/k", b"v"))
        self.assertEqual((fields["Cache-Groups"], fields["Cache-Lease"]), ('"t"', '"abc"'))

    def test_the_others(self) -> None:
        self.server.next = 200, {}, b'{"values":{"a":{"value":"AP8="}}}'
        self.assertEqual(self.cache.get_many(["a", "b"]), {"a": b"\0\xff"})
        self.assertTrue(self.cache.purge(tags=["t"]))
        self.assertTrue(self.cache.delete("k"))
        self.assertTrue(self.cache.give_back("abc"))
        asked = [request[:2] for request in self.server.asked]
        purge = ("POST", "/v1/purge")
        self.assertEqual(asked, [("POST", "/v1/keys:get"), purge, purge, ("DELETE", "/v1/leases/abc")])

    def test_away(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        cache = Cache(f"http://127.0.0.1:{port}", "", self.now)
        self.assertIsNone(cache.get("k"))
        self.assertFalse(cache.put("k", b"v", 60))
        self.assertFalse(cache.purge(["k"]))
        self.assertEqual(cache.get_many(["k"]), {})

    def test_hung(self) -> None:
        self.server.next = 0, {}, b""
        self.assertIsNone(self.make().get("k"))

    def test_five_failures_and_it_is_not_asked_for_two_seconds(self) -> None:
        self.server.next = 500, {}, b""
        for _ in range(6):
            self.assertIsNone(self.cache.get("k"))
        self.assertEqual(len(self.server.asked), 5)
        self.server.next = 200, {}, b"back"
        self.assertTrue(self.cache.purge(["k"]))
        for _ in range(5):
            self.server.next = 500, {}, b""
            self.cache.get("k")
        self.skipped = 2.0
        self.server.next = 200, {}, b"back"
        self.assertEqual(self.cache.get("k"), b"back")

    def test_the_token_of_a_file_that_changes(self) -> None:
        path = Path(self.mktemp())
        cache = self.make(PATIENCE_SECONDS, headers=TokenFile(str(path), None).headers)
        with self.assertLogs("scalekit.kit.thread_cache", "WARNING") as logged:
            self.assertIsNone(cache.get("k"))
            self.assertIsNone(cache.get("k"))
        self.assertEqual(len(logged.output), 1)
        for token in ("secret", "another"):
            path.write_text(token)
            self.assertEqual(cache.get("k"), b"value")
            self.assertEqual(self.server.asked[-1][2]["Authorization"], f"Bearer {token}")

    def test_a_ca_that_is_not_there(self) -> None:
        cache = Cache("https://127.0.0.1:1", self.mktemp(), self.now)
        self.assertIsNone(cache.get("k"))
        self.assertEqual(repr(cache), "<Cache https://127.0.0.1:1 <Breaker closed after 1 failures>>")
