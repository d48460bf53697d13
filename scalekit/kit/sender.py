"""
`LogSender`: takes entries from any thread without making it wait, and has two threads of its own bring them away.

One decides, batches and writes the spool (`delivery`), the other waits for the collector (`posting`), so that a
collector that hangs keeps nobody from the disk.  They begin with the first entry; after a fork the child begins anew,
with nothing of its parent's.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any, NamedTuple, Protocol
from weakref import WeakSet

from zope.interface import implementer

from scalekit.errors import Fault
from scalekit.interfaces import ILogSink
from scalekit.kit.delivery import Delivery
from scalekit.kit.entries import entry_line, kept_fields
from scalekit.kit.posting import Answer
from scalekit.kit.queue import EntryQueue
from scalekit.kit.rejected import Rejected
from scalekit.kit.spool import SPOOL_BYTES, Batch, Spool

CLOSE_SECONDS = 2.0
# What the disk may take for what is left then, on a machine that does much else: it is lost where nobody waits.
_GRACE_SECONDS = 5.0


class Posts(Protocol):
    """As `scalekit.kit.posting.Poster`."""

    def post(self, batch: Batch) -> Answer: ...
    def abort(self) -> None: ...
    def close(self) -> None: ...


class Surroundings(NamedTuple):
    """
    What a sender takes of its process.

    :ivar now: as `time.monotonic`; ``wall``: as `time.time`; ``random``: as `random.random`.
    :ivar make_name: a name that no other process has, of up to 32 letters and digits.
    :ivar tell: (text) -> None: for the operator; must not come back as an entry.
    """

    now: Callable[[], float]
    wall: Callable[[], float]
    random: Callable[[], float]
    make_name: Callable[[], str]
    tell: Callable[[str], None]


@implementer(ILogSink)
class LogSender:
    """
    :param source: what the entries say where they are from.
    :param make_poster: () -> the way to the collector; once a process.
    :param directory: for the spool, and ``rejected`` in it; of this source alone.
    """

    def __init__(
        self,
        source: str,
        make_poster: Callable[[], Posts],
        directory: str,
        surroundings: Surroundings,
        spool_bytes: int = SPOOL_BYTES,
    ) -> None:
        self._source = source
        self._make_poster = make_poster
        self._around = surroundings
        self._rejected = Rejected(os.path.join(directory, "rejected"))
        self._spool = Spool(directory, surroundings.make_name, self._count_dropped, spool_bytes)
        self._begin()
        _all.add(self)

    def _begin(self) -> None:
        around = self._around
        self._queue = EntryQueue(source=self._source)
        self._delivery = Delivery(
            self._queue, self._spool, around.make_name, around.random, self._reject, around.tell, self._note
        )
        self._poster = self._make_poster()
        # Of C: a signal's callback may put something in while this very thread does.
        self._wake: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._outgoing: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Answer | str] = queue.SimpleQueue()
        self._starting = threading.RLock()
        self._thread: threading.Thread | None = None
        self._close_at: float | None = None
        self._has_hurried = False  # at the end, without a pause
        self._is_closed = False

    def log(
        self, level: str, message: str, timestamp: float | None = None, fields: Mapping[str, Any] | None = None
    ) -> None:
        """See `ILogSink`; from any thread."""
        try:
            wall = self._around.wall() if timestamp is None else timestamp
            kept = kept_fields(message, fields or {})
            if kept is not None and type(level) is str:
                is_news = self._queue.note(level, wall, message, kept)
            else:
                is_news = self._queue.add(level, entry_line(level, wall, self._source, message, fields))
            if is_news:
                self._wake.put(None)
            if self._thread is None or self._is_closed:
                self._start()
        except Exception:  # by contract; the one who logs can do nothing about it
            self._queue.count_dropped([level if isinstance(level, str) else "INFO"])

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """
        Send what is left for so many seconds, then spool the rest.

        Blocks as long; entries that come later go to the spool at once.  A collector that was away is tried once more.
        """
        with self._starting:
            thread = self._thread
            if thread is None or self._is_closed:
                self._is_closed = True
                return
            if self._close_at is None:
                self._close_at = self._around.now() + seconds
        self._wake.put(None)
        thread.join(seconds + _GRACE_SECONDS)

    def forked(self) -> None:
        """In a child, after a fork: what is in memory is our parent's."""
        self._spool.forget()
        self._begin()

    def _start(self) -> None:
        with self._starting:
            if self._is_closed:
                self._delivery.spool(self._around.now())
                return
            if self._thread is not None:
                return
            thread = threading.Thread(target=self._run, name="scalekit logs", daemon=True)
            try:
                threading.Thread(target=self._post, name="scalekit logs post", daemon=True).start()
                thread.start()
            except RuntimeError:  # the interpreter ends, or there are too many threads
                if not sys.is_finalizing():
                    raise
                self._is_closed = True
                self._delivery.spool(self._around.now())
                return
            self._thread = thread
            # A child that multiprocessing has forked does not run what is registered with atexit.
            process = sys.modules.get("multiprocessing.process")
            if process is not None and process.parent_process() is not None:
                sys.modules["multiprocessing.util"].Finalize(None, self.close, exitpriority=0)

    def _run(self) -> None:
        """Until the end: see to it that all goes where it belongs."""
        told = ""
        while True:
            try:
                if self._step():
                    break
                seconds = self._seconds()
            except Exception as why:  # nobody else would go on
                text = f"sending log entries: {why!r}"
                if text != told:
                    self._around.tell(text)
                told, seconds = text, 1.0
            try:
                self._wake.get(timeout=seconds)
                while True:
                    self._wake.get_nowait()
            except queue.Empty:
                pass
        self._outgoing.put(None)

    def _step(self) -> bool:
        """Do what is to be done now; whether all is over."""
        self._queue.settle()
        delivery, now = self._delivery, self._around.now()
        while not self._answers.empty():
            answer = self._answers.get()
            if isinstance(answer, str):
                delivery.failed(answer, now)
            else:
                delivery.answered(answer, now)
        is_closing = self._close_at is not None
        if self._close_at is not None:
            if not self._has_hurried and not delivery.is_under_way:
                self._has_hurried = True
                delivery.hurry()
            elif delivery.is_away(now) and not (self._has_hurried and delivery.is_under_way):
                self._close_at = now
            if delivery.is_done or now >= self._close_at:
                with self._starting:
                    self._end(now)
                return True
        batch = delivery.next(now, is_closing)
        if batch is not None:
            self._outgoing.put(batch)
        elif delivery.is_stuck(now):
            self._poster.abort()
        return False

    def _end(self, now: float) -> None:
        lost = self._queue.report_dropped()
        if lost:
            self._note(f"{lost} before the end of this process")
        self._delivery.spool(now)
        if self._delivery.has_any:
            self._around.tell("log entries are lost: there is neither a log service nor a place to keep them")
        self._spool.close()
        self._is_closed = True

    def _seconds(self) -> float:
        self._queue.watch()
        now = self._around.now()
        seconds = self._delivery.wait(now)
        if self._close_at is not None:
            seconds = min(seconds, self._close_at - now)
        return max(0.001, seconds)

    def _post(self) -> None:
        """The other thread."""
        outgoing, answers, wake, poster = self._outgoing, self._answers, self._wake, self._poster
        while (batch := outgoing.get()) is not None:
            try:
                answers.put(poster.post(batch))
            except (OSError, HTTPException, Fault) as why:
                answers.put(str(why) or repr(why))
            except Exception as why:  # such as a URL that cannot be asked for
                answers.put(repr(why))
            wake.put(None)
        poster.close()

    def _note(self, text: str) -> None:
        self._queue.add("WARN", entry_line("WARN", self._around.wall(), self._source, text))

    def _count_dropped(self, levels: Mapping[str, int]) -> None:
        self._queue.count_dropped(levels)

    def _reject(self, batch: Batch, cause: str) -> None:
        if not self._rejected.count:
            self._around.tell(f"the log service refuses entries, they are kept in {self._rejected.directory}: {cause}")
        try:
            self._rejected.keep(batch, cause)
        except OSError as why:
            lost = batch.lines.count(b"\n")
            self._around.tell(f"{lost} log entries that were refused cannot be kept: {why}")

    def __repr__(self) -> str:
        return f"<LogSender {self._source} {self._poster!r}, {self._delivery!r}, {self._rejected!r}>"


_all: WeakSet[LogSender] = WeakSet()


def _forked() -> None:
    for each in list(_all):
        each.forked()


os.register_at_fork(after_in_child=_forked)
