"""
What logging costs the one who logs, while the log service is well, dead, hung or slow: ``python -m bench.emit``.

Records of `logging` are handed to the handler, some each few milliseconds, as the requests of an application would; the
time of each call of ``emit`` counts.  The first line is the same with `logging.FileHandler`: what that takes on
this machine at this moment.  Then the log service is made well, and the entries that have arrived are counted.
"""

from __future__ import annotations

import argparse
import gc
import logging
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from typing import Any

from bench.servers import free_ports
from scalekit.kit.logs import Handler, open_sender
from tests.kit.collecting import FakeCollector

TEXT = "GET /posts/%d 200 %d bytes in %.1f ms"
BURST = 20
PAUSE_SECONDS = 0.005
FILE = "file"
STATES = (FILE, "well", "dead", "hung", "slow")
#: A slow one takes two batches a second.
SLOW_SECONDS = 0.5
RECOVERY_SECONDS = 60.0


def collect(port: int, state: str, channel: Any) -> None:
    """A log service in a process of its own; told ``well`` it is, told ``count`` it tells how many are there."""
    collector = None if state == "dead" else FakeCollector(port)
    if collector is not None and state == "hung":
        collector.gate.clear()
    if collector is not None and state == "slow":
        collector.delay_seconds = SLOW_SECONDS
    channel.send("ready")
    while (told := channel.recv()) != "end":
        if told == "well":
            collector = collector or FakeCollector(port)
            collector.delay_seconds = 0.0
            collector.gate.set()
        numbers = [] if collector is None else collector.messages
        channel.send((len(numbers), len(set(numbers))))


def percentile(values: list[float], share: float) -> float:
    """Of sorted values."""
    return values[min(len(values) - 1, int(len(values) * share))]


def log_for(seconds: float, emit: Callable[[logging.LogRecord], None]) -> list[float]:
    """What each call took, in microseconds, sorted."""
    took = []
    clock = time.perf_counter
    logger = logging.getLogger("bench")
    until = clock() + seconds
    number = 0
    while clock() < until:
        for _ in range(BURST):
            arguments = (number, 5120, 1.5)
            record = logger.makeRecord("bench", logging.INFO, __file__, 1, TEXT, arguments, None)
            began = clock()
            emit(record)
            took.append((clock() - began) * 1e6)
            number += 1
        time.sleep(PAUSE_SECONDS)
    return sorted(took)


def measure(state: str, seconds: float) -> str:
    """A line of the table."""
    (port,) = free_ports(1)
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=collect, args=(port, state, theirs))
    process.start()
    ours.recv()
    with tempfile.TemporaryDirectory() as spool:
        sender = open_sender("bench", f"http://127.0.0.1:{port}", "", dict, spool, lambda text: None)
        handler = logging.FileHandler(f"{spool}/file.log") if state == FILE else Handler(sink=sender)
        gc.collect()
        took = log_for(seconds, handler.emit)
        ours.send("well")
        arrived = ours.recv()
        until = time.monotonic() + RECOVERY_SECONDS
        while state != FILE and arrived[1] < len(took) and time.monotonic() < until:
            time.sleep(0.2)
            ours.send("count")
            arrived = ours.recv()
        handler.close()
    ours.send("end")
    process.join()
    shares = "".join(f"{percentile(took, share):10.1f}" for share in (0.5, 0.99, 0.999, 1.0))
    ended = "" if state == FILE else f"{len(took) - arrived[1]:8}{arrived[0] - arrived[1]:8}"
    return f"{state:6}{len(took):10}{shares}{ended}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="of logging in each state")
    options = parser.parse_args()
    print(f"{'':6}{'entries':>10}{'p50 us':>10}{'p99 us':>10}{'p99.9 us':>10}{'most us':>10}{'lost':>8}{'twice':>8}")
    for state in STATES:
        print(measure(state, options.seconds), flush=True)


if __name__ == "__main__":
    main()
