"""Tests of `scalekit.cache.front.forecast`: what would become of a request."""

from __future__ import annotations

from typing import Any

from scalekit.cache.front.forecast import Forecast
from scalekit.errors import ClientFault
from scalekit.http.heads import Client
from scalekit.http.requests import parse_request_head
from tests.cache.front.fronted import Case, get

CLIENT = Client("192.0.2.1", 1, False, 80)


class ForecastTests(Case):
    def told(self, path: bytes = b"/x", *lines: bytes, **more: Any) -> tuple[str, str, float | None]:
        raw = get(path, *lines, **more)
        said = Forecast(self.it.front).forecast(parse_request_head(raw[:-2], len(raw)), CLIENT)
        return said["decision"], said["detail"], said["fresh_seconds"]

    def says(self, decision: str, text: str, *arguments: Any, **more: Any) -> None:
        found, detail, _ = self.told(*arguments, **more)
        self.assertEqual(found, decision)
        self.assertIn(text, detail)

    def test_who_is_not_asked(self) -> None:
        self.says("off", "off for this service", host=b"plain")
        self.says("off", "tunnel", b"/x", b"Connection: upgrade", b"Upgrade: websocket")
        self.says("bypass", "but the app server", method=b"POST")
        self.says("bypass", "a body", b"/x", b"Content-Length: 1")

    def test_stored(self) -> None:
        """As long as it is fresh; then it is asked for again."""
        self.says("miss", "nothing is stored")
        self.it.fill(b"/x", b"hello", b"max-age=60", 200, (b"ETag", b'"v1"'))
        self.it.passes(48)
        self.assertEqual(self.told(), ("hit", "would be answered from the cache, fresh for another 12 s", 12.0))
        self.says("validate", "the request wants it", b"/x", b"Cache-Control: no-cache")
        self.it.passes(13)
        self.assertEqual(self.told()[0::2], ("validate", -1.0))
        self.says("stale", "as the request allows", b"/x", b"Cache-Control: max-stale")

    def test_refreshed_behind(self) -> None:
        self.it.fill(b"/x", b"hello", b"max-age=60, stale-while-revalidate=60")
        self.it.passes(61)
        self.says("stale", "anew behind it")

    def test_other_fields(self) -> None:
        self.it.fill(b"/x", b"hello", b"max-age=60", 200, (b"Vary", b"Accept-Language"))
        self.says("miss", "Vary", b"/x", b"Accept-Language: de")

    def test_what_the_request_says(self) -> None:
        self.says("unavailable", "504", b"/x", b"Cache-Control: only-if-cached")
        self.says("miss", "no-store", b"/x", b"Cache-Control: no-store")

    def test_private(self) -> None:
        self.it.fill(b"/x", b"hello", b"private")
        self.says("miss", "for its client only")

    def test_who_says_who_he_is(self) -> None:
        self.says("miss", "it says who asks, and no answer of the kind was for everybody", b"/x", b"Cookie: a=b")
        client = self.it.client()
        client.says(get(b"/x", b"Cookie: a=b"))
        self.it.origin.answers()
        self.it.purging.purge([], [], b"", False)
        self.assertEqual(self.told(b"/x", b"Cookie: a=b")[1], "the app server is asked: nothing is stored for this URL")

    def test_refused(self) -> None:
        """What the balancer refuses is no matter of the cache."""

        def refuse(head: Any) -> str:
            raise ClientFault(405, "last-hop", "Max-Forwards ends here.")

        self.patch(self.it.services, "service_of", refuse)
        self.says("bypass", "Max-Forwards ends here.")

    def test_nothing_changes(self) -> None:
        """It is neither counted nor answered, and nobody is asked."""
        self.it.fill(b"/x", b"hello")
        before = self.it.store.stats()
        self.told()
        self.told(b"/y")
        self.assertEqual((self.it.store.stats(), len(self.it.asked)), (before, 1))
