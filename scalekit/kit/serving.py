"""
The usual parts of an app server, put together: our own listeners, the local certificate, the membership.

::

    tls = server_tls(state_directory / "tls", now, names)
    server = app_server(resource, [ListenURL("https", "127.0.0.1", 3000)], tls=tls, balancer="https://127.0.0.1:2001",
                        client=make_client(reactor, ca), reactor=reactor, wall=time.time, random=random.random)
    server.setServiceParent(application)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, TimeoutError

from scalekit.kit.client import Client
from scalekit.kit.membership import Membership
from scalekit.kit.server import DRAIN_SECONDS, AppServer
from scalekit.net.certificates import ensure_local_ca, ensure_server_certificate
from scalekit.net.listening import ListeningService, Where
from scalekit.net.server import HTTPFactory
from scalekit.net.tls import ServerTLS

# What is still under way after the balancer's word comes from somebody who asked us directly.
FINISH_SECONDS = 2.0


class HTTPListening(ListeningService):
    """
    HTTP listeners that let what is under way finish when they stop.

    :param wall: as `time.time`.
    :param chance: as `random.random`: makes request ids differ from those of other processes.
    :param outcomes: is told ``(exchange, seconds)`` at the end of every exchange.
    """

    def __init__(
        self,
        urls: Sequence[Where],
        responder: Any,
        *,
        reactor: Any,
        wall: Callable[[], float],
        chance: Callable[[], float],
        tls: ServerTLS | None = None,
        outcomes: Callable[[Any, float], None] | None = None,
    ) -> None:
        self._http = HTTPFactory(responder, reactor, wall, b"%08x" % int(chance() * 2**32), outcomes=outcomes)
        self._clock = reactor
        super().__init__(urls, self._http, reactor, tls)

    def drain(self) -> Deferred[Any]:
        """Accept nothing more; fires when what is under way has finished, or after two seconds."""
        drained: Deferred[Any] = self._http.drain().addTimeout(FINISH_SECONDS, self._clock)
        return DeferredList([self.stop_listening(), drained.addErrback(lambda failure: failure.trap(TimeoutError))])

    def stopService(self) -> Deferred[Any]:
        return DeferredList([super().stopService(), self.drain()])


def server_tls(
    directory: Path, now: float, names: Iterable[str], certificate: str = "", private_key: str = ""
) -> ServerTLS:
    """
    The certificate to listen with: this pair, or without one that of the local CA, made if there is none.

    :param directory: of the local CA: ``tls`` in the state directory.
    :param now: seconds since the epoch.
    :param names: of this machine, as `scalekit.net.addresses.local_names` finds them.
    :raises ConfigurationFault: a file cannot be used.
    """
    if certificate:
        return ServerTLS(Path(certificate), Path(private_key))
    moment = datetime.fromtimestamp(now).astimezone()
    names = list(names)
    ensure_local_ca(directory, moment, names)
    return ServerTLS(*ensure_server_certificate(directory, names, moment))


def app_server(
    application: Any,
    listen: Sequence[Where],
    *,
    client: Client,
    reactor: Any,
    wall: Callable[[], float],
    random: Callable[[], float],
    tls: ServerTLS | None = None,
    balancer: str = "",
    service: str = "default",
    drain_seconds: float = DRAIN_SECONDS,
) -> AppServer:
    """
    An `AppServer` on our own listeners.

    :param application: an ``IResource`` or an `IResponder`.
    :param listen: the URLs; the first one is registered.
    :param balancer: of the registration service; empty: it is not registered.
    """

    def make_listening(responder: Any) -> HTTPListening:
        return HTTPListening(listen, responder, reactor=reactor, wall=wall, chance=random, tls=tls)

    def join(port: int) -> Membership:
        return Membership(
            balancer, port, client=client, clock=reactor, random=random, service=service, scheme=listen[0].scheme
        )

    return AppServer(application, make_listening, join if balancer else None, drain_seconds)
