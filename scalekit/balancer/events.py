"""
What has changed lately: a ring of the last thousand events, each with an id that a reader can go on from.

An id is ``RUN-NUMBER``: the run is another one after each start of the balancer, so that nobody takes the numbers of
this run for those of the last.  Readers keep the number of the last event that they were given; a slow one keeps nobody
else, and nothing is kept for it: once its place has left the ring it is told that it has missed something.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from scalekit.balancer.instance import Notice, Transition

#: A deployment of a hundred instances is some six hundred transitions; at 250 bytes each this is a quarter of a MiB.
EVENTS_KEPT = 1000


class EventLog:
    """
    :param run: names this run of the balancer.
    :param wall: seconds since the epoch, for people.

    :ivar newest: the number of the last event; 0 before the first.
    """

    def __init__(self, run: str, wall: Callable[[], float]) -> None:
        self._run = run
        self._wall = wall
        self._ring: deque[bytes] = deque(maxlen=EVENTS_KEPT)
        self._observers: list[Callable[[], None]] = []
        self.newest = 0

    def observe(self, observer: Callable[[], None]) -> None:
        """Call this after each event."""
        self._observers.append(observer)

    def transition(self, change: Transition) -> None:
        """Note it; an observer for `scalekit.balancer.roster.Roster.observe`."""
        instance = change.instance
        self._note(
            "transition",
            {
                "service": instance.service,
                "id": instance.id,
                "before": change.before,
                "after": change.after,
                "reason": change.reason,
            },
        )

    def notice(self, notice: Notice) -> None:
        """Note it; for `scalekit.balancer.roster.Roster.observe_notices`."""
        self._note(notice.kind, {"service": notice.service, "detail": notice.detail})

    def after(self, number: int) -> bytes | None:
        """All events after this one, as a stream of server-sent events; None if some of them are gone."""
        missing = self.newest - number
        if missing < 0 or missing > len(self._ring):
            return None
        return b"".join(self._ring[index] for index in range(len(self._ring) - missing, len(self._ring)))

    def recent(self, count: int) -> list[dict[str, Any]]:
        """The last of them, the oldest first: each has ``event``, ``at`` and what was said of it."""
        found = []
        for index in range(max(0, len(self._ring) - count), len(self._ring)):
            _, kind, data, *_ = self._ring[index].split(b"\n")
            found.append(
                {"event": kind.removeprefix(b"event: ").decode(), **msgspec.json.decode(data[len(b"data: ") :])}
            )
        return found

    def number_of(self, id: str) -> int | None:
        """The number of an event that is, or was, of this run; None for any other id."""
        run, _, number = id.rpartition("-")
        if run != self._run or not number.isascii() or not number.isdigit() or len(number) > 18:
            return None
        return int(number)

    def id_of(self, number: int) -> str:
        """What a reader goes on from by Last-Event-ID."""
        return f"{self._run}-{number}"

    def _note(self, kind: str, said: dict[str, str | None]) -> None:
        self.newest += 1
        data = msgspec.json.encode({"at": round(self._wall(), 3), **said})
        self._ring.append(b"id: %b\nevent: %b\ndata: %b\n\n" % (self.id_of(self.newest).encode(), kind.encode(), data))
        for observer in self._observers:
            observer()

    def __repr__(self) -> str:
        return f"<EventLog {self._run} newest={self.newest} kept={len(self._ring)}>"
