"""
``python -m bench.neighbours``: what clients of other app servers notice of one that behaves badly.

Clients at a steady pace ask a service whose app server is well, and their latencies are measured.  Beside them others,
at a quarter of that pace, ask another service: in turn one that is well, and one of an app server that hangs, sends a
byte a second, garbage, more or less than it says, or that is gone in the middle of an answer or before it
(``tests/scenarios/bad_app.py``).  It is the only one of its service, so that it is never taken out: the worst case.

A turn is over two seconds, so whatever else the machine does is about the same for both; and the half of the turns of
either counts in which it was calmer, which is told by how long balancer and measuring process had to wait for their
cores.  Prints a table, in milliseconds, and in it for both how much of a second that was (``held``).  If it was much
more beside one of the two than beside the other, it is measured again.  Exits with 1 if the 99th percentile beside one
of them is over twice what it is beside one that is well.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles
from typing import NamedTuple

from bench.machine import cores
from bench.proxies import Place, missing, start_backend, twistd
from bench.servers import Server, free_ports, pinned
from tests.scenarios.bad_app import KINDS

#: Requests a second of those that are measured: under a tenth of what one core takes, so that nothing waits for
#: anything, and enough in a turn that its 99th percentile is no single moment.
PACE = 400
NEIGHBOURS_PACE = 100
#: The balancer waits so long for an answer: a hundred requests of each of the neighbours hang at a time.
FIRST_BYTE_SECONDS = 1
#: After this much of a turn as many hang as will, or none any more; only then it counts.
SETTLE_SECONDS = FIRST_BYTE_SECONDS + 0.5
TURN_SECONDS = SETTLE_SECONDS + 0.8
#: Before the first turn: the neighbours' process starts.
START_SECONDS = 1.0
MOST_SECONDS = 10.0
MOST_RATIO = 2.0
#: Milliseconds of a second for which the machine may hold up the two processes: twice what shows in a 99th percentile.
MOST_HELD = 20.0
#: And if it does so for half of the time, nothing can be told.
TOO_MUCH_HELD = 500.0
#: How often it is measured again where the machine was not calm enough.
MOST_TRIES = 3
FINE = "fine"

#: What shares the core of those who measure runs when they do not: it is the balancer that is to be seen.
_BEHIND = ("chrt", "--idle", "0")

Kept = list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]


class Asked(NamedTuple):
    """
    One request; times in seconds.

    :ivar due: when it was to be made.
    :ivar took: until its answer was whole.
    :ivar answer: its status, or ``cut``.
    """

    due: float
    took: float
    answer: str


async def ask(port: int, path: str, kept: Kept) -> str:
    """The status of one whole answer, or ``cut``; its connection is kept if it may be."""
    reader, writer = kept.pop() if kept else await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        (length,) = [int(line[15:]) for line in head.split("\r\n") if line.startswith("content-length:")]
        await reader.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
        return "cut"
    if "\r\nconnection: close\r\n" in head:
        writer.close()
    else:
        kept.append((reader, writer))
    return head[9:12]


async def ask_at_pace(
    port: int, path_at: Callable[[float], str], pace: float, began: float, seconds: float
) -> list[Asked]:
    """
    Ask so often a second, however long the answers take.

    :param path_at: what is asked for at a time.
    :param began: when it begins, on the clock of `time.monotonic`, which is the same for all processes.
    """
    asked: list[Asked] = []
    kept: Kept = []

    async def one(due: float) -> None:
        begun = time.monotonic()
        answer = await asyncio.wait_for(ask(port, path_at(due), kept), MOST_SECONDS)
        asked.append(Asked(due, time.monotonic() - begun, answer))

    under_way: list[asyncio.Task[None]] = []
    for number in range(round(pace * seconds)):
        due = began + number / pace
        await asyncio.sleep(due - time.monotonic())
        under_way.append(asyncio.create_task(one(due)))
    await asyncio.gather(*under_way)
    for _, writer in kept:
        writer.close()
    return asked


class Turns(NamedTuple):
    """Beside one that is well and beside another, in turn."""

    kind: str
    began: float
    pairs: int

    @property
    def seconds(self) -> float:
        """All of them."""
        return 2 * self.pairs * TURN_SECONDS

    def number(self, now: float) -> int:
        """Of the turn at that time; those of even numbers are beside one that is well."""
        return int((now - self.began) / TURN_SECONDS)

    def at(self, now: float) -> str:
        """Beside whom: `FINE` or the kind."""
        return self.kind if self.number(now) % 2 else FINE

    def path_at(self, now: float) -> str:
        """What the neighbours ask for."""
        return f"/{self.at(now)}"

    def counts(self, now: float) -> bool:
        """Whether what is asked at that time counts."""
        return (now - self.began) % TURN_SECONDS >= SETTLE_SECONDS


def configuration(folder: Path, public: int, private: int, backend: int, bad: dict[str, int]) -> str:
    """One service for those that are measured, and for each kind of neighbour another."""
    services = {"default": ("/", backend), FINE: (f"/{FINE}", backend)}
    services |= {kind: (f"/{kind}", port) for kind, port in bad.items()}
    tables = "".join(
        f'[[balancer.service]]\nname = "{name}"\npath = "{path}"\nservers = ["http://127.0.0.1:{port}"]\n'
        for name, (path, port) in services.items()
    )
    return f"""state_directory = "{folder}/state"
