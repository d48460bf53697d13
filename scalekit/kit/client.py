"""
One HTTP request with one deadline.

Whatever goes wrong between us and the other side (refused, cut, too slow, too big, not trusted) is one fault,
`Unreachable`: those who call do the same about all of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone, ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse

from scalekit.errors import UpstreamFault
from scalekit.kit.agent import make_agent, make_pool

BODY_LIMIT = 4 * 1024 * 1024  # bytes: four times the largest value that the cache takes


class Unreachable(UpstreamFault):
    """No whole answer came; ``detail`` says why, for people."""

    def __init__(self, detail: str) -> None:
        super().__init__(503, "unreachable", detail)


class TooLate(Unreachable):
    """The time was over."""


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


class Client:
    """
    Requests on a treq client; `make_client` makes the usual one.

    :param treq: a `treq.client.HTTPClient`, or `treq.testing.StubTreq` in tests.
    :param clock: for the deadlines.
    :param close: closes connections that are kept and idle, as they do by themselves after four seconds; a Deferred.
    """

    def __init__(self, treq: Any, clock: IReactorTime, close: Callable[[], Any] = lambda: succeed(None)) -> None:
        self.close = close
        self._treq = treq
        self._clock = clock

    def fetch(
        self, method: str, url: str, *, seconds: float, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> Deferred[Answer]:
        """
        Make a request and read its whole answer, redirects not followed; fails with `Unreachable` (`TooLate`).

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

        # `Deferred.addTimeout`, but for one more turn of the reactor: where this process was run late, an answer may be
        # there already that nobody has read.
        is_late = False

        def last_turn() -> None:
            timers.append(self._clock.callLater(0, give_up))

        def give_up() -> None:
            nonlocal is_late
            is_late = True
            asked.cancel()

        timers = [self._clock.callLater(seconds, last_turn)]

        def ended(result: Answer | Failure) -> Answer | Failure:
            if timers[-1].active():
                timers[-1].cancel()
            if is_late and isinstance(result, Failure):
                return Failure(TooLate(f"{url}: no answer within {seconds:g} s"))
            return result

        return asked.addErrback(explain).addBoth(ended)

    async def _exchange(self, method: str, url: str, headers: dict[str, str] | None, body: bytes | None) -> Answer:
        response = await self._treq.request(
            method, url, headers=headers or {}, data=body, allow_redirects=False, unbuffered=True
        )
        return Answer(response.code, response.headers, await _read(response))


def make_client(reactor: Any, ca_path: str | os.PathLike[str] | None) -> Client:
    """A client with connections of its own that trusts this CA; None: those of the system."""
    pool = make_pool(reactor)
    return Client(HTTPClient(make_agent(reactor, ca_path, pool)), reactor, pool.closeCachedConnections)


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
