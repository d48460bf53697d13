"""
Kept connections to one server, for any number of threads; by the standard library only.

A request has one deadline, from waiting for a connection to the last byte of the answer; see `Patience` for how it is
counted.  Connections are opened in threads of their own: a handshake may take longer than a request may, and is there
for the next one.
"""

from __future__ import annotations

import http.client
import logging
import os
import ssl
import threading
from collections.abc import Callable
from typing import NamedTuple, TypeVar
from urllib.parse import urlsplit

from scalekit.kit.cache_requests import WARM_UP_SECONDS, Request

# Our private listeners close idle connections after 60 s; whoever stops at 50 does not ask on one that is just closing.
IDLE_SECONDS = 50.0
# At a time: each is a thread, and a server that does not finish them is not asked for more.
MOST_OPENING = 8
# More than the threads of most app servers; others open and close their own.
MOST_IDLE = 64
# Of a wait; each is late by as much as the system lets us wait for a processor.
TURNS = 2
# The time is over: what has come meanwhile is taken.
LAST_LOOK_SECONDS = 0.001
_PIECE = 64 * 1024

T = TypeVar("T")

_log = logging.getLogger(__name__)


class Answer(NamedTuple):
    status: int
    field: Callable[[str], str | None]
    body: bytes


class Patience:
    """
    How long is waited, in turns, of which none counts for more than was to be waited in it.

    On a machine that has better to do this thread is run late, and so may be whoever is waited for: that is not to look
    as if nobody were there.

    :param now: a clock that never goes back.
    """

    def __init__(self, seconds: float, now: Callable[[], float]) -> None:
        self._left = seconds
        self._turn = seconds / TURNS
        self._now = now

    @property
    def is_over(self) -> bool:
        return self._left <= 0

    @property
    def left(self) -> float:
        """Seconds; a moment when it is over."""
        return max(LAST_LOOK_SECONDS, self._left)

    def turn(self, wait: Callable[[float], T]) -> T | None:
        """
        One turn.

        :param wait: (seconds) -> what has come of it; raises TimeoutError.
        :return: the same; None: nothing.
        """
        seconds = max(LAST_LOOK_SECONDS, min(self._left, self._turn))
        begun = self._now()
        try:
            came = wait(seconds)
        except TimeoutError:
            self._left -= seconds
            return None
        self._left -= min(seconds, self._now() - begun)
        return came


