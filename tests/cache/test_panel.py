"""What the dashboard shows of a cache."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from scalekit.cache.panel import CachePanel, store_stats
from scalekit.cache.store import Store
from scalekit.interfaces import IPanel


class CachePanelTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.store = Store(3 << 20)
        self.panel = CachePanel("Cache", lambda: store_stats(self.store))
        verifyObject(IPanel, self.panel)

    def facts(self) -> dict[str, str]:
        return {name: value for value, name in self.panel.view()["facts"]}

    def test_before_anything_was_asked(self) -> None:
        view = self.panel.view()
        self.assertEqual((view["rows"], view["note"]), ([], "Nothing has been served yet."))
        self.assertEqual((self.facts()["hits"], self.facts()["held"]), ("\u2013", "0\u00a0B of 3.0\u00a0MiB"))

    def test_used(self) -> None:
        self.store.put(b"/posts/1", b"x" * 20_000, 60.0, 0.0)
        self.store.put(b"\xff", b"", 60.0, 0.0)
        self.store.put(b"gone", b"", 1.0, 0.0)
        for key in (b"/posts/1", b"/posts/1", b"\xff", b"nothing"):
            self.store.get(key, 0.0)
        self.store.expire(5.0, 100)
        self.store.purge_key(b"\xff", 5.0)
        view: dict[str, Any] = self.panel.view()
        self.assertEqual((view["name"], view["note"]), ("Cache", ""))
        self.assertEqual(view["rows"], [["/posts/1", "66.7%"], ["\\xff", "33.3%"]])
        shown = {"hits": "75.0%", "look-ups": "4", "held": "23\u00a0KiB of 3.0\u00a0MiB", "entries": "1"}
        shown |= {"evicted": "0", "expired": "1", "purged": "1", "replaced": "0"}
        self.assertEqual(self.facts(), shown)

    def test_away(self) -> None:
        view = CachePanel("Cache", lambda: "The cache does not answer.").view()
        self.assertEqual((view["note"], view["facts"], view["rows"]), ("The cache does not answer.", [], []))
