"""Who may purge, and what."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest
from twisted.trial.unittest import SynchronousTestCase

from scalekit.cache.front.metrics import FrontCollector
from scalekit.cache.front.purging import PublicPurge, Purging, keys_of
from scalekit.cache.metrics import StoreCollector
from scalekit.cache.store import MOST_PREFIXES
from scalekit.config.tokens import Tokens, parse_tokens
from scalekit.errors import ClientFault
from tests.cache.front.fronted import Fronted, Heard, get

TOKENS = parse_tokens(
    "operator aaaaaaaaaaaaaaaa\nwrite:web bbbbbbbbbbbbbbbb\nwrite:other cccccccccccccccc\nread dddddddddddddddd\n", "t"
)


class KeysTests(SynchronousTestCase):
    def test_of_both_schemes(self) -> None:
        self.assertEqual(
            keys_of(b"https://A.example:443/x?y#z"), (b"http://a.example:443/x?y", b"https://a.example/x?y")
        )
        for url in (b"a.example/x", b"ftp://a/x", b"http://", b"/x", b"http://a b/"):
            self.assertRaises(ClientFault, keys_of, url)


class PublicPurgeTests(SynchronousTestCase):
    def purge(self, *lines: bytes, tokens: Tokens | None = None, peer: str = "127.0.0.1", path: bytes = b"/x") -> Heard:
        self.it = it = Fronted()
        it.front._purge = PublicPurge(Purging(it.store, it.clock), tokens, b"test")
        it.fill(b"/x")
        client = it.client()
        client.connection.client.address = peer
        client.says(get(path, *lines, method=b"PURGE"))
        return client.heard()

    def test_who_may(self) -> None:
        def bearer(letter: bytes) -> bytes:
            return b"Authorization: Bearer " + letter * 16

        for status, tokens, peer, lines in (
            (200, None, "127.0.0.1", ()),
            (403, None, "192.0.2.7", ()),
            (403, None, "127.0.0.1", (b"X-Forwarded-For: 192.0.2.7",)),
            (403, None, "127.0.0.1", (b"Via: 1.1 other",)),
            (403, None, "127.0.0.1", (b"Origin: http://evil",)),
            (403, None, "127.0.0.1", (b"Sec-Fetch-Site: same-origin",)),
            (401, TOKENS, "127.0.0.1", ()),
            (401, TOKENS, "192.0.2.7", (bearer(b"x"),)),
            (403, TOKENS, "192.0.2.7", (bearer(b"d"),)),
            (403, TOKENS, "192.0.2.7", (bearer(b"c"),)),
            (200, TOKENS, "192.0.2.7", (bearer(b"a"),)),
            (200, TOKENS, "192.0.2.7", (bearer(b"b"),)),
        ):
            heard = self.purge(*lines, tokens=tokens, peer=peer)
            self.assertEqual(heard.status, status, (peer, lines))
            self.assertEqual(b"WWW-Authenticate: Bearer" in heard.head, status == 401)
            self.assertEqual(self.it.store.stats().entries, status != 200)
            self.assertEqual(len(self.it.asked), 1)

    def test_what_it_says(self) -> None:
        self.assertEqual(self.purge().body, b'{"url":"http://a/x","purged":true,"soft":false}\n')
        self.assertEqual(self.purge(path=b"/y").body, b'{"url":"http://a/y","purged":false,"soft":false}\n')
        heard = self.purge(b"Soft-Purge: 1")
        self.assertEqual(heard.body, b'{"url":"http://a/x","purged":true,"soft":true}\n')
        self.assertIn(b"Cache-Status: scalekit\r\n", heard.head)

    def test_without_it_the_app_server_is_asked(self) -> None:
        it = Fronted()
        it.client().says(get(b"/x", method=b"PURGE"))
        self.assertEqual(it.origin.exchange.head.method, b"PURGE")


class PurgingTests(SynchronousTestCase):
    def test_too_many_prefixes(self) -> None:
        it = Fronted()
        hurried: list[bool] = []
        purging = Purging(it.store, it.clock, lambda: hurried.append(True))
        results = [purging.purge((), (), b"http://a/%d" % n, False) for n in range(MOST_PREFIXES)]
        self.assertIn(True, results)
        self.assertIn(False, results)
        self.assertEqual(len(hurried), MOST_PREFIXES)


class CollectorTests(SynchronousTestCase):
    def test_numbers(self) -> None:
        it = Fronted()
        it.fill(b"/x")
        it.get(b"/x")
        registry = CollectorRegistry()
        registry.register(FrontCollector(it.front.counts))
        registry.register(StoreCollector(it.store, "scalekit_http_cache"))
        text = generate_latest(registry).decode()
        for line in (
            'scalekit_http_cache_requests_total{result="hit",service="web"} 1.0',
            'scalekit_http_cache_requests_total{result="miss",service="web"} 1.0',
            "scalekit_http_cache_entries 1.0",
        ):
            self.assertIn(line, text)