class _Open:
    """The connections of one process; ``changed`` guards all of it."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.changed = threading.Condition()
        self.idle: list[tuple[http.client.HTTPConnection, float]] = []
        self.opening = 0  # threads
        self.waiting = 0  # those that want a connection
        self.failures = 0  # of opening one
        self.why: Exception = OSError()  # the last of them


class Connections:
    """
    Kept connections to one server.

    :param ca: a PEM file, read at the first connection, as the balancer may make it after we start; empty: what the
        system trusts.
    :param now: a clock that never goes back, such as `time.monotonic`.
    :raises ValueError: the URL's port is none.
    """

    def __init__(self, url: str, ca: str, now: Callable[[], float]) -> None:
        parts = urlsplit(url)
        self._is_secure = parts.scheme == "https"
        self._host, self._port = parts.hostname or "", parts.port
        self._ca = ca
        self._now = now
        self._context: ssl.SSLContext | None = None
        self._state = _Open()

    def ask(self, request: Request, headers: dict[str, str]) -> Answer:
        """
        :raises OSError: there is no answer in time, or no CA file; `http.client.HTTPException`: what comes is none.
        """
        patience = Patience(request.seconds, self._now)
        connection = self._take(patience)
        try:
            try:
                answer = self._exchange(connection, request, headers, patience)
            except (ConnectionError, http.client.RemoteDisconnected):
                # The server may have closed a kept connection at this very moment, and has closed them all where it was
                # started anew; what is asked may be asked twice.
                connection.close()
                self.close()
                connection = self._take(patience)
                answer = self._exchange(connection, request, headers, patience)
        except BaseException:
            connection.close()
            raise
        self._keep(self._open(), connection)
        return answer

    def warm_up(self) -> None:
        """Begin to open a connection, so that nobody has to wait for that."""
        state = self._open()
        with state.changed:
            self._begin(state)

    def _exchange(
        self, connection: http.client.HTTPConnection, request: Request, headers: dict[str, str], patience: Patience
    ) -> Answer:
        connection.sock.settimeout(patience.left)
        connection.request(request.method, request.path, request.body, headers)

        def answered(seconds: float) -> http.client.HTTPResponse:
            connection.sock.settimeout(seconds)
            return connection.getresponse()  # which may be asked again, as long as nothing has come

        answer = None
        while answer is None:
            if patience.is_over:
                raise TimeoutError("no answer in time")
            answer = patience.turn(answered)
        until = self._now() + patience.left
        pieces = []
        while True:
            if connection.sock is not None:
                connection.sock.settimeout(max(LAST_LOOK_SECONDS, until - self._now()))
            piece = answer.read1(_PIECE)
            if not piece:
                break
            pieces.append(piece)
        if answer.length:
            raise http.client.IncompleteRead(b"".join(pieces), answer.length)
        answer.close()  # read1() leaves that to us, and without it there is no next request
        return Answer(answer.status, answer.headers.get, b"".join(pieces))

    def _take(self, patience: Patience) -> http.client.HTTPConnection:
        """
        A connection; one that another thread gives back is as good as a new one.

        :raises OSError: there is none in time, or none can be opened.
        """
        state = self._open()

        def changed(seconds: float) -> None:
            if not state.changed.wait(seconds):
                raise TimeoutError

        with state.changed:
            failures = state.failures
            state.waiting += 1
            try:
                while True:
                    now = self._now()
                    while state.idle:
                        connection, since = state.idle.pop()
                        if now - since < IDLE_SECONDS:
                            return connection
                        connection.close()
                    if state.failures != failures:
                        raise ConnectionError(str(state.why))
                    if patience.is_over:
                        raise TimeoutError("no connection in time")
                    if state.opening < min(state.waiting, MOST_OPENING):
                        self._begin(state)
                    patience.turn(changed)
            finally:
                state.waiting -= 1

    def _begin(self, state: _Open) -> None:
        try:
            threading.Thread(target=self._connect, args=(state,), name="scalekit cache", daemon=True).start()
        except RuntimeError as why:  # there are too many, or the interpreter ends
            raise ConnectionError(str(why)) from None
        state.opening += 1  # which the thread does not see before us: we hold the lock

    def _connect(self, state: _Open) -> None:
        """Open a connection for whoever wants one first; if none can be opened, all who wait now are told."""
        try:
            connection = self._new()
            connection.connect()
        except (OSError, http.client.HTTPException, UnicodeError) as why:  # the last: of a host's name
            _log.debug("no connection to %s, port %s: %s", self._host, self._port, why)
            with state.changed:
                state.opening -= 1
                state.failures += 1
                state.why = why
                state.changed.notify_all()
        else:
            self._keep(state, connection, is_new=True)

    def _new(self) -> http.client.HTTPConnection:
        if not self._is_secure:
            return http.client.HTTPConnection(self._host, self._port, timeout=WARM_UP_SECONDS)
        if self._context is None:
            self._context = ssl.create_default_context(cafile=self._ca or None)
        return http.client.HTTPSConnection(self._host, self._port, timeout=WARM_UP_SECONDS, context=self._context)

    def _keep(self, state: _Open, connection: http.client.HTTPConnection, is_new: bool = False) -> None:
        with state.changed:
            state.opening -= is_new
            if connection.sock is not None and len(state.idle) < MOST_IDLE:
                state.idle.append((connection, self._now()))
                state.changed.notify()
                return
        connection.close()

    def _open(self) -> _Open:
        state = self._state
        if state.process != os.getpid():  # those are our parent's, and it may have held the lock when we were forked
            state = self._state = _Open()
        return state

    def close(self) -> None:
        """Close those that nobody uses."""
        state = self._open()
        with state.changed:
            idle, state.idle = state.idle, []
        for connection, _ in idle:
            connection.close()

    def __repr__(self) -> str:
        return f"<Connections to {self._host}:{self._port}, {len(self._state.idle)} idle>"
