"""Tests of `scalekit.kit.client`."""

from __future__ import annotations

from typing import Any

from treq.testing import StubTreq
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from scalekit.kit import client as module
from scalekit.kit.client import Client, TooLate, Unreachable


class Echo(Resource):
    isLeaf = True

    def render(self, request: Any) -> Any:
        if request.path == b"/silent":
            return NOT_DONE_YET
        if request.path == b"/redirect":
            request.redirect(b"/elsewhere")
            return b""
        request.setHeader(b"x-method", request.method)
        return request.uri + b" " + request.content.read()


class ClientTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.client = Client(StubTreq(Echo()), self.clock)

    def test_a_whole_answer(self) -> None:
        answer = self.successResultOf(self.client.fetch("POST", "http://a/b?c=d", seconds=1, body=b"body"))
        self.assertEqual((answer.status, answer.body), (200, b"/b?c=d body"))
        self.assertEqual(answer.get("X-Method"), "POST")
        self.assertIsNone(answer.get("x-other"))

    def test_the_deadline_is_over_all_of_it(self) -> None:
        asked = self.client.fetch("GET", "http://a/silent", seconds=0.05)
        self.clock.advance(0.049)
        self.assertNoResult(asked)
        self.clock.advance(0.002)
        failure = self.failureResultOf(asked, TooLate)
        self.assertEqual(failure.value.detail, "http://a/silent: no answer within 0.05 s")

    def test_an_answer_that_was_there_when_the_time_was_over(self) -> None:
        """This process was run late: what is ready in that turn of the reactor is read before it is given up."""
        asked = self.client.fetch("GET", "http://a/silent", seconds=0.05)
        self.assertEqual([call.getTime() for call in self.clock.calls], [0.05])
        self.clock.calls.pop().func()
        self.assertNoResult(asked)
        self.clock.advance(0)
        self.failureResultOf(asked, TooLate)
        self.assertEqual(self.clock.calls, [])

    def test_redirects_are_answers(self) -> None:
        answer = self.successResultOf(self.client.fetch("GET", "http://a/redirect", seconds=1))
        self.assertEqual((answer.status, answer.get("location")), (302, "/elsewhere"))

    def test_an_answer_too_big_is_not_read(self) -> None:
        self.patch(module, "BODY_LIMIT", 10)
        failure = self.failureResultOf(self.client.fetch("GET", "http://a/long-enough", seconds=1), Unreachable)
        self.assertIn("longer than 10 bytes", failure.value.detail)

    def test_canceling_does_not_pretend_to_be_a_deadline(self) -> None:
        asked: Deferred[Any] = Client(StubTreq(Echo()), Clock()).fetch("GET", "http://a/silent", seconds=1)
        asked.cancel()
        self.failureResultOf(asked, CancelledError)
