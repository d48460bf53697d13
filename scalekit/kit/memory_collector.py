"""
A log service in memory, for the tests of applications: what was logged can be read, and it refuses as it is told.

::

    collector = MemoryCollector()
    handler = scalekit.kit.logs.Handler(sink=collector)         # each entry is there at once
    ...
    [entry] = collector.entries                                 # Entry(level='INFO', …, message='three sold', …)

    sender = scalekit.kit.logs.open_sender_by(lambda: collector, "shop", spool)
    handler = scalekit.kit.logs.Handler(sink=sender)            # batches, by the threads and the spool of the real one
    collector.refuse(503, "disk-full", retry_after=1.0)
    collector.wait_for(1, seconds=5.0)
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from zope.interface import implementer

from scalekit.interfaces import ILogSink
from scalekit.kit.entries import entry_line
from scalekit.kit.posting import ANSWER_SECONDS, Answer
from scalekit.kit.spool import Batch

# As the real one.
FORGET_SECONDS = 24 * 3600.0
_CLIENT = re.compile(r"[A-Za-z0-9._~:-]{1,64}")


class Entry(NamedTuple):
    """
    :ivar timestamp: as it was sent, RFC 3339.
    """

    level: str
    timestamp: str
    source: str
    message: str
    fields: dict[str, Any]


@implementer(ILogSink)
class MemoryCollector:
    """
    A sink itself, and the way to the log service of a `scalekit.kit.sender.LogSender`, as `posting.Poster`.

    :param now: as `time.monotonic`; without it no time passes.
    :param wall: as `time.time`; of entries that say no time, and go by `log`.
    :param source: of what goes by `log`.

    :ivar is_away: whether nobody answers.
    :ivar posted: how many batches came, whatever was made of them.
    """

    def __init__(
        self, now: Callable[[], float] = lambda: 0.0, wall: Callable[[], float] = lambda: 0.0, source: str = "test"
    ) -> None:
        self._now = now
        self._wall = wall
        self._source = source
        self._change = threading.Condition()  # guards all of it
        self._entries: list[Entry] = []
        self._clients: dict[str, tuple[int, float]] = {}  # the highest number of each, and when it was heard of
        self._refusal: Answer | None = None
        self._is_hung = False
        self._is_aborted = False
        self.is_away = False
        self.posted = 0

    @property
    def entries(self) -> list[Entry]:
        """What was taken, in the order in which it came."""
        with self._change:
            return list(self._entries)

    @property
    def messages(self) -> list[str]:
        """Their messages."""
        return [entry.message for entry in self.entries]

    def wait_for(self, count: int, seconds: float) -> list[Entry]:
        """The entries, once there are so many.  Raises TimeoutError."""
        with self._change:
            if not self._change.wait_for(lambda: len(self._entries) >= count, seconds):
                raise TimeoutError(f"{len(self._entries)} log entries within {seconds:g} s, {count} expected")
            return list(self._entries)

    def wait_posted(self, count: int, seconds: float) -> None:
        """Until so many batches came, whatever was made of them.  Raises TimeoutError."""
        with self._change:
            if not self._change.wait_for(lambda: self.posted >= count, seconds):
                raise TimeoutError(f"{self.posted} batches of log entries within {seconds:g} s, {count} expected")

    def refuse(self, status: int, reason: str = "", retry_after: float = 0.0) -> None:
        """Answer so to each batch, until `accept`: 503 and 429 come again, a 400 is given up."""
        self._refusal = Answer(status, reason, f"{status} {reason}".strip(), retry_after)

    def hang(self) -> None:
        """Answer to nobody, until `accept`."""
        self._is_hung = True

    def accept(self) -> None:
        """Answer as always."""
        with self._change:
            self._refusal = None
            self._is_hung = self.is_away = False
            self._change.notify_all()

    def log(
        self, level: str, message: str, timestamp: float | None = None, fields: Mapping[str, Any] | None = None
    ) -> None:
        """See `ILogSink`; taken at once, whatever else is told to batches."""
        moment = self._wall() if timestamp is None else timestamp
        with self._change:
            self._take(entry_line(level, moment, self._source, message, fields))

    def post(self, batch: Batch) -> Answer:
        """See `Poster.post`."""
        with self._change:
            self.posted += 1
            self._change.notify_all()
            if self.is_away:
                raise ConnectionRefusedError("the log service is away")
            self._is_aborted = False
            if not self._change.wait_for(lambda: self._is_aborted or not self._is_hung, ANSWER_SECONDS):
                raise TimeoutError("no answer")
            if self._is_aborted:
                raise ConnectionAbortedError("given up")
            return self._refusal or self._answer(batch)

    def abort(self) -> None:
        """See `Poster.abort`."""
        with self._change:
            self._is_aborted = True
            self._change.notify_all()

    def close(self) -> None:
        """There is no connection."""

    def _answer(self, batch: Batch) -> Answer:
        if not _CLIENT.fullmatch(batch.client):
            return Answer(400, "bad-batch", "400 bad-batch")
        highest, heard = self._clients.get(batch.client, (0, 0.0))
        now = self._now()
        if highest and now - heard <= FORGET_SECONDS:
            if batch.number <= highest:
                return Answer(200)
            if batch.number > highest + 1:
                return Answer(409, "batch-gap", "409 batch-gap")
        self._clients[batch.client] = batch.number, now
        for line in batch.lines.splitlines():
            self._take(line)
        return Answer(200)

    def _take(self, line: bytes) -> None:
        """Keep an entry, if it is one."""
        try:
            said = json.loads(line)
            entry = Entry(
                said["Level"], said.get("Timestamp", ""), said["Source"], said["Message"], said.get("Fields") or {}
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return
        self._entries.append(entry)
        self._change.notify_all()

    def __repr__(self) -> str:
        return f"<MemoryCollector {len(self._entries)} entries>"
