"""The certificates of a daemon, from its configuration: what it listens with, and how it checks app servers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from scalekit.config import Config
from scalekit.net.certificates import CA, ensure_local_ca, ensure_server_certificate
from scalekit.net.tls import ClientTLS, ServerTLS

#: The local certificate is renewed at two thirds of its 90 days: looking twice a day is early enough, and cheap.
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
            fresh = ServerTLS(certificate, key)
        except Exception:
            self._config = before
            raise
        self.tls.certificate, self.tls.private_key, self.tls.context = certificate, key, fresh.context

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


def open_client_tls(config: Config) -> ClientTLS:
    """
    How app servers are checked: by the configured CA, else the local one where there is one, else the system's.

    :raises ConfigurationFault: the file cannot be used.
    """
    tls: Any = config.balancer.upstream_tls
    ca: Path | None = Path(tls.ca) if tls.ca else tls_directory(config) / CA
    if not tls.ca and ca is not None and not ca.exists():
        ca = None
    return ClientTLS(ca, tls.verify)
