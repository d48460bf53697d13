"""
A log that is killed at random moments, again and again, while clients write; then all that it holds is compared with
what it has acknowledged.

Processes are forked from one that has imported most of what they need (`multiprocessing`'s fork server): so a round
takes two seconds on a busy machine, and not seven.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import time
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from bench.examined import examine
from bench.log_writers import PATIENCE_SECONDS, Written, write
from bench.logged import Kills
from bench.servers import ServerFault, free_ports

WRITERS = 8
#: Entries in a request.
BATCHES = (1, 5, 100)
#: Writers write for so long at most.
KILL_SECONDS = 1.0
#: Until what was acknowledged last is in its file: the delay, an interval, and a busy disk.
SETTLE_SECONDS = 5.0
#: What of the daemon does not import the reactor, which is each process' own.
PRELOADED = ["bench.log_writers", "scalekit.logs.collector", "scalekit.logs.resource", "scalekit.net.listening"]
PRELOADED += ["scalekit.ops.daemon", "scalekit.ops.serving", "scalekit.ops.certificates", "scalekit.web.login"]


def serve(folder: str, port: int, core: int) -> None:
    """The daemon, in a process of its own."""
    os.sched_setaffinity(0, {core})
    with open(os.path.join(folder, "logs.out"), "ab") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    listen = f"https://127.0.0.1:{port}"
    sys.argv = ["twistd", "-n", "--pidfile=", "scalekit-logs", "--listen", listen, "--state-directory", folder]
    from twisted.scripts.twistd import run

    run()


def write_until_killed(channel: Connection, port: int, label: str, batch: int, core: int) -> None:
    """Writers, in a process of their own: tells when all are connected, and in the end what they have written."""
    os.sched_setaffinity(0, {core})
    channel.send(write(port, label, 2 * PATIENCE_SECONDS, WRITERS, batch, begun=lambda: channel.send(None)))


def kill(folder: Path, rounds: int, cores: tuple[int, int]) -> Kills:
    """
    As often as this; raises `bench.servers.ServerFault` if it does not start.

    :param cores: the log's, and its writers'.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    written: list[Written] = []
    began = time.monotonic()

    def started(port: int) -> BaseProcess:
        process = context.Process(target=serve, args=(str(folder), port, cores[0]))
        process.start()
        return process

    for number in range(rounds):
        (port,) = free_ports(1)
        log = started(port)
        ours, theirs = context.Pipe()
        arguments = (theirs, port, f"k{number}", random.choice(BATCHES), cores[1])
        writers = context.Process(target=write_until_killed, args=arguments)
        writers.start()
        theirs.close()
        try:
            _next(ours)
            time.sleep(random.uniform(0, KILL_SECONDS))
            log.kill()
            written.append(_next(ours))
        finally:
            log.kill()
            log.join()
            writers.join()
        print(f"round {number + 1}: {sum(written[-1].acknowledged):,} acknowledged", file=sys.stderr, flush=True)
    log = started(free_ports(1)[0])
    time.sleep(SETTLE_SECONDS)
    os.kill(log.pid or 0, signal.SIGINT)
    log.join()
    acknowledged = sum(sum(run.acknowledged) for run in written)
    return Kills(rounds, time.monotonic() - began, acknowledged, examine(str(folder / "logs"), written))


def _next(channel: Connection) -> Written:
    try:
        if not channel.poll(3 * PATIENCE_SECONDS):
            raise ServerFault("the log does not start, or its writers do not end")
        told: Written = channel.recv()
    except EOFError:
        raise ServerFault("the log's writers have ended") from None
    return told
