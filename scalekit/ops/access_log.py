"""
The access log: one JSON line an exchange, in a file or on stdout, and one entry to the log service.

The data path only appends a tuple to a list; a tick formats and writes what has come, many at once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, BinaryIO, TypeVar, cast

import msgspec
from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from scalekit.errors import ConfigurationFault
from scalekit.interfaces import ILogSink

#: A person who follows the file sees a request half a second later at most.
TICK_SECONDS = 0.5
#: A second's worth at 50,000 requests a second; more than that waiting means that formatting cannot keep up.
MOST_WAITING = 50_000
#: Formatted in one turn of the loop: 250 lines take about 1 ms, then whoever waits for an answer comes first.
BATCH = 250
#: Trouble with the file, or with what is to be told, is told this often.
COMPLAINT_SECONDS = 60.0

Told = TypeVar("Told")

_log = Logger()
_encoder = msgspec.json.Encoder()


_VERSIONS = {10: b"1.0", 11: b"1.1", 20: b"2"}
#: How a line ends, by whether it was over TLS and by the version.
_ENDS = {
    (is_secure, number): b'"tls":%b,"version":"%b"}\n' % (b"true" if is_secure else b"false", version)
    for is_secure in (False, True)
    for number, version in _VERSIONS.items()
}
#: Padding a number costs five times as much.
_MILLISECONDS = [b"%03d" % number for number in range(1000)]


class AccessLog(Service):
    """
    :param path: of the file, ``-`` for stdout; empty: no file.
    :param wall: seconds since the epoch.
    :param sink: takes an entry for each exchange as well.

    :ivar dropped: lines given up, because too many waited, or because they could not be made or written.
    """

    name = "access-log"

    def __init__(self, path: str, clock: IReactorTime, wall: Callable[[], float], sink: ILogSink | None = None) -> None:
        self._path = path
        self._clock = clock
        self._wall = wall
        self._sink = sink
        self._file: BinaryIO | None = None
        self._waiting: list[tuple[Any, float, float]] = []
        self._turn: IDelayedCall | None = None
        self._complained_at = float("-inf")
        self._is_torn = False
        self.dropped = 0
        self._loop = LoopingCall(self._tick)
        self._loop.clock = clock

    def record(self, exchange: Any, seconds: float) -> None:
        """An exchange is over; it took ``seconds``."""
        waiting = self._waiting
        if len(waiting) < MOST_WAITING:
            wall = self._wall
            waiting.append((exchange, seconds, wall()))
            if len(waiting) == BATCH and self._turn is None:
                # Soon, not at the tick: what lies here long falls out of the cache and grows old in the collector.
                self._turn = self._clock.callLater(0, self._take_turn)
        else:
            self.dropped += 1

    def privilegedStartService(self) -> None:
        self.reopen(self._path)

    def startService(self) -> None:
        super().startService()
        if self._file is None:
            self.reopen(self._path)
        self._loop.start(TICK_SECONDS, now=False)

    def stopService(self) -> None:
        if self._loop.running:
            self._loop.stop()
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        while self._waiting:
            self._try_batch()
        self._close()
        super().stopService()

    def reopen(self, path: str) -> None:
        """
        Open the file anew, after somebody has moved it away, or another one.

        :raises ConfigurationFault: it cannot be opened; the old one stays.
        """
        opened: BinaryIO | None = None
        if path == "-":
            # Not sys.stdout: twistd has put its log in the place of that.  None where a daemon was started without one.
            opened = None if sys.__stdout__ is None else cast(BinaryIO, sys.__stdout__.buffer)
        elif path:
            try:
                opened = open(path, "ab", buffering=0)  # noqa: SIM115 - closed when the service stops
            except OSError as why:
                raise ConfigurationFault(
                    f"balancer.access_log: found {path} ({why.strerror}), expected a file that can be written to"
                ) from None
        self._close()
        self._path, self._file = path, opened

    def _close(self) -> None:
        if self._file is not None and self._path != "-":
            self._file.close()
        self._file = None

    def _tick(self) -> None:
        if self._turn is None and self._waiting:
            self._take_turn()

    def _take_turn(self) -> None:
        """Write a batch; what is left has the next turns of the loop."""
        self._turn = None
        self._try_batch()
        if self._waiting:
            self._turn = self._clock.callLater(0, self._take_turn)

    def _try_batch(self) -> None:
        try:
            self._write_batch()
        except Exception:
            _log.failure("the access log failed in a tick")

    def _write_batch(self) -> None:
        waiting = self._waiting
        batch = waiting[:BATCH]
        del waiting[:BATCH]
        if self._file is not None:
            try:
                lines = [line_of(*entry) for entry in batch]
            except Exception:
                lines = self._told(line_of, batch)
                self.dropped += len(batch) - len(lines)
            try:
                self._write(self._file, b"".join(lines))
            except OSError as why:
                self.dropped += len(lines)
                if self._may_complain():
                    _log.error(
                        "the access log cannot be written: {why}; {dropped} lost so far", why=why, dropped=self.dropped
                    )
        if self._sink is not None:
            self._told(self._tell_sink, batch)

    def _told(self, tell: Callable[[Any, float, float], Told], batch: list[tuple[Any, float, float]]) -> list[Told]:
        """What becomes of each; one that cannot be told takes none of the others along."""
        told = []
        for entry in batch:
            try:
                told.append(tell(*entry))
            except Exception:
                if self._may_complain():
                    _log.failure("an exchange cannot be told to the access log")
        return told

    def _tell_sink(self, exchange: Any, seconds: float, wall: float) -> None:
        level = "ERROR" if exchange.record.status >= 500 else "INFO"
        fields = {"request_id": exchange.request_id.decode("latin-1")}
        self._sink.log(level, sentence(exchange, seconds), wall, fields)  # type: ignore[union-attr]

    def _write(self, file: BinaryIO, data: bytes) -> None:
        left = memoryview(b"\n" + data if self._is_torn else data)
        while left:
            written = file.write(left)
            left = left[written:]
            # A disk that is full in the middle of a line: the next one begins on a line of its own.
            self._is_torn = bool(left)
        file.flush()

    def _may_complain(self) -> bool:
        now = self._clock.seconds()
        if now - self._complained_at < COMPLAINT_SECONDS:
            return False
        self._complained_at = now
        return True

    def __repr__(self) -> str:
        return f"<AccessLog {self._path or 'without file'} {len(self._waiting)} waiting, {self.dropped} dropped>"


@lru_cache(maxsize=4)  # what waits is a second old at most
def _second(second: int) -> bytes:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S").encode()


@lru_cache(maxsize=4096)  # names of services and instances, reasons, the addresses of the clients of these seconds
def _quoted(text: str) -> bytes:
    return _encoder.encode(text)


@lru_cache(maxsize=4096)  # of a service's instances a few differ only in what went wrong
def _course(service: str, instance: str, attempts: int, reason: str, retry: str, cache: str) -> bytes:
    """Who has answered, and how it came to that."""
    course = b'"service":%b,"instance":%b,"attempts":%d,"reason":%b,' % (
        _quoted(service),
        _quoted(instance),
        attempts,
        _quoted(reason),
    )
    if retry:
        course += b'"retry":%b,' % _quoted(retry)
    return course + b'"cache":%b,' % _quoted(cache) if cache else course


def line_of(exchange: Any, seconds: float, wall: float) -> bytes:
    """
    The line of an exchange that was over at ``wall``, a JSON object.

    ``seconds`` is from the head's end to the answer's last byte (of a tunnel: to its end), ``sent`` counts body bytes.
    ``retry`` is there only where something failed and was not sent again: why not; ``cache`` only where the service has
    an HTTP cache: what it made of the request.
    """
    head, client, record = exchange.head, exchange.client, exchange.record
    logged = head.logged
    if logged is None or logged[0] is not client:
        # Once for a head that comes again and again on its connection.
        words = (_encoder.encode(str(word, "latin-1")) for word in (head.method, head.host, head.target))
        asked = b'","client":%b,"method":%b,"host":%b,"target":%b,"status":' % (_quoted(client.address), *words)
        logged = head.logged = client, asked, _ENDS[client.is_secure, head.version]
    _, asked, end = logged
    second = int(wall)
    # Request ids are tokens (RFC 9110 section 5.6.2), which JSON takes as they are.
    return b'{"time":"%b.%bZ","request_id":"%b%b%d,"sent":%d,"seconds":%.6f,%b%b' % (
        _second(second),
        _MILLISECONDS[int((wall - second) * 1000)],
        exchange.request_id,
        asked,
        record.status,
        record.sent,
        seconds,
        _course(record.service, record.instance, record.attempts, record.reason, record.retry, record.cache),
        end,
    )


def sentence(exchange: Any, seconds: float) -> str:
    """The line for people, as the log service keeps it."""
    head, record = exchange.head, exchange.record
    by = f" by {record.instance}" if record.instance else ""
    why = f" ({record.reason})" if record.reason else ""
    return (
        f"{head.method.decode('latin-1')} {head.target.decode('latin-1')} {record.status}{why} {record.sent} bytes"
        f" in {seconds * 1000:.1f} ms{by} for {exchange.client.address} id={exchange.request_id.decode('latin-1')}"
    )


def check_access_log(path: str) -> None:
    """Raise `ConfigurationFault` if `AccessLog` could not open it; nothing is made."""
    place = path if os.path.lexists(path) else os.path.dirname(path)
    if path and path != "-" and (os.path.isdir(path) or not os.access(place, os.W_OK)):
        raise ConfigurationFault(f"balancer.access_log: found {path}, expected a file that can be written to")
