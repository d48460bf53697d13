"""wrk, one thread of it, and what it says at the end."""

from __future__ import annotations

import re
import subprocess

import msgspec

from bench.cpu import used_by
from bench.servers import pinned

_UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 6e7}


class LoadFault(Exception):
    """wrk failed, or said something else than it should."""


class Load(msgspec.Struct, frozen=True):
    """One run of wrk; latencies in microseconds."""

    requests: int
    requests_per_second: float
    median_us: float
    p99_us: float
    bad_answers: int  # statuses other than 2xx and 3xx
    socket_errors: int  # connect, read, write, timeout


class Round(msgspec.Struct, frozen=True):
    """One run, and what each request cost the proxy in microseconds of CPU."""

    load: Load
    user_us: float
    system_us: float


def parse_wrk(text: str) -> Load:
    """
    Read wrk's report (made with ``--latency``).

    :raises LoadFault: it is none.
    """
    total = re.search(r"^\s*(\d+) requests in ", text, re.MULTILINE)
    rate = re.search(r"^Requests/sec:\s+([\d.]+)$", text, re.MULTILINE)
    latencies = dict(re.findall(r"^\s+(50|99)%\s+([\d.]+(?:us|ms|s|m)) *$", text, re.MULTILINE))
    if total is None or rate is None or len(latencies) != 2:
        raise LoadFault(f"no report of wrk: {text[-300:]!r}")
    bad = re.search(r"^\s*Non-2xx or 3xx responses: (\d+)", text, re.MULTILINE)
    errors = re.search(r"^\s*Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text, re.MULTILINE)
    return Load(
        int(total[1]),
        float(rate[1]),
        _microseconds(latencies["50"]),
        _microseconds(latencies["99"]),
        int(bad[1]) if bad else 0,
        sum(map(int, errors.groups())) if errors else 0,
    )


def _microseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)([a-z]+)", text).groups()  # type: ignore[union-attr]
    return float(number) * _UNITS[unit]


def run_wrk(url: str, core: int, seconds: int, connections: int, pid: int, *fields: str) -> Round:
    """
    Load a URL, and watch what the process behind it uses meanwhile.

    :param fields: further field lines of each request.
    :raises LoadFault: wrk failed.
    """
    command = ["wrk", "--latency", "--timeout", "5s", "-t1", f"-c{connections}", f"-d{seconds}s", url]
    command += [argument for field in fields for argument in ("-H", field)]
    before = used_by(pid)
    done = subprocess.run(pinned(core, command), capture_output=True, text=True, timeout=seconds + 30, check=False)
    used = used_by(pid).since(before)
    if done.returncode != 0:
        raise LoadFault(f"wrk ended with {done.returncode}: {(done.stderr or done.stdout)[-300:]}")
    load = parse_wrk(done.stdout)
    each = 1e6 / max(1, load.requests)
    return Round(load, used.user * each, used.system * each)
