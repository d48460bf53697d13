"""
The log's composition root: ``twistd scalekit-logs``.

`add_logs` is for every daemon that has the log in it (scalekit-logs, scalekit-all).
"""

from __future__ import annotations

from scalekit.net import loop

loop.install()

import os
import random
import secrets
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, cast

from twisted.internet import reactor as _reactor

from scalekit.config import Config
from scalekit.config.decode import override
from scalekit.config.model import Logs
from scalekit.kit.client import make_client
from scalekit.kit.figures import LatestFigures
from scalekit.kit.token_file import TokenFile
from scalekit.logs.bodies import BODY_LIMIT
from scalekit.logs.collector import Collector
from scalekit.logs.directory import LocalDirectory
from scalekit.logs.metrics import LogMetrics
from scalekit.logs.page.resource import STYLESHEET
from scalekit.logs.panel import LogsPanel
from scalekit.logs.resource import LogResource
from scalekit.logs.retention import Rules
from scalekit.logs.search.asking import QueryHistogram, QueryLines, Searches
from scalekit.logs.search.indexing import Indexing
from scalekit.logs.settings import Settings as CollectorSettings
from scalekit.logs.sinks.metrics import SinkMetrics
from scalekit.logs.sinks.opening import Surroundings, open_sinks
from scalekit.logs.stats import Stats
from scalekit.logs.syslog.intake import Intake
from scalekit.logs.syslog.listening import Syslog
from scalekit.logs.syslog.metrics import SyslogMetrics
from scalekit.logs.tails import Tails
from scalekit.logs.taking import Front
from scalekit.logs.threads import ThreadLane
from scalekit.net.addresses import local_names
from scalekit.net.listening import HTTPListening
from scalekit.net.tls import ServerTLS
from scalekit.ops.certificates import add_certificate
from scalekit.ops.daemon import DaemonOptions, DrainingService, explained_faults, fail_start
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

    def __init__(self) -> None:
        super().__init__()
        self._syslog: list[str] = []

    def opt_syslog(self, url: str) -> None:
        """Where syslog comes in, such as udp://127.0.0.1:5514; repeatable, instead of the configured."""
        self._syslog.append(url)

    def read(self, state_directory: str | None = None) -> Config:
        config = super().read(state_directory)
        return override(config, "logs.syslog", self._syslog, "--syslog") if self._syslog else config


@explained_faults()
def makeService(options: Options) -> DrainingService:
    """The daemon."""
    daemon = DrainingService(options, reactor)
    settings = options.settings
    names = local_names(socket.gethostname())
    add_logs(daemon, settings, names, add_certificate(daemon, options, names, reactor, time.time))
    return daemon


class Parts(NamedTuple):
    """
    Of a log.

    :ivar resource: its HTTP interface.
    :ivar tails: those in it, which are to be closed when clients should go.
    :ivar stats: its figures.
    """

    collector: Collector
    resource: LogResource
    tails: Tails
    stats: Stats


def open_logs(settings: Logs, reactor: Any, wall: Callable[[], float] = time.time) -> Parts:
    """
    A collector as configured, and what is around it.

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
    telling = ThreadLane(reactor, "logs tails"), ThreadLane(reactor, "logs tails behind")
    tails = Tails(collector, telling, reactor, wall)
    stats = Stats(searches, collector, tails, reactor.seconds)
    reading = {
        b"query": QueryLines(searches),
        b"histogram": QueryHistogram(searches),
        b"stats": stats,
        b"tail": tails,
    }
    return Parts(collector, LogResource(collector, reading), tails, stats)


class AddedLogs(NamedTuple):
    """What a daemon with the log in it may want to look at; ``panel`` is for the balancer's dashboard."""

    collector: Collector
    listening: HTTPListening
    panel: LogsPanel


def _surroundings() -> Surroundings:
    """What sinks take of this process."""
    return Surroundings(
        reactor,
        time.time,
        random.random,
        partial(secrets.token_hex, 8),
        partial(ThreadLane, reactor),
        partial(make_client, reactor),
        lambda path: TokenFile(path, None).headers,
    )


def add_logs(daemon: DrainingService, settings: Config, names: list[str], certificate: ServerTLS | None) -> AddedLogs:
    """
    Add the log to a daemon.

    :param names: what this machine is called.
    """
    # The thread that formats lines gives way to the reactor's after so long; as Python comes, after 5 ms, each time
    # that the reactor has waited for a socket.
    sys.setswitchinterval(0.0005)
    collector, root, tails, stats = open_logs(settings.logs, reactor)
    collector.setServiceParent(daemon)
    if settings.logs.index:
        reserve = max(settings.logs.disk_reserve, settings.logs.min_free)
        indexes, path = stats.searches.indexes, settings.logs.directory
        Indexing(collector, indexes, reactor, path, reserve, os.environ).setServiceParent(daemon)
    daemon.on_drain(lambda is_hurried: tails.close())
    stats.sinks = sinks = open_sinks(settings.logs.sink, collector, _surroundings())
    for sink in sinks:
        sink.setServiceParent(daemon)
    intake = Intake(collector, reactor, time.time, _offset_at)
    syslog = Syslog(settings.logs.syslog, intake, reactor, certificate, fail_start)
    syslog.setServiceParent(daemon)
    daemon.on_drain(lambda is_hurried: syslog.drain())
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
        collectors=(LogMetrics(collector), SyslogMetrics(syslog, collector.counts.syslog), SinkMetrics(sinks)),
        body_limit=BODY_LIMIT,
        front=lambda site: Front(site, root.takers),
        trouble=lambda: collector.trouble,
        login=Login("scalekit log", STYLESHEET, os.urandom, reactor.seconds),
    )
    return AddedLogs(collector, listening, LogsPanel("Log", LatestFigures(stats.figures, reactor)))


def _offset_at(seconds: float) -> int:
    """How far this machine's clocks are ahead of UTC then."""
    try:
        return time.localtime(seconds).tm_gmtoff
    except (OverflowError, OSError, ValueError):  # no year that it knows
        return 0
