"""
A client of the cache service for threads, for which "away" is a miss and never an error.

::

    cache = kit.open_cache()
    page = cache.get("/posts/1")            # bytes, or None
    cache.put("/posts/1", page, 86400, tags=["posts"])
    cache.purge(tags=["posts"])             # True once the cache has confirmed it

Any number of threads may use one, also in processes that were forked from the one that made it.  The standard library
does the asking, on kept connections.
"""

from __future__ import annotations

import http.client
import logging
import os
import ssl
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from scalekit.kit.breaker import Breaker
from scalekit.kit.cache_requests import (
    READ_SECONDS,
    Request,
    Times,
    give_back_request,
    look_request,
    many_request,
    purge_request,
    put_request,
    read_looked,
    read_many,
)
from scalekit.kit.lookup import Look, Looked

# Our listeners close idle connections no sooner than this many seconds and one more (the keep-alive race).
IDLE_SECONDS = 4.0
# Nobody waits for it; a handshake of TLS takes milliseconds, on a machine that has other things to do many of them.
WARM_UP_SECONDS = 2.0
# More than the threads of most app servers; others open and close their own.
MOST_IDLE = 64
_PIECE = 64 * 1024

_log = logging.getLogger(__name__)


class _Answer(NamedTuple):
    status: int
    field: Callable[[str], str | None]
    body: bytes


