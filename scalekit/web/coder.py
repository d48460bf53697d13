"""
`CodedStream`: one answer's body on its way through a compressor, in order and with back-pressure.

| piece | where it is coded | why |
|---|---|---|
| up to the coding's ``inline_bytes`` | at once, on the reactor's thread | under 3 ms; a thread costs more than that |
| larger | in a thread, in slices of twice that, one at a time | never stalls the reactor, not even on a single core |

While a slice is away, what is written waits in a queue; when that holds more than `QUEUE` bytes the source is paused.
What the compressor keeps back (it may keep all of a short piece) is flushed by `flush`, which `Compress` calls for
streams that have gone quiet, and after every piece where ``is_live``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from scalekit.errors import OurFault
from scalekit.interfaces import IAnswerObserver
from scalekit.web.compressors import Compressor

_log = Logger()

InThread = Callable[..., Deferred[bytes]]

# Two slices of the largest sort: one is coded while the next arrives.
QUEUE = 512 * 1024
# A shorter output than this (the gzip header alone is 10 bytes) waits for more or for a flush: it is not worth a write.
_CRUMB = 512


def _nothing() -> None:
    pass


class Turns:
    """
    Threads for a bounded number of slices at a time; the others wait in the order they came.

    The bound keeps most of the reactor's ten threads for what cannot wait, such as looking up names.  Each stream has
    one slice here at most, so there are no more waiting than streams.

    :param in_thread: calls a function with arguments in a thread, such as `deferToThread`.
    """

    def __init__(self, in_thread: InThread, at_a_time: int) -> None:
        self._in_thread = in_thread
        self._free = at_a_time
        self._waiting: deque[tuple[Deferred[bytes], Callable[..., bytes], Any]] = deque()

    def __call__(self, function: Callable[..., bytes], argument: Any) -> Deferred[bytes]:
        """Call the function in a thread once there is one."""
        if not self._free:
            coming: Deferred[bytes] = Deferred()
            self._waiting.append((coming, function, argument))
            return coming
        self._free -= 1
        return self._in_thread(function, argument).addBoth(self._returned)

    def _returned(self, result: Any) -> Any:
        self._free += 1
        if self._waiting:
            coming, function, argument = self._waiting.popleft()
            self(function, argument).chainDeferred(coming)
        return result

    def __repr__(self) -> str:
        return f"<Turns {self._free} free, {len(self._waiting)} waiting>"


@implementer(IAnswerObserver)
class CodedStream:
    """
    :param exchange: where the coded pieces go; its answer has begun.
    :param observer: the source's, or None.
    :param compressor: a new one.
    :param inline_bytes: the largest piece to be coded at once.
    :param in_thread: calls a function with an argument in a thread, such as `Turns`.
    :param is_live: flush after every piece (``text/event-stream``).
    :param went_quiet: is given the stream when the compressor has kept something back.

    :ivar observer: as above; may be replaced.
    :ivar ended: called when the compressor is not needed any more.
    """

    def __init__(
        self,
        exchange: Any,
        observer: Any,
        compressor: Compressor,
        inline_bytes: int,
        in_thread: InThread,
        is_live: bool,
        went_quiet: Callable[[CodedStream], None],
    ) -> None:
        self.observer = observer
        self._exchange = exchange
        self._in_thread = in_thread
        self._is_live = is_live
        self._went_quiet = went_quiet
        self.ended: Callable[[], object] = _nothing
        self._compressor: Any = compressor
        self._inline_bytes = inline_bytes
        self._slice_bytes = 2 * inline_bytes
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
        if self._is_away or self._queue or len(data) > self._inline_bytes:
            view = memoryview(data)
            size = self._slice_bytes
            self._queue.extend(view[start : start + size] for start in range(0, len(view), size))
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
        self._put(self._compressor.flush())
        return True

    def drop(self) -> None:
        """Forget everything: the answer has been cut."""
        self._end()
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
            if len(piece) > self._inline_bytes:
                self._is_away = True
                self._in_thread(self._compress, piece).addCallbacks(self._returned, self._failed)
            else:
                self._send(self._compressor.compress(piece))
        if self._is_over:
            return
        self._steer()
        if self._trailers is not None and not self._queue and not self._is_away:
            rest = self._crumb + self._compressor.finish()
            self._end()
            self._exchange.write(rest)
            self._exchange.finish(self._trailers)

    def _compress(self, piece: memoryview) -> bytes:
        # In the thread.  Its turn may come when the client is long gone.
        compressor = self._compressor
        coded: bytes = b"" if compressor is None else compressor.compress(piece)
        return coded

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

    def _end(self) -> None:
        if not self._is_over:
            self._is_over = True
            # Now: the exchange and this hold each other, and the collector does not know how large a compressor is.
            self._compressor = None
            self.ended()

    def _steer(self) -> None:
        """Tell the source to pause or go on, if that has changed."""
        is_full = self._is_held or self._queued_bytes > QUEUE
        if is_full != self._is_source_paused:
            self._is_source_paused = is_full
            if self.observer is not None and self._trailers is None:
                (self.observer.pause if is_full else self.observer.resume)()

    def _send(self, coded: bytes) -> None:
        if self._is_live:
            self._put(coded + self._compressor.flush())
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
