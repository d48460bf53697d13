"""Resources of twisted.web on HTTP/2: our site answers there as it does anywhere."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from scalekit.web.site import Site
from tests.net.h2_conversation import GET, POST, H2Conversation

OK = (b":status", b"200")


class Page(Resource):
    """Answers with what it was asked."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[Any] = []

    def render_GET(self, request: Any) -> bytes:
        request.setHeader(b"Content-Type", b"text/plain")
        return b"%b %b %b" % (request.clientproto, request.uri, request.getHeader(b"host"))

    def render_POST(self, request: Any) -> int:
        self.requests.append(request)
        request.write(request.content.read()[:3])
        return NOT_DONE_YET


class Resources(SynchronousTestCase):
    def setUp(self) -> None:
        self.page = Page()
        root = Resource()
        root.putChild(b"page", self.page)
        site = Site(root, reactor=Clock())
        self.it = H2Conversation(lambda seen: site.respond(seen.exchange))

    def answer(self) -> tuple[list[tuple[bytes, bytes]], bytes]:
        """The fields and the body of the one answer."""
        events = self.it.hears()
        fields = next(event[2] for event in events if event[0] == "answered")
        return fields, b"".join(event[2] for event in events if event[0] == "data")

    def test_a_page(self) -> None:
        self.it.asks(start=[*GET[:2], (b":path", b"/page?a=b"), GET[3]])
        fields, body = self.answer()
        self.assertEqual(body, b"HTTP/2 /page?a=b a")
        self.assertEqual(fields, [OK, (b"content-type", b"text/plain"), (b"content-length", b"18")])

    def test_nothing_there(self) -> None:
        self.it.asks()
        self.assertEqual(self.answer()[0][0], (b":status", b"404"))

    def test_without_a_body(self) -> None:
        self.it.asks(start=[(b":method", b"HEAD"), *GET[1:2], (b":path", b"/page"), GET[3]])
        fields, body = self.answer()
        self.assertEqual((fields[0], fields[-1], body), (OK, (b"content-length", b"14"), b""))

    def test_a_body_and_an_answer_in_pieces(self) -> None:
        stream = self.it.asks(start=[*POST[:2], (b":path", b"/page"), POST[3]], body=b"abcdef")
        (request,) = self.page.requests
        self.assertEqual(self.answer(), ([OK, (b"content-type", b"text/html")], b"abc"))
        request.write(b"later")
        request.finish()
        events = self.it.hears()
        self.assertIn(("closed", stream, 0), events)
        self.assertEqual(b"".join(event[2] for event in events if event[0] == "data"), b"later")

    def test_a_client_that_leaves(self) -> None:
        stream = self.it.asks(start=[*POST[:2], (b":path", b"/page"), POST[3]], body=b"abc")
        failures: list[object] = []
        self.page.requests[0].notifyFinish().addErrback(failures.append)
        self.it.client.reset(stream, 8)  # type: ignore[arg-type]
        self.it.talk()
        self.assertEqual(len(failures), 1)
