"""
`Compress`: answers coded with zstd, br or gzip where client, type and size allow it (RFC 9110 section 12.5.3).

What is coded, and how heads change, is decided in `scalekit.http.coding`; how a body streams through a compressor, in
`scalekit.web.coder`; the compressors and their levels are in `scalekit.web.compressors`.  Pieces that a slow app server
sends reach the client within `QUIET_SECONDS`; those of ``text/event-stream`` at once.

BREACH: coding an answer that holds both a secret and text that an attacker chooses lets him guess the secret from the
length, if he can make the victim's browser ask often.  Applications that put tokens into pages should mask them freshly
for each answer (Django does), or say ``Cache-Control: no-transform``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any
from weakref import finalize

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from scalekit.http.coding import MINIMUM, coded_head, is_codable, unmodified_head, varied_head, with_origin_tags
from scalekit.http.heads import Amend, RequestHead, ResponseHead
from scalekit.http.negotiation import pick_coding
from scalekit.interfaces import IResponder
from scalekit.web.coder import CodedStream, InThread, Turns
from scalekit.web.compressors import CODINGS, Coding
from scalekit.web.wrapping import WrappedExchange

# A twentieth of a second is not noticed by a reader, and a flush a piece would cost much of what coding saves.
QUIET_SECONDS = 0.05

# What the compressors of all streams may take together: some 340 downloads by zstd at a time, or 1,200 event streams.
# An answer that would take more goes out as it is, which is always right.  Without this, a client that opens streams
# and reads none would have a megabyte of ours for each.
STREAMS_BYTES = 256 * 1024 * 1024

# How many slices are coded at a time, each on a core of its own if there are as many: 160 MB/s by gzip, the slowest.
THREADS = 4

# An Accept-Encoding that is longer is read anew each time: browsers send 30 bytes, and 256 values of 32 KiB each, that
# somebody makes up, would be eight megabytes.
REMEMBERED_BYTES = 256

_CONDITIONS = (b"if-match", b"if-none-match")
_READS = (b"GET", b"HEAD")


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
        algorithms: tuple[str, ...] = ("zstd", "br", "gzip"),
    ) -> None:
        offered = tuple(name.encode().lower() for name in algorithms)
        for name in offered:
            if name not in CODINGS:
                raise ValueError(f"no such content coding: {name.decode()}")
        self._responder = responder
        self._clock = clock
        self._in_thread = Turns(in_thread, THREADS)
        self._free_bytes = STREAMS_BYTES
        self._offered = offered
        self.codings: dict[bytes, Coding] = {name: CODINGS[name]() for name in offered}
        # Browsers send a handful of different values, all day long.
        self._pick = lru_cache(256)(lambda accepted: pick_coding(accepted, offered))
        self._quiet: dict[CodedStream, None] = {}
        self._tick: Any = None

    def __repr__(self) -> str:
        return f"<Compress of {self._responder!r}>"

    def respond(self, exchange: Any) -> None:
        """Let the responder answer, through a coding exchange if this client takes one."""
        asked = exchange.head
        picked = asked.picked
        if picked is None or picked[0] is not self:
            picked = asked.picked = self, *self._picked(asked)
        _, coding, head = picked
        if coding is None:
            amend = exchange.amend
            exchange.amend = _tell_caches if amend is None else _then(amend)
            self._responder.respond(exchange if head is asked else WrappedExchange(exchange, head))
        else:
            self._responder.respond(_CodedExchange(exchange, head, coding, self))

    def _picked(self, head: RequestHead) -> tuple[bytes | None, RequestHead]:
        """The coding for the answer to this head, and the head as the responder is to see it."""
        accepted: bytes | None = None
        may_transform = True
        is_conditional = False
        for name, value in head.fields:
            # By its length first: of most names no copy in lower case is needed.
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
        coding = None
        if accepted is not None and may_transform:
            pick = self._pick if len(accepted) <= REMEMBERED_BYTES else self._pick.__wrapped__
            coding = pick(accepted)
        return coding, self._with_origin_conditions(head, coding) if is_conditional else head

    def stream(self, exchange: Any, observer: Any, coding: bytes, is_live: bool) -> CodedStream | None:
        """A coded stream to an exchange, whose answer is to begin next; None if there are too many already."""
        how = self.codings[coding]
        size = how.stream_bytes(is_live)
        if size > self._free_bytes:
            return None
        self._free_bytes -= size
        stream = CodedStream(
            exchange, observer, how.stream(is_live), how.inline_bytes, self._in_thread, is_live, self.watch
        )
        # Given back when it ends; at the latest when it is forgotten, by a responder that neither finishes nor aborts.
        stream.ended = finalize(stream, self._give_back, size)
        return stream

    def watch(self, stream: CodedStream) -> None:
        """This stream's compressor has kept something back: flush it if nothing more comes soon."""
        if stream not in self._quiet:
            self._quiet[stream] = None
            if self._tick is None:
                self._tick = self._clock.callLater(QUIET_SECONDS, self._flush)

    def _with_origin_conditions(self, head: RequestHead, coding: bytes | None) -> RequestHead:
        # Who has a form that would not be sent now is sent what would; who changes what it has read may have read any.
        picked = () if coding is None else (coding,)
        meant = {b"if-match": self._offered, b"if-none-match": picked if head.method in _READS else self._offered}
        fields = []
        for name, value in head.fields:
            codings = meant.get(name.lower())
            fields.append((name, value if codings is None else with_origin_tags(value, codings)))
        return head.with_fields(fields)

    def _give_back(self, size: int) -> None:
        self._free_bytes += size

    def _flush(self) -> None:
        self._tick = None
        waiting, self._quiet = self._quiet, {}
        for stream in waiting:
            if not stream.flush():
                self.watch(stream)


