"""What the dashboard shows of a cache: how often it has what is asked for, its size, what has left it, and hot keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from zope.interface import implementer

from scalekit.cache.store import Store
from scalekit.config.quantities import size_for_people
from scalekit.interfaces import IPanel

# A page or a terminal full.
MOST_HOT = 20
_SHOWN = 8  # of a page that has other things to show too


def store_stats(store: Store) -> dict[str, Any]:
    """
    The counters of a store, as JSON has them.

    ``hottest`` are the keys that are served most, ``share`` of all hits; a key that is no text has ``\\x`` in it.
    """
    hottest = [
        {"key": key.decode(errors="backslashreplace"), "share": round(share, 6)}
        for key, share in store.hottest.top(MOST_HOT)
    ]
    return msgspec.structs.asdict(store.stats()) | {"hottest": hottest}


@implementer(IPanel)
class CachePanel:
    """
    :param name: what it is called.
    :param stats: tells its `store_stats`, or why it does not, in words.
    """

    def __init__(self, name: str, stats: Callable[[], dict[str, Any] | str]) -> None:
        self._name = name
        self._stats = stats

    def view(self) -> dict[str, Any]:
        stats = self._stats()
        if isinstance(stats, str):
            return {"name": self._name, "alarm": "", "facts": [], "note": stats, "head": [], "rows": []}
        asked = stats["hits"] + stats["misses"]
        facts = [
            (_percent(stats["hits"], asked), "hits"),
            (f"{asked:,}", "look-ups"),
            (f"{size_for_people(stats['bytes'])} of {size_for_people(stats['max_bytes'])}", "held"),
            (f"{stats['entries']:,}", "entries"),
        ]
        left = (("evicted", "evicted"), ("expired", "expired"), ("invalidated", "purged"), ("replaced", "replaced"))
        facts += [(f"{stats[name]:,}", what) for name, what in left]
        rows = [[each["key"], f"{each['share']:.1%}"] for each in stats["hottest"][:_SHOWN]]
        note = "" if rows else "Nothing has been served yet."
        head = ["Hottest keys", "Of all hits"]
        return {"name": self._name, "alarm": "", "facts": facts, "note": note, "head": head, "rows": rows}

    def __repr__(self) -> str:
        return f"<CachePanel {self._name}>"


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "\u2013"
