"""
Kept connections to one server, for any number of threads; by the standard library only.

A request has one deadline, from connecting to the last byte of the answer.
"""

from __future__ import annotations

import http.client
import logging
import os
import ssl
import threading
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from scalekit.kit.cache_requests import Request

# Our listeners close idle connections no sooner than this many seconds and one more (the keep-alive race).
IDLE_SECONDS = 4.0
# Nobody waits for it; a handshake of TLS takes milliseconds, on a machine that has other things to do many of them.
WARM_UP_SECONDS = 2.0
# More than the threads of most app servers; others open and close their own.
MOST_IDLE = 64
_PIECE = 64 * 1024

_log = logging.getLogger(__name__)


class Answer(NamedTuple):
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

    def ask(self, request: Request, headers: dict[str, str]) -> Answer:
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
    ) -> Answer:
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
        return Answer(answer.status, answer.headers.get, b"".join(pieces))

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
