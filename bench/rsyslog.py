"""
rsyslog as a measure of this machine: the same entries over TCP in clear into one file, on the same core.

Nothing is acknowledged (without RELP its protocol has no answer), nothing is synced, and the file is in the order in
which entries came: it has less to do, and is written in C.  It is not installed but unpacked (``make bench-logs``).
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import SkipTest

import msgspec

from bench.cpu import used_by
from bench.idle import resident_bytes
from bench.log_writers import TEXT, Written
from bench.logged import Found, Round
from bench.servers import ROOT, Server, free_ports, pinned
from tests.requirements import require_unpacked

NAME = "rsyslog"
#: Messages in one call of ``send``.
_AT_ONCE = 500
#: It is waited for so long that its file grows.
_PATIENCE_SECONDS = 10.0
_CONFIGURATION = """
global(workDirectory="{folder}" maxMessageSize="8k")
module(load="imtcp")
template(name="line" type="string" string="%timereported:::date-rfc3339%;%syslogseverity-text%;%programname%;%msg%\\n")
input(type="imtcp" address="127.0.0.1" port="{port}" ruleset="all")
ruleset(name="all") {{ action(type="omfile" file="{file}" template="line") }}
"""


def version() -> str:
    """Of the rsyslog that would be measured; empty without one."""
    try:
        path, environ, _ = require_unpacked("rsyslogd")
    except (SkipTest, AssertionError):
        return ""
    said = subprocess.run([path, "-v"], env=environ, capture_output=True, text=True, timeout=10, check=False).stdout
    return said.split()[1] if said else ""


def server(folder: Path, port: int, core: int) -> Server:
    """It, running; raises SkipTest without one, `bench.servers.ServerFault` if it does not start."""
    path, environ, root = require_unpacked("rsyslogd")
    modules = next(iter(root.glob("usr/lib/*/rsyslog")))
    configuration = folder / "rsyslog.conf"
    configuration.write_text(_CONFIGURATION.format(folder=folder, port=port, file=folder / "log.txt"))
    libraries = environ.get("LD_LIBRARY_PATH", "")
    command = ["env", f"LD_LIBRARY_PATH={libraries}", path, "-n", "-f", str(configuration), "-M", str(modules)]
    return Server(NAME, [*command, "-i", str(folder / "rsyslog.pid")], core, folder, [port])


def send(port: int, label: str, seconds: float, writers: int) -> Written:
    """Send numbered messages as fast as they are taken."""
    sockets = [socket.create_connection(("127.0.0.1", port), 10) for _ in range(writers)]
    sent = [0] * writers
    began = time.perf_counter()
    while time.perf_counter() < began + seconds:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime())
        for place, each in enumerate(sockets):
            first = sent[place]
            lines = [
                f"<14>1 {stamp} localhost {label} - - - {label}-{place} {number} {TEXT}\n"
                for number in range(first, first + _AT_ONCE)
            ]
            each.sendall("".join(lines).encode())
            sent[place] += _AT_ONCE
    for each in sockets:
        each.close()
    return Written(label, sent, sent, time.perf_counter() - began, 0.0, 0.0, 0)


def grown(file: Path, pid: int) -> Iterator[int]:
    """The resident memory every now and then, until the file does not grow any more."""
    size, since = -1, time.monotonic()
    while time.monotonic() < since + _PATIENCE_SECONDS:
        yield resident_bytes(pid)
        time.sleep(0.2)
        now = file.stat().st_size if file.exists() else 0
        if now != size:
            size, since = now, time.monotonic()


def examine(file: Path, written: Written) -> Found:
    """What of the messages is in the file."""
    seen = [bytearray(count) for count in written.sent]
    entries = twice = 0
    with file.open("rb") as lines:
        for line in lines:
            label, number = line.split(b";", 3)[3].split(None, 2)[:2]
            writer = seen[int(label.rpartition(b"-")[2])]
            entries += 1
            twice += writer[int(number)]
            writer[int(number)] = 1
    # In order is what ours promises; this one has them as they came.
    return Found(entries, sum(len(each) - sum(each) for each in seen), twice, 0)


def measure(folder: Path, seconds: float, writers: int, cores: tuple[int, int]) -> Round:
    """
    One round.

    :param cores: its own, and that of who sends.
    """
    (port,) = free_ports(1)
    running = server(folder, port, cores[0])
    try:
        before = used_by(running.pid)
        began = time.perf_counter()
        arguments: Sequence[object] = (port, NAME, seconds, writers)
        command = pinned(cores[1], [sys.executable, "-m", "bench.rsyslog", *map(str, arguments)])
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as sender:
            file = folder / "log.txt"
            most = max(grown(file, running.pid))
            took = time.perf_counter() - began - _PATIENCE_SECONDS
            output, _ = sender.communicate(timeout=60)
        used = used_by(running.pid).since(before)
    finally:
        running.kill()
    written = msgspec.json.decode(output, type=Written)
    return Round(
        NAME,
        f"rsyslog, {writers} writers over TCP in clear",
        "nothing",
        sum(written.sent),
        took,
        used.user + used.system,
        used.system,
        0.0,
        0.0,
        most,
        0,
        examine(file, written),
    )


if __name__ == "__main__":
    _port, _label, _seconds, _writers = sys.argv[1:]
    os.write(1, msgspec.json.encode(send(int(_port), _label, float(_seconds), int(_writers))))
