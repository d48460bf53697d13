"""An answer that everybody may have whom it suits, while it comes: each gets the part, and the words, that are his."""

from __future__ import annotations

from typing import Any

from scalekit.cache.front.streaming import Stream
from scalekit.cache.front.telling import NAME, adopt, fail, ttl_of, with_status
from scalekit.cache.front.waiting import Waiter
from scalekit.cache.rules import answering, status
from scalekit.cache.rules.reuse import Verdict, plan_reuse
from scalekit.cache.rules.stored import Stored
from scalekit.http.heads import Outcome, ResponseHead


class Shared:
    """
    :param stored: the answer, as it will be stored.
    :param record: what came of our request to the origin.
    :param forwarded: why that was made, as ``fwd`` of Cache-Status says it.
    """

    def __init__(self, stored: Stored, stream: Stream, record: Outcome, forwarded: bytes) -> None:
        self.stored = stored
        self.stream = stream
        self._record = record
        self._forwarded = forwarded

    def lead(self, waiter: Waiter, head: ResponseHead, now: float) -> None:
        """Answer the one whose request was sent on, with what came to it."""
        waiter.sought.counts.miss += 1
        adopt(waiter.exchange.record, self._record, "miss", self._record.attempts)
        said = status.forwarded(NAME, self._forwarded, None, ttl_of(self.stored, now), True)
        if waiter.sought.asked.conditions:
            self._send_part(waiter, said, now)
        else:
            self._send(waiter.exchange, with_status(head, said), 0, None)

    def serve(self, waiter: Waiter, now: float) -> None:
        """Answer another one."""
        waiter.sought.counts.collapsed += 1
        adopt(waiter.exchange.record, self._record, "collapsed")
        ttl = ttl_of(self.stored, now)
        self._send_part(waiter, status.forwarded(NAME, self._forwarded, None, ttl, is_collapsed=True), now)

    def _send_part(self, waiter: Waiter, said: bytes, now: float) -> None:
        """As its conditions and its range say."""
        stored, asked = self.stored, waiter.sought.asked
        size = self.stream.body.size if self.stream.body.is_complete else self.stream.length
        if size is None and not answering.is_not_modified(stored, asked):
            # Of what has no length yet no part can be named, and all of it will do as well (RFC 9110 section 14.2).
            age = (b"Age", b"%d" % stored.age(now))
            head = ResponseHead(stored.status, [*stored.fields, age], None, stored.reason, True)
            self._send(waiter.exchange, with_status(head, said), 0, None)
        else:
            found = answering.answer(stored, asked, size or 0, now)
            self._send(waiter.exchange, with_status(found.head, said), found.first, found.last + 1)

    def _send(self, exchange: Any, head: ResponseHead, first: int, end: int | None) -> None:
        body = self.stream.body
        whole = body.whole if body.is_complete else None
        if end is not None and end <= first:
            exchange.answer(head)
        elif whole is not None:
            exchange.answer(head, whole[first:end])
        else:
            exchange.begin(head)
            self.stream.read(exchange, first, end)

    def __repr__(self) -> str:
        return f"<Shared {self.stored!r} {self.stream!r}>"


def tell_failure(
    waiter: Waiter, fault: Exception, record: Outcome, forwarded: bytes, is_leader: bool, proxy: bytes
) -> None:
    """Answer one who has waited for an answer that does not come."""
    waiter.sought.counts.miss += is_leader
    waiter.sought.counts.collapsed += not is_leader
    adopt(waiter.exchange.record, record, "miss" if is_leader else "collapsed", record.attempts * is_leader)
    fail(waiter.exchange, fault, status.forwarded(NAME, forwarded, is_collapsed=not is_leader), proxy)


def is_fresh_for(stored: Stored, waiter: Waiter, now: float) -> bool:
    """Whether a client may be answered with it, as if it had been stored when it asked."""
    return plan_reuse((stored,), waiter.sought.asked, now).verdict is Verdict.FRESH
