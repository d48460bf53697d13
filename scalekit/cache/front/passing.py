"""Requests that no cache may answer, on their way to the app server: what their answers make invalid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scalekit.cache.front.shelf import Variant
from scalekit.cache.front.sought import Sought
from scalekit.cache.front.telling import NAME, fail, with_status
from scalekit.cache.rules import status
from scalekit.cache.rules.invalidation import plan_invalidation
from scalekit.cache.rules.validation import after_head
from scalekit.http.heads import ResponseHead
from scalekit.web.wrapping import WrappedExchange

if TYPE_CHECKING:
    from scalekit.cache.front.front import CacheFront


class Passed(WrappedExchange):
    """:param why: as ``fwd`` of Cache-Status says it."""

    __slots__ = ("_front", "_has_begun", "_said", "_sought", "_started")

    def __init__(self, inner: Any, front: CacheFront, sought: Sought, why: bytes) -> None:
        WrappedExchange.__init__(self, inner)
        self._front = front
        self._sought = sought
        self._said = status.forwarded(NAME, why)
        self._started = front.wall()
        self._has_begun = False

    def answer(self, head: Any, body: bytes = b"") -> None:
        self._inner.answer(self._looked_at(head), body)

    def begin(self, head: Any) -> None:
        self._inner.begin(self._looked_at(head))

    def fail(self, fault: Exception) -> None:
        if self._has_begun:
            self._inner.fail(fault)
        else:
            self._has_begun = True
            fail(self._inner, fault, self._said, self._front.proxy)

    def _looked_at(self, head: ResponseHead) -> ResponseHead:
        # Before the client has the answer: what it asks next is not to be what was.
        self._has_begun = True
        if self._sought.asked.head.method == b"HEAD":
            self._learn(head)
        else:
            self._invalidate(head)
        return with_status(head, self._said)

    def _invalidate(self, head: ResponseHead) -> None:
        """What this has changed is not here any more (RFC 9111 section 4.4)."""
        front = self._front
        invalidation = plan_invalidation(self._sought.asked, head)
        now = front.seconds()
        for key in invalidation.keys:
            front.shelf.invalidate(key, now)
        for tag in invalidation.tags:
            front.shelf.store.purge_tag(tag, now)
        if invalidation.tags:
            front.hurry()

    def _learn(self, head: ResponseHead) -> None:
        """What a HEAD tells of what is stored for a GET (section 4.3.5)."""
        front, sought = self._front, self._sought
        asked = sought.asked
        kept = front.find(sought) if asked.is_lookup else None
        stored = None if kept is None else next((one for one in kept.stored if one.suits(asked.head)), None)
        if kept is None or stored is None:
            return
        variant = kept.of(stored)
        made = after_head(asked, stored, variant.body.size, head, self._started, front.wall(), front.policy)
        if made is None:
            front.shelf.invalidate(sought.key, front.seconds())
        elif made is not stored:
            front.shelf.keep(front.shelf.begin(sought.key), Variant(made, variant.body, sought.owner), front.seconds())
