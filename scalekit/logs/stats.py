"""``GET /v1/stats``: what the log has done since its start, and what is on its disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from twisted.internet.defer import Deferred

from scalekit.http.heads import ResponseHead
from scalekit.logs.collector import Collector
from scalekit.logs.moments import format_timestamp
from scalekit.logs.reading import LogReader
from scalekit.logs.search.asking import Asking, Parameters, Searches
from scalekit.logs.search.budget import Budget
from scalekit.logs.sinks.forwarder import Forwarder
from scalekit.logs.tails import Tails


class Stats(Asking):
    """
    Its responder.

    ``{"entries":…,"bytes":…,"volumes":…,"oldest":…,"newest":…,"waiting_bytes":…,"lag_seconds":…,"trouble":null,
    "disk":{"used":…,"free":…},"journal":{…},"tails":{"open":…,"parked":…},"sinks":[…],"seconds":…,"counts":{…}}``; what
    is counted: `scalekit.logs.counts.Counts`, of the journal `scalekit.logs.journal.Journal`, of each sink
    `scalekit.logs.sinks.forwarder.Forwarder.figures`.  ``seconds`` are of a clock that only a restart sets back: by how
    much it has gone on between two answers, the counts of both make rates.

    :param seconds: of that clock.
    :ivar sinks: those that the log has.
    """

    def __init__(self, searches: Searches, collector: Collector, tails: Tails, seconds: Callable[[], float]) -> None:
        super().__init__(searches)
        self._seconds = seconds
        self._collector = collector
        self._tails = tails
        self.sinks: Sequence[Forwarder] = ()

    def figures(self) -> Deferred[dict[str, Any]]:
        """All of it; raises `Fault`."""
        return self._begin(self.searches.budget()).addCallback(self._with_counts)

    def begin(self, budget: Budget, asked: Parameters) -> Deferred[dict[str, Any]]:
        return self._begin(budget)

    def answer(self, found: dict[str, Any]) -> tuple[ResponseHead, bytes]:
        fields = [(b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store")]
        return ResponseHead(200, fields), msgspec.json.encode(self._with_counts(found)) + b"\n"

    def _begin(self, budget: Budget) -> Deferred[dict[str, Any]]:
        reader = self._collector.reader
        return self.searches.run(budget, lambda: _on_disk(reader))

    def _with_counts(self, found: dict[str, Any]) -> dict[str, Any]:
        collector = self._collector
        journal = collector.journal
        counts = collector.counts
        found["newest"] = collector.newest
        found["disk"]["free"] = collector.room.free_bytes
        found["waiting_bytes"] = collector.waiting_bytes
        found["lag_seconds"] = round(collector.lag_seconds, 3)
        found["trouble"] = collector.trouble
        found["journal"] = {
            "segments": len(journal.segments),
            "groups": journal.groups,
            "synced_bytes": journal.synced_bytes,
            "synced_seconds": round(journal.synced_seconds, 6),
            "failures": journal.failures,
        }
        found["tails"] = {"open": self._tails.count, "parked": self._tails.parked}
        found["sinks"] = [sink.figures() for sink in self.sinks]
        found["seconds"] = round(self._seconds(), 3)
        found["counts"] = {name: getattr(counts, name) for name in counts.__slots__}
        return found


def _on_disk(reader: LogReader) -> dict[str, Any]:
    volumes = [one for one in reader.volumes() if one.entries]
    oldest = min((volume.first_time for volume in volumes), default=None)
    return {
        "entries": sum(volume.entries for volume in volumes),
        "bytes": sum(volume.length + volume.late_length for volume in volumes),
        "volumes": len(volumes),
        "oldest": None if oldest is None else format_timestamp(oldest),
        "disk": {"used": reader.used()},
    }
