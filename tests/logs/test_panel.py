"""What the dashboard shows of the log."""

from __future__ import annotations

from typing import Any

from zope.interface.verify import verifyObject

from scalekit.interfaces import IPanel
from scalekit.logs import panel
from scalekit.logs.counts import REFUSALS
from scalekit.logs.entry import Entry
from scalekit.logs.panel import OLDEST_SECONDS, LogsPanel
from scalekit.logs.retention import REASONS
from scalekit.logs.search.asking import Searches
from scalekit.logs.stats import Stats
from scalekit.logs.tails import Tails
from scalekit.logs.threads import DirectLane
from tests.logs.search.test_searching import LogCase


class LogsPanelTests(LogCase):
    def setUp(self) -> None:
        super().setUp()
        searches = Searches(self.collector, DirectLane(), self.clock.seconds, self.clock.seconds)
        tails = Tails(self.collector, (DirectLane(), DirectLane()), self.clock, self.clock.seconds)
        self.stats = Stats(searches, self.collector, tails, self.clock.seconds)
        self.panel = LogsPanel("Log", lambda: self.successResultOf(self.stats.figures()))
        verifyObject(IPanel, self.panel)

    def facts(self, view: dict[str, Any]) -> dict[str, str]:
        return {name: value.replace("\u00a0", " ") for value, name in view["facts"]}

    def test_at_rest(self) -> None:
        view = self.panel.view()
        self.assertEqual((view["alarm"], view["rows"]), ("", []))
        self.assertEqual(view["note"], "Everything that came since its start was kept.")
        shown = self.facts(view)
        self.assertEqual((shown["entries/s"], shown["a sync"], shown["behind"]), ("\u2013", "\u2013", "0.0 s"))

    def test_rates(self) -> None:
        """Of what came between the looks; the same look twice changes nothing, a pause or a restart begins anew."""
        self.panel.view()
        self.write(*range(20))
        self.clock.advance(2.0)
        shown = self.facts(self.panel.view())
        self.assertEqual((shown["entries/s"], shown["a sync"], shown["entries"]), ("10", "0.0 ms", "15"))
        known = self.successResultOf(self.stats.figures())
        self.patch(self.panel, "_stats", lambda: known)
        self.assertEqual(self.facts(self.panel.view()), self.facts(self.panel.view()))
        for seconds in (known["seconds"] + OLDEST_SECONDS * 2, 1.0):
            self.patch(self.panel, "_stats", lambda seconds=seconds: known | {"seconds": seconds})
            self.assertEqual(self.facts(self.panel.view())["entries/s"], "\u2013")

    def test_behind(self) -> None:
        """As long as the oldest entry waits that is not in its file."""
        self.write(0)
        self.clock.advance(1.5)
        self.assertEqual(self.facts(self.panel.view())["behind"], "1.5 s")
        self.clock.pump([0.5] * 10)
        self.assertEqual(self.facts(self.panel.view())["behind"], "0.0 s")

    def test_what_was_not_kept(self) -> None:
        """By reason, most first; each reason there is has its words."""
        self.assertEqual((set(panel._REFUSED), set(panel._EXPIRED)), (set(REFUSALS), set(REASONS)))
        counts = self.collector.counts
        counts.rejected, counts.dropped, counts.late, counts.quarantined = 3, 4000, 7, 1
        counts.expired["age"] = 2
        counts.syslog["udp"].update({"received": 900, "kernel": 6})
        self.patch(self.collector.room, "is_short", True)
        self.failureResultOf(self.collector.append([Entry(None, "INFO", "s", "m")] * 5))
        view = self.panel.view()
        self.assertEqual((view["alarm"], view["note"]), ("The log's disk is nearly full.", ""))
        self.assertEqual(
            view["rows"],
            [
                ["dropped: of the log's own process, faster than it writes", "4,000"],
                ["syslog over UDP: kernel", "6"],
                ["refused: the disk is nearly full", "5"],
                ["malformed", "3"],
                ["removed: older than is kept", "2"],
            ],
        )
        self.assertEqual((self.facts(view)["late"], self.facts(view)["quarantined"]), ("7", "1"))

    def test_tails(self) -> None:
        known = self.successResultOf(self.stats.figures())
        for tails, shown in (({"open": 2, "parked": 0}, "2"), ({"open": 12, "parked": 1}, "12 (1 parked)")):
            self.patch(self.panel, "_stats", lambda tails=tails: known | {"tails": tails})
            self.assertEqual(self.facts(self.panel.view())["tails"], shown)

    def test_away(self) -> None:
        view = LogsPanel("Log", lambda: "The log does not answer.").view()
        self.assertEqual((view["note"], view["facts"], view["rows"]), ("The log does not answer.", [], []))
