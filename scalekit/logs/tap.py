"""
The log's composition root.

`open_logs` is for every daemon that has the log in it (scalekit-logs, scalekit-all)::

    collector, resource = open_logs(options.settings.logs, reactor)
    collector.setServiceParent(daemon)
    sink = collector.sink("balancer")
"""

from __future__ import annotations

from typing import Any

from scalekit.config.model import Logs
from scalekit.logs.collector import Collector
from scalekit.logs.directory import LocalDirectory
from scalekit.logs.resource import LogResource
from scalekit.logs.threads import ThreadLane


def open_logs(settings: Logs, reactor: Any) -> tuple[Collector, LogResource]:
    """
    A collector as configured, and its HTTP interface.

    Nothing is opened before the collector's ``startService``, which raises `scalekit.errors.ConfigurationFault` for a
    directory that cannot be used.
    """
    lanes = (ThreadLane(reactor, "logs journal"), ThreadLane(reactor, "logs output"))
    collector = Collector(
        lambda: LocalDirectory(settings.directory), reactor, lanes, settings.delay, settings.flush_interval
    )
    return collector, LogResource(collector)