def _tell_caches(head: ResponseHead, size: int | None) -> ResponseHead:
    """To a client that takes no coding of ours: codable answers tell shared caches that others do."""
    if size is not None and size < MINIMUM:
        return head  # as `is_codable` would say, without a call for every small answer
    return varied_head(head) if is_codable(head, size) else head


def _then(amend: Amend) -> Amend:
    """The same, and then what a decorator before us wants."""
    return lambda head, size: amend(_tell_caches(head, size), size)


class _CodedExchange(WrappedExchange):
    """For a client that takes a coding of ours."""

    __slots__ = ("_coding", "_compress", "_how", "_observer", "_stream")

    def __init__(self, inner: Any, head: RequestHead, coding: bytes, compress: Compress) -> None:
        WrappedExchange.__init__(self, inner, head)
        self._coding = coding
        self._how = compress.codings[coding]
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
        elif len(body) <= self._how.inline_bytes:
            coded = self._how.whole(body)
            self._inner.answer(coded_head(head, self._coding, len(coded)), coded)
        elif self._starts(head):
            self.write(body)
            self.finish()
        else:
            self._inner.answer(varied_head(head), body)

    def begin(self, head: Any) -> None:
        if not is_codable(head, head.length):
            self._inner.begin(self._untouched(head))
        elif self.head.method == b"HEAD":
            self._inner.begin(coded_head(head, self._coding))
        elif not self._starts(head):
            self._inner.begin(varied_head(head))

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

    def _starts(self, head: Any) -> bool:
        is_live = (head.get(b"content-type") or b"").lower().startswith(b"text/event-stream")
        self._stream = self._compress.stream(self._inner, self._observer, self._coding, is_live)
        if self._stream is None:
            return False
        self._inner.begin(coded_head(head, self._coding))
        return True

    def _untouched(self, head: Any) -> Any:
        if head.status == 304:
            return unmodified_head(head, self._inner.head.get(b"if-none-match"), self._coding)
        return head
