"""``GET /v1/stats``: what the log has done since its start, and what is on its disk."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.defer import Deferred

from scalekit.http.heads import ResponseHead
from scalekit.logs.collector import Collector
from scalekit.logs.moments import format_timestamp
from scalekit.logs.reading import Volume
from scalekit.logs.search.asking import Asking, Parameters, Searches
from scalekit.logs.search.budget import Budget


class Stats(Asking):
    """
    Its responder.

    ``{"entries":…,"bytes":…,"volumes":…,"oldest":…,"newest":…,"waiting_bytes":…,"trouble":null,"counts":{…}}``; what is
    counted: `scalekit.logs.counts.Counts`.
    """

    def __init__(self, searches: Searches, collector: Collector) -> None:
        super().__init__(searches)
        self._collector = collector

    def begin(self, budget: Budget, asked: Parameters) -> Deferred[dict[str, Any]]:
        reader = self._collector.reader
        return self.searches.run(budget, lambda: _on_disk([one for one in reader.volumes() if one.entries]))

    def answer(self, found: dict[str, Any]) -> tuple[ResponseHead, bytes]:
        collector = self._collector
        counts = collector.counts
        found["newest"] = collector.newest
        found["waiting_bytes"] = collector.waiting_bytes
        found["trouble"] = collector.trouble
        found["counts"] = {name: getattr(counts, name) for name in counts.__slots__}
        fields = [(b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store")]
        return ResponseHead(200, fields), msgspec.json.encode(found) + b"\n"


def _on_disk(volumes: list[Volume]) -> dict[str, Any]:
    oldest = min((volume.first_time for volume in volumes), default=None)
    return {
        "entries": sum(volume.entries for volume in volumes),
        "bytes": sum(volume.length + volume.late_length for volume in volumes),
        "volumes": len(volumes),
        "oldest": None if oldest is None else format_timestamp(oldest),
    }
