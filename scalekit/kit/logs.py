"""
Sending log entries to the log service without the application ever waiting for it.

`LogClient` takes entries (`scalekit.interfaces.ILogSink`), keeps them in a bounded queue and sends them in batches::

    client = LogClient("https://127.0.0.1:6000", "shop", make_client(reactor, ca), reactor, random.random, time.time)
    client.log("INFO", "three sold")
    ...
    await client.stop()     # sends what is left, for two seconds at most
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from scalekit.errors import ConfigurationFault
from scalekit.interfaces import ILogSink
from scalekit.kit.backoff import Backoff
from scalekit.kit.client import Answer, Client, Unreachable, why_unreachable
from scalekit.kit.queue import EntryQueue

BATCH_ENTRIES = 500
BATCH_BYTES = 256 * 1024
BATCH_SECONDS = 0.2  # an entry waits at most this long for others to go with
# The collector syncs to disk before it answers, and may have much to do.
ANSWER_SECONDS = 10.0
BACKOFF_SECONDS = (0.2, 10.0)  # the first span and the longest
RETRY_AFTER_MOST_SECONDS = 60.0  # a server that asks for more is mistaken
FLUSH_SECONDS = 2.0
# Cut so that an entry stays below the collector's 256 KiB also when every character becomes six bytes (\\u0000).
MESSAGE_LENGTH = 40_000

_log = Logger()
_encode = msgspec.json.Encoder().encode


@implementer(ILogSink)
class LogClient:
    """
    Sends entries to ``POST /v1/entries``: one batch at a time, each until it is acknowledged.

    The order of dropping, the bounds and the counts are those of `scalekit.kit.queue.EntryQueue`.

    :param url: of the log service, such as ``https://127.0.0.1:6000``.
    :param source: what the entries say where they are from, such as ``blog:3001``.
    :param random: as `random.random`.
    :param now: as `time.time`: for entries without a timestamp.
    :param headers: the fields that show a token, as `TokenFile.headers`; asked for at each request.
    """

    def __init__(
        self,
        url: str,
        source: str,
        client: Client,
        clock: IReactorTime,
        random: Callable[[], float],
        now: Callable[[], float],
        headers: Callable[[], dict[str, str]] = dict,
    ) -> None:
        self._url = f"{url.rstrip('/')}/v1/entries"
        self._source = source
        self._client = client
        self._clock = clock
        self._now = now
        self._headers = headers
        self._backoff = Backoff(*BACKOFF_SECONDS, random)
        self._queue = EntryQueue()
        self._batch: list[bytes] = []  # under way, or waiting for its next try
        self._timer: IDelayedCall | None = None
        self._asking: Deferred[None] | None = None
        self._stopped: Deferred[None] | None = None
        self.rejected = 0

    def log(self, level: str, message: str, timestamp: float | None = None) -> None:
        """See `ILogSink`; in the reactor's thread."""
        try:
            self._queue.add(level, self._entry(level, message, self._now() if timestamp is None else timestamp))
        except Exception:  # by contract; the one who logs can do nothing about it
            self._queue.count_dropped(level)
            return
        if self._asking is not None or self._batch or self._is_over():
            return
        # Sending begins in a later turn, never here: the one who logs does not pay for it.
        if self._timer is None:
            self._timer = self._clock.callLater(BATCH_SECONDS, self._send)
        elif self._queue.count == BATCH_ENTRIES or self._queue.count_bytes >= BATCH_BYTES:
            self._send_soon()

    def stop(self) -> Deferred[None]:
        """Send what is left; fires when all is acknowledged, or after two seconds. What is left then is counted."""
        if self._stopped is None:
            self._stopped = Deferred()
            self._stopped.addTimeout(FLUSH_SECONDS, self._clock).addErrback(self._give_up)
            if self._asking is None:
                self._send_soon()
        return self._stopped

    def _entry(self, level: str, message: str, timestamp: float) -> bytes:
        if len(message) > MESSAGE_LENGTH:
            message = message[:MESSAGE_LENGTH] + " … (cut)"
        # Lone surrogates cannot be encoded; they come from file names and other people's bytes.
        message = message.encode("utf-8", "replace").decode()
        moment = datetime.fromtimestamp(timestamp, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return _encode({"Level": level, "Timestamp": moment, "Source": self._source, "Message": message})

    def _send_soon(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.callLater(0, self._send)

    def _send(self) -> None:
        """Send the batch that is waiting, or the next."""
        self._timer = None
        if not self._batch:
            self._batch = self._queue.take(BATCH_ENTRIES, BATCH_BYTES)
        if not self._batch:
            self._finish()
            return
        body = b"\n".join(self._batch) + b"\n"
        judged = self._ask(body).addCallbacks(self._answered, self._unreachable).addErrback(self._unexpected)
        self._asking = judged.addCallback(self._go_on)
        if self._asking.called:  # it was quicker than we
            self._asking = None

    def _ask(self, body: bytes) -> Deferred[Answer]:
        try:
            headers = {"Content-Type": "application/x-ndjson", **self._headers()}
        except ConfigurationFault as fault:
            return fail(Unreachable(str(fault)))
        return self._client.fetch("POST", self._url, seconds=ANSWER_SECONDS, headers=headers, body=body)

    def _answered(self, answer: Answer) -> float:
        """Judge an answer; seconds to wait before the next request."""
        if answer.status < 300:
            return self._acknowledged(answer)
        if answer.status in (401, 403):  # the token may come, or be another one, later
            if not self._backoff.failures:
                _log.error("The log service does not let us in, entries wait: {cause}", cause=_cause(answer))
            return self._backoff.failed()
        if 400 <= answer.status < 500 and answer.status not in (408, 429):
            if not self.rejected:
                _log.error("The log service refuses our entries: {cause}", cause=_cause(answer))
            self.rejected += len(self._batch)
            self._batch = []
            return 0.0
        return max(self._backoff.failed(), _retry_after(answer))

    def _acknowledged(self, answer: Answer) -> float:
        self._batch = []
        self._backoff.succeeded()
        lost = self._queue.report_dropped()
        if lost:
            self.log("WARN", f"{lost} before this moment: the log service was away and the queue was full")
        return 0.0

    def _unreachable(self, failure: Failure) -> float:
        if self._is_over() and failure.check(CancelledError):  # by ourselves
            return 0.0
        if not self._backoff.failures:
            _log.warn("The log service is away, entries wait: {cause}", cause=why_unreachable(failure))
        return self._backoff.failed()

    def _unexpected(self, failure: Failure) -> float:
        _log.failure("sending log entries", failure)
        return self._backoff.failed()

    def _go_on(self, seconds: float) -> None:
        self._asking = None
        if self._is_over():
            return
        if not self._batch and not self._queue.count:
            self._finish()
        elif self._batch:
            self._timer = self._clock.callLater(seconds, self._send)
        elif self._stopped is not None or self._queue.count >= BATCH_ENTRIES or self._queue.count_bytes >= BATCH_BYTES:
            self._send_soon()
        elif self._timer is None:
            self._timer = self._clock.callLater(BATCH_SECONDS, self._send)

    def _is_over(self) -> bool:
        return self._stopped is not None and self._stopped.called

    def _finish(self) -> None:
        if self._stopped is not None and not self._stopped.called:
            self._stopped.callback(None)

    def _give_up(self, failure: Failure) -> None:
        left = len(self._batch) + self._queue.count
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._asking is not None:
            self._asking.cancel()
        _log.warn("{left} log entries could not be sent in time.", left=left)

    def __repr__(self) -> str:
        return f"<LogClient {self._url} {self._queue!r}, {len(self._batch)} under way, {self.rejected} rejected>"


def _cause(answer: Answer) -> str:
    return f"{answer.status} {answer.body[:300].decode('utf-8', 'replace')}"


def _retry_after(answer: Answer) -> float:
    """Seconds of the Retry-After field (RFC 9110 section 10.2.3), of its number form; 0 without one."""
    text = (answer.get("retry-after") or "").strip()
    return min(float(text), RETRY_AFTER_MOST_SECONDS) if text.isascii() and text.isdigit() else 0.0
