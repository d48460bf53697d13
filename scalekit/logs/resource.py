"""
The log's HTTP interface: ``POST /`` for one entry, ``POST /v1/entries`` for many.

An ordinary ``twisted.web`` resource: it works below any path of any site, and answers 200 once the entries are on disk.
"""

from __future__ import annotations

from math import ceil
from typing import Any, cast

from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Request

from scalekit.errors import ClientFault, Fault
from scalekit.logs.batches import parse_batch_name
from scalekit.logs.bodies import BODY_LIMIT, decode_body, parse_array, parse_lines
from scalekit.logs.collector import Collector
from scalekit.logs.entry import Entry, parse_entry
from scalekit.logs.journal import Unavailable
from scalekit.web.answers import (
    Absent,
    ProblemResource,
    answer_later,
    fault_answer,
    json_answer,
    problem,
    query_value,
    read_body,
)

JSON = ("application/json",)
NDJSON = ("application/x-ndjson", "application/ndjson", "application/jsonl")


def _read(request: Request, allowed: tuple[str, ...]) -> tuple[str, bytes]:
    """The media type (RFC 9110 section 8.3) and the decoded body; raises `ClientFault`: 400, 413, 415."""
    header = request.getHeader(b"content-type") or b""
    media_type = header.partition(b";")[0].strip().lower().decode("latin-1")
    # Go's and other clients send none. Types that a page of another origin may send without asking are not taken.
    if media_type and media_type not in allowed:
        raise ClientFault(
            415, "bad-type", f"Content-Type: found {media_type[:60]!r}, expected {' or '.join(allowed)} (curl: --json)."
        )
    return media_type, decode_body(
        read_body(request, BODY_LIMIT), (request.getHeader(b"content-encoding") or b"").decode("latin-1")
    )


class _Taking(ProblemResource):
    """What both routes share: the counting of what is malformed, and the answers."""

    def __init__(self, collector: Collector) -> None:
        super().__init__()
        self._collector = collector

    def _take(self, request: Request, entries: list[Entry], answer: dict[str, Any]) -> int | bytes:
        """Append, and answer once it is done; 429 if a source has spent what it may."""
        wait = self._collector.spend(entries)
        if wait:
            request.setHeader(b"retry-after", b"%d" % ceil(wait))
            return problem(request, 429, "over-budget", "A source of these entries has written more than it may.")
        name = request.getHeader(b"x-scalekit-batch")
        batch = None if name is None else parse_batch_name(name.decode("latin-1"))

        def tell(is_written: bool) -> bytes:
            return json_answer(request, 200, answer if is_written else {**answer, "repeated": True})

        waiting = self._collector.append(entries, batch)
        return answer_later(request, waiting.addCallbacks(tell, _refuse, errbackArgs=(request,)))


def _refuse(failure: Failure, request: Request) -> bytes:
    failure.trap(Fault)
    fault = cast(Fault, failure.value)
    if isinstance(fault, Unavailable):
        request.setHeader(b"retry-after", b"%d" % fault.retry_after_seconds)
    return fault_answer(request, fault)


class _Folder(ProblemResource):
    """A path with others below it and nothing of its own."""

    def render(self, request: Request) -> bytes:
        return Absent().render(request)


class LogResource(_Taking):
    """The root of port 6000, or of any path: takes one entry as a JSON object."""

    def __init__(self, collector: Collector) -> None:
        super().__init__(collector)
        v1 = _Folder()
        v1.putChild(b"entries", EntriesResource(collector))
        self.putChild(b"v1", v1)

    def getChild(self, path: bytes, request: Request) -> Resource:
        # "/logs/" has an empty last segment; "//" is no other name for it.
        return self if path == b"" and not request.postpath else super().getChild(path, request)

    def render_POST(self, request: Request) -> int | bytes:
        """Take one entry; 400 names the field that is wrong."""
        try:
            entry = parse_entry(_read(request, JSON)[1])
        except Fault:
            self._collector.counts.rejected += 1
            raise
        return self._take(request, [entry], {"accepted": 1})


class EntriesResource(_Taking):
    """``/v1/entries``: takes NDJSON or a JSON array; accepts what is good and names what is not."""

    isLeaf = True

    def render_POST(self, request: Request) -> int | bytes:
        """
        Take a batch; the answer has ``accepted``, ``rejected`` (the first hundred), and ``rejected_count``.

        With ``?strict=1`` nothing is accepted if anything is rejected, and the answer is 400.
        """
        media_type, body = _read(request, NDJSON + JSON)
        batch = parse_array(body) if media_type in JSON else parse_lines(body)
        rejected = [{"line": number, "error": error} for number, error in batch.rejected]
        if batch.rejected_count and query_value(request, b"strict") not in (None, "", "0"):
            self._collector.counts.rejected += batch.rejected_count + len(batch.entries)
            detail = f"Of the batch, {batch.rejected_count} entries are malformed; nothing is taken."
            count = batch.rejected_count
            return problem(request, 400, "bad-entries", detail, rejected=rejected, rejected_count=count)
        self._collector.counts.rejected += batch.rejected_count
        answer = {"accepted": len(batch.entries), "rejected": rejected, "rejected_count": batch.rejected_count}
        return self._take(request, batch.entries, answer)
