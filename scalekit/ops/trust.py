"""How the certificates of app servers are checked, from the configuration."""

from __future__ import annotations

from pathlib import Path

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from scalekit.config import Config
from scalekit.errors import ConfigurationFault
from scalekit.net.certificates import CA
from scalekit.net.contexts import concerning
from scalekit.net.tls import ClientTLS
from scalekit.ops.certificates import WATCH_SECONDS, tls_directory
from scalekit.ops.watching import FileWatch

_log = Logger()


class UpstreamTrust(Service):
    """
    What is trusted: the configured CA, else the local one where there is one, else the system's.

    The file is read when its authorities are first asked for, and again when it changes, or comes into being: the local
    CA may be made after us.

    :param clock: for looking at the file, while the service runs.
    """

    name = "trust"

    def __init__(self, config: Config, clock: IReactorTime) -> None:
        self._config = config
        self._tls: ClientTLS | None = None
        self._watch = FileWatch()
        self._loop = LoopingCall(self._look)
        self._loop.clock = clock

    def __call__(self) -> ClientTLS:
        """
        For the next connection.

        :raises ConfigurationFault: the file cannot be used.
        """
        if self._tls is None:
            self._tls = self._read()
        return self._tls

    def reload(self, config: Config) -> None:
        """
        Read the file of this configuration, for new connections.

        :raises ConfigurationFault: it cannot be used; what was trusted stays.
        """
        self._config = config
        if self._tls is not None:
            self._tls = self._read()

    def check(self, config: Config) -> None:
        """Raise `ConfigurationFault` if `reload` would."""
        if self._tls is not None or config.balancer.upstream_tls.ca:
            client_tls(config)

    def _read(self) -> ClientTLS:
        self._watch.have_read([_authorities(self._config)])
        return client_tls(self._config)

    def startService(self) -> None:
        super().startService()
        self._loop.start(WATCH_SECONDS, now=False)

    def stopService(self) -> None:
        self._loop.stop()
        super().stopService()

    def _look(self) -> None:
        try:
            if self._watch.has_changed():
                self.reload(self._config)
                _log.info("{file} has changed: read again", file=_authorities(self._config))
        except ConfigurationFault as fault:
            _log.error("what was trusted stays: {fault}", fault=fault)
        except Exception:
            _log.failure("what was trusted stays")

    def __repr__(self) -> str:
        return f"<UpstreamTrust {self._tls!r}>"


def client_tls(config: Config) -> ClientTLS:
    """
    What is trusted now.

    :raises ConfigurationFault: the file cannot be used.
    """
    tls = config.balancer.upstream_tls
    protocols = ("h2", "http/1.1") if tls.http2 else ("http/1.1",)
    if tls.ca:
        with concerning("balancer.upstream_tls.ca"):
            return ClientTLS(_authorities(config), tls.verify, protocols)
    local = _authorities(config)
    return ClientTLS(local if local.exists() else None, tls.verify, protocols)


def _authorities(config: Config) -> Path:
    return Path(config.balancer.upstream_tls.ca or tls_directory(config) / CA)
