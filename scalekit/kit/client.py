"""
One HTTP request with one deadline, over connections that are kept, to servers that are verified.

Whatever goes wrong between us and the other side (refused, cut, too slow, too big, not trusted) is one exception,
`Unreachable`: those who call do the same about all of it.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple, Protocol

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.ssl import Certificate, optionsForClientTLS, platformTrust, trustRootFromCertificates
from twisted.web.client import Agent, HTTPConnectionPool, ResponseFailed, _HTTP11ClientFactory, readBody
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IPolicyForHTTPS
from zope.interface import implementer

# Our listeners close idle connections no sooner than this many seconds and one more (the keep-alive race).
IDLE_SECONDS = 4
# Idle connections kept for each server; more requests than these at a time open their own.
IDLE_CONNECTIONS = 16
BODY_LIMIT = 4 * 1024 * 1024  # bytes: four times the largest value that the cache takes


class Unreachable(Exception):
    """No whole answer came; ``str()`` says why, for people."""


class Answer(NamedTuple):
    """A whole answer."""

    status: int
    headers: Headers
    body: bytes

    def get(self, name: str) -> str | None:
        """The first field of this name."""
        values = self.headers.getRawHeaders(name)
        return values[0] if values else None


class Fetch(Protocol):
    """Makes one request; `Client.fetch` is the real one."""

    def __call__(
        self, method: str, url: str, *, seconds: float, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> Deferred[Answer]: ...


@implementer(IPolicyForHTTPS)
class Trust:
    """
    Trusts the certificates of one CA, for host names and IP addresses alike; made by `trust`.

    The file is read at the first connection that finds it, not before: the balancer may make the CA after we start.
    """

    def __init__(self, ca_path: str | None) -> None:
        self._ca_path = ca_path
        self._root: Any = None
        self._creators: dict[bytes, Any] = {}  # a TLS context is costly: one for each of the few servers we talk to

    def creatorForNetloc(self, hostname: bytes, port: int) -> Any:
        """A connection creator that verifies this host; raises OSError if the CA cannot be read."""
        creator = self._creators.get(hostname)
        if creator is None:
            if self._root is None:
                self._root = self._read()
            name = hostname.decode("ascii").strip("[]")
            creator = self._creators[hostname] = optionsForClientTLS(name, trustRoot=self._root)
        return creator

    def _read(self) -> Any:
        if not self._ca_path:
            return platformTrust()
        with open(self._ca_path, "rb") as file:
            pem = file.read()
        marker = b"-----BEGIN CERTIFICATE-----"
        return trustRootFromCertificates([Certificate.loadPEM(marker + part) for part in pem.split(marker)[1:]])

    def __repr__(self) -> str:
        return f"<Trust {self._ca_path or 'the system'}>"


def trust(ca_path: str | os.PathLike[str] | None) -> Trust:
    """A policy that trusts the CA certificates in this PEM file; None: those of the system."""
    return Trust(None if ca_path is None else os.fspath(ca_path))


class _QuietFactory(_HTTP11ClientFactory):
    noisy = False  # otherwise every connection is a line in the log, also the one that carries log entries


class _QuietPool(HTTPConnectionPool):
    _factory = _QuietFactory


def make_agent(reactor: Any, ca_path: str | os.PathLike[str] | None, connect_seconds: float = 2.0) -> IAgent:
    """An agent with a keep-alive pool of its own that trusts this CA; for `Client`."""
    pool = _QuietPool(reactor)
    pool.maxPersistentPerHost = IDLE_CONNECTIONS
    pool.cachedConnectionTimeout = IDLE_SECONDS
    agent: IAgent = Agent(reactor, trust(ca_path), connectTimeout=connect_seconds, pool=pool)
    return agent


class Client:
    """
    Requests on a treq client.

    :param treq: a `treq.client.HTTPClient`, or `treq.testing.StubTreq` in tests.
    :param clock: for the deadlines.
    """

    def __init__(self, treq: Any, clock: IReactorTime) -> None:
        self._treq = treq
        self._clock = clock

    def fetch(
        self, method: str, url: str, *, seconds: float, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> Deferred[Answer]:
        """
        Make a request and read its whole answer, redirects not followed; fails with `Unreachable`.

        :param seconds: for all of it: connecting, sending, and the last byte of the answer.
        """
        done: Deferred[Answer] = Deferred.fromCoroutine(self._exchange(method, url, headers, body))
        done.addTimeout(seconds, self._clock)

        def explain(failure: Any) -> Any:
            if failure.check(TimeoutError):
                raise Unreachable(f"no answer from {url} within {seconds:g} s") from None
            if failure.check(CancelledError):  # by our own caller
                return failure
            cause = failure.value
            if isinstance(cause, ResponseFailed) and cause.reasons:
                cause = cause.reasons[0].value
            if isinstance(cause, Unreachable):
                return failure
            raise Unreachable(f"{url}: {cause or type(cause).__name__}") from None

        return done.addErrback(explain)

    async def _exchange(self, method: str, url: str, headers: dict[str, str] | None, body: bytes | None) -> Answer:
        response = await self._treq.request(
            method, url, headers=headers or {}, data=body, allow_redirects=False, unbuffered=True
        )
        # An unknown length is text of ours or nobody's; a known one is judged before it is read.
        if isinstance(response.length, int) and response.length > BODY_LIMIT:
            readBody(response).addErrback(lambda _: None).cancel()  # closes the connection
            raise Unreachable(f"{url} answered with {response.length} bytes, more than {BODY_LIMIT}")
        return Answer(response.code, response.headers, await readBody(response))
