"""Requests that no cache may answer, on their way to the app server: what their answers make invalid."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scalekit.cache.front.sought import Sought
from scalekit.cache.front.telling import NAME, fail, with_status
from scalekit.cache.rules import status
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
        self._front.answered(self._sought, head, self._started)
        return with_status(head, self._said)
