"""
The log's composition root: ``twistd scalekit-logs``.

`add_logs` is for every daemon that has the log in it (scalekit-logs, scalekit-all).
"""

from __future__ import annotations

from scalekit.net import loop

loop.install()

import os
import secrets
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, cast

from twisted.internet import reactor as _reactor

from scalekit.config import Config
from scalekit.config.model import Logs
from scalekit.logs.bodies import BODY_LIMIT
from scalekit.logs.collector import Collector
from scalekit.logs.directory import LocalDirectory
from scalekit.logs.metrics import LogMetrics
from scalekit.logs.page.resource import STYLESHEET
from scalekit.logs.resource import LogResource
from scalekit.logs.retention import Rules
from scalekit.logs.search.asking import QueryHistogram, QueryLines, Searches
from scalekit.logs.settings import Settings as CollectorSettings
from scalekit.logs.stats import Stats
from scalekit.logs.tails import Tails
from scalekit.logs.taking import Front
from scalekit.logs.threads import ThreadLane
from scalekit.net.addresses import local_names
from scalekit.net.listening import HTTPListening
from scalekit.net.tls import ServerTLS
from scalekit.ops.certificates import add_certificate
from scalekit.ops.daemon import DaemonOptions, DrainingService, explained_faults
from scalekit.ops.serving import add_private_listener
from scalekit.web.login import Login

reactor = cast(Any, _reactor)


class Options(DaemonOptions):
    """``twistd scalekit-logs --help``."""

    daemon = "scalekit-logs"
    sections = ("logs",)
    shared = ("state_directory", "tls")
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
    add_logs(daemon, settings, names, add_certificate(daemon, options, names, reactor, time.time))
    return daemon


def open_logs(
    settings: Logs, reactor: Any, wall: Callable[[], float] = time.time
) -> tuple[Collector, LogResource, Tails]:
    """
    A collector as configured, its HTTP interface, and the tails in it, which are to be closed when clients should go.

    Nothing is opened before the collector's ``startService``, which raises `scalekit.errors.ConfigurationFault` for a
    directory that cannot be used.

    :param wall: seconds since the epoch: entries' times are compared with them.
    """
    lanes = (
        ThreadLane(reactor, "logs journal"),
        ThreadLane(reactor, "logs output"),
        ThreadLane(reactor, "logs upkeep"),
    )
    collector = Collector(
        lambda: LocalDirectory(settings.directory),
        reactor,
        lanes,
        CollectorSettings(
            settings.delay,
            settings.flush_interval,
            settings.memory,
            settings.disk_reserve,
            source_rate=settings.source_rate,
            is_compressed=settings.compress,
            rules=Rules(int(settings.retention * 1e9), settings.max_bytes, settings.min_free),
        ),
        wall,
    )
    searches = Searches(collector, ThreadLane(reactor, "logs search"), reactor.seconds, wall)
    tails = Tails(collector, ThreadLane(reactor, "logs tails"), reactor, wall)
    reading = {
        b"query": QueryLines(searches),
        b"histogram": QueryHistogram(searches),
        b"stats": Stats(searches, collector),
        b"tail": tails,
    }
    return collector, LogResource(collector, reading), tails


def add_logs(
    daemon: DrainingService, settings: Config, names: list[str], certificate: ServerTLS | None
) -> tuple[Collector, HTTPListening]:
    """
    Add the log to a daemon.

    :param names: what this machine is called.
    """
    # The thread that formats lines gives way to the reactor's after so long; as Python comes, after 5 ms, each time
    # that the reactor has waited for a socket.
    sys.setswitchinterval(0.0005)
    collector, root, tails = open_logs(settings.logs, reactor)
    collector.setServiceParent(daemon)
    daemon.on_drain(lambda is_hurried: tails.close())
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
        front=lambda site: Front(site, root.takers),
        trouble=lambda: collector.trouble,
        login=Login("scalekit log", STYLESHEET, os.urandom, reactor.seconds),
    )
    return collector, listening
