"""
The usual parts of an app server, put together: our own listeners, the local certificate, the membership.

Applications have it easier with `scalekit.kit.AppServer`, which finds all that is an argument here.

::

    settings = scalekit.config.load(None, environ=os.environ)
    certificate = ServerCertificate(settings, local_names(socket.gethostname()), reactor, time.time)
    certificate.setServiceParent(application)
    server = app_server(resource, [ListenURL("https", "127.0.0.1", 3000)], tls=certificate.tls,
                        balancer="https://127.0.0.1:2001", client=open_client(settings, reactor),
                        reactor=reactor, wall=time.time, random=random.random)
    server.setServiceParent(application)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from scalekit.kit.client import Client
from scalekit.kit.membership import Membership
from scalekit.kit.registration import check_balancer, new_registration
from scalekit.kit.server import DRAIN_SECONDS, BalancedServer
from scalekit.kit.token_file import TokenFile
from scalekit.net.deadlines import Timeouts
from scalekit.net.factory import HTTPFactory
from scalekit.net.listening import HTTPListening, Where
from scalekit.net.tls import ServerTLS


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
    hosts: Sequence[str] = (),
    path: str = "",
    max_in_flight: int = 0,
    token_file: str = "",
    host_name: str = "",
    drain_seconds: float = DRAIN_SECONDS,
) -> BalancedServer:
    """
    A `BalancedServer` on our own listeners.

    :param application: an ``IResource`` or an `IResponder`.
    :param listen: the URLs; the first one is registered.
    :param wall: as `time.time`.
    :param random: as `random.random`.
    :param balancer: of the registration service; empty: it is not registered.
    :param hosts: the requests that the service is for, and ``path``, see `Registration`;
        ``max_in_flight`` too.
    :param token_file: what a balancer elsewhere wants to see, see `TokenFile`; empty: none, as on its own machine.
    :param host_name: what this machine is called at a balancer elsewhere; empty: something that nobody else is.
    :raises ValueError: ``balancer`` is no URL.
    """
    balancer = balancer and check_balancer(balancer)
    timeouts = Timeouts()
    token = TokenFile(token_file, service)

    def make_listening(responder: Any) -> HTTPListening:
        # Request ids shall differ from those of other processes.
        http = HTTPFactory(responder, reactor, wall, b"%08x" % int(random() * 2**32), timeouts=timeouts)
        return HTTPListening(listen, http, reactor, tls)

    def join(port: int) -> Membership:
        registration = new_registration(
            balancer,
            port,
            host_name or f"{int(random() * 2**32):08x}",
            wall(),
            service=service,
            scheme=listen[0].scheme,
            keep_alive=timeouts.idle,
            hosts=hosts,
            path=path,
            max_in_flight=max_in_flight,
        )
        return Membership(registration, client=client, clock=reactor, random=random, headers=token.headers)

    return BalancedServer(application, make_listening, join if balancer else None, drain_seconds)
