"""
The log's composition root: ``twistd scalekit-logs``.

`add_logs` is for every daemon that has the log in it (scalekit-logs, scalekit-all).
"""

from __future__ import annotations

from scalekit.net import loop

loop.install()

import os  # noqa: E402
import secrets  # noqa: E402
import socket  # noqa: E402
import time  # noqa: E402
from typing import Any, cast  # noqa: E402

from twisted.internet import reactor as _reactor  # noqa: E402

from scalekit.config import Config  # noqa: E402
from scalekit.config.model import Logs  # noqa: E402
from scalekit.logs.bodies import BODY_LIMIT  # noqa: E402
from scalekit.logs.collector import Collector  # noqa: E402
from scalekit.logs.directory import LocalDirectory  # noqa: E402
from scalekit.logs.metrics import LogMetrics  # noqa: E402
from scalekit.logs.resource import LogResource  # noqa: E402
from scalekit.logs.threads import ThreadLane  # noqa: E402
from scalekit.net.addresses import local_names  # noqa: E402
from scalekit.net.clocks import OtherSeconds  # noqa: E402
from scalekit.net.listening import ListeningService  # noqa: E402
from scalekit.net.tls import ServerTLS  # noqa: E402
from scalekit.ops.certificates import ServerCertificate  # noqa: E402
from scalekit.ops.daemon import DaemonOptions, DrainingService, explained_faults  # noqa: E402
from scalekit.ops.serving import add_private_listener  # noqa: E402

reactor = cast(Any, _reactor)


class Options(DaemonOptions):
    """``twistd scalekit-logs --help``."""

    daemon = "scalekit-logs"
    sections = ("logs",)
    environ = os.environ
    optParameters = [
        ["directory", None, None, "Where log.txt and its journal are kept."],
        ["delay", None, None, "How long late entries are waited for, such as 2s."],
        ["token-file", None, None, "Who may use it off this machine: lines of role[:service] token."],
    ]
    flag_keys = {"directory": "logs.directory", "delay": "logs.delay", "token-file": "logs.token_file"}


@explained_faults()
def makeService(options: Options) -> DrainingService:
    """The daemon."""
    daemon = DrainingService(options, reactor)
    settings = options.settings
    names = local_names(socket.gethostname())
    certificate = ServerCertificate(settings, names, reactor, time.time)
    certificate.setServiceParent(daemon)
    daemon.on_reload(certificate.reload)
    add_logs(daemon, settings, names, certificate.tls)
    return daemon


def open_logs(settings: Logs, reactor: Any) -> tuple[Collector, LogResource]:
    """
    A collector as configured, and its HTTP interface.

    Nothing is opened before the collector's ``startService``, which raises `scalekit.errors.ConfigurationFault` for a
    directory that cannot be used.

    :param reactor: its ``seconds`` are those of the epoch: entries' times are compared with them.
    """
    lanes = (ThreadLane(reactor, "logs journal"), ThreadLane(reactor, "logs output"))
    collector = Collector(
        lambda: LocalDirectory(settings.directory), reactor, lanes, settings.delay, settings.flush_interval
    )
    return collector, LogResource(collector)


def add_logs(
    daemon: DrainingService, settings: Config, names: list[str], certificate: ServerTLS
) -> tuple[Collector, ListeningService]:
    """
    Add the log to a daemon.

    :param names: what this machine is called.
    """
    collector, root = open_logs(settings.logs, OtherSeconds(reactor, time.time))
    collector.setServiceParent(daemon)
    listening = add_private_listener(
        daemon,
        settings,
        "logs",
        root,
        names=names,
        certificate=certificate,
        reactor=reactor,
        wall=time.time,
        request_name=secrets.token_hex(4).encode(),
        collectors=(LogMetrics(collector),),
        body_limit=BODY_LIMIT,
        trouble=lambda: collector.trouble,
    )
    return collector, listening
