"""What browsers get of the page; `tests.scenarios.test_log_page` looks at it in one."""

from __future__ import annotations

import re

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from scalekit.logs.bodies import BODY_LIMIT
from scalekit.logs.collector import Collector
from scalekit.logs.memory import MemoryDirectory
from scalekit.logs.page import resource
from scalekit.logs.page.resource import POLICY
from scalekit.logs.resource import LogResource
from scalekit.logs.search.asking import QueryLines, Searches
from scalekit.logs.threads import DirectLane
from scalekit.web.memory import ask
from scalekit.web.site import Site


class PageTests(SynchronousTestCase):
    """`Page`."""

    def setUp(self) -> None:
        clock = Clock()
        self.collector = Collector(MemoryDirectory, clock, (DirectLane(), DirectLane(), DirectLane()))
        reading = {b"query": QueryLines(Searches(self.collector, DirectLane(), clock.seconds, clock.seconds))}
        self.site = Site(LogResource(self.collector, reading), BODY_LIMIT)

    def test_the_page(self) -> None:
        """Has nothing inline and nothing from elsewhere, and its policy says so."""
        page = ask(self.site)
        self.assertEqual((page.status, page.values(b"content-security-policy")), (200, [POLICY]))
        self.assertFalse(re.search(rb"<style|style=|\son\w+=|<script>|https?://", page.sent))
        self.assertEqual(re.findall(rb'(?:src|href)="(/[^"]+)"', page.sent), [b"/log.css", b"/log.js"])
        self.assertNotIn(b"logout", page.sent)
        self.patch(resource, "has_session", lambda request: True)
        self.assertIn(b'action="/logout"', ask(self.site).sent)

    def test_its_files(self) -> None:
        """Are not sent again while they stay the same; no script makes HTML."""
        for name, kind in ((b"/log.css", b"text/css"), (b"/log.js", b"text/javascript")):
            asset = ask(self.site, target=name)
            self.assertEqual((asset.status, asset.values(b"content-type")[0][: len(kind)]), (200, kind))
            tags = asset.values(b"etag")
            self.assertEqual(ask(self.site, target=name, fields=[(b"If-None-Match", tags[0])]).status, 304)
            self.assertFalse(re.search(rb"innerHTML|outerHTML|insertAdjacent|document\.write|eval\(", asset.sent))

    def test_without_reading(self) -> None:
        """A log that only takes entries has no page."""
        site = Site(LogResource(self.collector), BODY_LIMIT)
        self.assertEqual((ask(site).status, ask(site, target=b"/log.js").status), (405, 404))
