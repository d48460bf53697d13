"""`Cache` for threads, against a server of the test's own that may be slow, silent, gone, or close what it has kept."""

from __future__ import annotations

import os
import socket
import threading
import time
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from scalekit.kit.lookup import Look, Looked
from scalekit.kit.thread_cache import IDLE_SECONDS, Cache

# A read that must succeed has this long; one that must not has the usual 50 ms.
PATIENCE_SECONDS = 30.0


class Page(BaseHTTPRequestHandler):
    """Answers with what the server's next answer says, and notes what was asked."""

    protocol_version = "HTTP/1.1"
    server: Any

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.asked.append((self.command, self.path, dict(self.headers), body, self.client_address[1]))
        status, fields, body = self.server.next
        if status == 0:  # hangs
            self.server.held.wait(PATIENCE_SECONDS)
            self.close_connection = True
            return
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        if "Content-Length" not in fields:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        if self.server.closes:
            self.close_connection = True  # without having said so

    do_GET = do_PUT = do_DELETE = do_POST = answer

    def log_message(self, format: str, *args: Any) -> None:
        """Silence."""


class CacheTests(SynchronousTestCase):
    def setUp(self) -> None:
        server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.server = server
        self.server.daemon_threads = True
        self.server.asked, self.server.closes, self.server.held = [], False, threading.Event()
        self.server.next = 200, {}, b"value"
        thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)
        self.addCleanup(self.server.held.set)
        self.skipped = 0.0
        self.cache = self.make(PATIENCE_SECONDS)

    def now(self) -> float:
        return time.monotonic() + self.skipped

    def make(self, read_seconds: float = 0.05, **options: Any) -> Cache:
        url = f"http://127.0.0.1:{self.server.server_address[1]}"
        cache = Cache(url, "", self.now, read_seconds=read_seconds, **options)
        self.addCleanup(cache.close)
        return cache

    def ports(self) -> int:
        """How many connections were used."""
        return len({port for *_, port in self.server.asked})

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

    def test_what_another_looks_for_too_long(self) -> None:
        cache = self.make()
        cache._looks[os.getpid(), Look("k", 10)] = Future()
        self.assertIs(cache.look(Look("k", 10)), None)

    def test_put(self) -> None:
        for status, is_stored in ((201, True), (204, True), (409, False), (413, False), (503, False)):
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

    def test_connections_are_kept(self) -> None:
        for _ in range(3):
            self.cache.get("k")
        self.assertEqual(self.ports(), 1)
        self.skipped = IDLE_SECONDS
        self.cache.get("k")
        self.assertEqual(self.ports(), 2)

    def test_warmed_up(self) -> None:
        self.cache._connections.warm_up()
        ((connection, _),) = self.cache._connections._idle
        self.cache.get("k")
        self.assertEqual(self.server.asked[0][4], connection.sock.getsockname()[1])
        Cache("http://127.0.0.1:1", "", self.now)._connections.warm_up()  # nobody is there

    def test_one_that_was_closed_meanwhile(self) -> None:
        self.server.closes = True
        self.assertEqual([self.cache.get("k") for _ in range(3)], [b"value"] * 3)
        self.assertEqual(self.ports(), 3)

    def test_after_a_fork(self) -> None:
        self.cache.get("k")
        ((ours, _),) = self.cache._connections._idle
        self.addCleanup(ours.close)
        self.patch(os, "getpid", lambda: -1)
        self.cache.get("k")
        self.assertEqual(self.ports(), 2)

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

    def test_cut_in_the_middle(self) -> None:
        self.server.next, self.server.closes = (200, {"Content-Length": "50"}, b"half"), True
        self.assertIsNone(self.cache.get("k"))

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

    def test_token(self) -> None:
        self.make(PATIENCE_SECONDS, token="secret").get("k")
        self.assertEqual(self.server.asked[0][2]["Authorization"], "Bearer secret")

    def test_a_ca_that_is_not_there(self) -> None:
        cache = Cache("https://127.0.0.1:1", self.mktemp(), self.now)
        self.assertIsNone(cache.get("k"))
        self.assertEqual(repr(cache), "<Cache https://127.0.0.1:1 <Breaker closed after 1 failures>>")
