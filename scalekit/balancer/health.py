"""
When an instance is probed, and what the answers mean: counters and a schedule, no clock and no socket.

The numbers are HAProxy's (every 2 s, rise 2, fall 3): acting on a single probe, as Traefik and Caddy do, makes an
instance flap at every garbage collection.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

LEAVING_STATUS = 410  # of a probe: takes nothing new from now on (RFC 9110 section 15.5.11: Gone, and likely for good)
TRANSITION_SECONDS = 0.5  # while up is in doubt or on its way: three failures are seen within 1.5 s
DOWN_SECONDS = 5.0  # a dead server need not be asked often; it is back within this and one more probe
RECENT = 10  # probes that are remembered for people to see: twenty seconds of one that is well
JITTER = 0.2  # of the interval either way, so that many balancers and instances do not fall into step


class HealthRules(NamedTuple):
    """
    What the configuration may say otherwise.

    :ivar interval: seconds between two probes of an instance that is up (HAProxy's ``inter``).
    :ivar timeout: seconds that one probe may take, connecting included: half the interval.
    :ivar rise: passes in a row until it is up.
    :ivar fall: failures in a row until it is down.
    :ivar path: what is asked for.
    :ivar status: the one that is well; None: any 2xx.
    :ivar text: what the body of a good answer must hold; empty: it may say anything.
    """

    interval: float = 2.0
    timeout: float = 1.0
    rise: int = 2
    fall: int = 3
    path: str = "/ping"
    status: int | None = None
    text: bytes = b""

    def is_well(self, status: int) -> bool:
        """Whether who answers so passes, if the text is there too."""
        return 200 <= status < 300 if self.status is None else status == self.status


class Health:
    """
    One instance's counters.

    :ivar passes: probes passed in a row.
    :ivar failures: probes failed in a row.
    :ivar recent: the last probes, ``+`` passed and ``-`` failed, the latest last.
    :ivar told: what the last one brought, for people; ``told_at``: when; None: there was none yet.
    :ivar due: when the next probe starts; None: none is planned, because one is running or it is not probed any more.
    """

    __slots__ = ("due", "failures", "passes", "recent", "rules", "told", "told_at")

    def __init__(self, rules: HealthRules) -> None:
        self.rules = rules
        self.passes = 0
        self.failures = 0
        self.recent = ""
        self.told = ""
        self.told_at: float | None = None
        self.due: float | None = None

    def passed(self) -> bool:
        """Count a probe that passed; returns whether that makes an instance up that was not."""
        self.failures = 0
        self.passes += 1
        self.recent = self.recent[1 - RECENT :] + "+"
        return self.passes >= self.rules.rise

    def failed(self) -> bool:
        """Count a probe that failed; returns whether that makes an instance down that was not."""
        self.passes = 0
        self.failures += 1
        self.recent = self.recent[1 - RECENT :] + "-"
        return self.failures >= self.rules.fall

    def forget(self) -> None:
        """Start counting anew."""
        self.passes = self.failures = 0

    def interval(self, is_down: bool) -> float:
        """Seconds until the next probe, before jitter."""
        if is_down and self.passes == 0:
            return max(self.rules.interval, DOWN_SECONDS)
        if not is_down and self.passes >= self.rules.rise:
            return self.rules.interval
        return min(self.rules.interval, TRANSITION_SECONDS)

    def __repr__(self) -> str:
        return f"<Health passes={self.passes} failures={self.failures} due={self.due}>"


Item = TypeVar("Item")


class Schedule(Generic[Item]):
    """
    Which items are due: a heap in which an outdated entry is left where it is and skipped once it comes up.

    :param random: returns a number from 0 to 1, as `random.random` does.
    """

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._heap: list[tuple[float, int, Health, Item]] = []
        self._count = 0  # orders entries that are due at the same time; items are never compared

    def start(self, health: Health, item: Item, now: float) -> None:
        """Plan the first probe of an item at a random offset within the transition interval."""
        self._push(health, item, now + TRANSITION_SECONDS * self._random())

    def plan(self, health: Health, item: Item, interval: float, now: float) -> None:
        """Plan the next probe an interval from now, with jitter."""
        self._push(health, item, now + interval * (1 + JITTER * (2 * self._random() - 1)))

    def hasten(self, health: Health, item: Item, now: float) -> None:
        """Probe at once, unless a probe is running or is due anyway."""
        if health.due is not None and health.due > now:
            self._push(health, item, now)

    def stop(self, health: Health) -> None:
        """Plan no further probe."""
        health.due = None

    def due(self, now: float, limit: int) -> list[Item]:
        """Up to this many items that are due, the longest due first; nothing is planned for them from here on."""
        items: list[Item] = []
        while self._heap and self._heap[0][0] <= now and len(items) < limit:
            due, _, health, item = heapq.heappop(self._heap)
            if health.due == due:
                health.due = None
                items.append(item)
        return items

    def next_deadline(self) -> float | None:
        """When something is due next; None: never."""
        while self._heap and self._heap[0][2].due != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def _push(self, health: Health, item: Item, due: float) -> None:
        health.due = due
        self._count += 1
        heapq.heappush(self._heap, (due, self._count, health, item))

    def __repr__(self) -> str:
        return f"<Schedule entries={len(self._heap)} next={self.next_deadline()}>"
