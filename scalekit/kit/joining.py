"""
`AppServer` and `open_membership`: joining from a Twisted application that says nothing, or little.

Here, as in a feature's ``tap``, the process' own clock, chance and environment are taken, and its reactor, which is not
imported before it is needed: whoever imports the kit still chooses it.

::

    application = Application("shop")
    AppServer(Shop(), port=3000, service="shop").setServiceParent(application)
"""

from __future__ import annotations

import ipaddress
import os
import random
import socket
import time
from collections.abc import Iterable
from typing import Any

import msgspec
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.web.server import Site as StockSite

from scalekit.config import Config, ListenURL, load
from scalekit.kit.client import Client, make_client
from scalekit.kit.membership import Membership
from scalekit.kit.registration import new_registration
from scalekit.kit.said import said
from scalekit.kit.second_signal import SecondSignal
from scalekit.kit.server import DRAIN_SECONDS, BalancedServer
from scalekit.kit.serving import app_server
from scalekit.kit.token_file import TokenFile
from scalekit.net.addresses import local_names
from scalekit.ops.certificates import ServerCertificate
from scalekit.places import is_here


class AppServer(MultiService):
    """
    Serves an application, registered with a balancer from when it really listens until nothing is in flight any more.

    What is left out is taken from ``SCALEKIT_PORT``, ``SCALEKIT_HOST``, ``SCALEKIT_SCHEME``,
    ``SCALEKIT_CERTIFICATE`` and ``SCALEKIT_PRIVATE_KEY``, ``SCALEKIT_SERVICE``, ``SCALEKIT_HOSTS``, ``SCALEKIT_PATH``,
    ``SCALEKIT_BALANCER``, ``SCALEKIT_CA`` and ``SCALEKIT_TOKEN_FILE``; on the balancer's own machine none is needed.

    :ivar port: what it listens on; 0 before the start.
    """

    def __init__(
        self,
        application: Any,
        port: int = 0,
        *,
        host: str = "",
        scheme: str = "",
        certificate: str = "",
        private_key: str = "",
        service: str = "",
        hosts: Iterable[str] = (),
        path: str = "",
        max_in_flight: int = 0,
        balancer: str = "",
        ca: str = "",
        token_file: str = "",
        drain_seconds: float = DRAIN_SECONDS,
        client: Client | None = None,
    ) -> None:
        """
        :param application: an ``IResource``, a `twisted.web.server.Site` (its tree of resources), or an `IResponder`.
        :param port: where to listen; none: one that is free, as the balancer is told which.
        :param host: an address of this machine; 127.0.0.1, unless the balancer is elsewhere.
        :param scheme: ``https``, unless it is said, or ``http``.
        :param certificate: a PEM chain and its ``private_key``; none: the local CA of the state directory makes one,
            and keeps it fresh, which a balancer elsewhere does not trust.
        :param hosts: the requests that the service is for, and ``path``, where the balancer's configuration does not
            say; ``max_in_flight``: how many it gets at a time, 0: all that come.
        :param drain_seconds: how long what is in flight may take once it is to stop.
        :param client: asks the balancer, such as `scalekit.kit.testing.AsyncMemoryBalancer`; None: one of its own, that
            trusts ``ca``.
        :raises ValueError: something of this, or of the environment, is wrong, or is needed for a balancer elsewhere.
        :raises ConfigurationFault: the token file cannot be used.
        """
        super().__init__()
        self._said = told = said(
            os.environ,
            port=port,
            host=host,
            service=service,
            hosts=hosts,
            path=path,
            balancer=balancer,
            ca=ca,
            token_file=token_file,
        )
        scheme = scheme or os.environ.get("SCALEKIT_SCHEME") or "https"
        if scheme not in ("http", "https"):
            raise ValueError(f"scheme: found {scheme!r}, expected http or https")
        certificate = certificate or os.environ.get("SCALEKIT_CERTIFICATE") or ""
        private_key = private_key or os.environ.get("SCALEKIT_PRIVATE_KEY") or ""
        if bool(certificate) != bool(private_key):
            raise ValueError("found one of certificate and private_key, expected both or none")
        if not is_here(told.balancer):
            if not told.host:
                raise ValueError(f"host: found none, expected an address that {told.balancer} can reach")
            if scheme == "https" and not certificate:
                raise ValueError(
                    f"certificate: found none, expected one that {told.balancer} trusts, or scheme='http' in a network"
                    " that is private"
                )
        TokenFile(told.token_file, told.service).headers()  # what is wrong with the file is told here, not at the start
        try:
            address = ipaddress.ip_address(told.host.strip("[]") or "127.0.0.1")
        except ValueError:
            raise ValueError(f"host: found {told.host!r}, expected an address of this machine") from None
        self._listen = ListenURL(scheme, str(address), told.port)
        self._pair = (certificate, private_key)
        self._application = application.resource if isinstance(application, StockSite) else application
        self._max_in_flight = max_in_flight
        self._drain_seconds = drain_seconds
        self._server: BalancedServer | None = None
        self._given = client
        self._client: Client | None = None  # of our own

    @property
    def port(self) -> int:
        return self._server.port if self._server is not None else 0

    def privilegedStartService(self) -> None:
        self._open()
        super().privilegedStartService()

    def startService(self) -> None:
        self._open()  # under a service that was running already there was no privileged start
        super().startService()

    def _open(self) -> None:
        """Find what the server is put together from, unless that is done."""
        if self._server is not None:
            return
        from twisted.internet import reactor as global_reactor

        reactor: Any = global_reactor
        certificate: ServerCertificate | None = None
        if self._listen.is_secure:
            certificate = ServerCertificate(self._settings(), local_names(socket.gethostname()), reactor, time.time)
            certificate.setServiceParent(self)
        client = self._given
        if client is None:
            client = self._client = make_client(reactor, self._said.ca or None)
        self._server = app_server(
            self._application,
            [self._listen],
            client=client,
            reactor=reactor,
            wall=time.time,
            random=random.random,
            tls=certificate.tls if certificate is not None else None,
            balancer=self._said.balancer,
            service=self._said.service,
            hosts=self._said.hosts,
            path=self._said.path,
            max_in_flight=self._max_in_flight,
            token_file=self._said.token_file,
            host_name=socket.gethostname(),
            drain_seconds=self._drain_seconds,
        )
        self._server.setServiceParent(self)

    def _settings(self) -> Config:
        """What a daemon without a configuration goes by, with our certificate."""
        certificate, private_key = (os.path.abspath(file) if file else "" for file in self._pair)
        settings = load(None, environ=os.environ)
        tls = msgspec.structs.replace(settings.tls, certificate=certificate, private_key=private_key)
        return msgspec.structs.replace(settings, tls=tls)

    def drain(self, is_hurried: bool = False) -> Deferred[None]:
        """
        Leave the balancer, wait for what is in flight, stop accepting; fires once that is done, and never fails.

        `stopService` does so too, and waits no longer when SIGTERM or Ctrl-C comes again; this is for applications that
        have more to do before they stop.

        :param is_hurried: do not wait longer than a person would.
        """
        return self._server.drain(is_hurried) if self._server is not None else succeed(None)

    def stopService(self) -> Deferred[Any]:
        server, again = self._server, None
        if server is not None:
            from twisted.internet import reactor

            again = SecondSignal(reactor, server.give_up)
            again.watch()
        stopped = maybeDeferred(super().stopService)

        def forget(result: Any) -> Deferred[None]:
            if again is not None:
                again.release()
            # Whoever starts it again needs all of it anew: what has left does not come back.
            self._server = None
            for child in list(self):
                child.disownServiceParent()
            client, self._client = self._client, None
            return client.close() if client is not None else succeed(None)

        return stopped.addCallback(forget)

    def __repr__(self) -> str:
        return f"<AppServer {self._server!r}>" if self._server is not None else f"<AppServer at {self._listen}>"


