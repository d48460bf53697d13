"""The kit's parts as a daemon's ``tap.py`` wants them: made from the daemon's configuration, stopped with it."""

from __future__ import annotations

import os
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from scalekit.config import Config
from scalekit.interfaces import ILogSink
from scalekit.kit.client import Client, make_client
from scalekit.kit.figures import LatestFigures, ServiceFigures
from scalekit.kit.logs import open_sender
from scalekit.kit.observer import LogService, observer
from scalekit.kit.sinks import Nowhere
from scalekit.kit.token_file import TokenFile
from scalekit.net.certificates import CA
from scalekit.ops.certificates import tls_directory
from scalekit.places import is_here

_log = Logger(namespace="scalekit.kit.logs")


def open_client(settings: Config, reactor: Any) -> Client:
    """A client that trusts the configured CA, else the local one if there is or will be one, else the system's."""
    return make_client(reactor, _ca(settings) or None)


def _ca(settings: Config) -> str:
    ca = settings.balancer.upstream_tls.ca
    local = tls_directory(settings) / CA
    return str(local) if not ca and (local.exists() or not settings.tls.certificate) else ca


def open_figures(settings: Config, name: str, mark: str, url: str, token_file: str, reactor: Any) -> LatestFigures:
    """
    Those of a service elsewhere, for the dashboard: see `ServiceFigures`.

    :param token_file: for one on another machine; raises `scalekit.errors.ConfigurationFault`.
    """
    token = TokenFile("" if is_here(url) else token_file, None)
    token.headers()  # what is wrong with the file is told at the start
    return LatestFigures(ServiceFigures(name, url, mark, open_client(settings, reactor), token.headers), reactor)


def open_logging(settings: Config, source: str, daemon: MultiService, reactor: Any) -> ILogSink:
    """
    Where entries go; what is logged by `twisted.logger` goes there too, as long as the daemon runs.

    :param source: what the entries say where they are from.
    """
    url = settings.log_client.url
    if not url:
        return Nowhere()
    token = TokenFile(settings.log_client.token_file, None)
    spool = os.path.join(settings.state_directory, "spool")
    sender = open_sender(
        source, str(url), _ca(settings), token.headers, spool, lambda text: _log.warn("{text}", text=text)
    )
    LogService(
        observer(sender), lambda: deferToThreadPool(reactor, reactor.getThreadPool(), sender.close)
    ).setServiceParent(daemon)
    return sender
