"""What an answer says of the cache: ``Cache-Status`` (RFC 9211), and the record for the access log."""

from __future__ import annotations

from typing import Any

from scalekit.cache.front.shelf import Variant
from scalekit.cache.rules import status
from scalekit.cache.rules.stored import Stored
from scalekit.errors import Fault
from scalekit.http.heads import Fields, Outcome, ResponseHead
from scalekit.http.problems import problem_answer

#: Who we are in Cache-Status: the same everywhere, as dashboards group by it.
NAME = b"scalekit"


def with_status(head: ResponseHead, said: bytes) -> ResponseHead:
    """The head with our member of Cache-Status, after those of the caches before us (section 2)."""
    return head.with_fields([*head.fields, (status.FIELD, said)])


def ttl_of(stored: Stored, now: float) -> float:
    """Seconds for which it is fresh, also where it is to be validated each time (section 2.5)."""
    return stored.born + stored.lifetime - now


_UNSHARED = status.forwarded(NAME, b"uri-miss", detail="not-shared")


def tell_unshared(head: ResponseHead, size: int | None) -> ResponseHead:
    """An `Amend` for answers of which the last one was for its client only, so that this was not waited for."""
    return with_status(head, _UNSHARED)


def make_ready(variant: Variant, now: float) -> bool:
    """
    Make the head of a whole answer out of the store, for as long as its Age stays the same: what the wire makes of it
    stays with it.  False if it is not fresh any more.

    :param now: on the rules' clock.
    """
    stored = variant.stored
    if now >= stored.fresh_until:
        return False
    age = int(now - stored.born)
    fields = [
        *stored.fields,
        (b"Age", b"%d" % max(0, age)),
        (status.FIELD, status.hit(NAME, stored, stored.born + age)),
    ]
    variant.head = ResponseHead(stored.status, fields, variant.body.size, stored.reason, True)
    variant.ready_until = min(stored.born + age + 1, stored.fresh_until)
    return True


def adopt(record: Outcome, of: Outcome, decision: str, attempts: int = 0) -> None:
    """Take over what came of our request to the origin, which another record tells of."""
    record.service, record.instance = of.service, of.instance
    record.reason, record.retry = of.reason, of.retry
    record.attempts = attempts
    record.cache = decision


def fail(exchange: Any, fault: Exception, said: bytes, proxy: bytes, more: Fields | None = None) -> None:
    """
    Answer with a fault that says where it stands with the cache.

    :param proxy: our name in Proxy-Status.
    :param more: fields of the answer.
    """
    if not isinstance(fault, Fault):
        exchange.fail(fault)
        return
    exchange.record.reason = fault.reason
    head, body = problem_answer(fault, exchange.head, exchange.request_id, exchange.record.attempts, proxy)
    head.fields += more or []
    exchange.answer(with_status(head, said), body)
