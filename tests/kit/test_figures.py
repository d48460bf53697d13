"""The counters of a service, asked for while somebody looks."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ConfigurationFault, OurFault
from scalekit.kit.figures import ANSWER_SECONDS, FRESH_SECONDS, OLD_SECONDS, LatestFigures, ServiceFigures
from tests.kit.fakes import FakeClient


class ServiceFiguresTests(SynchronousTestCase):
    """Those of a service elsewhere, as `LatestFigures` tells them."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.client = FakeClient(self.clock)
        self.figures = self.told_with({"Authorization": "Bearer x"})

    def told_with(self, headers: dict[str, str]) -> LatestFigures:
        asking = ServiceFigures("cache", "https://cache:5000/", "hottest", self.client, lambda: headers)
        return LatestFigures(asking, self.clock)

    def told(self) -> object:
        """What is told some time after an answer."""
        self.clock.advance(FRESH_SECONDS)
        return self.figures()

    def test_asked_while_somebody_looks(self) -> None:
        self.assertEqual([self.figures() for _ in range(3)], ["Asking."] * 3)
        self.assertEqual(self.client.requests, ["GET https://cache:5000/v1/stats"])
        self.assertEqual(self.client.headers, [{"Authorization": "Bearer x"}])
        self.client.answer(200, b'{"hits":1,"hottest":[]}')
        self.assertEqual([self.figures() for _ in range(3)], [{"hits": 1, "hottest": []}] * 3)
        self.assertEqual(len(self.client.requests), 1)
        self.told()
        self.assertEqual(len(self.client.requests), 2)

    def test_after_a_pause(self) -> None:
        self.figures()
        self.client.answer(200, b'{"hottest":[]}')
        self.clock.advance(OLD_SECONDS)
        self.assertEqual(self.figures(), "Asking.")

    def test_what_is_wrong_with_it(self) -> None:
        self.figures()
        self.client.answer(401)
        self.assertEqual(self.told(), "The cache at https://cache:5000 answers 401.")
        for body in (b"<html>", b"[]", b"{}"):
            self.client.answer(200, body)
            self.assertEqual(self.told(), "What answers at https://cache:5000 is no cache of ours.")
        self.client.cut()
        self.assertEqual(self.told(), "The cache does not answer: connection refused.")
        self.clock.advance(ANSWER_SECONDS)
        self.assertEqual(self.figures(), "The cache does not answer: no answer in time.")

    def test_a_token_file_that_is_not_there(self) -> None:
        def headers() -> dict[str, str]:
            raise ConfigurationFault("token file: found none")

        asking = ServiceFigures("cache", "https://cache:5000", "hottest", self.client, headers)
        self.assertEqual(LatestFigures(asking, self.clock)(), "token file: found none")


class LatestFiguresTests(SynchronousTestCase):
    """Of the same process."""

    def setUp(self) -> None:
        self.clock = Clock()

    def test_one_question_at_a_time(self) -> None:
        asked: list[Deferred[dict[str, Any]]] = []

        def ask() -> Deferred[dict[str, Any]]:
            asked.append(Deferred())
            return asked[-1]

        figures = LatestFigures(ask, self.clock)
        figures()
        self.clock.advance(FRESH_SECONDS)
        figures()
        self.assertEqual(len(asked), 1)
        asked[0].callback({"entries": 1})
        self.assertEqual((figures(), len(asked)), ({"entries": 1}, 2))

    def test_why_there_are_none(self) -> None:
        def refuse() -> Deferred[dict[str, Any]]:
            raise OurFault(503, "too-many-searches", "Too many searches wait for their turn.")

        def fall() -> Deferred[dict[str, Any]]:
            raise ZeroDivisionError

        self.assertEqual(LatestFigures(refuse, self.clock)(), "Too many searches wait for their turn.")
        self.assertEqual(LatestFigures(fall, self.clock)(), "Something went wrong here.")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
