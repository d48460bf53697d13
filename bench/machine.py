"""What a run ran on: programs, interpreter, revision, processor."""

from __future__ import annotations

import os
import platform
import re
import ssl
import subprocess
from importlib.metadata import version
from pathlib import Path

from bench.servers import ROOT


def first_line(*command: str) -> str:
    """The first line a command prints, on either output; empty if there is no such command."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=10, check=False)
    except OSError:
        return ""
    return ((done.stdout or done.stderr).strip().splitlines() or [""])[0]


def versions() -> dict[str, str]:
    """Every program that takes part, by name."""

    def number(line: str) -> str:
        match = re.search(r"\d+(?:\.\d+)+[-+~.\w]*", line)
        return match[0] if match else "missing"

    return {
        "scalekit": _revision() or version("scalekit"),
        "python": platform.python_version(),
        "twisted": version("twisted"),
        "pyopenssl": version("pyopenssl"),
        "nginx": number(first_line("nginx", "-v")),
        "haproxy": number(first_line("haproxy", "-v")),
        "varnish": number(first_line("varnishd", "-V")),
        "wrk": number(first_line("wrk", "-v")),
        "h2load": number(first_line("h2load", "--version")),
        "libnghttp2": version("ngh2"),
        "openssl of Python": ssl.OPENSSL_VERSION.split()[1],
    }


def _revision() -> str:
    line = first_line("git", "describe", "--always", "--dirty", "--abbrev=10")
    return "" if line.startswith("fatal:") else line


def machine() -> dict[str, str]:
    """Processor, cores and kernel."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "processor": model[1] if model else platform.machine(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
    }


def cores() -> tuple[int, int]:
    """The proxy's core, and that of the client and the backend; the same one if there is no other."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]
