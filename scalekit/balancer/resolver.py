"""
The configured servers: their names are resolved when the service starts and every 30 s from then on.

Each address of a name is an instance of its own.  A name that is not answered keeps its last good answer: a name server
that is away must not take a service away.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHostnameResolver, IHostResolution, IReactorTime, IResolutionReceiver
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from scalekit.balancer.addresses import literal
from scalekit.balancer.instance import LEAVING, Endpoint
from scalekit.balancer.roster import Roster
from scalekit.config.urls import ServerURL

# getaddrinfo does not tell how long an answer is good for. Envoy asks every 5 s, HAProxy holds an answer 10 s, and 30 s
# is a usual TTL of names that are meant to fail over.
RESOLVE_SECONDS = 30.0

#: Why a server drains.
NOT_CONFIGURED = "no longer configured"
OTHER_ADDRESSES = "its name has other addresses"


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
        self._pending: set[str] = set(services)  # whose configuration has not been brought into force yet
        self._learn()
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

    def reconfigure(self, services: Mapping[str, Sequence[ServerURL]]) -> None:
        """
        Take other servers; services that have the same as before are left alone.

        Those that one of the others had stay until each of its names has been asked for once.
        """
        old, self._services = self._services, services
        self._learn()
        self._pending |= {name for name, servers in services.items() if old.get(name) != servers}
        if not self.running:
            return
        for service in old:
            if service not in services:
                self._pending.discard(service)
                self._give(service, (), NOT_CONFIGURED)
        self._ask(name for name in self._names if name not in self._hosts and name not in self._unanswered)
        for service in list(self._pending):
            self._settle(service)

    def _learn(self) -> None:
        """Know each name that is to be resolved, and forget the others."""
        known, self._hosts, self._names = self._hosts, {}, []
        for host in {server.host: None for servers in self._services.values() for server in servers}:
            if literal(host) is not None or host.startswith("/"):  # a socket file's
                self._hosts[host] = (host,)
                continue
            self._names.append(host)
            if host in known:
                self._hosts[host] = known[host]
        self._unanswered.intersection_update(self._names)

    def resolved(self, name: str, hosts: tuple[str, ...]) -> None:
        """Take the answer for a name; an empty one says that there was none."""
        self._asked.discard(name)
        if not self.running or name not in self._names:
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
                for service in self._services_of(name):
                    if service in self._pending:
                        self._settle(service)
            return
        if name in self._unanswered:
            self._unanswered.discard(name)
            self._log.info("{name} has an address now: {hosts}", name=name, hosts=", ".join(hosts))
        if frozenset(hosts) != frozenset(self._hosts.get(name, ())):
            self._hosts[name] = hosts
            for service in self._services_of(name):
                self._settle(service)

    def _tick(self) -> None:
        self._ask(self._names)

    def _ask(self, names: Iterable[str]) -> None:
        for name in list(names):
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
        """Make the addresses that are known members; the members of before go once all are known."""
        servers = self._services[service]
        endpoints: dict[tuple[str, int], Endpoint] = {}  # the first server that has an address says how to talk to it
        for server in servers:
            for host in self._hosts.get(server.host, ()):
                name = server.host if server.scheme == "https" and host != server.host else None
                endpoints.setdefault((host, server.port), Endpoint(server.scheme, host, server.port, name))
        is_anew = service in self._pending
        if all(server.host in self._hosts or server.host in self._unanswered for server in servers):
            self._pending.discard(service)
        else:
            for one in self._roster.instances(service):
                if one.is_static and one.state not in LEAVING:
                    endpoints.setdefault((one.address, one.port), one.endpoint)
        self._give(service, endpoints.values(), NOT_CONFIGURED if is_anew else OTHER_ADDRESSES, is_anew)

    def _give(self, service: str, endpoints: Iterable[Endpoint], reason: str, is_anew: bool = False) -> None:
        try:
            self._roster.settle_static(service, endpoints, self._clock.seconds(), reason, is_anew)
        except Exception:
            self._log.failure("the configured servers of {service} could not all be taken", service=service)

    def __repr__(self) -> str:
        return f"<StaticServers {self._hosts}>"