class Connections:
    """
    Kept connections to one server.

    :param ca: a PEM file, read at the first connection, as the balancer may make it after we start; empty: what the
        system trusts.
    :param now: a clock that never goes back, such as `time.monotonic`.
    """

    def __init__(self, url: str, ca: str, now: Callable[[], float]) -> None:
        self._parts = urlsplit(url)
        self._ca = ca
        self._now = now
        self._context: ssl.SSLContext | None = None
        self._lock = threading.Lock()
        self._idle: list[tuple[http.client.HTTPConnection, float]] = []
        self._process = os.getpid()

    def ask(self, request: Request, headers: dict[str, str]) -> _Answer:
        """
        :raises OSError: there is no answer in time, or no CA file; `http.client.HTTPException`: what comes is none.
        """
        deadline = self._now() + request.seconds
        connection, is_kept = self._take()
        try:
            try:
                answer = self._exchange(connection, request, headers, deadline)
            except (ConnectionError, http.client.RemoteDisconnected):
                # The server may have closed a kept connection at this very moment; what is asked may be asked twice.
                if not is_kept:
                    raise
                connection.close()
                connection = self._open()
                answer = self._exchange(connection, request, headers, deadline)
        except BaseException:
            connection.close()
            raise
        self._keep(connection)
        return answer

    def warm_up(self) -> None:
        """Open a connection, so that nobody has to wait for that; if it cannot be opened now, that is all."""
        try:
            connection = self._open()
            connection.timeout = WARM_UP_SECONDS
            connection.connect()
        except (OSError, http.client.HTTPException) as why:
            _log.debug("the cache at %s is away: %s", self._parts.netloc, why)
        else:
            self._keep(connection)

    def _exchange(
        self, connection: http.client.HTTPConnection, request: Request, headers: dict[str, str], deadline: float
    ) -> _Answer:
        connection.timeout = self._left(deadline)
        if connection.sock is None:
            connection.connect()
        connection.sock.settimeout(self._left(deadline))
        connection.request(request.method, request.path, request.body, headers)
        connection.sock.settimeout(self._left(deadline))
        answer = connection.getresponse()
        pieces = []
        while True:
            if connection.sock is not None:
                connection.sock.settimeout(self._left(deadline))
            piece = answer.read1(_PIECE)
            if not piece:
                break
            pieces.append(piece)
        if answer.length:
            raise http.client.IncompleteRead(b"".join(pieces), answer.length)
        answer.close()  # read1() leaves that to us, and without it there is no next request
        return _Answer(answer.status, answer.headers.get, b"".join(pieces))

    def _left(self, deadline: float) -> float:
        left = deadline - self._now()
        if left <= 0:
            raise TimeoutError("no answer in time")
        return left

    def _take(self) -> tuple[http.client.HTTPConnection, bool]:
        now = self._now()
        with self._lock:
            if self._process != os.getpid():  # those are our parent's
                self._idle, self._process = [], os.getpid()
            while self._idle:
                connection, since = self._idle.pop()
                if now - since < IDLE_SECONDS:
                    return connection, True
                connection.close()
        return self._open(), False

    def _open(self) -> http.client.HTTPConnection:
        host = self._parts.hostname or ""
        if self._parts.scheme != "https":
            return http.client.HTTPConnection(host, self._parts.port)
        if self._context is None:
            self._context = ssl.create_default_context(cafile=self._ca or None)
        return http.client.HTTPSConnection(host, self._parts.port, context=self._context)

    def _keep(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if connection.sock is not None and len(self._idle) < MOST_IDLE:
                self._idle.append((connection, self._now()))
                return
        connection.close()

    def close(self) -> None:
        """Close those that nobody uses."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            connection.close()

    def __repr__(self) -> str:
        return f"<Connections to {self._parts.netloc}, {len(self._idle)} idle>"


class Cache:
    """
    Bytes by key.

    :param url: of the cache service, such as ``https://127.0.0.1:5000``.
    :param ca: a PEM file; empty: what the system trusts.
    :param now: as `time.monotonic`.
    :param token: what a cache on another machine wants to see; empty: none.
    :param read_seconds: what takes longer is a miss.
    """

    def __init__(
        self, url: str, ca: str, now: Callable[[], float], token: str = "", read_seconds: float = READ_SECONDS
    ) -> None:
        self._url = url.rstrip("/")
        self._connections = Connections(self._url, ca, now)
        self._now = now
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._read_seconds = read_seconds
        self._breaker = Breaker()
        self._lock = threading.Lock()
        # Looks under way that want a lease, by process: those of our parent never end here.
        self._looks: dict[tuple[int, Look], Future[Looked | None]] = {}

    def get(self, key: str) -> bytes | None:
        """What is stored under this key; None if there is nothing, or no cache."""
        looked = self.look(Look(key))
        return None if looked is None else looked.value

    def get_many(self, keys: Sequence[str]) -> dict[str, bytes]:
        """What is stored under these keys; empty if there is no cache."""
        answer = self._ask(many_request(keys, self._read_seconds))
        return {} if answer is None else read_many(answer.status, answer.body)

    def look(self, look: Look) -> Looked | None:
        """
        What is stored, and perhaps a lease; None if there is no cache.

        Threads that look for the same at the same time, and want a lease, share one request, lest a stampede be a
        stampede of connections; the first of them gets the lease.
        """
        if not look.lease_seconds:
            return self._look(look)
        own: Future[Looked | None] = Future()
        name = os.getpid(), look
        with self._lock:
            shared = self._looks.setdefault(name, own)
        if shared is not own:
            try:
                found = shared.result(self._read_seconds + look.wait_seconds)
            except TimeoutError:
                return None
            return None if found is None else Looked(found.value)
        looked = None
        try:
            looked = self._look(look)
        finally:
            self._forget_look(name, own)
            own.set_result(looked)
        return looked

    def _look(self, look: Look) -> Looked | None:
        answer = self._ask(look_request(look, self._read_seconds))
        return None if answer is None else read_looked(*answer)

    def _forget_look(self, name: tuple[int, Look], look: Future[Looked | None]) -> None:
        with self._lock:
            if self._looks.get(name) is look:
                del self._looks[name]

    def put(
        self,
        key: str,
        value: bytes,
        max_age: float,
        *,
        tags: Sequence[str] = (),
        while_revalidating: float = 0,
        if_error: float = 0,
        lease: str = "",
    ) -> bool:
        """
        Store a value; whether the cache has confirmed it, in the time that a read may take: the caller waits.

        :param max_age: seconds, as the others, see `Times`.
        :param lease: the token under which it was made; what was purged since is not stored.
        """
        times = Times(max_age, while_revalidating, if_error)
        answer = self._ask(put_request(key, value, times, tags, lease, self._read_seconds))
        if answer is None or answer.status == 409:  # which is as it should be: it was purged meanwhile
            return False
        return _is_success(answer)

    def give_back(self, lease: str) -> bool:
        """Let the next one make it; whether the cache has confirmed it."""
        answer = self._ask(give_back_request(lease, self._read_seconds))
        return answer is not None and answer.status < 300

    def delete(self, key: str) -> bool:
        """Purge a key; whether the cache has confirmed it."""
        return self.purge([key])

    def purge(
        self,
        keys: Sequence[str] = (),
        *,
        tags: Sequence[str] = (),
        prefix: str = "",
        everything: bool = False,
        soft: bool = False,
    ) -> bool:
        """
        Purge what any of these names; whether the cache has confirmed it.

        Asks also while the breaker is open: what is not purged comes back when the cache does.

        :param soft: make it stale instead of removing it.
        """
        request = purge_request(keys, tags, prefix, everything, soft)
        with self._lock:
            self._looks.clear()  # who comes after this is not to be told what was found before
        answer = self._ask(request, is_forced=True) or self._ask(request, is_forced=True)
        return answer is not None and _is_success(answer)

    def warm_up(self) -> None:
        """Open a first connection, in a thread of its own: a handshake may take longer than a read may."""
        threading.Thread(target=self._connections.warm_up, name="scalekit cache", daemon=True).start()

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._connections.close()

    def _ask(self, request: Request, is_forced: bool = False) -> _Answer | None:
        """Ask, and tell the breaker what came of it: an answer of 500 and up is a failure too."""
        if not is_forced and not self._breaker.allows(self._now()):
            return None
        cause: Any
        try:
            answer = self._connections.ask(request, self._headers | request.headers)
        except (OSError, http.client.HTTPException) as why:
            cause = why
        else:
            if answer.status < 500:
                self._breaker.succeeded()
                return answer
            cause = f"answered {answer.status}"
        _log.debug("the cache at %s is away: %s", self._url, cause)
        self._breaker.failed(self._now())
        return None

    def __repr__(self) -> str:
        return f"<Cache {self._url} {self._breaker!r}>"


def _is_success(answer: _Answer) -> bool:
    if answer.status >= 300:
        _log.warning("the cache answered %d: %r", answer.status, answer.body[:200])
    return answer.status < 300
