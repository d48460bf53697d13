"""
CPU time of a process and its children, from ``/proc/PID/stat`` (proc_pid_stat(5)).

On a machine with other work the time a request costs is steadier than how many fit into a second.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class Used(NamedTuple):
    """Seconds of CPU."""

    user: float
    system: float

    def since(self, before: Used) -> Used:
        """What has been used since."""
        return Used(self.user - before.user, self.system - before.system)


def parse_stat(text: str) -> tuple[int, Used]:
    """Parent's pid and CPU time of one process; the second field, its name, may hold spaces and parentheses."""
    fields = text.rpartition(")")[2].split()
    return int(fields[1]), Used(int(fields[11]) / TICKS_PER_SECOND, int(fields[12]) / TICKS_PER_SECOND)


def used_by(pid: int, proc: Path = Path("/proc")) -> Used:
    """CPU time of a process and of those that it started (nginx works in a child)."""
    found = _family(pid, proc).values()
    return Used(sum(used.user for used in found), sum(used.system for used in found))


def used_alone(pid: int, proc: Path = Path("/proc")) -> Used:
    """CPU time of a process, without those that it started."""
    return parse_stat((proc / str(pid) / "stat").read_text())[1]


def family_of(pid: int, proc: Path = Path("/proc")) -> list[int]:
    """The process, if it is there, and those that it started."""
    return list(_family(pid, proc))


def _family(pid: int, proc: Path) -> dict[int, Used]:
    found = {}
    for place in proc.glob("[0-9]*"):
        try:
            parent, used = parse_stat((place / "stat").read_text())
        except OSError:
            continue  # gone meanwhile
        if pid in (parent, int(place.name)):
            found[int(place.name)] = used
    return found
