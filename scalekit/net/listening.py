"""
The listeners of a daemon, as one service.
"""

from __future__ import annotations

import resource
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Protocol

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, TimeoutError, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.logger import Logger

from scalekit.net.factory import HTTPFactory
from scalekit.net.ports import Admission, Port
from scalekit.net.tls import ServerTLS
from scalekit.net.unix_ports import UnixPort

_SECURE = ("https", "tls")
_log = Logger()


class Where(Hashable, Protocol):
    """A `scalekit.config.urls.ListenURL`: with an IP literal and a port, or ``unix`` with a path."""

    @property
    def scheme(self) -> str: ...
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def path(self) -> str: ...


class ListeningService(Service):
    """
    Binds when twistd still has its privileges, takes connections from then on, until `stop_listening`.

    :ivar admission: how many connections are open, and were refused.
    """

    def __init__(
        self,
        urls: Sequence[Where],
        factory: Any,
        reactor: Any,
        tls: ServerTLS | None = None,
        max_connections: int | None = None,
        fail_start: Callable[[str], object] | None = None,
    ) -> None:
        """
        :param factory: makes the protocol of each connection.
        :param tls: needed for ``https`` and ``tls``.
        :param max_connections: of all listeners together; None: `connection_limit`.
        :param fail_start: told in one line why a listener cannot be bound; it ends the process.  None: the
            CannotListenError is raised, with that line as its text.
        """
        self._urls = tuple(urls)
        self._factory = factory
        self._reactor = reactor
        self._fail_start = fail_start
        self._ports: list[tuple[Where, Port]] = []
        self.admission = Admission(connection_limit() if max_connections is None else max_connections)
        if tls is None and any(url.scheme in _SECURE for url in self._urls):
            raise ValueError("a listener with TLS needs a certificate")
        self._tls = tls

    def privilegedStartService(self) -> None:
        for url in self._urls:
            port = self._port(url)
            try:
                port.startListening()
            except CannotListenError as why:
                self.stop_listening()
                refusal = ListeningRefused(url, why)
                if self._fail_start is None:
                    raise refusal from None
                self._fail_start(str(refusal))
                return
            self._ports.append((url, port))

    def _port(self, url: Where) -> Port:
        if url.scheme == "unix":
            return UnixPort(url.path, self._factory, self._reactor, self.admission)
        tls = self._tls.of(url) if self._tls is not None and url.scheme in _SECURE else None
        proxies = getattr(url, "proxy_protocol_from", ())
        return Port(url.port, self._factory, url.host, self._reactor, self.admission, tls, proxies)

    def startService(self) -> None:
        super().startService()
        if not self._ports:
            # Under a service that was already running, whose children are started only.
            self.privilegedStartService()
        # Said here: what was added before us may have refused to start, and then we do not listen for long.
        if self._ports:
            _log.info("listening on {urls}", urls=", ".join(self.bound_urls()))

    def addresses(self) -> list[Any]:
        """Where it listens: Twisted's addresses, with the real ports, in the order of the URLs."""
        return [port.getHost() for _, port in self._ports]

    def bound_urls(self) -> list[str]:
        """The same as URLs, such as ``https://[::]:2000``."""
        return [
            url_text(url.scheme, url.path or port.interface, getattr(port.getHost(), "port", 0))
            for url, port in self._ports
        ]

    def stop_listening(self) -> Deferred[Any]:
        """Take no more connections; those that are open stay.  Fires when all ports are closed."""
        if self._ports and self.running:
            _log.info("no longer listening on {urls}", urls=", ".join(self.bound_urls()))
        ports, self._ports = self._ports, []
        return DeferredList([maybeDeferred(port.stopListening) for _, port in ports])

    def stopService(self) -> Deferred[Any]:
        super().stopService()
        return self.stop_listening()

    def __repr__(self) -> str:
        return f"<ListeningService {' '.join(self.bound_urls()) or 'not listening'}, {self.admission!r}>"


class HTTPListening(ListeningService):
    """
    Listeners that let what is under way finish when they stop.

    :ivar http: what answers behind them.
    """

    @property
    def http(self) -> HTTPFactory:
        factory: HTTPFactory = self._factory
        return factory

    def drain(self, seconds: float | None = None) -> Deferred[Any]:
        """
        Take no more connections; fires when what is under way has finished.

        :param seconds: fire after so long in any case; None: whoever waits has a deadline.
        """
        for _, port in self._ports:
            port.take_last()
        closed = self.stop_listening()
        # Those in their handshake are no connections of HTTP's yet.
        drained = self.http.drain().addCallback(lambda _: self.admission.when_empty())
        if seconds is not None:
            drained.addTimeout(seconds, self._reactor).addErrback(lambda failure: failure.trap(TimeoutError) and None)
        return DeferredList([closed, drained])


class ListeningRefused(CannotListenError):
    """``cannot listen on https://127.0.0.1:2000: Address already in use``."""

    def __init__(self, url: Where, why: CannotListenError) -> None:
        super().__init__(why.interface, why.port, why.socketError)
        self.url = url_text(url.scheme, url.path or url.host, url.port)

    def __str__(self) -> str:
        why = self.socketError
        return f"cannot listen on {self.url}: {getattr(why, 'strerror', None) or why}"


def url_text(scheme: str, place: str, port: int) -> str:
    """A listener's URL."""
    if scheme == "unix":
        return f"unix://{place}"
    return f"{scheme}://[{place}]:{port}" if ":" in place else f"{scheme}://{place}:{port}"


def connection_limit() -> int:
    """
    How many clients this process can serve: half of the descriptors it may have, since each may need a connection to an
    app server, without 100 for files, ports and all else; at most 10,000, about 200 MiB over TLS.
    """
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files == resource.RLIM_INFINITY:
        return 10_000
    return max(16, min(10_000, files // 2 - 100))
