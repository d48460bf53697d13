"""TLS handshakes: the client `bench.dialer` in a process of its own, and what the proxy uses meanwhile."""

from __future__ import annotations

import subprocess
import sys

import msgspec

from bench.cpu import used_by
from bench.dialer import Dialled
from bench.load import Load, LoadFault, Round
from bench.servers import ROOT, pinned


def run_dialer(port: int, core: int, seconds: int, at_once: int, is_resumed: bool, pid: int) -> Round:
    """
    Shake hands with a port for some seconds.

    :param at_once: how many handshakes are under way at any time.
    :returns: ``requests`` are handshakes; ``bad_answers`` those that were resumed though full ones were wanted, or the
        other way round.
    :raises LoadFault: the client failed.
    """
    how = "resumed" if is_resumed else "full"
    command = [sys.executable, "-m", "bench.dialer", how, str(port), str(seconds), str(at_once)]
    before = used_by(pid)
    done = subprocess.run(pinned(core, command), capture_output=True, cwd=ROOT, timeout=seconds + 30, check=False)
    used = used_by(pid).since(before)
    if done.returncode != 0:
        raise LoadFault(f"the client of handshakes failed: {done.stderr.decode(errors='replace')[-300:]}")
    return as_round(msgspec.json.decode(done.stdout, type=Dialled), used.user, used.system)


def as_round(dialled: Dialled, user: float, system: float) -> Round:
    """A run as one of requests; ``user`` and ``system`` are the proxy's seconds of CPU."""
    each = 1e6 / max(1, dialled.handshakes)
    load = Load(
        dialled.handshakes,
        dialled.handshakes / dialled.seconds,
        dialled.median_us,
        dialled.p99_us,
        dialled.otherwise,
        dialled.faults,
    )
    return Round(load, user * each, system * each)
