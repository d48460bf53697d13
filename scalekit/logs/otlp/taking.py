"""
``POST /v1/logs``: an OTLP exporter's records become entries, and it gets its answer once they are on disk.

Its limits, budgets, redaction, quarantine and ``X-Scalekit-Batch`` are those of `scalekit.logs.taking`.  Records that
cannot be taken are told of as a partial success, all other errors as a ``google.rpc.Status``, in the request's form;
429 and 503 have Retry-After, and are the ones that exporters try again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scalekit.errors import Fault
from scalekit.http.heads import RequestHead, ResponseHead
from scalekit.logs.bodies import Batch
from scalekit.logs.entry import Entry
from scalekit.logs.otlp.answers import Told, response, status
from scalekit.logs.otlp.forms import JSON, PROTOBUF, form_of
from scalekit.logs.otlp.mapping import batch_of
from scalekit.logs.taking import Taking

#: Errors that a partial success names; the others are in quarantine.
_NAMED = 3


class ExportLogs(Taking):
    """Its responder."""

    types = (JSON, PROTOBUF)

    def parse(self, head: RequestHead, body: bytes) -> tuple[Sequence[Entry], Any]:
        kind, body = self.read(head, body)
        batch = batch_of(form_of(kind).read(body))
        if batch.bad:
            self.collector.quarantine(batch)
        self.collector.counts.rejected += batch.rejected_count
        return batch.entries, Told(batch.rejected_count, _told(batch))

    def accept(self, head: RequestHead, said: Any, is_written: bool) -> tuple[ResponseHead, bytes]:
        kind = _form_in(head)
        return ResponseHead(200, [(b"Content-Type", kind)]), response(kind, said)

    def refuse(self, exchange: Any, fault: Fault) -> None:
        kind = _form_in(exchange.head)
        exchange.record.reason = fault.reason
        fields = [(b"Content-Type", kind), (b"Cache-Control", b"no-store")]
        if fault.retry_after is not None:
            fields.append((b"Retry-After", b"%d" % fault.retry_after))
        exchange.answer(ResponseHead(fault.status, fields), status(kind, fault.status, fault.detail))


def _form_in(head: RequestHead) -> bytes:
    """What is answered in: the request's form, JSON for any that is none."""
    kind = (head.get(b"content-type") or b"").partition(b";")[0].strip().lower()
    return PROTOBUF if kind == PROTOBUF else JSON


def _told(batch: Batch) -> str:
    named = "; ".join(f"record {number}: {error}" for number, error in batch.rejected[:_NAMED])
    more = batch.rejected_count - _NAMED
    return f"{named}; and {more} more" if more > 0 else named