[balancer]
listen = ["http://127.0.0.1:{public}"]
access_log = "{folder}/access.log"
[balancer.timeouts]
first_byte = "{FIRST_BYTE_SECONDS}s"
{tables}[registration]
listen = ["http://127.0.0.1:{private}"]
"""


class Turn(NamedTuple):
    """What counts of one; ``held``: seconds for which balancer and measuring process waited for their cores."""

    held: float
    asked: list[Asked]


async def held(turns: Turns, pids: list[int]) -> list[float]:
    """For what counts of each turn, how long these processes have to wait for their cores."""

    def waited() -> float:
        # proc_pid_schedstat(5)
        return sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) for pid in pids) / 1e9

    found = []
    for number in range(2 * turns.pairs):
        end = turns.began + (number + 1) * TURN_SECONDS
        await asyncio.sleep(end - TURN_SECONDS + SETTLE_SECONDS - time.monotonic())
        before = waited()
        await asyncio.sleep(end - time.monotonic())
        found.append(waited() - before)
    return found


class Milliseconds(NamedTuple):
    """Of what was asked beside one kind of neighbour; ``held`` of each second."""

    p50: float
    p99: float
    held: float

    @classmethod
    def of(cls, turns: list[Turn]) -> Milliseconds:
        """Sum up the half of these turns in which the machine was calmer."""
        turns = sorted(turns, key=lambda turn: turn.held)[: (len(turns) + 1) // 2]
        percentiles = quantiles((one.took * 1e3 for turn in turns for one in turn.asked), n=100)
        waited = sum(turn.held for turn in turns) / len(turns)
        return cls(percentiles[49], percentiles[98], waited * 1e3 / (TURN_SECONDS - SETTLE_SECONDS))


def _told(answers: dict[str, int]) -> str:
    return ", ".join(f"{count} x {answer}" for answer, count in sorted(answers.items()))


class Measured(NamedTuple):
    """
    :ivar failed: what those that are measured got other than 200.
    :ivar theirs: what the clients of the one that is not well got.
    """

    kind: str
    fine: Milliseconds
    beside: Milliseconds
    failed: dict[str, int]
    theirs: dict[str, int]

    @property
    def ratio(self) -> float:
        """Of the 99th percentiles."""
        return self.beside.p99 / self.fine.p99

    @property
    def is_blurred(self) -> bool:
        """Whether the machine did too much else, or not the same for both."""
        both = self.fine.held, self.beside.held
        return max(both) > min(max(MOST_RATIO * min(both), MOST_HELD), TOO_MUCH_HELD)

    @property
    def line(self) -> str:
        """For the table."""
        fine, beside = self.fine, self.beside
        return (
            f"{self.kind:<10}{beside.p50:>7.2f}{beside.p99:>7.2f}{beside.held:>7.1f}"
            f"{fine.p50:>13.2f}{fine.p99:>7.2f}{fine.held:>7.1f}{self.ratio:>8.2f}   "
            + _told(self.theirs)
            + (f"; ours got {_told(self.failed)}" if self.failed else "")
            + ("; the machine was too busy" if self.is_blurred else "")
        )


HEADING = (
    f"{'neighbour':<10}{'p50':>7}{'p99':>7}{'held':>7}{'fine: p50':>13}{'p99':>7}{'held':>7}{'ratio':>8}   they got"
)


async def ask_and_watch(public: int, turns: Turns, pids: list[int]) -> tuple[list[Asked], list[float]]:
    """What is measured, and for each turn for how long these processes were held up."""
    watching = asyncio.create_task(held(turns, pids))
    asked = await ask_at_pace(public, lambda _: "/small", PACE, turns.began, turns.seconds)
    return asked, await watching


def measure(public: int, core: int, kind: str, pairs: int, balancer: int) -> Measured:
    """
    So many turns of each.

    :param balancer: its process.
    """
    turns = Turns(kind, time.monotonic() + START_SECONDS, pairs)
    command = [*_BEHIND, sys.executable, "-m", "bench.neighbours", "--ask", str(public), *map(str, turns)]
    neighbours = subprocess.Popen(pinned(core, command), stdout=subprocess.PIPE)
    try:
        asked, waits = asyncio.run(ask_and_watch(public, turns, [balancer, os.getpid()]))
        theirs: dict[str, int] = json.loads(neighbours.communicate(timeout=30)[0])
    finally:
        neighbours.kill()
    counted = [Turn(wait, []) for wait in waits]
    for one in asked:
        if turns.counts(one.due):
            counted[turns.number(one.due)].asked.append(one)
    failed = Counter(one.answer for one in asked if one.answer != "200")
    return Measured(kind, Milliseconds.of(counted[::2]), Milliseconds.of(counted[1::2]), failed, theirs)


def be_neighbours(port: str, kind: str, began: str, pairs: str) -> None:
    """The process of the neighbours' clients: prints what those of the kind got, as JSON."""
    turns = Turns(kind, float(began), int(pairs))
    asked = asyncio.run(ask_at_pace(int(port), turns.path_at, NEIGHBOURS_PACE, turns.began, turns.seconds))
    print(json.dumps(Counter(one.answer for one in asked if turns.at(one.due) == kind)))


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="bench.neighbours", description=__doc__)
    parser.add_argument("--turns", type=int, default=8, help="beside each (%(default)s)")
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="this one (may be given again)")
    parser.add_argument("--ask", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ask:
        be_neighbours(*given.ask)
        return 0
    lacking = missing(["nginx", "taskset"])
    if lacking:
        print(f"bench.neighbours needs {', '.join(lacking)}: install them with the system's packages", file=sys.stderr)
        return 1
    proxy_core, client_core = cores()
    os.sched_setaffinity(0, {client_core})
    # In memory, if there is such a place: who writes to a disk that others write to is held up for a tenth of a second.
    memory = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with tempfile.TemporaryDirectory(prefix="scalekit-bench-", dir=memory) as name:
        folder = Path(name)
        public, private, backend, *others = free_ports(3 + len(KINDS))
        bad = dict(zip(KINDS, others, strict=True))
        config = folder / "scalekit.toml"
        config.write_text(configuration(folder, public, private, backend, bad))
        place = Place(folder, proxy_core, client_core, backend, folder, folder, folder)
        app = [*_BEHIND, sys.executable, "-m", "tests.scenarios.bad_app", *map(str, others)]
        command = twistd("--pidfile=", "scalekit-balancer", "--config", str(config))
        with (
            start_backend(place),
            Server("bad_app", app, client_core, folder, others),
            Server("scalekit", command, proxy_core, folder, [public, private]) as balancer,
        ):
            # Warm.
            asyncio.run(ask_at_pace(public, lambda _: "/small", PACE, time.monotonic(), 2.0))
            print(HEADING)
            is_good = True
            for kind in given.kind or KINDS:
                for _ in range(MOST_TRIES):
                    measured = measure(public, client_core, kind, given.turns, balancer.pid)
                    print(measured.line, flush=True)
                    if not measured.is_blurred:
                        break
                is_good = is_good and measured.ratio <= MOST_RATIO and not measured.failed
            return int(not is_good)


if __name__ == "__main__":
    sys.exit(main())
