"""What came of requests in the front: plain integers, read by the Prometheus library when somebody asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

#: How a request was answered, as the access log has it, see `Counts`.
RESULTS = ("hit", "stale", "revalidated", "collapsed", "miss", "bypassed")


class Counts:
    """
    Of one service.

    :ivar hit: answered out of the store, fresh; ``stale``: although it was not; ``revalidated``: the app server said
        that it was still good.
    :ivar collapsed: answered with what another request was just fetching; ``miss``: with what it has fetched itself.
    :ivar bypassed: left to the app server as no cache may answer it.
    :ivar refreshes: how often the app server was asked behind an answer that was stale.
    """

    __slots__ = ("bypassed", "collapsed", "hit", "miss", "refreshes", "revalidated", "stale")

    def __init__(self) -> None:
        self.hit = self.stale = self.revalidated = self.collapsed = self.miss = self.bypassed = self.refreshes = 0

    def __repr__(self) -> str:
        return f"<Counts {' '.join(f'{name}={getattr(self, name)}' for name in self.__slots__)}>"


class FrontCollector(Collector):
    """:param counts: by service."""

    def __init__(self, counts: Mapping[str, Counts]) -> None:
        self._counts = counts

    def collect(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "scalekit_http_cache_requests",
            "Requests for services whose answers are kept, by what came of them.",
            labels=["service", "result"],
        )
        refreshes = CounterMetricFamily(
            "scalekit_http_cache_refreshes", "Times that a stale answer was refreshed behind.", labels=["service"]
        )
        for service, counts in list(self._counts.items()):
            for result in RESULTS:
                requests.add_metric([service, result], getattr(counts, result))
            refreshes.add_metric([service], counts.refreshes)
        yield from (requests, refreshes)
