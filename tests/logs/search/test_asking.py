"""``GET /v1/query`` and ``GET /v1/histogram``."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.bodies import BODY_LIMIT
from scalekit.logs.collector import Collector
from scalekit.logs.entry import Entry
from scalekit.logs.memory import MemoryDirectory
from scalekit.logs.resource import LogResource
from scalekit.logs.search import searching
from scalekit.logs.search.asking import WAITING_LIMIT, QueryHistogram, QueryLines, Searches
from scalekit.logs.threads import DirectLane
from scalekit.web.memory import MemoryExchange, ask
from scalekit.web.site import Site
from tests.logs.lanes import SteppedLane

T = 1_700_000_000


class AskingTests(SynchronousTestCase):
    """`QueryLines` and `QueryHistogram`."""

    def setUp(self) -> None:
        clock = Clock()
        clock.advance(T)
        lanes = (DirectLane(), DirectLane(), DirectLane())
        self.collector = Collector(MemoryDirectory, clock, lanes)
        self.collector.startService()
        self.lane = SteppedLane()
        self.searches = Searches(self.collector, self.lane, clock.seconds, clock.seconds)
        reading = {b"query": QueryLines(self.searches), b"histogram": QueryHistogram(self.searches)}
        self.site = Site(LogResource(self.collector, reading), BODY_LIMIT)
        entries = [Entry((T - 60 * each) * 10**9, "INFO", "shop", f"n{each}", '{"id":7}') for each in range(5)]
        self.successResultOf(self.collector.append(entries))
        clock.pump([1.0] * 9)

    def ask(self, target: bytes, method: bytes = b"GET") -> MemoryExchange:
        exchange = ask(self.site, method, target)
        while self.lane.step():
            pass
        self.assertTrue(exchange.is_finished)
        return exchange

    def lines(self, target: bytes) -> list[Any]:
        exchange = self.ask(target)
        self.assertEqual((exchange.status, exchange.values(b"content-type")), (200, [b"application/x-ndjson"]))
        return [json.loads(line) for line in exchange.sent.splitlines()]

    def test_query(self) -> None:
        """The lines of the truth, newest first or oldest first, between times; a partial answer says so."""
        expected = [f"n{each}" for each in range(5)]
        self.assertEqual([line["Message"] for line in self.lines(b"/v1/query")], expected)
        self.assertEqual([line["Message"] for line in self.lines(b"/v1/query?q=id%3D7&order=asc")], expected[::-1])
        found = self.lines(b"/v1/query?from=3m&to=2023-11-14T22:12:20Z")
        self.assertEqual([line["Message"] for line in found], ["n2"])
        self.assertEqual(found[0]["Fields"], {"id": 7})
        *found, said = self.lines(b"/v1/query?limit=2")
        self.assertEqual([line["Message"] for line in found], expected[:2])
        self.assertEqual((said["Partial"], said["Until"]), ("rows", "2023-11-14T22:12:20.000000000Z"))

    def test_histogram(self) -> None:
        """As JSON."""
        answer = json.loads(self.ask(b"/v1/histogram?from=150s&buckets=2").sent)
        self.assertEqual((answer["from"], answer["partial"]), ("2023-11-14T22:10:59.000000000Z", None))
        self.assertEqual([sum(counts) for counts in answer["counts"]], [1, 2])

    def test_mistakes(self) -> None:
        """400 that names the place; another method 405."""
        for target, word in (
            (b"/v1/query?q=a%20%22b", "character 3"),
            (b"/v1/query?from=noon", "from: found 'noon'"),
            (b"/v1/query?limit=0", "from 1 to 10000"),
            (b"/v1/query?limit=1e3", "from 1 to 10000"),
            (b"/v1/query?order=up", "asc or desc"),
            (b"/v1/query?q=%ff", "UTF-8"),
            (b"/v1/query?Q=error", "'Q', expected one of q, from, to, limit, order"),
            (b"/v1/query?q=error&buckets=", "'buckets'"),
            (b"/v1/query?from=1h&from=2h", "from: given 2 times"),
            (b"/v1/histogram?limit=1", "'limit', expected one of q, from, to, buckets"),
            (b"/v1/histogram?buckets=501", "from 1 to 500"),
        ):
            exchange = self.ask(target)
            self.assertEqual(exchange.status, 400, target)
            self.assertIn(word, json.loads(exchange.sent)["detail"])
        self.assertEqual(self.ask(b"/v1/query", b"POST").status, 405)

    def test_many(self) -> None:
        """So many wait, others get 503; who leaves makes room without a search."""
        exchanges = [ask(self.site, b"GET", b"/v1/query") for _ in range(WAITING_LIMIT)]
        self.assertEqual(ask(self.site, b"GET", b"/v1/query").status, 503)
        self.patch(searching, "search", None)
        for exchange in exchanges:
            exchange.leave()
        while self.lane.step():
            pass
        self.assertEqual(repr(self.searches), "<Searches: 0 under way>")

    def test_what_nobody_expects(self) -> None:
        """Is a 500."""

        def fail(*arguments: object) -> None:
            raise OSError

        self.patch(searching, "_search", fail)
        self.assertEqual(self.ask(b"/v1/query").status, 500)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_stop(self) -> None:
        """No search outlives the log."""
        self.successResultOf(self.collector.stopService())
        self.assertEqual(ask(self.site, b"GET", b"/v1/query").status, 503)
