"""Short answers from resources."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ClientFault
from scalekit.web.answers import (
    ProblemResource,
    answer_later,
    json_answer,
    problem,
    query_value,
    read_body,
    text_answer,
)
from scalekit.web.memory import MemoryExchange, ask
from scalekit.web.site import Site


class Page(ProblemResource):
    isLeaf = True

    def __init__(self, render: Any) -> None:
        super().__init__()
        self.function = render

    def render_GET(self, request: Any) -> Any:
        return self.function(request)

    render_POST = render_GET


def render(function: Any, *request: Any) -> MemoryExchange:
    return ask(Site(Page(function), reactor=Clock()), *request)


class AnswerTests(SynchronousTestCase):
    def test_problem(self) -> None:
        exchange = render(lambda request: problem(request, 400, "bad-port", "No such port.", field="port"))
        told = json.loads(exchange.sent)
        self.assertEqual((exchange.status, told["reason"], told["field"]), (400, "bad-port", "port"))
        self.assertEqual((told["request_id"], exchange.record.reason), ("test-1", "bad-port"))
        self.assertEqual(exchange.values(b"content-type"), [b"application/problem+json"])
        self.assertEqual(exchange.values(b"cache-control"), [b"no-store"])

    def test_problem_as_text(self) -> None:
        exchange = render(lambda request: problem(request, 400, "x", "y"), b"GET", b"/", [(b"Accept", b"text/plain")])
        self.assertEqual(exchange.sent, b"400 Bad Request: y (x)\nrequest test-1\n")

    def test_json_and_text(self) -> None:
        self.assertEqual(render(lambda request: json_answer(request, 201, {"a": 1})).sent, b'{"a":1}\n')
        exchange = render(lambda request: text_answer(request, 202, "ä"))
        self.assertEqual((exchange.status, exchange.sent), (202, "ä".encode()))

    def test_query_values_never_come_from_the_form(self) -> None:
        seen: list[Any] = []

        def look(request: Any) -> bytes:
            seen.extend(query_value(request, name) for name in (b"key", b"empty", b"form", b"absent"))
            return b""

        fields = [(b"Content-Type", b"application/x-www-form-urlencoded")]
        render(look, b"POST", b"/?key=a%20b+%C3%A4&key=d&empty=", fields, b"form=1&key=evil")
        self.assertEqual(seen, ["a b ä", "", None, None])

    def test_query_that_is_not_utf8_is_400(self) -> None:
        exchange = render(lambda request: query_value(request, b"key"), b"GET", b"/?key=%ff")
        self.assertEqual((exchange.status, exchange.record.reason), (400, "bad-query"))

    def test_read_body(self) -> None:
        self.assertEqual(render(lambda request: read_body(request, 3), b"POST", b"/", [], b"abc").sent, b"abc")
        self.assertEqual(render(lambda request: read_body(request, 3), b"POST", b"/", [], b"abcd").status, 413)


class ProblemResourceTests(SynchronousTestCase):
    def test_methods_and_children_that_are_not_there(self) -> None:
        self.assertEqual(render(lambda request: b"", b"PUT").values(b"allow"), [b"GET, HEAD, POST"])
        exchange = ask(Site(ProblemResource(), reactor=Clock()), b"GET", b"/nothing")
        self.assertEqual((exchange.status, json.loads(exchange.sent)["reason"]), (404, "not-found"))


class PostOnly(ProblemResource):
    def render_POST(self, request: Any) -> bytes:
        return b""


class HeadTests(SynchronousTestCase):
    def test_without_a_get_there_is_no_head(self) -> None:
        """Not the inherited one, which would look for a render_GET and end in a traceback."""
        root = ProblemResource()
        root.putChild(b"", PostOnly())
        for method in (b"HEAD", b"GET", b"PUT"):
            exchange = ask(Site(root, reactor=Clock()), method, b"/")
            self.assertEqual((exchange.status, exchange.values(b"allow")), (405, [b"POST"]), method)


class LaterTests(SynchronousTestCase):
    def start(self, method: bytes = b"GET") -> tuple[MemoryExchange, Deferred[bytes], list[str]]:
        cancelled: list[str] = []
        waiting: Deferred[bytes] = Deferred(lambda _: cancelled.append("cancelled"))
        return render(lambda request: answer_later(request, waiting), method), waiting, cancelled

    def test_bytes(self) -> None:
        for method, body in ((b"GET", b"late"), (b"HEAD", b"")):
            exchange, waiting, _ = self.start(method)
            waiting.callback(b"late")
            assert exchange.answer_head is not None
            self.assertEqual((exchange.sent, exchange.answer_head.length), (body, 4))
            self.assertTrue(exchange.is_whole)

    def test_faults_and_other_failures(self) -> None:
        exchange, waiting, _ = self.start()
        waiting.errback(ClientFault(409, "taken", "x"))
        self.assertEqual((exchange.status, exchange.record.reason), (409, "taken"))
        exchange, waiting, _ = self.start()
        waiting.errback(ValueError("secret"))
        self.assertEqual(exchange.status, 500)
        self.assertNotIn(b"secret", exchange.sent)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_a_deferred_that_is_there_already(self) -> None:
        exchange = render(lambda request: answer_later(request, Deferred.fromCoroutine(_at_once())))
        self.assertEqual((exchange.sent, exchange.is_whole), (b"now", True))

    def test_client_gone_cancels(self) -> None:
        exchange, _, cancelled = self.start()
        exchange.leave()
        self.assertEqual((cancelled, exchange.sent), (["cancelled"], b""))


async def _at_once() -> bytes:
    return b"now"
