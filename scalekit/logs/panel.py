"""What the dashboard shows of the log: how much comes, how far behind the file is, what is not kept, and the disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from zope.interface import implementer

from scalekit.config.quantities import size_for_people
from scalekit.interfaces import IPanel

#: Figures of a page that asks every two seconds: rates are of the last ten or so.
SAMPLES = 6
#: Older ones say how it was before, not how it is: somebody looks again after a pause.
OLDEST_SECONDS = 30.0
_NONE = "\u2013"

#: See `scalekit.logs.counts.REFUSALS`.
_REFUSED = {
    "disk": "refused: the disk does not take them",
    "disk-full": "refused: the disk is nearly full",
    "journal-full": "refused: more waits for the disk than may",
    "memory": "refused: more waits for its place in time than may",
    "stopping": "refused: the log was stopping",
}
#: See `scalekit.logs.retention.REASONS`.
_EXPIRED = {
    "age": "removed: older than is kept",
    "bytes": "removed: more than is kept",
    "free-space": "removed: the disk was nearly full",
}


@implementer(IPanel)
class LogsPanel:
    """
    :param name: what it is called.
    :param stats: tells the log's ``/v1/stats``, or why it does not, in words.
    """

    def __init__(self, name: str, stats: Callable[[], dict[str, Any] | str]) -> None:
        self._name = name
        self._stats = stats
        self._samples: deque[dict[str, Any]] = deque(maxlen=SAMPLES)

    def view(self) -> dict[str, Any]:
        stats = self._stats()
        if isinstance(stats, str):
            return {"name": self._name, "alarm": "", "facts": [], "note": stats, "head": [], "rows": []}
        first = self._sampled(stats)
        counts, journal, disk, tails = stats["counts"], stats["journal"], stats["disk"], stats["tails"]
        seconds = stats["seconds"] - first["seconds"]
        groups = journal["groups"] - first["journal"]["groups"]
        came = counts["accepted"] - first["counts"]["accepted"]
        synced = journal["synced_bytes"] - first["journal"]["synced_bytes"]
        syncing = journal["synced_seconds"] - first["journal"]["synced_seconds"]
        facts = [
            (f"{came / seconds:,.0f}" if seconds else _NONE, "entries/s"),
            (size_for_people(synced / seconds) if seconds else _NONE, "a second"),
            (f"{syncing / groups * 1000:.1f}\u00a0ms" if groups else _NONE, "a sync"),
            (f"{stats['lag_seconds']:.1f}\u00a0s", "behind"),
            (f"{stats['entries']:,}", "entries"),
            (size_for_people(disk["used"]), "used"),
            (size_for_people(disk["free"]), "free"),
            (f"{tails['open']}" + (f" ({tails['parked']} parked)" if tails["parked"] else ""), "tails"),
            (f"{counts['late']:,}", "late"),
            (f"{counts['quarantined']:,}", "quarantined"),
            (f"{journal['failures']:,}", "journal failures"),
        ]
        lost = _lost(counts)
        rows = [[why, f"{count:,}"] for why, count in sorted(lost.items(), key=lambda item: -item[1]) if count]
        return {
            "name": self._name,
            "alarm": stats["trouble"] or "",
            "facts": facts,
            "note": "" if rows else "Everything that came since its start was kept.",
            "head": ["Not kept since its start", "Entries"],
            "rows": rows,
        }

    def _sampled(self, stats: dict[str, Any]) -> dict[str, Any]:
        """Keep these figures; the oldest ones that rates may begin with."""
        samples = self._samples
        if samples and stats["seconds"] < samples[-1]["seconds"]:  # the log has been started again
            samples.clear()
        while samples and stats["seconds"] - samples[0]["seconds"] > OLDEST_SECONDS:
            samples.popleft()
        if not samples or stats is not samples[-1]:
            samples.append(stats)
        return samples[0]

    def __repr__(self) -> str:
        return f"<LogsPanel {self._name}>"


def _lost(counts: dict[str, Any]) -> dict[str, int]:
    """How many were not kept, by why."""
    return {
        "malformed": counts["rejected"],
        "refused: over the budget of their source": counts["over_budget"],
        "dropped: of the log's own process, faster than it writes": counts["dropped"],
        **{_REFUSED.get(reason, f"refused: {reason}"): count for reason, count in counts["refused"].items()},
        **{
            f"syslog over {transport.upper()}: {reason}": count
            for transport, reasons in counts["syslog"].items()
            for reason, count in reasons.items()
            if reason not in ("received", "over-budget")  # which is counted above
        },
        **{_EXPIRED.get(reason, f"removed: {reason}"): count for reason, count in counts["expired"].items()},
    }
