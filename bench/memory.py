"""
How much memory a full cache takes: ``python -m bench.memory [--budget MIB]``.

``puts``: a million values of random sizes into a store, in a process of its own.  ``misses``: a thousand clients ask
the balancer's HTTP cache at once for as many answers of 8 MiB, none of which is there.  Both say by how much the
process grew, in times of the budget; 1.3 is what was set out for.
"""

from __future__ import annotations

import argparse
import os
import selectors
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import NamedTuple

from bench.idle import raise_file_limit, resident_bytes
from bench.machine import cores
from bench.proxies import twistd
from bench.servers import Server, ServerFault, free_ports
from scalekit.cache.store import Store

MIB = 1024 * 1024
PUTS, LARGEST_VALUE = 1_000_000, 20_000
MISSES, ANSWER_BYTES = 1000, 8 * MIB
#: Without a byte from anybody for so long it hangs.
QUIET_SECONDS = 30.0
_AT_ONCE = 256 * 1024


class Grown(NamedTuple):
    """
    :ivar growth: bytes that a process has grown by.
    :ivar budget: what the cache was given.
    """

    growth: int
    budget: int

    @property
    def times(self) -> float:
        """Growth in budgets."""
        return self.growth / self.budget


def puts(count: int, budget: int, largest: int = LARGEST_VALUE) -> Grown:
    """
    Put values of up to so many bytes, of as many keys as would fill the store three times.

    For a process of its own: what it has freed before would be used again.
    """
    random = Random(1)
    store = Store(budget)
    keys = 3 * budget // (largest // 2)
    before = resident_bytes(os.getpid())
    for number in range(count):
        store.put(b"/%d" % random.randrange(keys), random.randbytes(random.randint(1, largest)), 3600.0, number * 1e-4)
    return Grown(resident_bytes(os.getpid()) - before, budget)


def puts_elsewhere(count: int, budget: int) -> Grown:
    """The same in another process."""
    program = f"from bench.memory import puts; print(puts({count}, {budget}).growth)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return Grown(int(done.stdout), budget)


def misses(folder: Path, budget: int, count: int = MISSES, size: int = ANSWER_BYTES) -> tuple[Grown, int]:
    """
    Ask a balancer for so many answers at once; by how much it grew at most, and how many of them it has kept.

    :raises ServerFault, OSError: something did not start, or an answer was not whole.
    """
    origin_port, public, registration = free_ports(3)
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "scalekit.toml"
    config.write_text(
        f"""state_directory = "{folder}/state"
[balancer]
listen = ["http://127.0.0.1:{public}"]
http_cache = {{ enabled = true, max_bytes = {budget} }}
[[balancer.service]]
servers = ["http://127.0.0.1:{origin_port}"]
[registration]
listen = ["http://127.0.0.1:{registration}"]
"""
    )
    core, client_core = cores()
    origin = [sys.executable, "-m", "bench.origin", str(origin_port), str(size)]
    with (
        Server("origin", origin, client_core, folder, [origin_port]),
        Server("scalekit", twistd("scalekit-balancer", "--config", str(config)), core, folder, [public]) as balancer,
    ):
        ask_all(public, 1, size, "/warm-up")
        _forget_peak(balancer.pid)
        before = resident_bytes(balancer.pid)
        ask_all(public, count, size, "/large")
        grown = Grown(_peak(balancer.pid) - before, budget)
        return grown, _kept(registration)


def ask_all(port: int, count: int, size: int, path: str) -> None:
    """
    Ask for ``PATH/NUMBER`` on so many connections, and read all of them a little at a time.

    :raises OSError: an answer had not so many bytes, or nothing came for long.
    """
    room = bytearray(_AT_ONCE)
    left: dict[socket.socket, int | None] = {}  # bytes; None: the head has not come
    with selectors.DefaultSelector() as selector, _closing(left):
        for _ in range(count):
            sock = socket.create_connection(("127.0.0.1", port), QUIET_SECONDS)
            left[sock] = None
            selector.register(sock, selectors.EVENT_READ)
        for number, sock in enumerate(left):
            sock.sendall(
                b"GET %b/%d HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" % (path.encode(), number)
            )
        waiting = count
        while waiting:
            events = selector.select(QUIET_SECONDS)
            if not events:
                raise OSError(f"{waiting} of {count} answers are not complete, and nothing comes")
            for key, _ in events:
                sock = key.fileobj  # type: ignore[assignment]
                received = sock.recv_into(room)
                if not received:
                    raise OSError(f"an answer ends too soon: {left[sock]} bytes are missing")
                missing = left[sock]
                if missing is None:  # the head comes whole
                    if not room.startswith(b"HTTP/1.1 200 "):
                        raise OSError(f"found {bytes(room[:received])!r}, expected an answer of the origin")
                    missing, received = size, received - (room.index(b"\r\n\r\n") + 4)
                left[sock] = missing = missing - received
                if missing <= 0:
                    selector.unregister(sock)
                    waiting -= 1


@contextmanager
def _closing(left: dict[socket.socket, int | None]) -> Iterator[None]:
    try:
        yield
    finally:
        for sock in left:
            sock.close()


def _forget_peak(pid: int) -> None:
    """Let ``VmHWM`` begin anew (proc_pid_clear_refs(5))."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _peak(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise OSError("the kernel does not tell VmHWM")


def _kept(port: int) -> int:
    """How many entries the HTTP cache has."""
    with socket.create_connection(("127.0.0.1", port), QUIET_SECONDS) as sock:
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        text = b"".join(iter(lambda: sock.recv(65536), b""))
    line = next(line for line in text.splitlines() if line.startswith(b"scalekit_http_cache_entries "))
    return int(float(line.split()[1]))


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="bench.memory", description=__doc__)
    parser.add_argument("--budget", type=int, default=256, help="of the cache, in MiB")
    budget = parser.parse_args().budget * MIB
    raise_file_limit()
    grown = puts_elsewhere(PUTS, budget)
    print(f"{PUTS:,} puts: grown by {grown.growth / MIB:,.0f} MiB, {grown.times:.3f} times the budget", flush=True)
    with tempfile.TemporaryDirectory(prefix="scalekit-bench-") as folder:
        try:
            grown, kept = misses(Path(folder), budget)
        except (ServerFault, OSError) as fault:
            print(f"the misses were not measured: {fault}", file=sys.stderr)
            return 1
    print(
        f"{MISSES:,} misses of {ANSWER_BYTES // MIB} MiB at once: grown by {grown.growth / MIB:,.0f} MiB at most, "
        f"{grown.times:.3f} times the budget; {kept} of them kept"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
