"""A value that is coming in: room is reserved for it from its head on, and what was purged meanwhile is not stored."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from scalekit.cache.ageing import lifetimes
from scalekit.cache.conditions import check_change, etag, etag_of, is_conditional, unmatched
from scalekit.cache.entry import Entry
from scalekit.cache.fills import Fill
from scalekit.cache.labels import tags_of
from scalekit.cache.store import Put
from scalekit.errors import ClientFault, Fault, OurFault
from scalekit.http.heads import Fields, RequestHead, ResponseHead, values_of
from scalekit.interfaces import IAnswerObserver, IBodyReceiver, ICacheStore

_log = Logger()
_TOKEN = re.compile(rb'"?([0-9A-Za-z_-]+)"?[ \t]*(?:;|\Z)')


@implementer(IBodyReceiver, IAnswerObserver)
class Receiving:
    """
    A PUT, from its head to its answer.

    :param largest: bytes of a value.
    :param default_max_age: seconds if the head names none; None: it is refused.
    :raises ClientFault: 400 and 412 for the head, 413 for its length; `OurFault` 503 if there is no room.
    """

    def __init__(
        self, service: ICacheStore, exchange: Any, key: bytes, largest: int, default_max_age: float | None
    ) -> None:
        head: RequestHead = exchange.head
        self._service = service
        self._exchange = exchange
        self._key = key
        self._largest = largest
        self._token = _token(head)
        self._pieces: list[bytes] = []
        self._size = 0
        self._has_left = False
        self._fill: Fill | None = None
        try:
            self._judge(head, default_max_age)
        except Fault as fault:
            self._refuse(fault)
            raise

    def _judge(self, head: RequestHead, default_max_age: float | None) -> None:
        if head.get(b"content-range") is not None:
            raise ClientFault(400, "content-range", "A PUT stores a whole value.")  # RFC 9110 section 14.4
        self._times = lifetimes(values_of(head.fields, b"cache-control"), default_max_age)
        self._tags = tags_of(values_of(head.fields, b"cache-groups"), values_of(head.fields, b"surrogate-key"))
        self._is_conditional = is_conditional(head)
        if self._is_conditional:
            held = self._service.peek(self._key)
            if not isinstance(held, Deferred):  # else in the end
                check_change(head, held)
        self._fill = self._service.begin(self._key)
        self._reserve(self._fill, head.length or 0)

    def data(self, piece: bytes) -> None:
        if self._fill is None:
            return
        self._size += len(piece)
        self._pieces.append(piece)
        if self._exchange.head.length is None:
            try:
                self._reserve(self._fill, self._size)
            except Fault as fault:
                self._refuse(fault)
                self._exchange.fail(fault)

    def end(self, trailers: Fields) -> None:
        if self._fill is None:
            return
        fill, value = self._fill, b"".join(self._pieces)
        self._fill, self._pieces = None, []
        try:
            outcome = self._stored(fill, value)
            if not isinstance(outcome, Deferred):
                self._answer(outcome, value)
                return
        except Fault as fault:
            self._service.store.abandon(fill)
            self._refuse(fault)
            self._exchange.fail(fault)
            return

        def explain(failure: Failure) -> None:
            self._service.store.abandon(fill)
            why = failure.value
            if not isinstance(why, Fault):
                _log.failure("storing {key!r}", failure, key=self._key)
                why = OurFault(500, "internal", "Something went wrong here.")
            self._refuse(why)
            if not self._has_left:
                self._exchange.fail(why)

        outcome.addCallback(self._answer, value).addErrback(explain)

    def aborted(self, fault: Exception) -> None:
        self._has_left = True
        self._drop()

    def pause(self) -> None:
        """Nothing is being sent yet."""

    def resume(self) -> None:
        """Nothing is being sent yet."""

    def _reserve(self, fill: Fill, length: int) -> None:
        if length > self._largest:
            raise ClientFault(413, "body-too-big", f"The body is longer than {self._largest} bytes.")
        store = self._service.store
        if not store.reserve(fill, length):
            raise _too_big() if store.is_too_big(fill.key, length) else _no_room()

    def _stored(self, fill: Fill, value: bytes) -> Any:
        """What came of it, or a Deferred of that."""
        if not self._is_conditional:
            return self._service.put(self._key, value, self._times, self._tags, fill, self._token)
        held = self._service.peek(self._key)  # again: it may have taken its time
        return held.addCallback(self._put, fill, value) if isinstance(held, Deferred) else self._put(held, fill, value)

    def _put(self, held: Entry | None, fill: Fill, value: bytes) -> Any:
        check_change(self._exchange.head, held)
        expected = b"" if held is None else etag_of(held)
        return self._service.put(self._key, value, self._times, self._tags, fill, self._token, expected)

    def _answer(self, outcome: Put, value: bytes) -> None:
        if outcome is Put.UNMATCHED:
            raise unmatched()
        if outcome is Put.PURGED:
            raise ClientFault(409, "purged", "It was purged while it was made, or its lease is over; it is not stored.")
        if outcome is Put.TOO_BIG:
            raise _too_big()
        if outcome is Put.NO_ROOM:
            raise _no_room()
        if not self._has_left:
            self._exchange.answer(ResponseHead(201 if outcome is Put.CREATED else 204, [(b"ETag", etag(value))]))

    def _refuse(self, why: Fault) -> None:
        """It will not be stored: those who wait for it are not to wait until its lease is over."""
        self._drop()
        if not self._token:
            return
        if why.status in (413, 503):
            self._service.refuse(self._token)  # no other one would have room either
        else:
            self._service.release(self._token)

    def _drop(self) -> None:
        self._pieces = []
        if self._fill is not None:
            self._service.store.abandon(self._fill)
            self._fill = None


def _token(head: RequestHead) -> bytes:
    shown = head.get(b"cache-lease")
    if shown is None:
        return b""
    match = _TOKEN.match(shown)
    if match is None or match[1] == b"request":
        raise ClientFault(400, "bad-lease", 'Of its lease a PUT says: Cache-Lease: "token".')
    return match[1]


def _too_big() -> ClientFault:
    return ClientFault(413, "too-big-for-cache", "One entry may take an eighth of the cache at most.")


def _no_room() -> OurFault:
    return OurFault(503, "no-room", "Values that are coming in have reserved all of the cache.", retry_after=1)
