"""
Where requests go out: an agent with kept connections that verifies servers by the local CA.
"""

from __future__ import annotations

import os
from typing import Any

from twisted.internet._sslverify import IOpenSSLTrustRoot  # documented by the public functions that take one
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import optionsForClientTLS, platformTrust
from twisted.web.client import URI, Agent, HTTPConnectionPool, _HTTP11ClientFactory
from twisted.web.error import SchemeNotSupported
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

# Our listeners close idle connections no sooner than this many seconds and one more (the keep-alive race).
IDLE_SECONDS = 4
# Idle connections kept for each server; more requests than these at a time open their own.
IDLE_CONNECTIONS = 16
CONNECT_SECONDS = 2.0


@implementer(IOpenSSLTrustRoot)
class _FileOfCAs:
    def __init__(self, path: str) -> None:
        self._path = path

    def _addCACertsToContext(self, context: Any) -> None:  # the one, undocumented, method of the interface
        context.load_verify_locations(self._path)


@implementer(IPolicyForHTTPS)
class Trust:
    """
    Trusts the certificates of one CA, for host names and IP addresses alike; made by `trust`.

    The file is read at the first connection that finds it, not before: the balancer may make the CA after we start.
    """

    def __init__(self, ca_path: str | None) -> None:
        self._ca_path = ca_path
        self._creators: dict[bytes, Any] = {}  # a TLS context is costly: one for each of the few servers we talk to

    def creatorForNetloc(self, hostname: bytes, port: int) -> Any:
        """A connection creator that verifies this host; raises OSError if the CA cannot be read."""
        creator = self._creators.get(hostname)
        if creator is None:
            root: Any = platformTrust()
            if self._ca_path:
                with open(self._ca_path, "rb"):  # OpenSSL's own error would not name the file
                    root = _FileOfCAs(self._ca_path)
            name = hostname.decode("ascii").strip("[]")
            creator = self._creators[hostname] = optionsForClientTLS(name, trustRoot=root)
        return creator

    def __repr__(self) -> str:
        return f"<Trust {self._ca_path or 'the system'}>"


def trust(ca_path: str | os.PathLike[str] | None) -> Trust:
    """A policy that trusts the CA certificates in this PEM file; None: those of the system."""
    return Trust(None if ca_path is None else os.fspath(ca_path))


class _QuietFactory(_HTTP11ClientFactory):
    noisy = False  # otherwise every connection is a line in the log, also the one that carries log entries


class _QuietPool(HTTPConnectionPool):
    _factory = _QuietFactory


@implementer(IAgentEndpointFactory)
class _Endpoints:
    """
    Where a URL leads.  Twisted's own way takes 0.3 s to see that an address refuses, because it could have been a name
    with another address behind it (RFC 8305); most of our peers are addresses, and a cache that is away must cost less.
    """

    def __init__(self, reactor: Any, policy: Trust) -> None:
        self._reactor = reactor
        self._policy = policy

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        host = uri.host.decode("ascii").strip("[]")
        endpoint: IStreamClientEndpoint
        if isIPAddress(host):
            endpoint = TCP4ClientEndpoint(self._reactor, host, uri.port, CONNECT_SECONDS)
        elif isIPv6Address(host):
            endpoint = TCP6ClientEndpoint(self._reactor, host, uri.port, CONNECT_SECONDS)
        else:
            endpoint = HostnameEndpoint(self._reactor, host.encode("ascii"), uri.port, CONNECT_SECONDS)
        if uri.scheme == b"http":
            return endpoint
        if uri.scheme != b"https":
            raise SchemeNotSupported(f"expected http or https, found {uri.scheme.decode('latin-1')}")
        return wrapClientTLS(self._policy.creatorForNetloc(uri.host, uri.port), endpoint)


def make_pool(reactor: Any) -> HTTPConnectionPool:
    """Kept connections."""
    pool = _QuietPool(reactor)
    pool.maxPersistentPerHost = IDLE_CONNECTIONS
    pool.cachedConnectionTimeout = IDLE_SECONDS
    return pool


def make_agent(reactor: Any, ca_path: str | os.PathLike[str] | None, pool: HTTPConnectionPool) -> IAgent:
    """An agent that keeps its connections in this pool, and trusts this CA; for `Client`."""
    agent: IAgent = Agent.usingEndpointFactory(reactor, _Endpoints(reactor, trust(ca_path)), pool)
    return agent
