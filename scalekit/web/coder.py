"""
`CodedStream`: one answer's body on its way through a compressor, in order and with back-pressure.

| piece | where it is coded | why |
|---|---|---|
| up to `INLINE` | at once, on the reactor's thread | under 2 ms; a thread costs more than it saves |
| larger | in a thread, in slices of `SLICE`, one at a time | never stalls the reactor; slices let others in between |

While a slice is away, what is written waits in a queue; when that holds more than `QUEUE` bytes the source is paused.
What the compressor keeps back (it may keep all of a short piece) is flushed by `flush`, which `Compress` calls for
streams that have gone quiet, and after every piece where ``is_live``.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from scalekit.errors import OurFault
from scalekit.interfaces import IAnswerObserver

_log = Logger()

InThread = Callable[..., Deferred[bytes]]

# Measured on 64 KiB of JSON and source text: level 1 takes 1.4 ms and leaves 29 %; 5: 1.7 ms, 24 %; 6: 2.3 ms, 23 %;
# 9: 10 ms, 23 %.  nginx takes 1, Go and Caddy 5 or 6, Twisted 9.
LEVEL = 5
INLINE = 64 * 1024
SLICE = 256 * 1024
# Two slices: one is coded while the next arrives.
QUEUE = 2 * SLICE
# A shorter output than this (the gzip header alone is 10 bytes) waits for more or for a flush: it is not worth a write.
_CRUMB = 512


def gzip_compressor() -> Any:
    """A compressor object that makes one gzip member (RFC 1952)."""
    return zlib.compressobj(LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)


@implementer(IAnswerObserver)
class CodedStream:
    """
    :param exchange: where the coded pieces go; its answer has begun.
    :param observer: the source's, or None.
    :param in_thread: calls a function with arguments in a thread, such as `deferToThread`.
    :param is_live: flush after every piece (``text/event-stream``).
    :param went_quiet: is given the stream when the compressor has kept something back.
    """

    def __init__(
        self,
        exchange: Any,
        observer: Any,
        in_thread: InThread,
        is_live: bool,
        went_quiet: Callable[[CodedStream], None],
    ) -> None:
        self.observer = observer
        self._exchange = exchange
        self._in_thread = in_thread
        self._is_live = is_live
        self._went_quiet = went_quiet
        self._compressor = gzip_compressor()
        self._crumb = b""
        self._queue: deque[memoryview] = deque()
        self._queued_bytes = 0
        self._trailers: Any = None
        self._is_away = False  # a slice is in the thread
        self._is_held = False  # the client has no room
        self._is_source_paused = False
        self._is_over = False
        exchange.observe(self)

    def __repr__(self) -> str:
        state = "over" if self._is_over else "held" if self._is_held else "away" if self._is_away else "open"
        return f"<CodedStream {state}, {self._queued_bytes} bytes waiting>"

    def write(self, data: bytes) -> None:
        """Code one piece, now or in its turn."""
        if self._is_over or not data:
            return
        if self._is_away or self._queue or len(data) > INLINE:
            view = memoryview(data)
            self._queue.extend(view[start : start + SLICE] for start in range(0, len(view), SLICE))
            self._queued_bytes += len(view)
            self._pump()
        else:
            self._send(self._compressor.compress(data))

    def finish(self, trailers: Any) -> None:
        """End the body once everything before has been coded."""
        self._trailers = trailers
        self._pump()

    def flush(self) -> bool:
        """Send what the compressor has kept back; False if that has to wait."""
        if self._is_over:
            return True
        if self._is_away or self._is_held:
            return False
        self._put(self._compressor.flush(zlib.Z_SYNC_FLUSH))
        return True

    def drop(self) -> None:
        """Forget everything: the answer has been cut."""
        self._is_over = True
        self._queue.clear()
        self._queued_bytes = 0

    # IAnswerObserver

    def aborted(self, fault: Exception) -> None:
        self.drop()
        if self.observer is not None:
            self.observer.aborted(fault)

    def pause(self) -> None:
        self._is_held = True
        self._steer()

    def resume(self) -> None:
        self._is_held = False
        self._pump()

    # Inside.

    def _pump(self) -> None:
        while self._queue and not self._is_away and not self._is_held and not self._is_over:
            piece = self._queue.popleft()
            self._queued_bytes -= len(piece)
            if len(piece) > INLINE:
                self._is_away = True
                self._in_thread(self._compressor.compress, piece).addCallbacks(self._returned, self._failed)
            else:
                self._send(self._compressor.compress(piece))
        if self._is_over:
            return
        self._steer()
        if self._trailers is not None and not self._queue and not self._is_away:
            self._is_over = True
            rest = self._crumb + self._compressor.flush()
            self._exchange.write(rest)
            self._exchange.finish(self._trailers)

    def _returned(self, coded: bytes) -> None:
        self._is_away = False
        if not self._is_over:
            self._send(coded)
            self._pump()

    def _failed(self, failure: Failure) -> None:
        _log.failure("coding an answer", failure)
        if not self._is_over:
            self.drop()
            fault = OurFault(500, "coding", "The answer could not be coded.")
            observer, self.observer = self.observer, None  # hears it once, whatever abort tells us
            self._exchange.abort(fault)
            if observer is not None:
                observer.aborted(fault)

    def _steer(self) -> None:
        """Tell the source to pause or go on, if that has changed."""
        is_full = self._is_held or self._queued_bytes > QUEUE
        if is_full != self._is_source_paused:
            self._is_source_paused = is_full
            if self.observer is not None and self._trailers is None:
                (self.observer.pause if is_full else self.observer.resume)()

    def _send(self, coded: bytes) -> None:
        if self._is_live:
            self._put(coded + self._compressor.flush(zlib.Z_SYNC_FLUSH))
        elif len(self._crumb) + len(coded) < _CRUMB:
            self._crumb += coded
            self._went_quiet(self)
        else:
            self._put(coded)
            self._went_quiet(self)

    def _put(self, coded: bytes) -> None:
        crumb, self._crumb = self._crumb, b""
        if crumb or coded:
            self._exchange.write(crumb + coded)
