"""
``POST /`` and ``POST /v1/entries`` as responders: a body becomes entries, and a 200 once they are on disk.

`OneEntry` takes one JSON object, `ManyEntries` NDJSON or a JSON array.  `Front` is for a daemon's listener: it gives
these paths their responders, and all others to what is behind it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any

import msgspec
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from scalekit.errors import ClientFault, Fault, OurFault
from scalekit.http.heads import Fields, RequestHead, ResponseHead
from scalekit.http.problems import problem_answer, problem_body
from scalekit.interfaces import IAnswerObserver, IBodyReceiver, IResponder
from scalekit.logs.batches import parse_batch_name
from scalekit.logs.bodies import BODY_LIMIT, Batch, check_values, decode_body, parse_array, parse_lines
from scalekit.logs.collector import Collector
from scalekit.logs.entry import Entry, parse_entry
from scalekit.logs.journal import Unavailable

JSON = (b"application/json",)
NDJSON = (b"application/x-ndjson", b"application/ndjson", b"application/jsonl")
_TYPE = (b"Content-Type", b"application/json")
#: Of all bodies together whose end has not come: two of the largest, and a thousand of the kit's beside them.
RECEIVING_LIMIT = 2 * BODY_LIMIT + 1000 * 64 * 1024

_log = Logger()


class Refused(ClientFault):
    """400: something of a batch is malformed, and the client wants all or none of it."""

    def __init__(self, batch: Batch) -> None:
        detail = f"Of the batch, {batch.rejected_count} entries are malformed; nothing is taken."
        super().__init__(400, "bad-entries", detail)
        self.extra = _rejected(batch)


def _rejected(batch: Batch) -> dict[str, Any]:
    rejected = [{"line": number, "error": error} for number, error in batch.rejected]
    return {"rejected": rejected, "rejected_count": batch.rejected_count}


@implementer(IResponder)
class Taking:
    """
    What all of them have in common: `respond`; `parse` is theirs.

    :cvar types: the media types of bodies.
    """

    types: tuple[bytes, ...] = JSON

    def __init__(self, collector: Collector) -> None:
        self.collector = collector

    def respond(self, exchange: Any) -> None:
        head: RequestHead = exchange.head
        if head.method != b"POST":
            if head.length != 0:
                exchange.discard()
            fault = ClientFault(405, "method", "This resource takes POST.")
            exchange.record.reason = fault.reason
            exchange.answer(*problem_answer(fault, head, exchange.request_id, allowed=b"POST"))
        elif head.length == 0:
            _Receiving(self, exchange).end([])
        elif head.length is not None and head.length > BODY_LIMIT:
            self.refuse(exchange, _too_big())
        else:
            receiving = _Receiving(self, exchange)
            exchange.observe(receiving)
            exchange.receive(receiving)

    def parse(self, head: RequestHead, body: bytes) -> tuple[Sequence[Entry], Any]:
        """The entries of a body, and what there is to say once they are on disk; raises `ClientFault`."""
        raise NotImplementedError

    def accept(self, head: RequestHead, said: Any, is_written: bool) -> tuple[ResponseHead, bytes]:
        """
        The answer when they are on disk.

        :param said: as `parse` has it.
        :param is_written: False: they were already.
        """
        answer = said if is_written else {**said, "repeated": True}
        return ResponseHead(200, [_TYPE]), msgspec.json.encode(answer) + b"\n"

    def refuse(self, exchange: Any, fault: Fault) -> None:
        """Answer with a fault."""
        if not isinstance(fault, Refused):
            exchange.fail(fault)
            return
        exchange.record.reason = fault.reason
        accept = exchange.head.get(b"accept")
        kind, body = problem_body(
            accept, fault.status, fault.reason, fault.detail, exchange.request_id, extra=fault.extra
        )
        exchange.answer(ResponseHead(fault.status, [(b"Content-Type", kind), (b"Cache-Control", b"no-store")]), body)

    def read(self, head: RequestHead, body: bytes) -> tuple[bytes, bytes]:
        """The media type (RFC 9110 section 8.3) and the decoded body; raises `ClientFault`: 400, 413, 415."""
        kind = (head.get(b"content-type") or b"").partition(b";")[0].strip().lower()
        # Go's and other clients send none. Types that a page of another origin may send without asking are not taken.
        if kind and kind not in self.types:
            expected = b" or ".join(self.types).decode()
            found = kind[:60].decode("latin-1")
            raise ClientFault(415, "bad-type", f"Content-Type: found {found!r}, expected {expected} (curl: --json).")
        coding = head.get(b"content-encoding")
        if coding is not None:
            body = decode_body(body, coding.decode("latin-1"))
        if kind in (b"", *JSON, *NDJSON):
            check_values(body)
        return kind, body


class OneEntry(Taking):
    """``POST /``: one entry as a JSON object; 400 names the field that is wrong."""

    def parse(self, head: RequestHead, body: bytes) -> tuple[Sequence[Entry], Any]:
        try:
            return [parse_entry(self.read(head, body)[1])], {"accepted": 1}
        except Fault:
            self.collector.counts.rejected += 1
            raise


class ManyEntries(Taking):
    """
    ``POST /v1/entries``: takes what is good, and names what is not.

    The answer has ``accepted``, ``rejected`` (the first hundred), and ``rejected_count``.  With ``?strict=1`` nothing
    is accepted if anything is rejected, and the answer is 400.
    """

    types = NDJSON + JSON

    def parse(self, head: RequestHead, body: bytes) -> tuple[Sequence[Entry], Any]:
        kind, body = self.read(head, body)
        batch = parse_array(body) if kind in JSON else parse_lines(body)
        if batch.bad:
            self.collector.quarantine(batch)
        if batch.rejected_count and _is_strict(head.query):
            self.collector.counts.rejected += batch.rejected_count + len(batch.entries)
            raise Refused(batch)
        self.collector.counts.rejected += batch.rejected_count
        return batch.entries, {"accepted": len(batch.entries), **_rejected(batch)}


def _is_strict(query: bytes | None) -> bool:
    return query is not None and any(part in (b"strict", b"strict=1", b"strict=true") for part in query.split(b"&"))


def _too_big() -> ClientFault:
    return ClientFault(413, "body-too-big", f"The body is longer than {BODY_LIMIT} bytes.")


@implementer(IBodyReceiver, IAnswerObserver)
class _Receiving:
    """A request, from its head to its answer."""

    def __init__(self, taking: Taking, exchange: Any) -> None:
        self._taking = taking
        # None when it is over: the exchange knows us as well, and a cycle waits for the garbage collector, for whom all
        # others wait then: 20 ms for 2,000 requests.
        self._exchange = exchange
        self._pieces: list[bytes] = []
        self._size = 0
        self._said: Any = None

    def data(self, piece: bytes) -> None:
        if self._exchange is None:
            return
        self._size += len(piece)
        self._pieces.append(piece)
        collector = self._taking.collector
        collector.receiving_bytes += len(piece)
        if self._size > BODY_LIMIT:
            self._fail(_too_big())
        elif collector.receiving_bytes > RECEIVING_LIMIT:
            collector.counts.refused["memory"] += 1  # how many entries it has, nobody knows yet
            self._fail(Unavailable("memory", "More is being sent at once than the log holds."))

    def end(self, trailers: Fields) -> None:
        if self._exchange is None:
            return
        pieces = self._pieces
        self._let_go()
        head: RequestHead = self._exchange.head
        collector = self._taking.collector
        try:
            entries, self._said = self._taking.parse(head, pieces[0] if len(pieces) == 1 else b"".join(pieces))
            wait = collector.spend(entries)
            if wait:
                raise ClientFault(429, "over-budget", "A source of these entries has written too much.", ceil(wait))
            name = head.get(b"x-scalekit-batch")
            batch = None if name is None else parse_batch_name(name.decode("latin-1"))
        except Fault as fault:
            self._fail(fault)
        else:
            collector.append(entries, batch).addCallback(self._taken).addErrback(self._explain)

    def _taken(self, is_written: bool) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.answer(*self._taking.accept(exchange.head, self._said, is_written))

    def _explain(self, failure: Failure) -> None:
        fault = failure.value
        if not isinstance(fault, Fault):
            _log.failure("taking entries", failure)
            fault = OurFault(500, "internal", "Something went wrong here.")
        self._fail(fault)

    def _fail(self, fault: Fault) -> None:
        exchange, self._exchange = self._exchange, None
        self._let_go()
        if exchange is not None:
            self._taking.refuse(exchange, fault)

    def aborted(self, fault: Exception) -> None:
        """The client is gone; what was handed over stays on its way."""
        self._exchange = None
        self._let_go()

    def _let_go(self) -> None:
        self._taking.collector.receiving_bytes -= self._size
        self._pieces, self._size = [], 0

    def pause(self) -> None:
        """Nothing is being sent yet."""

    def resume(self) -> None:
        """Nothing is being sent yet."""


@implementer(IResponder)
class Front:
    """
    Entries go straight to their responders, which costs a fifth of the way through a resource tree.

    :param behind: answers all other requests, GET of ``/`` among them.
    :param takers: by their paths.
    """

    def __init__(self, behind: IResponder, takers: Mapping[bytes, Taking]) -> None:
        self._behind = behind
        self._takers = takers

    def respond(self, exchange: Any) -> None:
        head: RequestHead = exchange.head
        taker = self._takers.get(head.path) if head.method == b"POST" else None
        (taker or self._behind).respond(exchange)
