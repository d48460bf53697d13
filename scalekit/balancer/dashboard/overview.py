"""What the dashboard shows, as plain data: a service's view with numbers, probes and what waits; the last events."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from scalekit.balancer.dashboard.rates import Counts, Rate, Rates
from scalekit.balancer.events import EventLog
from scalekit.balancer.listing import Listing
from scalekit.balancer.roster import Roster

#: Rows of a page that a browser still shows at once, each 2 s; beyond it the page says how many more there are.
INSTANCES_SHOWN = 500
SERVICES_SHOWN = 200
EVENTS_SHOWN = 30
#: A view and its page of 500 instances take 12 ms, in which no request goes on: once a second does for all readers.
FRESH_SECONDS = 1.0


class Overview:
    """
    :param counts: requests by how long they took, of each instance of each service.
    :param waiting: how many requests of a service wait in line.
    :param clock: of the roster's time.
    :param panels: what other features show, `scalekit.interfaces.IPanel` each.
    """

    def __init__(
        self,
        roster: Roster,
        listing: Listing,
        events: EventLog,
        counts: Callable[[], Counts],
        rates: Rates,
        waiting: Callable[[str], int],
        clock: Callable[[], float],
        panels: Sequence[Any] = (),
    ) -> None:
        self._roster = roster
        self._listing = listing
        self._events = events
        self._counts = counts
        self._rates = rates
        self._waiting = waiting
        self._clock = clock
        self._panels = panels
        self._kept: dict[str, Any] = {}
        self._kept_at = float("-inf")
        self._kept_of = (-1, -1)

    def view(self) -> dict[str, Any]:
        """
        All of it; ``hidden`` counts the services and the instances that are left out.

        The same object as before, if that is younger than a second and nothing but numbers can have changed.
        """
        now = self._clock()
        present = (self._roster.revision, self._events.newest)
        if present != self._kept_of or now - self._kept_at >= FRESH_SECONDS:
            self._kept, self._kept_at, self._kept_of = self._made(now), now, present
        return self._kept

    def _made(self, now: float) -> dict[str, Any]:
        self._rates.take(self._counts(), now)
        names = self._listing.names()
        services = []
        room = INSTANCES_SHOWN
        hidden = 0
        for name in names[:SERVICES_SHOWN]:
            view = self._listing.service_view(name)
            instances = view["instances"]
            view["total"] = len(instances)
            hidden += len(instances) - len(instances[:room])
            view["instances"] = instances = instances[:room]
            room -= len(instances)
            for one, instance in zip(instances, self._roster.instances(name), strict=False):
                health = instance.health
                one["rate"] = _rate_view(self._rates.of(name, instance.id))
                one["probes"] = {
                    "recent": health.recent,
                    "last": health.told,
                    "seconds": None if health.told_at is None else round(max(0.0, now - health.told_at), 3),
                }
            services.append(view | {"rate": _rate_view(self._rates.of(name)), "waiting": self._waiting(name)})
        return {
            "services": services,
            "hidden": {"services": max(0, len(names) - SERVICES_SHOWN), "instances": hidden},
            "panels": [panel.view() for panel in self._panels],
            "events": self._events.recent(EVENTS_SHOWN),
        }


def _rate_view(rate: Rate | None) -> dict[str, float | None]:
    if rate is None:
        return {"per_second": None, "p50": None, "p99": None}
    return {
        "per_second": round(rate.per_second, 2),
        "p50": None if rate.median is None else round(rate.median, 6),
        "p99": None if rate.slowest is None else round(rate.slowest, 6),
    }
