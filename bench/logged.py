"""What the log has come to: logs.json, and the tables that are made from it."""

from __future__ import annotations

import msgspec

from bench.results import Goal
from bench.table import goal_table, simple_table

BEGIN, END = ".. The table below is written by bench.logs.", ".. The table above is written by bench.logs."
#: What a 200 of ours means.
ON_DISK = "synced, in order, once"


class Found(msgspec.Struct, frozen=True):
    """What is wrong with a log: how many entries are lost, came twice, stand before an older one; of how many."""

    entries: int
    lost: int
    twice: int
    disorder: int

    @property
    def is_good(self) -> bool:
        """Nothing is."""
        return not (self.lost or self.twice or self.disorder)


class Round(msgspec.Struct, frozen=True):
    """
    Entries that were written to a log.

    :ivar name: which of the rounds it is.
    :ivar title: the same for people.
    :ivar promise: what has become of an entry when its sender has been told that it is there.
    :ivar seconds: how long it took.
    :ivar cpu_seconds: of the log, until all of it was in its file; `system_seconds` is the kernel's part of it.
    :ivar p50_ms: of requests; 0.0 where nothing is acknowledged.
    :ivar resident: bytes, at most.
    :ivar sync_ms: the median and the 99th percentile of what the disk takes for a sync just before.
    """

    name: str
    title: str
    promise: str
    acknowledged: int
    seconds: float
    cpu_seconds: float
    system_seconds: float
    p50_ms: float
    p99_ms: float
    resident: int
    refusals: int
    found: Found
    sync_ms: tuple[float, float] = (0.0, 0.0)

    @property
    def rate(self) -> float:
        """Entries a second."""
        return self.acknowledged / self.seconds

    @property
    def rate_of_core(self) -> float:
        """Entries for each second that it had a core."""
        return self.acknowledged / self.cpu_seconds if self.cpu_seconds else 0.0


class Replay(msgspec.Struct, frozen=True):
    """A start on a journal in which nothing is written yet."""

    entries: int
    seconds: float
    cpu_seconds: float


class Kills(msgspec.Struct, frozen=True):
    """What was left after a log was killed again and again."""

    rounds: int
    seconds: float
    acknowledged: int
    found: Found


class Logged(msgspec.Struct):
    """A whole run."""

    date: str
    machine: dict[str, str]
    versions: dict[str, str]
    rounds: list[Round]
    replay: Replay | None = None
    kills: Kills | None = None


def goals(logged: Logged) -> list[Goal]:
    """Each goal that this run can tell about."""
    found: list[Goal] = []
    rounds = {one.name: one for one in logged.rounds}
    if "batches" in rounds:
        found.append(Goal("batches: entries for a second of a core", 150_000, rounds["batches"].rate_of_core))
    if "single" in rounds:
        found.append(Goal("single entries for a second of a core", 5_000, rounds["single"].rate_of_core))
        found.append(Goal("single entries a second", 5_000, rounds["single"].rate))
        found.append(Goal("single entries: p99, ms", 20, rounds["single"].p99_ms, is_most=True))
    if "memory" in rounds:
        memory = rounds["memory"]
        text = f"{memory.title}: MiB resident after {memory.seconds:,.0f} s"
        found.append(Goal(text, 150, memory.resident / 1048576, is_most=True))
    if logged.replay is not None:
        found.append(Goal("replay at a start: entries/s", 500_000, logged.replay.entries / logged.replay.seconds))
    if logged.kills is not None:
        kills = logged.kills.found
        text = f"{logged.kills.rounds} kills: entries lost, twice, or out of order"
        found.append(Goal(text, 0, kills.lost + kills.twice + kills.disorder, is_most=True))
    return found


def report(logged: Logged) -> str:
    """Everything, with date, versions and method."""
    versions = ", ".join(f"{name} {number}" for name, number in logged.versions.items())
    method = (
        f"{logged.date}, {logged.machine['processor']}, {logged.machine['cores']} cores; {versions}. The log is on one "
        "core, its writers are on another. Every entry is numbered; after each round all that the log holds is read, "
        "and compared with what was acknowledged. Entries to scalekit come over TLS, to rsyslog over TCP in clear and "
        "without an answer: its rate is that of its file. A second of a core is the CPU time that the log used until "
        "all was in its file: what other programs on the machine take does not count, nor does the "
        "process that makes indexes behind it, on the writers' core. Sync is what this disk took for one just before "
        "the round, p50 and p99: an acknowledgement waits for one or two."
    )
    rows = [
        [
            one.title,
            f"{one.rate:,.0f}",
            f"{one.rate_of_core:,.0f}",
            f"{one.system_seconds / one.cpu_seconds:.0%}" if one.cpu_seconds else "-",
            f"{one.p50_ms:,.1f}" if one.p50_ms else "-",
            f"{one.p99_ms:,.1f}" if one.p99_ms else "-",
            f"{one.sync_ms[0]:.1f}, {one.sync_ms[1]:.1f}" if one.sync_ms[1] else "-",
            f"{one.resident / 1048576:,.0f}",
        ]
        for one in logged.rounds
    ]
    head = ["the log", "entries/s", "for a second of a core", "system", "p50 ms", "p99 ms", "sync ms", "MiB"]
    kept = [
        [one.title, one.promise, f"{one.found.entries:,}", *(f"{count:,}" for count in _wrong(one.found))]
        for one in logged.rounds
    ]
    if logged.kills is not None:
        found = logged.kills.found
        title = f"scalekit, killed {logged.kills.rounds} times in {logged.kills.seconds:,.0f} s"
        kept.append([title, ON_DISK, f"{found.entries:,}", *(f"{count:,}" for count in _wrong(found))])
    said = ["", "what is acknowledged", "entries there", "lost", "twice", "out of order"]
    tables = [simple_table(head, rows)] if rows else []
    tables += [simple_table(said, kept)] if kept else []
    parts = [method, *tables, goal_table(goals(logged))]
    return "\n\n".join(parts) + "\n"


def _wrong(found: Found) -> tuple[int, int, int]:
    return found.lost, found.twice, found.disorder
