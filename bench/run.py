"""``python -m bench.run [--quick] [--only PART]``: measure all, print and store the tables."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from bench import caches, compression, idle, transaction
from bench.checks import WrongAnswer, check
from bench.h2load import run_h2load
from bench.handshakes import run_dialer
from bench.load import LoadFault, Round, run_wrk
from bench.machine import cores, machine, versions
from bench.proxies import STARTERS, Place, Proxy, missing, start_backend
from bench.results import STOCK, Case, Results, Row, goals
from bench.servers import ROOT, ServerFault, free_ports
from bench.table import between_marks, case_table, goal_table, idle_table, report, transaction_table
from scalekit.net.certificates import ensure_local_ca, ensure_server_certificate

HERE = Path(__file__).parent
FAULTS = (ServerFault, LoadFault, WrongAnswer, OSError)
#: Name, title, scheme, path, connections.  Fewer for the large ones: 1 MiB each is in flight.
CASES = (
    ("clear", "110 bytes in clear", "http", "/small", 32),
    ("tls", "110 bytes over TLS", "https", "/small", 32),
    ("http2", "110 bytes over HTTP/2 and TLS", "https", "/small", 8),
    ("large", "1 MiB in clear", "http", "/large", 8),
    ("full", "full TLS handshakes", "https", "", 16),
    ("resumed", "resumed TLS handshakes", "https", "", 16),
)
#: Of each way.  One pair differs by 2 or 3 ms from the next, so that the median of so many is known to 0.15 ms.
TRANSACTIONS = 500
#: Each connection's, in the case of HTTP/2.
STREAMS = 16
#: Those that count handshakes; a second is a thousand of them and more.
HANDSHAKES = ("full", "resumed")
#: What came later than the comparison with twisted.web, whose proxy has no HTTP/2.
WITHOUT_STOCK = ("http2", *HANDSHAKES)
#: Parts with modules of their own.
OTHERS = ("idle", "compression", "caches", "transaction")
PARTS = (*(case[0] for case in CASES), *OTHERS)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="bench.run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round of one second each; nothing is stored")
    parser.add_argument("--only", action="append", choices=PARTS, help="this part (may be given again); stores nothing")
    parser.add_argument("--proxy", action="append", choices=list(STARTERS))
    given = parser.parse_args()
    rounds, seconds, transactions = (1, 1, 20) if given.quick else (3, 2, TRANSACTIONS)
    lacking = missing(["wrk", "h2load", "nginx", "taskset"])
    if lacking:
        print(f"make bench needs {', '.join(lacking)}: install them with the system's packages", file=sys.stderr)
        return 1
    wanted = given.only or PARTS
    room = idle.raise_file_limit()  # before anything is started, for it is handed down
    results = Results(datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), machine(), versions(), rounds, seconds, [])
    with tempfile.TemporaryDirectory(prefix="scalekit-bench-") as name:
        folder = Path(name)
        names = given.proxy or list(STARTERS)
        measure_proxies(results, folder, names, wanted)
        if "idle" in wanted:
            connections = min(room, idle.CONNECTIONS // 10 if given.quick else idle.CONNECTIONS)
            results.idle = measure_idle(folder, [name for name in names if name != STOCK], connections)
            print(idle_table(results.idle), end="\n\n", flush=True)
        if "compression" in wanted:
            try:
                place = folder / "compression"
                place.mkdir()
                case = compression.measure(_place(place), rounds, 1)  # a second is some hundred requests
                results.cases.append(case)
                print(case_table(case), end="\n\n", flush=True)
            except FAULTS as fault:
                print(f"compression was not measured: {fault}", file=sys.stderr)
        if "caches" in wanted:
            try:
                place = folder / "caches"
                place.mkdir()
                for case in caches.measure(_place(place), 3 * rounds, 1):  # a second is ten thousand requests and more
                    results.cases.append(case)
                    print(case_table(case), end="\n\n", flush=True)
            except FAULTS as fault:
                print(f"caches were not measured: {fault}", file=sys.stderr)
        if "transaction" in wanted:
            try:
                results.transaction = transaction.measure(folder / "transaction", *cores(), transactions)
            except FAULTS as fault:
                results.transaction_note = str(fault)
            print(transaction_table(results), end="\n\n")
    if found := goals(results):
        print(goal_table(found))
    if not (given.quick or given.only or given.proxy):
        store(results)
    return 0


def measure_proxies(results: Results, folder: Path, names: list[str], wanted: Sequence[str]) -> None:
    """Run all proxies at once, idle but for the one that is asked; print each case as it is done."""
    with ExitStack() as running:
        place = _place(folder)
        running.enter_context(start_backend(place))
        notes: dict[str, str] = {}
        proxies: dict[str, Proxy] = {}
        for name in names:
            program, start = STARTERS[name]
            if missing([program]):
                notes[name] = "not installed"
                continue
            try:
                proxies[name] = start(place)
                running.enter_context(proxies[name].server)
            except ServerFault as fault:
                notes[name] = str(fault)
        for name, title, scheme, path, connections in CASES:
            if name not in wanted:
                continue
            left_out = {STOCK} if name in WITHOUT_STOCK else set()
            rows = {proxy: Row(proxy, note=notes.get(proxy, "")) for proxy in names if proxy not in left_out}
            case = Case(name, title, connections, list(rows.values()))
            if name == "http2":
                case.streams = STREAMS
            if name in HANDSHAKES:
                case.unit = "handshakes"
            results.cases.append(case)
            ready = []
            for proxy in proxies.values():
                if proxy.name in left_out:
                    continue
                try:
                    rows[proxy.name].tls = check(proxy, scheme, place)
                    ready.append(proxy)
                except FAULTS as fault:
                    rows[proxy.name].note = str(fault)
            # The first second of each is for connections, caches and the processor's clock.
            for turn in range(results.rounds + 1):
                for proxy in ready:
                    logged = _written(proxy.access_log)
                    try:
                        measured = _load(name, scheme, path, connections, proxy, place, results.seconds if turn else 1)
                    except FAULTS as fault:
                        rows[proxy.name].note = str(fault)
                        continue
                    if turn:
                        rows[proxy.name].rounds.append(measured)
                    if _written(proxy.access_log) == logged and name not in HANDSHAKES:
                        rows[proxy.name].note = "it wrote no access log"
            print(case_table(case), end="\n\n", flush=True)


def _load(name: str, scheme: str, path: str, connections: int, proxy: Proxy, place: Place, seconds: int) -> Round:
    """One round of a case."""
    core, pid = place.client_core, proxy.server.pid
    if name in HANDSHAKES:
        return run_dialer(proxy.tls, core, 1, connections, name == "resumed", pid)
    url = f"{scheme}://127.0.0.1:{proxy.tls if scheme == 'https' else proxy.clear}{path}"
    if name == "http2":
        return run_h2load(url, core, seconds, connections, STREAMS, pid)
    return run_wrk(url, core, seconds, connections, pid)


def measure_idle(folder: Path, names: list[str], count: int) -> idle.Idle:
    """
    Memory of idle connections, one proxy after the other.

    :param count: how many connections.
    """
    folder = folder / "idle"
    folder.mkdir()
    place = _place(folder)
    found = idle.Idle(count, [idle.IdleRow(name) for name in names])
    with start_backend(place):
        for row in found.rows:
            program, start = STARTERS[row.proxy]
            if missing([program]):
                row.note = "not installed"
                continue
            try:
                row.clear = idle.bytes_each(start, _below(place, f"{row.proxy}-clear"), "http", count)
                row.tls = idle.bytes_each(start, _below(place, f"{row.proxy}-tls"), "https", count)
            except FAULTS as fault:
                row.note = str(fault)
    return found


def _below(place: Place, name: str) -> Place:
    (place.folder / name).mkdir()
    return place._replace(folder=place.folder / name)


def _place(folder: Path) -> Place:
    proxy_core, client_core = cores()
    now = datetime.now(UTC)
    ca = ensure_local_ca(folder / "tls", now)
    certificate, key = ensure_server_certificate(folder / "tls", ["localhost", "127.0.0.1"], now)
    return Place(folder, proxy_core, client_core, free_ports(1)[0], ca, certificate, key)


def _written(path: Path) -> tuple[int, int]:
    # The inode too: twisted.web begins a new file at 1 MB.
    found = path.stat() if path.exists() else None
    return (found.st_ino, found.st_size) if found else (0, 0)


def store(results: Results) -> None:
    """results.json for programs, RESULTS.rst for people, and the README where it has the marks."""
    (HERE / "results.json").write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")
    text = report(results)
    (HERE / "RESULTS.rst").write_text(text)
    readme = ROOT / "README.rst"
    if readme.exists():
        readme.write_text(between_marks(readme.read_text(), text))


if __name__ == "__main__":
    sys.exit(main())
