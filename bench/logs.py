"""
The log: how much it takes, and whether it keeps what it has promised.  ``make bench-logs`` measures all of it:

* batches: NDJSON of 500 entries over TLS, four writers; * single: one entry a request, 64 writers;
* memory: 10,000 entries a second in batches of 100; * replay: a start on a journal of a million entries;
* rsyslog: what another log takes here, and promises; * kill: the log is killed at random moments while eight writers
  write, and what was lost, came twice, or is out of order is looked for.

``--only batches`` measures one; ``--seconds``, ``--soak`` (of memory) and ``--kill`` say how long or how often.  The
whole, with these as they are, prints the tables and stores them: logs.json, LOGS.rst, and the README between its marks
(`bench.logged`).

The log is a daemon of its own on the first core, the writers are on the second, and so is what makes indexes.  Every
entry is numbered, and after each round all volumes are read and compared with what was acknowledged.  A 200 of this log
is given after fsync.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench import rsyslog
from bench.cpu import family_of, used_alone
from bench.examined import examine
from bench.log_kills import SETTLE_SECONDS, kill
from bench.log_writers import Written
from bench.logged import BEGIN, END, ON_DISK, Logged, Replay, Round, report
from bench.machine import cores, machine, versions
from bench.results import OURS
from bench.servers import ROOT, Server, ServerFault, free_ports, pinned
from bench.table import between_marks
from scalekit.logs.directory import LocalDirectory
from scalekit.logs.entry import Entry
from scalekit.logs.frames import make_frame
from scalekit.logs.journal import SEGMENT_BYTES, Segment
from scalekit.logs.recovery import recover

HERE = Path(__file__).parent
LOG_CORE, WRITERS_CORE = cores()
#: Of a whole run: what is stored.
SECONDS, SOAK_SECONDS, KILLS = 10.0, 300.0, 200
_TWISTD = "from twisted.scripts.twistd import run; run()"
#: Name, title, writers, entries a request, entries a second of all (0: as many as are taken).
ROUNDS: tuple[tuple[str, str, int, int, float], ...] = (
    ("batches", "4 writers, batches of 500 over TLS", 4, 500, 0.0),
    ("single", "64 writers, single entries over TLS", 64, 1, 0.0),
    ("memory", "10,000 a second, batches of 100", 4, 100, 10_000.0),
)


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


def writers(port: int, label: str, seconds: float, count: int, batch: int, rate: float) -> subprocess.Popen[bytes]:
    """A process of writers."""
    arguments: Sequence[object] = (port, label, seconds, count, batch, rate)
    command = [sys.executable, "-m", "bench.log_writers", *map(str, arguments)]
    return subprocess.Popen(pinned(WRITERS_CORE, command), cwd=ROOT, stdout=subprocess.PIPE)


def finished(process: subprocess.Popen[bytes]) -> Written:
    """What a process of writers has written."""
    output, _ = process.communicate(timeout=600)
    return msgspec.json.decode(output.splitlines()[-1], type=Written)


def sync_milliseconds(folder: Path, times: int = 50) -> tuple[float, float]:
    """What this disk takes for a sync of 4 KiB at this moment: the median and the 99th percentile."""
    place = folder / "sync"
    took = []
    with place.open("wb", buffering=0) as file:
        os.posix_fallocate(file.fileno(), 0, times * 4096)
        os.fsync(file.fileno())
        for _ in range(times):
            file.write(bytes(4096))
            began = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append((time.perf_counter() - began) * 1000)
    place.unlink()
    took.sort()
    return took[times // 2], took[times * 99 // 100]


def resident_alone(pid: int) -> int:
    """Bytes of memory of a process, without those that it started."""
    return int(Path("/proc", str(pid), "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def move_children(pid: int, core: int) -> None:
    """
    Put what a process has started on another core than its own.

    A log that has all cores makes its indexes on one that has nothing else to do.
    """
    for each in family_of(pid):
        if each != pid:
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(each, {core})


def measure(folder: Path, name: str, title: str, seconds: float, count: int, batch: int, rate: float) -> Round:
    """One round with so many writers."""
    sync = sync_milliseconds(folder)
    log = Log(folder)
    try:
        before = used_alone(log.server.pid)
        process = writers(log.port, name, seconds, count, batch, rate)
        most = 0
        while process.poll() is None:
            most = max(most, resident_alone(log.server.pid))
            move_children(log.server.pid, WRITERS_CORE)
            time.sleep(0.2)
        written = finished(process)
        time.sleep(SETTLE_SECONDS)
        used = used_alone(log.server.pid).since(before)
    finally:
        log.server.stop()
    return Round(
        name,
        f"{OURS}, {title}",
        ON_DISK,
        sum(written.acknowledged),
        written.seconds,
        used.user + used.system,
        used.system,
        written.p50_ms,
        written.p99_ms,
        most,
        written.refusals,
        examine(log.path, [written]),
        sync,
    )


def replay(folder: Path, entries: int = 1_000_000, batch: int = 500) -> Replay:
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
    return Replay(len(found.buffer), took, used)


def whole(chosen: argparse.Namespace, folder: Path) -> Logged:
    """What was asked for; raises `ServerFault`."""
    used = {name: number for name, number in versions().items() if name in (OURS, "python", "twisted")}
    result = Logged(datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), machine(), used, [])

    def place(name: str) -> Path:
        made = folder / name
        made.mkdir()
        return made

    for name, title, count, batch, rate in ROUNDS:
        if chosen.only in (None, name):
            seconds = chosen.soak if name == "memory" else chosen.seconds
            result.rounds.append(measure(place(name), name, title, seconds, count, batch, rate))
    if chosen.only in (None, rsyslog.NAME):
        number = rsyslog.version()
        if number:
            result.versions[rsyslog.NAME] = number
            result.rounds.append(rsyslog.measure(place(rsyslog.NAME), chosen.seconds, 4, (LOG_CORE, WRITERS_CORE)))
        else:
            print("rsyslog was not measured: it is not there (make bench-logs unpacks it)", file=sys.stderr)
    if chosen.only in (None, "replay"):
        result.replay = replay(place("replay"))
    if chosen.only in (None, "kill") and chosen.kill:
        result.kills = kill(place("kill"), chosen.kill, (LOG_CORE, WRITERS_CORE))
    return result


def store(logged: Logged, text: str) -> None:
    """logs.json for programs, LOGS.rst for people, and the README where it has the marks."""
    (HERE / "logs.json").write_bytes(msgspec.json.format(msgspec.json.encode(logged), indent=1) + b"\n")
    (HERE / "LOGS.rst").write_text(text)
    readme = ROOT / "README.rst"
    readme.write_text(between_marks(readme.read_text(), text, BEGIN, END))


def main(arguments: Sequence[str]) -> int:
    """See the module; the exit status is 1 if a promise was broken, or nothing could be measured."""
    parser = argparse.ArgumentParser(description="The log: what it takes, and what it keeps.")
    names = [*(name for name, *_ in ROUNDS), rsyslog.NAME, "replay", "kill"]
    parser.add_argument("--only", choices=names, help="this one; stores nothing")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each round; other than 10: stores nothing")
    parser.add_argument("--soak", type=float, default=SOAK_SECONDS, help="seconds of memory; the same if not 300")
    parser.add_argument("--kill", type=int, default=KILLS, metavar="N", help="how often; the same if not 200")
    chosen = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="scalekit-bench-") as made:
        try:
            logged = whole(chosen, Path(made))
        except ServerFault as fault:
            print(f"not measured: {fault}", file=sys.stderr)
            return 1
    text = report(logged)
    print(text)
    if (chosen.only, chosen.seconds, chosen.soak, chosen.kill) == (None, SECONDS, SOAK_SECONDS, KILLS):
        store(logged, text)
    kept = [one.found for one in logged.rounds if one.name != rsyslog.NAME]
    kept += [logged.kills.found] if logged.kills is not None else []
    return int(not all(found.is_good for found in kept))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
