"""The counters of a cache elsewhere, asked for while somebody looks."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.errors import ConfigurationFault
from scalekit.kit.cache_stats import ANSWER_SECONDS, FRESH_SECONDS, OLD_SECONDS, CacheStats
from tests.kit.fakes import FakeClient


class CacheStatsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.client = FakeClient(self.clock)
        self.stats = CacheStats("https://cache:5000/", self.client, self.clock, lambda: {"Authorization": "Bearer x"})

    def told(self) -> object:
        """What is told some time after an answer."""
        self.clock.advance(FRESH_SECONDS)
        return self.stats()

    def test_asked_while_somebody_looks(self) -> None:
        self.assertEqual([self.stats() for _ in range(3)], ["Asking."] * 3)
        self.assertEqual(self.client.requests, ["GET https://cache:5000/v1/stats"])
        self.assertEqual(self.client.headers, [{"Authorization": "Bearer x"}])
        self.client.answer(200, b'{"hits":1,"hottest":[]}')
        self.assertEqual([self.stats() for _ in range(3)], [{"hits": 1, "hottest": []}] * 3)
        self.assertEqual(len(self.client.requests), 1)
        self.told()
        self.assertEqual(len(self.client.requests), 2)

    def test_after_a_pause(self) -> None:
        self.stats()
        self.client.answer(200, b'{"hottest":[]}')
        self.clock.advance(OLD_SECONDS)
        self.assertEqual(self.stats(), "Asking.")

    def test_what_is_wrong_with_it(self) -> None:
        self.stats()
        self.client.answer(401)
        self.assertEqual(self.told(), "The cache at https://cache:5000 answers 401.")
        for body in (b"<html>", b"[]", b"{}"):
            self.client.answer(200, body)
            self.assertEqual(self.told(), "What answers at https://cache:5000 is no cache of ours.")
        self.client.cut()
        self.assertEqual(self.told(), "The cache does not answer: connection refused.")
        self.clock.advance(ANSWER_SECONDS)
        self.assertEqual(self.stats(), "The cache does not answer: no answer in time.")

    def test_a_token_file_that_is_not_there(self) -> None:
        def headers() -> dict[str, str]:
            raise ConfigurationFault("token file: found none")

        self.assertEqual(CacheStats("https://cache:5000", self.client, self.clock, headers)(), "token file: found none")
