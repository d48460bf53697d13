"""Batches of log entries to ``POST /v1/entries``: one kept connection, by the standard library only."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import ssl
import zlib
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import urlsplit

from scalekit.kit.spool import Batch

# Of each wait for the collector, which syncs to disk before it answers, and may have much to do.
ANSWER_SECONDS = 10.0
# Our private listeners close idle connections after 60 s; whoever stops at 50 does not ask on one that is just closing.
IDLE_SECONDS = 50.0
# A server that asks for more is mistaken.
RETRY_AFTER_MOST_SECONDS = 60.0
# An answer that is longer is not the collector's.
_MOST_ANSWER = 256 * 1024
_FAST = 1  # text of logs becomes a sixth; the best level makes it a ninth in ten times the time


class Answer(NamedTuple):
    """
    :ivar reason: of a refusal, as the collector calls it; ``cause``: the answer for people.
    :ivar retry_after: seconds (RFC 9110 section 10.2.3), of its number form; 0 without one.
    """

    status: int
    reason: str = ""
    cause: str = ""
    retry_after: float = 0.0


class Poster:
    """
    :param url: of the log service.
    :param ca: a PEM file, read at each connection, as it may be made after we start; empty: what the system trusts.
    :param headers: the fields that show a token, asked for at each request.
    :param now: a clock that never goes back.
    """

    def __init__(self, url: str, ca: str, headers: Callable[[], dict[str, str]], now: Callable[[], float]) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"log service: found {url!r}, expected a URL such as https://127.0.0.1:6000")
        self._url = url
        self._is_secure = parts.scheme == "https"
        self._host, self._port = parts.hostname, parts.port
        self._path = f"{parts.path.rstrip('/')}/v1/entries"
        self._ca = ca
        self._headers = headers
        self._now = now
        self._connection: http.client.HTTPConnection | None = None
        self._used_at = 0.0

    def post(self, batch: Batch) -> Answer:
        """
        Send a batch, and wait for what becomes of it.

        :raises OSError: nobody answers; `http.client.HTTPException`: what comes is no answer; `ConfigurationFault`:
            there is no token to show.
        """
        headers = {**fields_of(batch), **self._headers()}
        body = coded(batch.lines)
        if self._connection is not None and self._now() - self._used_at > IDLE_SECONDS:
            self.close()
        is_kept = self._connection is not None
        try:
            return self._exchange(body, headers)
        except (ConnectionError, http.client.RemoteDisconnected):
            self.close()
            if not is_kept:
                raise
            # The server may have closed it at this very moment; by its name the batch is known if it comes twice.
            return self._exchange(body, headers)
        finally:
            self._used_at = self._now()

    def _exchange(self, body: bytes, headers: dict[str, str]) -> Answer:
        try:
            if self._connection is None:
                self._connection = self._open()
                self._connection.connect()
            self._connection.request("POST", self._path, body, headers)
            answer = self._connection.getresponse()
            text = answer.read(_MOST_ANSWER)
            if not answer.isclosed():
                self.close()
        except BaseException:
            self.close()
            raise
        return read_answer(answer.status, answer.headers.get("Retry-After"), text)

    def _open(self) -> http.client.HTTPConnection:
        if not self._is_secure:
            return http.client.HTTPConnection(self._host, self._port, timeout=ANSWER_SECONDS)
        context = ssl.create_default_context(cafile=self._ca or None)
        return http.client.HTTPSConnection(self._host, self._port, timeout=ANSWER_SECONDS, context=context)

    def abort(self) -> None:
        """From another thread: `post` has waited long enough, whatever trickles in."""
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with contextlib.suppress(OSError):
                # Past SSLSocket, which is in use in that thread.
                socket.socket.shutdown(connection.sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def __repr__(self) -> str:
        return f"<Poster to {self._url}>"


def fields_of(batch: Batch) -> dict[str, str]:
    """What the head of a request says of its batch."""
    return {
        "Content-Type": "application/x-ndjson",
        "Content-Encoding": "gzip",
        "X-Scalekit-Batch": f"{batch.client}/{batch.number}",
    }


def read_answer(status: int, retry_after: str | None, body: bytes) -> Answer:
    """What the log service has said; of the body a beginning will do."""
    if status < 300:
        return Answer(status)
    after = (retry_after or "").strip()
    seconds = min(float(after), RETRY_AFTER_MOST_SECONDS) if after.isascii() and after.isdigit() else 0.0
    return Answer(status, _reason(body), f"{status} {body[:300].decode('utf-8', 'replace')}", seconds)


def coded(data: bytes) -> bytes:
    """The body that these lines go in."""
    coder = zlib.compressobj(_FAST, wbits=31)
    return coder.compress(data) + coder.flush()


def _reason(body: bytes) -> str:
    try:
        return str(json.loads(body).get("reason", ""))
    except (ValueError, AttributeError):  # not the collector, but something between
        return ""
