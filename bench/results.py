"""What a run found out: results.json, and the figures that are drawn from it."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median

import msgspec

from bench.idle import Idle
from bench.load import Round
from bench.transaction import Transaction

OURS, REFERENCE, STOCK = "scalekit", "nginx", "ReverseProxyResource"
#: Under this share of its core's time a proxy has waited for the client, and how many it took says little.
BUSY = 0.8


class Row(msgspec.Struct):
    """One proxy in one case; ``tls`` is what was agreed on, ``note`` says what is wrong or special."""

    proxy: str
    rounds: list[Round] = []
    tls: str = ""
    note: str = ""

    @property
    def requests_per_second(self) -> float:
        """The median round's."""
        return self._median(lambda round_: round_.load.requests_per_second)

    @property
    def user_us(self) -> float:
        """CPU time of a request outside the kernel, microseconds."""
        return self._median(lambda round_: round_.user_us)

    @property
    def system_us(self) -> float:
        """CPU time of a request in the kernel, microseconds."""
        return self._median(lambda round_: round_.system_us)

    @property
    def cpu_us(self) -> float:
        """Both."""
        return self._median(lambda round_: round_.user_us + round_.system_us)

    @property
    def p99_us(self) -> float:
        """Latency that one in a hundred exceeds, microseconds; at full load."""
        return self._median(lambda round_: round_.load.p99_us)

    @property
    def busy(self) -> float:
        """How much of its core's time a proxy has worked."""
        return self._median(lambda round_: (round_.user_us + round_.system_us) * round_.load.requests_per_second / 1e6)

    def _median(self, figure: Callable[[Round], float]) -> float:
        return median(map(figure, self.rounds)) if self.rounds else 0.0

    def remarks(self) -> list[str]:
        """What a reader must know about this row."""
        bad = sum(round_.load.bad_answers for round_ in self.rounds)
        errors = sum(round_.load.socket_errors for round_ in self.rounds)
        return [
            *([self.note] if self.note else []),
            *([f"{bad} answers were not 2xx"] if bad else []),
            *([f"{errors} socket errors"] if errors else []),
            *([f"busy for {self.busy:.0%} of the time"] if self.rounds and self.busy < BUSY else []),
        ]


class Case(msgspec.Struct):
    """What was asked for, how, and how each did; ``streams`` are each connection's, ``unit`` is what was counted."""

    name: str
    title: str
    connections: int
    rows: list[Row]
    streams: int = 1
    unit: str = "requests"

    def row(self, proxy: str) -> Row | None:
        """The row of a proxy that was measured."""
        return next((row for row in self.rows if row.proxy == proxy and row.rounds), None)

    def rate_ratio(self, proxy: str, to: str = REFERENCE) -> float | None:
        """How many times as many requests a second one takes as another; None if either is missing."""
        row, other = self.row(proxy), self.row(to)
        if row is None or other is None or not other.requests_per_second:
            return None
        return row.requests_per_second / other.requests_per_second

    def cpu_ratio(self, proxy: str, to: str = REFERENCE) -> float | None:
        """The same by CPU time: how many requests it could answer in the time of one of the other's."""
        row, other = self.row(proxy), self.row(to)
        if row is None or other is None or not row.cpu_us:
            return None
        return other.cpu_us / row.cpu_us


class Results(msgspec.Struct):
    """A whole run."""

    date: str
    machine: dict[str, str]
    versions: dict[str, str]
    rounds: int
    seconds: int
    cases: list[Case]
    transaction: Transaction | None = None
    transaction_note: str = ""
    idle: Idle | None = None


class Goal(msgspec.Struct):
    """What was set out for, and what has come of it."""

    text: str
    wanted: float
    got: float
    is_most: bool = False  # else the least that is wanted

    @property
    def is_met(self) -> bool:
        return self.got <= self.wanted if self.is_most else self.got >= self.wanted


def goals(results: Results) -> list[Goal]:
    """Each goal that this run can tell about."""
    found = []

    def add(text: str, wanted: float, got: float | None, is_most: bool = False) -> None:
        if got is not None:
            found.append(Goal(text, wanted, got, is_most))

    cases = {case.name: case for case in results.cases}
    for name, wanted in (("clear", 0.5), ("tls", 0.5), ("http2", 0.7), ("large", 0.5)):
        if name in cases:
            add(f"{cases[name].title}: requests/s to nginx's", wanted, cases[name].rate_ratio(OURS))
    for name, wanted in (("keyvalue", 0.5), ("cached", 0.9), ("cached-http2", 1.0)):
        if name in cases:
            add(f"{cases[name].title}: requests/s to nginx's", wanted, cases[name].rate_ratio(OURS))
    if "cached" in cases:
        add(f"{cases['cached'].title}: requests/s to Varnish's", 1.0, cases["cached"].rate_ratio(OURS, "varnish"))
    if "clear" in cases:
        add(f"{cases['clear'].title}: requests/s to {STOCK}'s", 8.0, cases["clear"].rate_ratio(OURS, STOCK))
    ours = results.idle.row(OURS) if results.idle is not None else None
    if ours is not None and ours.clear is not None:
        add("memory of an idle connection in clear, KiB", 8.0, ours.clear / 1024, True)
    if results.transaction is not None:
        each = results.transaction.medians()
        add("transaction made directly, ms", 10.0, each["direct"])
        add("transaction: added by the balancer, ms", 1.0, results.transaction.added("direct", "balanced"), True)
        add("transaction: from the cache, times as fast", 5.0, each["direct"] / each["cached"])
    return found
