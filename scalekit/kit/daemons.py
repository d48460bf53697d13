"""The kit's parts as a daemon's ``tap.py`` wants them: made from the daemon's configuration, stopped with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import MultiService
from twisted.python.threadable import isInIOThread

from scalekit.config import Config
from scalekit.interfaces import ILogSink
from scalekit.kit.client import Client, make_client
from scalekit.kit.logs import LogClient
from scalekit.kit.observer import LogService, observer
from scalekit.kit.sinks import Nowhere
from scalekit.kit.token_file import TokenFile
from scalekit.net.certificates import CA
from scalekit.ops.certificates import tls_directory


def open_client(settings: Config, reactor: Any) -> Client:
    """A client that trusts the configured CA, else the local one if there is or will be one, else the system's."""
    ca = settings.balancer.upstream_tls.ca
    local = tls_directory(settings) / CA
    if not ca and (local.exists() or not settings.tls.certificate):
        ca = str(local)
    return make_client(reactor, ca or None)


def open_logging(
    settings: Config,
    source: str,
    client: Client,
    daemon: MultiService,
    reactor: Any,
    random: Callable[[], float],
    wall: Callable[[], float],
) -> ILogSink:
    """
    Where entries go; what is logged by `twisted.logger` goes there too, as long as the daemon runs.

    :param source: what the entries say where they are from.
    :param random: as `random.random`.
    :param wall: as `time.time`.
    """
    if not settings.log_client.url:
        return Nowhere()
    token = TokenFile(settings.log_client.token_file, None)
    sink = LogClient(settings.log_client.url, source, client, reactor, random, wall, token.headers)
    LogService(sink, observer(sink, isInIOThread, reactor.callFromThread)).setServiceParent(daemon)
    return sink
