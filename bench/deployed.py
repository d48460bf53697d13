"""What a deploy under load has come to: deploy.json, and the tables that are made from it."""

from __future__ import annotations

from collections import Counter

import msgspec

from bench.table import simple_table
from tests.scenarios.mixed_load import MixedLoad

BEGIN, END = ".. The table below is written by bench.deploy.", ".. The table above is written by bench.deploy."
KINDS = ("GET", "POST", "stream", "message", "WebSocket")
#: Of the faults that are kept, to be read.
MOST_KEPT = 30


class Kind(msgspec.Struct, frozen=True):
    """Requests of a kind; latencies of those that went well, milliseconds.  ``WebSocket`` is the opening of one."""

    kind: str
    done: int
    failed: int
    p50_ms: float
    p99_ms: float
    max_ms: float


class Restart(msgspec.Struct, frozen=True):
    """How long an app server took to go once it got the signal, and the next one to take requests."""

    server: str
    leaving_seconds: float
    joining_seconds: float


class Run(msgspec.Struct, frozen=True):
    """
    One load balancer's deploy.

    :ivar twice: POSTs that were done twice.
    :ivar unsaid: those that were done and answered with an error.
    :ivar closed: how many WebSockets were told to come back, by code.
    :ivar retries: how many requests were sent a second time.
    """

    proxy: str
    kinds: list[Kind]
    twice: int
    unsaid: int
    closed: dict[str, int]
    retries: int
    restarts: list[Restart]
    faults: list[str]

    @property
    def failed(self) -> int:
        """Of all kinds."""
        return sum(kind.failed for kind in self.kinds)


class Deploys(msgspec.Struct, frozen=True):
    """A whole run."""

    date: str
    machine: dict[str, str]
    versions: dict[str, str]
    clients: int
    stream_seconds: float
    restarts: int
    pause_seconds: float
    runs: list[Run]


def run_of(proxy: str, load: MixedLoad, posted: list[str], retries: int, restarts: list[Restart]) -> Run:
    """
    What has come of it.

    :param posted: the names of the POSTs as the app servers have done them.
    """
    failed = Counter(fault.kind for fault in load.faults)
    done = Counter(posted)
    return Run(
        proxy,
        [kind_of(kind, load.seconds[kind], failed[kind]) for kind in KINDS],
        sum(times > 1 for times in done.values()),
        len(done.keys() - set(load.posted)),
        {str(code): count for code, count in sorted(load.closed.items())},
        retries,
        restarts,
        [f"{fault.kind} {fault.name}: {fault.what}" for fault in load.faults[:MOST_KEPT]],
    )


def kind_of(kind: str, seconds: list[float], failed: int) -> Kind:
    """The figures of a kind."""
    times = sorted(seconds)
    p50, p99, most = (times[len(times) // 2], times[len(times) * 99 // 100], times[-1]) if times else (0.0, 0.0, 0.0)
    return Kind(kind, len(times), failed, p50 * 1000, p99 * 1000, most * 1000)


def report(deploys: Deploys) -> str:
    """Tables for people."""
    versions = ", ".join(f"{name} {number}" for name, number in deploys.versions.items())
    method = (
        f"{deploys.date}, {deploys.machine['processor']}, {deploys.machine['cores']} cores; {versions}. "
        f"gunicorn, uvicorn, granian and Twisted, each restarted {deploys.restarts} times in turn by SIGTERM, "
        f"{deploys.pause_seconds:g} s apart; {deploys.clients} clients, of which half have a stream "
        f"of {deploys.stream_seconds:g} s under way at any time. A message is one that a WebSocket echoes, a WebSocket "
        "the opening of one; one that was closed with 1001 or 1012 and could be opened again is no failure. "
        "Milliseconds are of those that went well."
    )
    rows = [
        [
            f"{run.proxy}: {kind.kind}",
            f"{kind.done:,}",
            f"{kind.failed:,}",
            f"{kind.p50_ms:,.1f}",
            f"{kind.p99_ms:,.1f}",
            f"{kind.max_ms:,.0f}",
        ]
        for run in deploys.runs
        for kind in run.kinds
    ]
    kinds = simple_table(["a deploy under load", "done", "failed", "p50 ms", "p99 ms", "max ms"], rows)

    def leaving(run: Run) -> str:
        each: dict[str, list[float]] = {}
        for restart in run.restarts:
            each.setdefault(restart.server, []).append(restart.leaving_seconds)
        return ", ".join(f"{server} {max(times):.1f}" for server, times in each.items())

    summary = [
        [
            run.proxy,
            f"{run.failed:,}",
            f"{run.twice:,}",
            f"{run.unsaid:,}",
            f"{run.retries:,}",
            ", ".join(f"{count} x {code}" for code, count in run.closed.items()) or "none",
        ]
        for run in deploys.runs
    ]
    head = ["", "failed", "POSTs twice", "done, but answered with an error", "retried", "WebSockets told to come back"]
    seconds = [
        f"{run.proxy}: at most this many seconds from SIGTERM to the end: {leaving(run)}." for run in deploys.runs
    ]
    return "\n\n".join([method, kinds, simple_table(head, summary), *seconds]) + "\n"
