"""h2load: its report, and the file with a line for each request."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

from bench.cpu import used_by
from bench.load import Load, LoadFault, Round
from bench.servers import pinned

#: h2load likes AES-128 best, and who minds a client's wishes would have less to do than who does not.
CIPHER = "TLS_AES_256_GCM_SHA384"


def parse_report(text: str) -> tuple[int, float, int, int]:
    """
    Read what h2load prints.

    :returns: requests answered, requests/s, answers other than 2xx and 3xx, requests without any answer.
    :raises LoadFault: it is none, or the server spoke something other than HTTP/2.
    """
    rate = re.search(r"^finished in .*?, ([\d.]+) req/s", text, re.MULTILINE)
    counts = re.search(r"^requests: .* (\d+) done, .* (\d+) errored, (\d+) timeout$", text, re.MULTILINE)
    statuses = re.search(r"^status codes: (\d+) 2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx$", text, re.MULTILINE)
    if rate is None or counts is None or statuses is None:
        raise LoadFault(f"no report of h2load: {text[-300:]!r}")
    if "Application protocol: h2\n" not in text:
        raise LoadFault("it does not speak HTTP/2")
    done, errored, timeouts = map(int, counts.groups())
    return done, float(rate[1]), int(statuses[3]) + int(statuses[4]), errored + timeouts


def parse_log(text: str) -> tuple[float, float]:
    """
    Read the lines ``START STATUS MICROSECONDS``.

    :returns: the median of the latencies and the one that one in a hundred exceeds, microseconds.
    :raises LoadFault: there are none.
    """
    times = sorted(int(line.rpartition("\t")[2]) for line in text.splitlines())
    if not times:
        raise LoadFault("h2load has logged no request")
    return float(times[len(times) // 2]), float(times[len(times) * 99 // 100])


def run_h2load(url: str, core: int, seconds: int, connections: int, streams: int, pid: int) -> Round:
    """
    Load a URL over HTTP/2, and watch what the process behind it uses meanwhile.

    :param streams: how many requests each connection has under way at any time.
    :raises LoadFault: h2load failed.
    """
    with tempfile.NamedTemporaryFile(prefix="scalekit-h2load-") as log:
        command = ["h2load", f"-c{connections}", f"-m{streams}", "-t1", f"-D{seconds}", f"--log-file={log.name}"]
        command += [f"--tls13-ciphers={CIPHER}", url]
        before = used_by(pid)
        done = subprocess.run(pinned(core, command), capture_output=True, text=True, timeout=seconds + 30, check=False)
        used = used_by(pid).since(before)
        if done.returncode != 0:
            raise LoadFault(f"h2load ended with {done.returncode}: {(done.stderr or done.stdout)[-300:]}")
        requests, rate, bad, errors = parse_report(done.stdout)
        median_us, p99_us = parse_log(Path(log.name).read_text())
    each = 1e6 / max(1, requests)
    return Round(Load(requests, rate, median_us, p99_us, bad, errors), used.user * each, used.system * each)
