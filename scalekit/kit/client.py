"""
One HTTP request with one deadline, over connections that are kept, to servers that are verified.

Whatever goes wrong between us and the other side (refused, cut, too slow, too big, not trusted) is one fault,
`Unreachable`: those who call do the same about all of it.
"""

from __future__ import annotations

import os
from typing import Any, NamedTuple, cast

from treq.client import HTTPClient
from twisted.internet._sslverify import IOpenSSLTrustRoot  # documented by the public functions that take one
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.internet.ssl import optionsForClientTLS, platformTrust
from twisted.python.failure import Failure
from twisted.web.client import Agent, HTTPConnectionPool, ResponseDone, ResponseFailed, _HTTP11ClientFactory
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from scalekit.errors import UpstreamFault

# Our listeners close idle connections no sooner than this many seconds and one more (the keep-alive race).
IDLE_SECONDS = 4
# Idle connections kept for each server; more requests than these at a time open their own.
IDLE_CONNECTIONS = 16
BODY_LIMIT = 4 * 1024 * 1024  # bytes: four times the largest value that the cache takes


class Unreachable(UpstreamFault):
    """No whole answer came; ``detail`` says why, for people."""

    def __init__(self, detail: str) -> None:
        super().__init__(503, "unreachable", detail)


def why_unreachable(failure: Failure) -> str:
    """The detail of an `Unreachable`; raises whatever else the failure is."""
    failure.trap(Unreachable)
    return cast(Unreachable, failure.value).detail


class Answer(NamedTuple):
    """A whole answer."""

    status: int
    headers: Headers
    body: bytes

    def get(self, name: str) -> str | None:
        """The first field of this name."""
        values = self.headers.getRawHeaders(name)
        return values[0] if values else None


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


def make_agent(reactor: Any, ca_path: str | os.PathLike[str] | None, connect_seconds: float = 2.0) -> IAgent:
    """An agent with a keep-alive pool of its own that trusts this CA; for `Client`."""
    pool = _QuietPool(reactor)
    pool.maxPersistentPerHost = IDLE_CONNECTIONS
    pool.cachedConnectionTimeout = IDLE_SECONDS
    agent: IAgent = Agent(reactor, trust(ca_path), connectTimeout=connect_seconds, pool=pool)
    return agent


class Client:
    """
    Requests on a treq client; `make_client` makes the usual one.

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
        asked: Deferred[Answer] = Deferred.fromCoroutine(self._exchange(method, url, headers, body))

        def explain(failure: Failure) -> Failure:
            cause = failure.value
            if isinstance(cause, ResponseFailed) and cause.reasons:
                cause = cause.reasons[0].value
            if isinstance(cause, CancelledError):
                return Failure(cause)
            return Failure(Unreachable(f"{url}: {cause or type(cause).__name__}"))

        def late(result: Answer | Failure, seconds: float) -> Answer | Failure:
            if isinstance(result, Failure):
                return Failure(Unreachable(f"{url}: no answer within {seconds:g} s"))
            return result

        return asked.addErrback(explain).addTimeout(seconds, self._clock, late)

    async def _exchange(self, method: str, url: str, headers: dict[str, str] | None, body: bytes | None) -> Answer:
        response = await self._treq.request(
            method, url, headers=headers or {}, data=body, allow_redirects=False, unbuffered=True
        )
        return Answer(response.code, response.headers, await _read(response))


def make_client(reactor: Any, ca_path: str | os.PathLike[str] | None) -> Client:
    """A client with connections of its own that trusts this CA; None: those of the system."""
    return Client(HTTPClient(make_agent(reactor, ca_path)), reactor)


def _read(response: IResponse) -> Deferred[bytes]:
    """Read a body of at most `BODY_LIMIT` bytes; the connection is closed if it is longer, or by cancelling."""
    body = _Body()
    response.deliverBody(body)
    return body.done


class _Body(TwistedProtocol):
    def __init__(self) -> None:
        self.done: Deferred[bytes] = Deferred(lambda _: self._close())
        self._pieces: list[bytes] = []
        self._size = 0

    def dataReceived(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        if self._size > BODY_LIMIT and not self.done.called:
            self._close()
            self.done.errback(Unreachable(f"the answer is longer than {BODY_LIMIT} bytes"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        if reason.check(ResponseDone):
            self.done.callback(b"".join(self._pieces))
        else:  # cut; or without a length and closed, which may be cut as well: we and our peers always say the length
            self.done.errback(reason)

    def _close(self) -> None:
        self._pieces = []
        if self.transport is not None:
            self.transport.loseConnection()
