"""
``scalekit``: the command line for people.

* `certificates`: ``scalekit cert show | issue | renew | ca``.
* `checking`: ``scalekit check-config``.
* `operating`: ``scalekit status | drain | undrain | forget | explain``, of a running balancer.
* `caching`: ``scalekit cache get | put | purge | stats | top``, of a running cache.
* `searching`: ``scalekit logs query | tail | stats`` and ``scalekit why``, of a running log.
* `log_files`: ``scalekit logs fsck``, of a log's directory.
* `asking`: how these are asked; `showing`: tables.
* `joining`: ``scalekit run``, a command of any kind behind the balancer.
* `running`: what all commands share: where the configuration is, and faults as one line.

Here, as in a feature's ``tap``, the process' own clock and environment are taken.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Sequence
from functools import partial

import click

from scalekit import __version__
from scalekit.net.addresses import local_names
from scalekit.ops.cli.caching import cache
from scalekit.ops.cli.certificates import cert
from scalekit.ops.cli.checking import check_config
from scalekit.ops.cli.joining import run_behind
from scalekit.ops.cli.log_files import fsck
from scalekit.ops.cli.operating import drain, explain, forget, status, undrain
from scalekit.ops.cli.running import Surroundings, run
from scalekit.ops.cli.searching import logs, why


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="scalekit %(version)s")
def scalekit() -> None:
    """Look after scalekit: its configuration, its certificates, its app servers; run commands behind it."""


scalekit.add_command(cache)
scalekit.add_command(cert)
scalekit.add_command(check_config)
scalekit.add_command(run_behind)
scalekit.add_command(status)
scalekit.add_command(drain)
scalekit.add_command(undrain)
scalekit.add_command(forget)
scalekit.add_command(explain)
logs.add_command(fsck)
scalekit.add_command(logs)
scalekit.add_command(why)


def main(arguments: Sequence[str] | None = None) -> int:
    """
    The console script.

    :return: the exit status: 0, or 1 after one line on the standard error.
    """
    names = partial(local_names, socket.gethostname())
    surroundings = Surroundings(os.environ, time.time, names, time.monotonic, time.sleep)
    return run(scalekit, arguments, surroundings)
