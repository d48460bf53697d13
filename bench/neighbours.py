"""
``python -m bench.neighbours``: what clients of other app servers notice of one that behaves badly.

Clients at a steady pace ask a service whose app server is well, and their latencies are measured.  Beside them others,
at half that pace, ask another service: one that is well in one round, and in the next one of an app server that hangs,
sends a byte a second, garbage, more or less than it says, or that is gone in the middle of an answer or before it
(``tests/scenarios/bad_app.py``).  It is the only one of its service, so that it is never taken out: the worst case.

Prints a table, in milliseconds, of the calmest round of each: whatever else the machine does only adds.  Exits with 1
if the 99th percentile beside one of them is over twice what it is beside one that is well.
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
from pathlib import Path
from statistics import quantiles

from bench.machine import cores
from bench.proxies import Place, missing, start_backend, twistd
from bench.servers import Server, free_ports, pinned
from tests.scenarios.bad_app import KINDS

#: Requests a second of those that are measured: a tenth of what one core takes, so that nothing waits for anything.
PACE = 200
NEIGHBOURS_PACE = 100
#: The balancer waits so long for an answer: a hundred requests of each of the neighbours hang at a time.
FIRST_BYTE_SECONDS = 1
#: As many hang as will after that, and their clients have started.
SETTLE_SECONDS = 1.0 + FIRST_BYTE_SECONDS
MOST_SECONDS = 10.0
MOST_RATIO = 2.0
FINE = "fine"

#: What shares the core of those who measure comes after them: it is the balancer that is to be seen.
_BEHIND = ("chrt", "--other", "0", "nice", "-n", "5")

Kept = list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]


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


async def ask_at_pace(port: int, path: str, pace: float, seconds: float) -> tuple[list[float], Counter[str]]:
    """
    Ask so often a second, however long the answers take.

    :returns: how long each took, in seconds, and how many of each kind there were.
    """
    took: list[float] = []
    answers: Counter[str] = Counter()
    kept: Kept = []

    async def one() -> None:
        began = time.perf_counter()
        answers[await asyncio.wait_for(ask(port, path, kept), MOST_SECONDS)] += 1
        took.append(time.perf_counter() - began)

    began = time.perf_counter()
    under_way: list[asyncio.Task[None]] = []
    for number in range(round(pace * seconds)):
        await asyncio.sleep(began + number / pace - time.perf_counter())
        under_way.append(asyncio.create_task(one()))
    await asyncio.gather(*under_way)
    for _, writer in kept:
        writer.close()
    return took, answers


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


class Round:
    """One measurement: milliseconds, and what the neighbours' clients got."""

    def __init__(self, public: int, core: int, kind: str, seconds: float) -> None:
        command = [
            *_BEHIND,
            sys.executable,
            "-m",
            "bench.neighbours",
            "--ask",
            f"/{kind}",
            str(public),
            str(seconds + SETTLE_SECONDS),
        ]
        neighbours = subprocess.Popen(pinned(core, command), stdout=subprocess.PIPE)
        try:
            time.sleep(SETTLE_SECONDS)
            took, answers = asyncio.run(ask_at_pace(public, "/small", PACE, seconds))
            self.theirs: dict[str, int] = json.loads(neighbours.communicate(timeout=seconds + 30)[0])
        finally:
            neighbours.kill()
        self.failed = sum(count for status, count in answers.items() if status != "200")
        percentiles = quantiles(took, n=100)
        self.p50, self.p99 = percentiles[49] * 1e3, percentiles[98] * 1e3


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="bench.neighbours", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each round")
    parser.add_argument("--kind", action="append", choices=list(KINDS), help="this one (may be given again)")
    parser.add_argument("--ask", nargs=3, metavar=("PATH", "PORT", "SECONDS"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.ask:
        path, port, seconds = given.ask
        print(json.dumps(asyncio.run(ask_at_pace(int(port), path, NEIGHBOURS_PACE, float(seconds)))[1]))
        return 0
    lacking = missing(["nginx", "taskset"])
    if lacking:
        print(f"bench.neighbours needs {', '.join(lacking)}: install them with the system's packages", file=sys.stderr)
        return 1
    proxy_core, client_core = cores()
    os.sched_setaffinity(0, {client_core})
    with tempfile.TemporaryDirectory(prefix="scalekit-bench-") as name:
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
            Server("scalekit", command, proxy_core, folder, [public, private]),
        ):
            return measure(public, client_core, given.kind or list(KINDS), given.rounds, given.seconds)


def measure(public: int, core: int, kinds: list[str], rounds: int, seconds: float) -> int:
    """Beside each kind, and in turn with it beside one that is well; prints a line each."""
    asyncio.run(ask_at_pace(public, "/small", PACE, 3.0))  # warm
    print(
        f"{'neighbour':<10}{'p50':>8}{'p99':>8}{'p99 beside fine':>18}{'ratio':>8}   what the neighbour's clients got"
    )
    is_good = True
    for kind in kinds:
        fine, beside = [], []
        for _ in range(rounds):
            fine.append(Round(public, core, FINE, seconds))
            beside.append(Round(public, core, kind, seconds))
        p99, calm = min(one.p99 for one in beside), min(one.p99 for one in fine)
        theirs: Counter[str] = sum((Counter(one.theirs) for one in beside), Counter())
        failed = sum(one.failed for one in (*fine, *beside))
        print(
            f"{kind:<10}{min(one.p50 for one in beside):>8.2f}{p99:>8.2f}{calm:>18.2f}{p99 / calm:>8.2f}   "
            + ", ".join(f"{count} x {status}" for status, count in theirs.most_common())
            + (f"; {failed} of ours failed" if failed else ""),
            flush=True,
        )
        is_good = is_good and p99 <= MOST_RATIO * calm and not failed
    return int(not is_good)


if __name__ == "__main__":
    sys.exit(main())
