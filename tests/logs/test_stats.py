"""``GET /v1/stats``."""

from __future__ import annotations

import json

from scalekit.logs.search.asking import Searches
from scalekit.logs.stats import Stats
from scalekit.logs.tails import Tails
from scalekit.logs.threads import DirectLane
from scalekit.web.memory import ask
from tests.logs.search.test_searching import LogCase


class StatsTests(LogCase):
    def test_all(self) -> None:
        """What is on disk, and what was counted; an empty log has no oldest entry."""
        searches = Searches(self.collector, DirectLane(), self.clock.seconds, self.clock.seconds)
        tails = Tails(self.collector, (DirectLane(), DirectLane()), self.clock, self.clock.seconds)
        stats = Stats(searches, self.collector, tails, self.clock.seconds)
        said = json.loads(ask(stats).sent)
        self.assertEqual((said["entries"], said["oldest"]), (0, None))
        self.fill()
        said = json.loads(ask(stats).sent)
        self.assertEqual((said["entries"], said["volumes"], said["newest"], said["trouble"]), (22, 4, 24, None))
        self.assertEqual(
            (said["lag_seconds"], said["journal"]["groups"], said["tails"]), (0.0, 11, {"open": 0, "parked": 0})
        )
        used = sum(map(self.directory.size, self.directory.names()))
        self.assertEqual(said["disk"], {"used": used, "free": self.directory.free()})
        self.assertEqual((said["oldest"], said["counts"]["accepted"]), ("2023-11-14T22:13:20.000000000Z", 24))
