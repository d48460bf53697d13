"""
The log: how much it takes, and whether it keeps what it has promised.

``python -m bench.logs`` prints one line for each of what follows; ``--only batches`` measures one; ``--seconds`` is how
long each takes.  ``--kill N`` instead kills the log N times at random moments while eight writers write, and then looks
for what was lost, came twice, or is out of order.

* batches: NDJSON of 500 entries over TLS, four writers; * single: one entry a request, 64 writers;
* memory: 10,000 entries a second in batches of 100; * replay: a start on a journal of a million entries.

The log is a daemon of its own on the first core, the writers are on the second.  Every entry is numbered, and after
each round all volumes are read and compared with what was acknowledged.  A 200 of this log is given after fsync.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from bench.cpu import used_by
from bench.idle import resident_bytes
from bench.log_writers import Written
from bench.servers import ROOT, Server, free_ports, pinned
from scalekit.logs.directory import LocalDirectory
from scalekit.logs.entry import Entry
from scalekit.logs.frames import make_frame
from scalekit.logs.journal import SEGMENT_BYTES, Segment
from scalekit.logs.output import read_checkpoint
from scalekit.logs.reading import LogReader
from scalekit.logs.records import parse_record
from scalekit.logs.recovery import recover

LOG_CORE, WRITERS_CORE = 0, 1
KILL_WRITERS = 8
_TWISTD = "from twisted.scripts.twistd import run; run()"


class Found(NamedTuple):
    """What is wrong with a log: how many entries are lost, came twice, stand before an older one; of how many."""

    entries: int
    lost: int
    twice: int
    disorder: int


def examine(path: str, written: Iterable[Written]) -> Found:
    """Read all volumes of a log that nobody writes to, and compare them with what was acknowledged."""
    acknowledged = {f"{run.label}-{number}": count for run in written for number, count in enumerate(run.acknowledged)}
    found: dict[str, bytearray] = {}
    entries = twice = disorder = 0
    directory = LocalDirectory(path)
    checkpoint = read_checkpoint(directory)
    if checkpoint is None:
        return Found(0, sum(acknowledged.values()), 0, 0)
    reader = LogReader(directory, lambda: checkpoint, list)
    for volume in reader.volumes():
        for is_late in (False, True):
            before = (0, 0)
            for _, line in reader.lines(volume, is_late=is_late):
                record = parse_record(line)
                if record is None:
                    continue
                key = (record.time, record.Sequence)
                disorder += key < before and not is_late
                before = key
                entries += 1
                label, number = record.Message.split(" ", 2)[:2]
                seen = found.setdefault(label, bytearray())
                place = int(number)
                if place >= len(seen):
                    seen.extend(bytes(place + 1 - len(seen)))
                twice += seen[place]
                seen[place] = 1
    directory.close()
    lost = sum(count - sum(found.get(label, b"")[:count]) for label, count in acknowledged.items())
    return Found(entries, lost, twice, disorder)


class Log:
    """The daemon, with its settings as they come, on a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (self.port,) = free_ports(1)
        listen = f"https://127.0.0.1:{self.port}"
        command = [sys.executable, "-c", _TWISTD, "-n", "scalekit-logs", "--listen", listen]
        command += ["--state-directory", str(folder)]
        self.server = Server("logs", command, LOG_CORE, folder, [self.port])

    @property
    def path(self) -> str:
        """Where its files are."""
        return str(self.folder / "logs")

    def writers(
        self, label: str, seconds: float, writers: int, batch: int, rate: float = 0.0
    ) -> subprocess.Popen[bytes]:
        """A process of writers."""
        arguments: Sequence[object] = (self.port, label, seconds, writers, batch, rate)
        command = [sys.executable, "-m", "bench.log_writers", *map(str, arguments)]
        return subprocess.Popen(pinned(WRITERS_CORE, command), cwd=ROOT, stdout=subprocess.PIPE)


def finished(process: subprocess.Popen[bytes]) -> Written:
    """What a process of writers has written."""
    output, _ = process.communicate(timeout=600)
    return msgspec.json.decode(output.splitlines()[-1], type=Written)


