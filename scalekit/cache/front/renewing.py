"""What was stored, after the origin has said by a 304 that it is still good (RFC 9111 section 4.3.4)."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from typing import Any, NamedTuple

from scalekit.cache.fills import Fill
from scalekit.cache.front.shelf import Shelf, Variant
from scalekit.cache.front.sought import Sought
from scalekit.cache.front.telling import NAME, adopt, ttl_of
from scalekit.cache.front.waiting import Waiter
from scalekit.cache.rules import status
from scalekit.cache.rules.asking import Asked
from scalekit.cache.rules.stored import Stored
from scalekit.cache.rules.storing import ABOUT_ASKING, Policy
from scalekit.cache.rules.validation import plan_refresh
from scalekit.http.heads import Outcome, ResponseHead


class Renewal(NamedTuple):
    """
    :ivar variant: what it is by now.
    :ivar is_kept: whether it is in the store; else it is for who has asked only.
    :ivar is_purged: whether a purge came since that was asked.
    """

    variant: Variant
    is_kept: bool
    is_purged: bool


def renew(
    shelf: Shelf,
    fill: Fill,
    variants: tuple[Variant, ...],
    asked: Asked,
    head: ResponseHead,
    times: tuple[float, float, float],
    policy: Policy,
) -> Renewal | None:
    """
    Put what a 304 is about in the store again, or take it out; None if it is about none of these.

    :param variants: what was validated, newest first.
    :param head: of the 304.
    :param times: when it was asked for and when it came, on the rules' clock; now on the store's.
    """
    started, received_at, now = times
    stored = tuple(variant.stored for variant in variants)
    refresh = plan_refresh(stored, asked, head, started, received_at, policy)
    if refresh is None:
        return None
    old = variants[stored.index(refresh.matched)]
    made, merged = refresh.stored, refresh.head
    is_kept = isinstance(made, Stored)
    is_over = not is_kept and made not in ABOUT_ASKING
    if not isinstance(made, Stored):
        date = [] if merged.has_date else [(b"Date", formatdate(received_at, usegmt=True).encode())]
        made = Stored(merged.status, merged.reason, [*merged.fields, *date], received_at)
    variant = Variant(made, old.body, old.owner)
    is_purged = shelf.was_purged(fill, made.tags)
    if is_kept:
        shelf.keep(fill, variant, now)
    elif is_over:
        shelf.invalidate(fill.key, now)
    return Renewal(variant, is_kept, is_purged)


class Renewed:
    """
    What was stored and has been found good: an answer for all whom it suits, as well.

    :param answer: answers an exchange with a variant: `CacheFront.answer_with`.
    """

    def __init__(
        self,
        variant: Variant,
        record: Outcome,
        forwarded: bytes,
        answer: Callable[[Any, Sought, Variant, bytes], None],
    ) -> None:
        self.stored = variant.stored
        self._variant = variant
        self._record = record
        self._forwarded = forwarded
        self._answer = answer

    def lead(self, waiter: Waiter, now: float) -> None:
        """Answer the one whose request was sent on."""
        waiter.sought.counts.revalidated += 1
        adopt(waiter.exchange.record, self._record, "revalidated", self._record.attempts)
        self._send(waiter, now, False)

    def serve(self, waiter: Waiter, now: float) -> None:
        """Answer another one."""
        waiter.sought.counts.collapsed += 1
        adopt(waiter.exchange.record, self._record, "collapsed")
        self._send(waiter, now, True)

    def _send(self, waiter: Waiter, now: float, is_collapsed: bool) -> None:
        ttl = ttl_of(self.stored, now)
        said = status.forwarded(NAME, self._forwarded, 304, ttl, is_collapsed=is_collapsed)
        self._answer(waiter.exchange, waiter.sought, self._variant, said)

    def __repr__(self) -> str:
        return f"<Renewed {self._variant!r}>"
