"""
`Compress`: answers coded with gzip where client, type and size allow it (RFC 9110 section 12.5.3).

What is coded, and how heads change, is decided in `scalekit.http.coding`; how a body streams through the compressor, in
`scalekit.web.coder`.  Pieces that a slow app server sends reach the client within `QUIET_SECONDS`; those of
``text/event-stream`` at once.

BREACH: coding an answer that holds both a secret and text that an attacker chooses lets him guess the secret from the
length, if he can make the victim's browser ask often.  Applications that put tokens into pages should mask them freshly
for each answer (Django does), or say ``Cache-Control: no-transform``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from scalekit.http.coding import coded_head, is_codable, unmodified_head, varied_head
from scalekit.http.conditional import with_strong_forms
from scalekit.http.heads import RequestHead
from scalekit.http.negotiation import pick_coding
from scalekit.interfaces import IResponder
from scalekit.web.coder import INLINE, CodedStream, InThread, gzip_compressor
from scalekit.web.wrapping import WrappedExchange, with_fields

# A twentieth of a second is not noticed by a reader, and a flush a piece would cost much of what coding saves.
QUIET_SECONDS = 0.05

_MADE = (b"gzip",)
_CONDITIONS = (b"if-match", b"if-none-match")


@implementer(IResponder)
class Compress:
    """
    :param responder: who answers.
    :param clock: an `IReactorTime`.
    :param in_thread: calls a function with arguments in a thread and returns a Deferred; such as `deferToThread`.
    :param algorithms: the codings to offer, the best liked first.  ``ValueError`` for one that cannot be made.
    """

    def __init__(
        self,
        responder: IResponder,
        clock: IReactorTime,
        in_thread: InThread,
        algorithms: tuple[str, ...] = ("gzip",),
    ) -> None:
        offered = tuple(name.encode().lower() for name in algorithms)
        for name in offered:
            if name not in _MADE:
                raise ValueError(f"no such content coding: {name.decode()}")
        self._responder = responder
        self._clock = clock
        self.in_thread = in_thread
        # Browsers send a handful of different values, all day long.
        self._pick = lru_cache(256)(lambda accepted: pick_coding(accepted, offered))
        self._quiet: dict[CodedStream, None] = {}
        self._tick: Any = None

    def __repr__(self) -> str:
        return f"<Compress of {self._responder!r}>"

    def respond(self, exchange: Any) -> None:
        """Let the responder answer, through a coding exchange if this client takes one."""
        accepted: bytes | None = None
        may_transform = True
        is_conditional = False
        head = exchange.head
        for name, value in head.fields:
            size = len(name)
            if size == 15:
                if name.lower() == b"accept-encoding":
                    accepted = value if accepted is None else accepted + b"," + value
            elif size == 13 or size == 8:
                lower = name.lower()
                if lower in _CONDITIONS:
                    is_conditional = is_conditional or b"W/" in value
                elif lower == b"cache-control" and b"no-transform" in value.lower():
                    may_transform = False  # RFC 9111 section 5.2.1.6
        coding = self._pick(accepted) if accepted is not None and may_transform else None
        if is_conditional:
            head = _with_strong_conditions(head)
        if coding is None:
            self._responder.respond(_PlainExchange(exchange, head))
        else:
            self._responder.respond(_CodedExchange(exchange, head, coding, self))

    def watch(self, stream: CodedStream) -> None:
        """This stream's compressor has kept something back: flush it if nothing more comes soon."""
        if stream not in self._quiet:
            self._quiet[stream] = None
            if self._tick is None:
                self._tick = self._clock.callLater(QUIET_SECONDS, self._flush)

    def _flush(self) -> None:
        self._tick = None
        waiting, self._quiet = self._quiet, {}
        for stream in waiting:
            if not stream.flush():
                self.watch(stream)


def _with_strong_conditions(head: RequestHead) -> RequestHead:
    fields = [(name, with_strong_forms(value) if name.lower() in _CONDITIONS else value) for name, value in head.fields]
    return with_fields(head, fields)


class _PlainExchange(WrappedExchange):
    """For a client that takes no coding of ours: codable answers tell shared caches that others do."""

    __slots__ = ()

    def answer(self, head: Any, body: bytes = b"") -> None:
        if is_codable(head, len(body) if head.length is None else head.length):
            head = varied_head(head)
        self._inner.answer(head, body)

    def begin(self, head: Any) -> None:
        if is_codable(head, head.length):
            head = varied_head(head)
        self._inner.begin(head)


class _CodedExchange(WrappedExchange):
    """For a client that takes a coding of ours."""

    __slots__ = ("_coding", "_compress", "_observer", "_stream")

    def __init__(self, inner: Any, head: RequestHead, coding: bytes, compress: Compress) -> None:
        WrappedExchange.__init__(self, inner, head)
        self._coding = coding
        self._compress = compress
        self._observer: Any = None
        self._stream: CodedStream | None = None

    def observe(self, observer: object) -> None:
        self._observer = observer
        if self._stream is not None:
            self._stream.observer = observer
        else:
            self._inner.observe(observer)

    def answer(self, head: Any, body: bytes = b"") -> None:
        is_head = self.head.method == b"HEAD"
        size = head.length if head.length is not None or (is_head and not body) else len(body)
        if not is_codable(head, size):
            self._inner.answer(self._untouched(head), body)
        elif is_head:
            self._inner.begin(coded_head(head, self._coding))
            self._inner.finish()
        elif len(body) > INLINE:
            self._start(head).write(body)
            self.finish()
        else:
            compressor = gzip_compressor()
            coded = compressor.compress(body) + compressor.flush()
            self._inner.answer(coded_head(head, self._coding, len(coded)), coded)

    def begin(self, head: Any) -> None:
        if not is_codable(head, head.length):
            self._inner.begin(self._untouched(head))
        elif self.head.method == b"HEAD":
            self._inner.begin(coded_head(head, self._coding))
        else:
            self._start(head)

    def write(self, data: bytes) -> None:
        if self._stream is None:
            self._inner.write(data)
        else:
            self._stream.write(data)

    def finish(self, trailers: Any = ()) -> None:
        if self._stream is None:
            self._inner.finish(trailers)
        else:
            self._stream.finish(trailers)

    def fail(self, fault: Exception) -> None:
        if self._stream is not None:
            self._stream.drop()
        self._inner.fail(fault)

    def abort(self, fault: Exception) -> None:
        if self._stream is not None:
            self._stream.drop()
        self._inner.abort(fault)

    def _start(self, head: Any) -> CodedStream:
        is_live = (head.get(b"content-type") or b"").lower().startswith(b"text/event-stream")
        self._inner.begin(coded_head(head, self._coding))
        self._stream = CodedStream(self._inner, self._observer, self._compress.in_thread, is_live, self._compress.watch)
        return self._stream

    def _untouched(self, head: Any) -> Any:
        if head.status == 304:
            return unmodified_head(head, self._inner.head.get(b"if-none-match"))
        return head