def settle(log: Log) -> None:
    """Stop it after all that was taken had time to be written."""
    time.sleep(5)
    log.server.stop()


def measure(folder: Path, name: str, seconds: float, writers: int, batch: int, rate: float = 0.0) -> str:
    """One round, as a line."""
    log = Log(folder)
    process = log.writers(name, seconds, writers, batch, rate)
    before = used_by(log.server.pid)
    most = 0
    while process.poll() is None:
        most = max(most, resident_bytes(log.server.pid))
        time.sleep(0.2)
    written = finished(process)
    used = used_by(log.server.pid).since(before)
    settle(log)
    count = sum(written.acknowledged)
    cpu = used.user + used.system
    found = examine(log.path, [written])
    return (
        f"{name}: {count / written.seconds:,.0f} entries/s, {count / cpu if cpu else 0:,.0f} a second of CPU "
        f"({used.system / cpu if cpu else 0:.0%} of it system), "
        f"median {written.median_ms:.1f} ms, p99 {written.p99_ms:.1f} ms, at most {most / 1048576:.0f} MiB resident, "
        f"{written.refusals} refused; {found.entries:,} in order: {found.lost} lost, {found.twice} twice, "
        f"{found.disorder} out of order"
    )


def replay(folder: Path, entries: int = 1_000_000, batch: int = 500) -> str:
    """A start on a journal in which nothing is written yet."""
    directory = LocalDirectory(str(folder / "replay"))
    now = time.time_ns()
    text = "GET /posts/1234 200 in 23 ms from app-3 at 10.0.0.3:8001, 5120 bytes, attempt 1"
    number = 0
    data = bytearray()
    for first in range(1, entries + 1, batch):
        some = [Entry(now + place, "INFO", "bench", text) for place in range(first, first + batch)]
        data += make_frame(first, now, some).encode()
        if len(data) >= SEGMENT_BYTES or first + batch > entries:
            number += 1
            directory.write_from(Segment(number).name, 0, bytes(data))
            data.clear()
    began, cpu = time.perf_counter(), time.process_time()
    found = recover(directory, 2_000_000_000)
    took, used = time.perf_counter() - began, time.process_time() - cpu
    directory.close()
    return f"replay: {len(found.buffer) / took:,.0f} entries/s, {len(found.buffer) / used:,.0f} a second of CPU"


def kill(folder: Path, rounds: int) -> Found:
    """Kill it at random moments, and see what there is in the end."""
    written = []
    for number in range(rounds):
        log = Log(folder)
        process = log.writers(f"k{number}", 60, KILL_WRITERS, random.choice([1, 5, 100]))
        assert process.stdout is not None
        process.stdout.readline()  # they are connected
        time.sleep(random.uniform(0, 3))
        log.server.kill()
        written.append(finished(process))
        print(f"round {number + 1}: {sum(written[-1].acknowledged):,} acknowledged", flush=True)
    settle(Log(folder))
    return examine(log.path, written)


def main(arguments: Sequence[str]) -> int:
    """See the module; the exit status is 1 if a promise was broken."""
    parser = argparse.ArgumentParser(description="The log: what it takes, and what it keeps.")
    parser.add_argument("--only", choices=["batches", "single", "memory", "replay"])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--kill", type=int, metavar="N")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="scalekit-bench-") as made:
        folder = Path(made)
        if chosen.kill:
            found = kill(folder, chosen.kill)
            print(f"killed {chosen.kill} times: {found}")
            return int(found.lost + found.twice + found.disorder > 0)
        rounds = {"batches": (4, 500, 0.0), "single": (64, 1, 0.0), "memory": (4, 100, 10_000.0)}
        for name, (writers, batch, rate) in rounds.items():
            if chosen.only in (None, name):
                place = folder / name
                place.mkdir()
                print(measure(place, name, chosen.seconds, writers, batch, rate), flush=True)
        if chosen.only in (None, "replay"):
            print(replay(folder))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