def open_membership(
    port: int = 0,
    *,
    scheme: str = "http",
    service: str = "",
    hosts: Iterable[str] = (),
    path: str = "",
    keep_alive: float | None = None,
    max_in_flight: int = 0,
    balancer: str = "",
    ca: str = "",
    token_file: str = "",
    client: Client | None = None,
) -> Membership:
    """
    The membership of whoever listens in its own way, not yet registered: see `Membership.register`.

    What is left out is taken from the environment, as by `AppServer`.  The application answers ``GET /ping`` with 200,
    and with 410 once it drains; a balancer elsewhere also wants its challenges answered (`Membership.secret`,
    `scalekit.kit.registration.response_to`).

    :param port: what the application listens on already.
    :param scheme: what it speaks there: ``http``, ``https`` or ``h2c``.
    :param keep_alive: seconds after which it closes an idle connection; None: the balancer closes its own after four.
    :param client: asks the balancer, as for `AppServer`.
    :raises ValueError: something of this, or of the environment, is wrong.
    :raises ConfigurationFault: the token file cannot be used.
    """
    from twisted.internet import reactor as global_reactor

    reactor: Any = global_reactor
    told = said(
        os.environ,
        port=port,
        service=service,
        hosts=hosts,
        path=path,
        balancer=balancer,
        ca=ca,
        token_file=token_file,
    )
    if not told.port:
        raise ValueError("port: found none, expected what the application listens on")
    if scheme not in ("http", "https", "h2c"):
        raise ValueError(f"scheme: found {scheme!r}, expected http, https or h2c")
    token = TokenFile(told.token_file, told.service)
    token.headers()
    registration = new_registration(
        told.balancer,
        told.port,
        socket.gethostname(),
        time.time(),
        service=told.service,
        scheme=scheme,
        keep_alive=keep_alive,
        hosts=told.hosts,
        path=told.path,
        max_in_flight=max_in_flight,
    )
    client = client or make_client(reactor, told.ca or None)
    return Membership(registration, client=client, clock=reactor, random=random.random, headers=token.headers)
