"""The certificates of a daemon, from its configuration: what it listens with, and how it checks app servers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from scalekit.config import Config
from scalekit.net.certificates import CA, ensure_local_ca, ensure_server_certificate
from scalekit.net.tls import ClientTLS, ServerTLS, server_context
from scalekit.ops.draining import DrainingService
from scalekit.ops.options import DaemonOptions

#: The local certificate is renewed at two thirds of its 90 days: looking twice a day is early enough, and cheap.  Each
#: time there is a new context, and with it new keys of session tickets: whoever steals one reads a day's traffic at
#: most (nginx and Caddy renew theirs every 12 hours as well).
RENEWAL_SECONDS = 12 * 3600.0

_log = Logger()


def tls_directory(config: Config) -> Path:
    """Where the local CA and the certificate it signed are kept."""
    return Path(config.state_directory, "tls")


class ServerCertificate(Service):
    """
    The certificate of a daemon's https listeners: the configured pair, or one of the local CA, renewed by itself.

    :ivar tls: for the listeners.
    :raises ConfigurationFault: a file cannot be used.
    """

    name = "certificate"

    def __init__(self, config: Config, names: Iterable[str], clock: IReactorTime, wall: Callable[[], float]) -> None:
        self._names = list(names)
        self._wall = wall
        self._config = config
        self.tls = ServerTLS(*self._files())
        self._loop = LoopingCall(self._tick)
        self._loop.clock = clock

    def _files(self) -> tuple[Path, Path]:
        tls = self._config.tls
        if tls.certificate:
            return Path(tls.certificate), Path(tls.private_key)
        now = datetime.fromtimestamp(self._wall(), UTC)
        directory = tls_directory(self._config)
        ensure_local_ca(directory, now, self._names)
        return ensure_server_certificate(directory, self._names, now)

    def reload(self, config: Config) -> None:
        """
        Read the files of this configuration, for new connections.

        :raises ConfigurationFault: one of them cannot be used; the old certificate stays.
        """
        before, self._config = self._config, config
        try:
            certificate, key = self._files()
            context = server_context(certificate, key, self.tls.protocols)
        except Exception:
            self._config = before
            raise
        self.tls.certificate, self.tls.private_key, self.tls.context = certificate, key, context

    def startService(self) -> None:
        super().startService()
        self._loop.start(RENEWAL_SECONDS, now=False)

    def stopService(self) -> None:
        self._loop.stop()
        super().stopService()

    def _tick(self) -> None:
        try:
            self.reload(self._config)
        except Exception:
            _log.failure("the certificate could not be renewed, the old one stays")

    def __repr__(self) -> str:
        return f"<ServerCertificate {self.tls!r}>"


def add_certificate(
    daemon: DrainingService,
    options: DaemonOptions,
    names: Iterable[str],
    reactor: IReactorTime,
    wall: Callable[[], float],
) -> ServerTLS | None:
    """
    The certificate of the daemon's https listeners, kept fresh as long as it runs; None if it has no such listener.

    :param names: of this machine, as `scalekit.net.addresses.local_names` finds them.
    :param wall: as `time.time`.
    :raises ConfigurationFault: a file cannot be used.
    """
    tables = [getattr(options.settings, section) for section in options.sections]
    if not any(url.is_secure for table in tables for url in table.listen):
        return None
    certificate = ServerCertificate(options.settings, names, reactor, wall)
    certificate.setServiceParent(daemon)
    daemon.on_reload(certificate.reload)
    return certificate.tls


class UpstreamTrust:
    """
    How the certificates of app servers are checked: by the configured CA, else the local one where there is one, else
    the system's.  The files are read when the first of them is asked for: the local CA may come into being after us.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self._tls: ClientTLS | None = None

    def __call__(self) -> ClientTLS:
        """
        For the next connection.

        :raises ConfigurationFault: the file cannot be used.
        """
        if self._tls is None:
            self._tls = _client_tls(self._config)
        return self._tls

    def reload(self, config: Config) -> None:
        """
        Read the file of this configuration, for new connections.

        :raises ConfigurationFault: it cannot be used; what was trusted stays.
        """
        if self._tls is not None:
            self._tls = _client_tls(config)
        self._config = config


def _client_tls(config: Config) -> ClientTLS:
    tls = config.balancer.upstream_tls
    if tls.ca:
        return ClientTLS(Path(tls.ca), tls.verify)
    local = tls_directory(config) / CA
    return ClientTLS(local if local.exists() else None, tls.verify)
