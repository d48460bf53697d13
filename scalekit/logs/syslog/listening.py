"""
The listeners for syslog of a daemon, as one service.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from scalekit.config.urls import ListenURL, Network
from scalekit.logs.syslog.datagrams import DatagramPort, SyslogDatagrams
from scalekit.logs.syslog.intake import Intake
from scalekit.logs.syslog.streams import MOST_CONNECTIONS, SyslogFactory
from scalekit.net.deadlines import Wheel
from scalekit.net.listening import ListeningRefused, ListeningService
from scalekit.net.tls import ServerTLS

_log = Logger()


class Syslog(MultiService):
    """
    Takes messages from `privilegedStartService`, when twistd still has its privileges, until `drain`.

    :ivar streams: the listeners for TCP and TLS, ``datagrams`` those for UDP.
    """

    def __init__(
        self,
        urls: Iterable[ListenURL],
        intake: Intake,
        reactor: Any,
        tls: ServerTLS | None = None,
        fail_start: Callable[[str], object] | None = None,
    ) -> None:
        """
        :param tls: needed for ``tls``.
        :param fail_start: as for `ListeningService`.
        """
        super().__init__()
        self._intake = intake
        self._wheel = Wheel(reactor)
        self._wheel.every_tick(self._count_drops)
        self.streams: list[SyslogListening] = []
        self.datagrams: list[DatagramListening] = []
        for url in urls:
            is_allowed = among(url.allow_from)
            if url.scheme == "udp":
                datagrams = DatagramListening(url, SyslogDatagrams(intake, reactor, is_allowed), reactor, fail_start)
                datagrams.setServiceParent(self)
                self.datagrams.append(datagrams)
            else:
                factory = SyslogFactory(url.scheme, intake, self._wheel, is_allowed)
                streams = SyslogListening([url], factory, reactor, tls, MOST_CONNECTIONS, fail_start)
                streams.setServiceParent(self)
                self.streams.append(streams)

    def startService(self) -> None:
        if self._all:  # most daemons have none, and need not be woken for them
            self._wheel.start()
        super().startService()

    def stopService(self) -> Deferred[Any]:
        self._wheel.stop()
        stopped: Deferred[Any] = super().stopService()
        return stopped

    def drain(self) -> Deferred[Any]:
        """Take no more senders; fires when those that are here have ended, and all that was read is on disk."""
        drained = DeferredList([each.drain() for each in self._all])
        drained.addCallback(lambda _: self._count_drops())
        return drained.addCallback(lambda _: self._intake.when_idle())

    def _count_drops(self) -> None:
        for each in self.datagrams:
            self._intake.count("udp", "kernel", each.new_drops())

    @property
    def _all(self) -> list[SyslogListening | DatagramListening]:
        return [*self.streams, *self.datagrams]

    def bound_urls(self) -> list[str]:
        """Where it listens, with the real ports."""
        return [url for each in self._all for url in each.bound_urls()]

    def __repr__(self) -> str:
        return f"<Syslog {' '.join(self.bound_urls()) or 'not listening'}, {self._intake!r}>"


class SyslogListening(ListeningService):
    """A listener for TCP or TLS."""

    @property
    def transport(self) -> str:
        """Which of the two."""
        name: str = self._factory.name
        return name

    def drain(self) -> Deferred[Any]:
        """Take no more senders; fires when those that are here have ended."""
        for _, port in self._ports:
            port.take_last()
        closed = self.stop_listening()
        drained = self._factory.drain().addCallback(lambda _: self.admission.when_empty())
        return DeferredList([closed, drained])


class DatagramListening(Service):
    """A listener for UDP; see `ListeningService` for when it binds, and ``fail_start``."""

    def __init__(
        self, url: ListenURL, datagrams: SyslogDatagrams, reactor: Any, fail_start: Callable[[str], object] | None
    ) -> None:
        self._url = url
        self._datagrams = datagrams
        self._reactor = reactor
        self._fail_start = fail_start
        self._port: DatagramPort | None = None

    def privilegedStartService(self) -> None:
        port = DatagramPort(self._url.port, self._datagrams, self._url.host, self._reactor)
        try:
            port.startListening()
        except CannotListenError as why:
            refusal = ListeningRefused(self._url, why)
            if self._fail_start is None:
                raise refusal from None
            self._fail_start(str(refusal))
            return
        self._port = port

    def startService(self) -> None:
        super().startService()
        if self._port is None:
            self.privilegedStartService()
        if self._port is not None:
            _log.info("listening on {urls}", urls=", ".join(self.bound_urls()))

    def drain(self) -> Deferred[Any]:
        """Read what has come and no more; fires when it is on disk."""
        port, self._port = self._port, None
        if port is None:
            return self._datagrams.when_written()
        port.take_last()
        closed = maybeDeferred(port.stopListening)
        return DeferredList([closed, self._datagrams.when_written()])

    def new_drops(self) -> int:
        """What the kernel has dropped since this was asked last."""
        return 0 if self._port is None else self._port.new_drops()

    def bound_urls(self) -> list[str]:
        """Where it listens, with the real port."""
        if self._port is None:
            return []
        return [str(ListenURL(self._url.scheme, self._url.host, self._port.getHost().port))]

    def stopService(self) -> Deferred[Any] | None:
        super().stopService()
        port, self._port = self._port, None
        return None if port is None else maybeDeferred(port.stopListening)

    def __repr__(self) -> str:
        return f"<DatagramListening {' '.join(self.bound_urls()) or 'not listening'}, {self._datagrams!r}>"


def among(networks: Sequence[Network]) -> Callable[[str], bool]:
    """Whether an address is in one of these networks; without any, it always is."""
    if not networks:
        return lambda host: True

    @lru_cache(maxsize=1024)  # it is asked for each datagram
    def is_among(host: str) -> bool:
        address = ip_address(host.partition("%")[0])
        return any(address in network for network in networks)

    return is_among
