"""
The configured servers: their names are resolved when the service starts and every 30 s from then on.

Each address of a name is an instance of its own.  A name that is not answered keeps its last good answer: a name server
that is away must not take a service away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHostnameResolver, IHostResolution, IReactorTime, IResolutionReceiver
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from scalekit.balancer.addresses import literal
from scalekit.balancer.roster import Endpoint, Roster
from scalekit.config.urls import ServerURL

# getaddrinfo does not tell how long an answer is good for. Envoy asks every 5 s, HAProxy holds an answer 10 s, and 30 s
# is a usual TTL of names that are meant to fail over.
RESOLVE_SECONDS = 30.0


@implementer(IResolutionReceiver)
class _Answer:
    """Collects the addresses of one name."""

    def __init__(self, servers: StaticServers, name: str) -> None:
        self._servers = servers
        self._name = name
        self._hosts: dict[str, None] = {}

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """There is nothing to remember: what has begun ends by itself."""

    def addressResolved(self, address: Any) -> None:
        if isinstance(address, IPv4Address | IPv6Address):
            self._hosts[address.host] = None

    def resolutionComplete(self) -> None:
        self._servers.resolved(self._name, tuple(self._hosts))


class StaticServers(Service):
    """
    Makes the configured servers members of their services.

    :param services: the servers of each service, by its name.
    :param resolver: such as ``reactor.nameResolver``.
    """

    name = "static-servers"

    def __init__(
        self,
        roster: Roster,
        services: Mapping[str, Sequence[ServerURL]],
        resolver: IHostnameResolver,
        clock: IReactorTime,
    ) -> None:
        self._roster = roster
        self._services = services
        self._resolver = resolver
        self._clock = clock
        self._log = Logger()
        self._hosts: dict[str, tuple[str, ...]] = {}  # the last good answer of each name
        self._names: list[str] = []
        self._asked: set[str] = set()
        self._unanswered: set[str] = set()  # each is told of once, and again when it is answered
        for host in {server.host: None for servers in services.values() for server in servers}:
            if literal(host) is None:
                self._names.append(host)
            else:
                self._hosts[host] = (host,)
        self._loop = LoopingCall(self._tick)
        self._loop.clock = clock

    def startService(self) -> None:
        super().startService()
        for service in self._services:
            self._settle(service)
        self._loop.start(RESOLVE_SECONDS)

    def stopService(self) -> None:
        super().stopService()
        if self._loop.running:
            self._loop.stop()

    def resolved(self, name: str, hosts: tuple[str, ...]) -> None:
        """Take the answer for a name; an empty one says that there was none."""
        self._asked.discard(name)
        if not self.running:
            return
        if not hosts:
            if name not in self._unanswered:
                self._unanswered.add(name)
                self._log.warn(
                    "no address for {name}, a server of {services}; {kept}",
                    name=name,
                    services=", ".join(self._services_of(name)),
                    kept="the last good answer is kept" if name in self._hosts else "it is asked for again and again",
                )
            return
        if name in self._unanswered:
            self._unanswered.discard(name)
            self._log.info("{name} has an address now: {hosts}", name=name, hosts=", ".join(hosts))
        if frozenset(hosts) != frozenset(self._hosts.get(name, ())):
            self._hosts[name] = hosts
            for service in self._services_of(name):
                self._settle(service)

    def _tick(self) -> None:
        for name in self._names:
            # A question may hang longer than our interval, and the threads that ask are few.
            if name in self._asked:
                continue
            self._asked.add(name)
            try:
                self._resolver.resolveHostName(_Answer(self, name), name)
            except Exception:
                self._asked.discard(name)
                self._log.failure("resolving {name} failed", name=name)

    def _services_of(self, name: str) -> list[str]:
        return [service for service, servers in self._services.items() if any(name == s.host for s in servers)]

    def _settle(self, service: str) -> None:
        endpoints: dict[tuple[str, int], Endpoint] = {}  # the first server that has an address says how to talk to it
        for server in self._services[service]:
            for host in self._hosts.get(server.host, ()):
                name = server.host if server.scheme == "https" and host != server.host else None
                endpoints.setdefault((host, server.port), Endpoint(server.scheme, host, server.port, name))
        try:
            self._roster.settle_static(service, endpoints.values(), self._clock.seconds())
        except Exception:
            self._log.failure("the configured servers of {service} could not all be taken", service=service)

    def __repr__(self) -> str:
        return f"<StaticServers {self._hosts}>"
