"""
A client of the cache service for threads, for which "away" is a miss and never an error.

::

    cache = kit.open_cache()
    page = cache.get("/posts/1")            # bytes, or None
    cache.put("/posts/1", page, 86400, tags=["posts"])
    cache.purge(tags=["posts"])             # True once the cache has confirmed it

Any number of threads may use one, also in processes that were forked from the one that made it.
"""

from __future__ import annotations

import http.client
import logging
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

from scalekit.errors import ConfigurationFault
from scalekit.kit.breaker import Breaker
from scalekit.kit.cache_requests import (
    LATE_SECONDS,
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
from scalekit.kit.connections import Answer, Connections
from scalekit.kit.lookup import Look, Looked

_log = logging.getLogger(__name__)


class Cache:
    """
    Bytes by key.

    :param url: of the cache service, such as ``https://127.0.0.1:5000``.
    :param ca: a PEM file; empty: what the system trusts.
    :param now: as `time.monotonic`.
    :param headers: the fields that show a token to a cache on another machine, as `TokenFile.headers`; asked for at
        each request.
    :param read_seconds: what takes longer is a miss.
    """

    def __init__(
        self,
        url: str,
        ca: str,
        now: Callable[[], float],
        headers: Callable[[], dict[str, str]] = dict,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self._url = url.rstrip("/")
        self._connections = Connections(self._url, ca, now)
        self._now = now
        self._headers = headers
        self._lack = ""  # of a token, as it was told last
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
        process = os.getpid()
        with self._lock:
            # Who waits for it already will be told as soon as there is something to tell.
            shared, its = self._looks.get((process, look.waiting)), look.waiting
            if shared is None:
                shared, its = self._looks.setdefault((process, look), own), look
        if shared is not own:
            try:
                # The first of them says so when its own time is over, but it may not be run at that moment.
                found = shared.result(look_request(its, self._read_seconds).seconds + LATE_SECONDS)
            except TimeoutError:
                return None
            return None if found is None else found._replace(lease="")
        looked = None
        try:
            looked = self._look(look)
        finally:
            self._forget_look((process, look), own)
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
        answer = self._ask(request, is_forced=True) or self._ask(request, is_forced=True)
        with self._lock:
            self._looks.clear()  # who comes after this is not to be told what was found before
        return answer is not None and _is_success(answer)

    def warm_up(self) -> None:
        """Open a first connection, in a thread of its own: a handshake may take longer than a read may."""
        threading.Thread(target=self._connections.warm_up, name="scalekit cache", daemon=True).start()

    def close(self) -> None:
        """Close the connections that nobody uses."""
        self._connections.close()

    def _ask(self, request: Request, is_forced: bool = False) -> Answer | None:
        """Ask, and tell the breaker what came of it: an answer of 500 and up is a failure too."""
        if not is_forced and not self._breaker.allows(self._now()):
            return None
        cause: Any
        try:
            answer = self._connections.ask(request, self._headers() | request.headers)
        except (OSError, http.client.HTTPException) as why:
            cause = why
        except ConfigurationFault as why:
            cause = why
            if self._lack != str(why):
                self._lack = str(why)
                _log.warning("the cache cannot be asked: %s", why)
        else:
            self._lack = ""
            if answer.status < 500:
                self._breaker.succeeded()
                return answer
            cause = f"answered {answer.status}"
        _log.debug("the cache at %s is away: %s", self._url, cause)
        self._breaker.failed(self._now())
        return None

    def __repr__(self) -> str:
        return f"<Cache {self._url} {self._breaker!r}>"


def _is_success(answer: Answer) -> bool:
    if answer.status >= 300:
        _log.warning("the cache answered %d: %r", answer.status, answer.body[:200])
    return answer.status < 300
