"""
A client of the cache service, for which "away" is a miss and never an error.

::

    cache = AsyncCache("https://127.0.0.1:5000", make_client(reactor, ca_path), reactor)
    page = await cache.get("/posts/1")      # bytes, or None
    await cache.put("/posts/1", page, 86400)
    await cache.delete("/posts/1")          # True once the cache has confirmed it
"""

from __future__ import annotations

from urllib.parse import quote

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from scalekit.kit.breaker import Breaker
from scalekit.kit.client import Answer, Client, Unreachable, why_unreachable

# A cache that takes longer is no help: what it holds was costly to make, but not that costly.
READ_SECONDS = 0.05
# Nobody waits for a write but the application's own background.
WRITE_SECONDS = 1.0
# Somebody waits for an invalidation, for what is stale would be shown for as long as it lives.
DELETE_SECONDS = 1.0

_log = Logger()


class AsyncCache:
    """
    Get, put and delete bytes by key.

    :param url: of the cache service, such as ``https://127.0.0.1:5000``.
    :param clock: tells the breaker the time.
    """

    def __init__(self, url: str, client: Client, clock: IReactorTime) -> None:
        self._url = url.rstrip("/")
        self._client = client
        self._clock = clock
        self._breaker = Breaker()

    def get(self, key: str) -> Deferred[bytes | None]:
        """What is stored under this key; None if there is nothing, or no cache."""
        if not self._breaker.allows(self._clock.seconds()):
            return succeed(None)

        def read(answer: Answer) -> bytes | None:
            return answer.body if answer.status == 200 else None

        return self._ask("GET", f"/?key={quote(key, safe='')}", READ_SECONDS).addCallbacks(read, _no_value)

    def put(self, key: str, value: bytes, max_age_seconds: float) -> Deferred[bool]:
        """Store a value; whether the cache has confirmed it."""
        if not self._breaker.allows(self._clock.seconds()):
            return succeed(False)
        path = f"/?key={quote(key, safe='')}"
        headers = {"Cache-Control": f"max-age={int(max_age_seconds)}", "Content-Type": "application/octet-stream"}
        return self._ask("POST", path, WRITE_SECONDS, headers, value).addCallbacks(_is_success, _no_success)

    def delete(self, key: str) -> Deferred[bool]:
        """
        Invalidate a key; whether the cache has confirmed it.

        Asks also while the breaker is open: what is not deleted comes back when the cache does.
        """
        path = f"/invalidate?key={quote(key, safe='')}"

        def again(failure: Failure) -> Deferred[Answer]:
            # A kept connection may have been closed at this very moment; invalidating twice does no harm.
            failure.trap(Unreachable)
            return self._ask("POST", path, DELETE_SECONDS)

        return self._ask("POST", path, DELETE_SECONDS).addErrback(again).addCallbacks(_is_success, _no_success)

    def _ask(
        self, method: str, path: str, seconds: float, headers: dict[str, str] | None = None, body: bytes | None = None
    ) -> Deferred[Answer]:
        """Ask, and tell the breaker what came of it: an answer of 500 and up is a failure too."""
        asked = self._client.fetch(method, self._url + path, seconds=seconds, headers=headers, body=body)

        def judge(answer: Answer) -> Answer:
            if answer.status >= 500:
                raise Unreachable(f"{self._url} answered {answer.status}")
            self._breaker.succeeded()
            return answer

        def count(failure: Failure) -> Failure:
            _log.debug("The cache is away: {cause}", cause=why_unreachable(failure))
            self._breaker.failed(self._clock.seconds())
            return failure

        return asked.addCallback(judge).addErrback(count)

    def __repr__(self) -> str:
        return f"<AsyncCache {self._url} {self._breaker!r}>"


def _is_success(answer: Answer) -> bool:
    if answer.status >= 300:
        _log.warn("The cache answered {status}: {body}", status=answer.status, body=answer.body[:200])
    return answer.status < 300


def _no_value(failure: Failure) -> None:
    failure.trap(Unreachable)


def _no_success(failure: Failure) -> bool:
    failure.trap(Unreachable)
    return False
