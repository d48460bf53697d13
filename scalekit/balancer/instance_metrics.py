"""Numbers of the roster, for Prometheus: how many instances are in which state, and how often that has changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from scalekit.balancer.instance import Transition
from scalekit.balancer.roster import Roster

#: Series that are kept; services that are gone are forgotten beyond it, since apps may name ever new ones.
SERIES_LIMIT = 10_000


class InstanceMetrics(Collector):
    """Reads the roster when it is asked, and counts transitions."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self._transitions: Counter[tuple[str, str, str]] = Counter()
        roster.observe(self._count)

    def _count(self, change: Transition) -> None:
        if len(self._transitions) >= SERIES_LIMIT:
            present = set(self._roster.services())
            for key in [key for key in self._transitions if key[0] not in present]:
                del self._transitions[key]
        self._transitions[change.instance.service, change.before or "none", change.after] += 1

    def collect(self) -> Iterator[Metric]:
        instances = GaugeMetricFamily(
            "scalekit_instances", "App servers, by service and state.", labels=["service", "state"]
        )
        panic = GaugeMetricFamily(
            "scalekit_panic", "Whether fewer than half of a service's app servers are well.", labels=["service"]
        )
        transitions = CounterMetricFamily(
            "scalekit_transitions",
            "Changes of app servers' states, by service.",
            labels=["service", "before", "after"],
        )
        for service in self._roster.services():
            states = Counter(str(one.state) for one in self._roster.instances(service))
            for state, count in states.items():
                instances.add_metric([service, state], count)
            panic.add_metric([service], self._roster.is_panicking(service))
        for key, count in self._transitions.items():
            transitions.add_metric(list(key), count)
        yield from (instances, panic, transitions)
