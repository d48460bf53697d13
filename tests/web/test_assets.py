"""Pages and their files."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Request

from scalekit.web.answers import ProblemResource
from scalekit.web.assets import Asset, start_page
from scalekit.web.memory import MemoryExchange, ask
from scalekit.web.site import Site

STYLE = b"b { color: red }"


class Page(ProblemResource):
    def render_GET(self, request: Request) -> bytes:
        start_page(request, b"default-src 'self'")
        return b"<!doctype html>"


class AssetTests(SynchronousTestCase):
    def setUp(self) -> None:
        root = Resource()
        root.putChild(b"", Page())
        root.putChild(b"page.css", Asset(STYLE, b"text/css; charset=utf-8"))
        self.site = Site(root, reactor=Clock())

    def is_protected(self, answer: MemoryExchange) -> bool:
        """Whether no type is guessed, and nobody elsewhere is told of it."""
        told = answer.values(b"x-content-type-options") + answer.values(b"referrer-policy")
        return told == [b"nosniff", b"same-origin"]

    def test_a_page(self) -> None:
        """Is kept by nobody."""
        answer = ask(self.site)
        self.assertEqual((answer.status, answer.sent), (200, b"<!doctype html>"))
        self.assertEqual(answer.values(b"content-type"), [b"text/html; charset=utf-8"])
        self.assertEqual(answer.values(b"content-security-policy"), [b"default-src 'self'"])
        self.assertEqual(answer.values(b"cache-control"), [b"no-store"])
        self.assertTrue(self.is_protected(answer))

    def test_a_file(self) -> None:
        """Is asked for again each time, and sent again only when it has changed; nothing is below it."""
        answer = ask(self.site, target=b"/page.css")
        self.assertEqual((answer.status, answer.sent), (200, STYLE))
        self.assertEqual(answer.values(b"content-type"), [b"text/css; charset=utf-8"])
        self.assertEqual(answer.values(b"cache-control"), [b"no-cache"])
        self.assertTrue(self.is_protected(answer))
        tags = answer.values(b"etag")
        again = ask(self.site, target=b"/page.css", fields=[(b"If-None-Match", tags[0])])
        self.assertEqual((again.status, again.sent, again.values(b"etag")), (304, b"", tags))
        other = Site(Asset(STYLE + b"\n", b"text/css"), reactor=Clock())
        self.assertNotEqual(ask(other).values(b"etag"), tags)
        self.assertEqual(ask(self.site, target=b"/page.css/more").status, 404)
        self.assertEqual(ask(self.site, b"POST", b"/page.css").values(b"allow"), [b"GET, HEAD"])
