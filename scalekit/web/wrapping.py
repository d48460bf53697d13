"""`WrappedExchange`: an exchange that passes everything on, for decorators to override what they change."""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from scalekit.http.heads import Amend, Client, Fields, Outcome, RequestHead
from scalekit.interfaces import IExchange


@implementer(IExchange)
class WrappedExchange:
    """:param head: the request head that the wrapped responder is to see; the exchange's own if None."""

    __slots__ = ("_inner", "client", "head", "record", "request_id")

    def __init__(self, inner: Any, head: RequestHead | None = None) -> None:
        self._inner = inner
        self.head: RequestHead = inner.head if head is None else head
        self.client: Client = inner.client
        self.request_id: bytes = inner.request_id
        self.record: Outcome = inner.record

    @property
    def amend(self) -> Amend | None:
        amend: Amend | None = self._inner.amend
        return amend

    @amend.setter
    def amend(self, amend: Amend | None) -> None:
        self._inner.amend = amend

    def observe(self, observer: object) -> None:
        self._inner.observe(observer)

    def receive(self, receiver: object) -> None:
        self._inner.receive(receiver)

    def discard(self) -> None:
        self._inner.discard()

    def pause(self) -> None:
        self._inner.pause()

    def resume(self) -> None:
        self._inner.resume()

    def inform(self, status: int, fields: Fields) -> None:
        self._inner.inform(status, fields)

    def answer(self, head: Any, body: bytes = b"") -> None:
        self._inner.answer(head, body)

    def begin(self, head: Any) -> None:
        self._inner.begin(head)

    def write(self, data: bytes) -> None:
        self._inner.write(data)

    def finish(self, trailers: Any = ()) -> None:
        self._inner.finish(trailers)

    def switch(self, head: Any, receiver: Any) -> None:
        self._inner.switch(head, receiver)

    def fail(self, fault: Exception) -> None:
        self._inner.fail(fault)

    def abort(self, fault: Exception) -> None:
        self._inner.abort(fault)
