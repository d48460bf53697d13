"""
``/v1/keys/{key}``: one value, read, stored and purged.

==========  =======================================================================================================
method      answer
==========  =======================================================================================================
GET, HEAD   200 with ETag, Age, ``Cache-Control: max-age=<left>``, Cache-Status (RFC 9211), Cache-Groups; 404.
            304 by If-None-Match, 412 by If-Match, 206 and 416 by Range.  What is stale is answered within its
            stale-while-revalidate, and until the end of stale-if-error if the request says ``stale-if-error``.
GET         with ``Cache-Lease: request`` (``;for=30``: seconds): if nothing fresh is there, the first gets
            ``Cache-Lease: "token";for=30``, the others ``Cache-Lease: taken``, or wait with ``Prefer: wait=5``;
            nobody either where the last value was too big to be kept
PUT         stores the body: 201 new, 204 replaced, 409 purged meanwhile or the lease is over, 412 by If-Match and
            If-None-Match, 413 too big, 503 no room.  ``Cache-Control: max-age=N, stale-while-revalidate=N,
            stale-if-error=N``; Cache-Groups or Surrogate-Key; ``Cache-Lease: "token"``
DELETE      204, whether or not there was anything; 412 as above; 202 if other caches can only be told later
==========  =======================================================================================================

A key is what follows ``/v1/keys/``, percent-decoded.  This is a responder: a hit is one call, and the room for a value
is reserved while it comes in.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote_to_bytes

from twisted.internet.defer import Deferred
from zope.interface import implementer

from scalekit.cache.conditions import check_change, etag_of, is_conditional, unmatched
from scalekit.cache.entry import Entry
from scalekit.cache.keys import check_key
from scalekit.cache.keyvalue import Found, Purged
from scalekit.cache.later import then
from scalekit.cache.leases import USUAL_SECONDS
from scalekit.cache.ready import TYPE, ReadyHeads, Sought, hit_fields, sought
from scalekit.cache.receiving import Receiving
from scalekit.errors import ClientFault, Fault
from scalekit.http.conditional import is_match_hit, is_none_match_hit
from scalekit.http.heads import Fields, RequestHead, ResponseHead
from scalekit.http.problems import problem_answer
from scalekit.http.ranges import UnsatisfiableRange, byte_range
from scalekit.interfaces import ICacheStore, IResponder

PATH = b"/v1/keys/"
_METHODS = b"DELETE, GET, HEAD, PUT"
_LEASE = re.compile(rb"request[ \t]*(?:;[ \t]*for=([0-9]{1,9}))?\Z")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
# RFC 7240 section 4.3; other preferences may stand beside it.
_WAIT = re.compile(rb"(?:\A|[,;\s])wait=\"?([0-9]{1,9})\"?(?=\Z|[,;\s])", re.IGNORECASE)


@implementer(IResponder)
class Values:
    """
    :param largest: bytes of a value.
    :param default_max_age: seconds for a PUT that names none; None: it is refused.
    """

    def __init__(self, service: ICacheStore, largest: int, default_max_age: float | None = None) -> None:
        self._service = service
        self._look = service.look
        self._seconds: Callable[[], float] = service.clock.seconds
        self._largest = largest
        self._default_max_age = default_max_age
        self._ready = ReadyHeads()

    def respond(self, exchange: Any) -> None:
        head: RequestHead = exchange.head
        known: Sought | None = head.sought
        if known is None:
            known = head.sought = sought(head, _key(head.path))
        if known.is_plain:
            now = self._seconds()
            entry = self._look(known.key, now, known.window)
            if type(entry) is Entry and entry.expires > now:
                exchange.answer(self._ready.of(entry, now), entry.value)
                return
            self._got(exchange, known, entry)
            return
        key, method = known.key, head.method
        if method == b"PUT":
            receiving = Receiving(self._service, exchange, key, self._largest, self._default_max_age)
            exchange.observe(receiving)
            exchange.receive(receiving)
            return
        if head.length != 0:
            exchange.discard()
        if method == b"GET" or method == b"HEAD":
            self._read(exchange, known)
        elif method == b"DELETE":
            then(self._delete(head, key), lambda outcome: exchange.answer(purged_head(outcome)), exchange)
        else:
            fault = ClientFault(405, "method", f"This resource takes {_METHODS.decode()}.")
            exchange.record.reason = fault.reason
            exchange.answer(*problem_answer(fault, head, exchange.request_id, allowed=_METHODS))

    def _delete(self, head: RequestHead, key: bytes) -> Any:
        """What came of it, or a Deferred of that."""
        if not is_conditional(head):
            return self._service.purge([key])
        held = self._service.peek(key)
        if not isinstance(held, Deferred):
            check_change(head, held)
            return self._service.purge([key])
        held.addCallback(lambda entry: check_change(head, entry))
        return held.addCallback(lambda _: self._service.purge([key]))

    def _read(self, exchange: Any, known: Sought) -> None:
        head: RequestHead = exchange.head
        key = known.key
        if known.lease is None:
            self._got(exchange, known, self._service.get(key, known.window))
            return
        lease = _LEASE.match(known.lease)
        if lease is None or head.method != b"GET":
            raise ClientFault(400, "bad-lease", "Of a lease a GET says: Cache-Lease: request, or request;for=SECONDS.")
        seconds = float(lease[1]) if lease[1] else USUAL_SECONDS
        prefer = _WAIT.search(head.get(b"prefer") or b"")
        found = (
            self._service.ask(key, seconds) if prefer is None else self._service.wait(key, seconds, float(prefer[1]))
        )
        then(found, lambda found: self._found(exchange, known, found), exchange)

    def _got(self, exchange: Any, known: Sought, entry: Entry | Deferred[Entry | None] | None) -> None:
        """Answer with what came of looking, or will come."""
        if isinstance(entry, Deferred):
            then(entry, lambda entry: self._found(exchange, known, Found(entry)), exchange)
        else:
            self._found(exchange, known, Found(entry))

    def _found(self, exchange: Any, known: Sought, found: Found) -> None:
        """Answer a GET or HEAD."""
        entry = found.entry
        now = self._service.clock.seconds()
        if entry is not None and known.is_whole and entry.expires > now and not found.has_waited:
            exchange.answer(self._ready.of(entry, now), entry.value)
            return
        head: RequestHead = exchange.head
        extra: Fields = []
        if found.lease is not None:
            left = max(0.0, found.lease.ends - now)
            extra.append((b"Cache-Lease", b'"%s";for=%d' % (found.lease.token, left)))
        elif found.is_taken:
            extra.append((b"Cache-Lease", b"taken"))
        if found.has_waited:
            extra.append((b"Preference-Applied", b"wait"))
        try:
            if entry is None:
                extra.append((b"Cache-Status", b"scalekit-cache;fwd=uri-miss"))
                if head.get(b"if-match") is not None:
                    raise unmatched()
                raise ClientFault(404, "absent", "There is nothing under this key.")
            extra += hit_fields(entry, now, found.has_waited)
            _answer_with(exchange, entry, extra)
        except Fault as fault:
            exchange.record.reason = fault.reason
            answer, body = problem_answer(fault, head, exchange.request_id)
            answer.fields += [field for field in extra if field[0] != b"Cache-Control"]
            exchange.answer(answer, body)

    def __repr__(self) -> str:
        return f"<Values of {self._service!r}>"


def _answer_with(exchange: Any, entry: Entry, fields: Fields) -> None:
    """Answer with the value, as the conditions and the range of the request want it (RFC 9110 section 13.2.2)."""
    head: RequestHead = exchange.head
    etag = etag_of(entry)
    if_match, if_none_match = head.get(b"if-match"), head.get(b"if-none-match")
    if if_match is not None and not is_match_hit(if_match, etag):
        raise unmatched()
    if if_none_match is not None and is_none_match_hit(if_none_match, etag):
        exchange.answer(ResponseHead(304, fields))
        return
    part = None
    asked, if_range = head.get(b"range"), head.get(b"if-range")
    if asked is not None and head.method == b"GET" and (if_range is None or if_range == etag):
        size = len(entry.value)
        try:
            part = byte_range(asked, size)
        except UnsatisfiableRange:
            fields.append((b"Content-Range", b"bytes */%d" % size))
            raise ClientFault(416, "range", f"The value has {size} bytes.") from None
    if part is None:
        exchange.answer(ResponseHead(200, TYPE + fields, len(entry.value)), entry.value)
        return
    first, last = part
    place = (b"Content-Range", b"bytes %d-%d/%d" % (first, last, len(entry.value)))
    exchange.answer(ResponseHead(206, [*TYPE, place, *fields], last - first + 1), entry.value[first : last + 1])


def purged_head(outcome: bool | Purged) -> ResponseHead:
    """The answer to a purge of one key: 202 while others are still to be told."""
    return ResponseHead(202, [], 0) if outcome is Purged.HERE else ResponseHead(204, [])


def _key(path: bytes) -> bytes:
    spelt = path[len(PATH) :]
    if _BAD_ESCAPE.search(spelt):
        raise ClientFault(400, "bad-key", "The key has a % without two hexadecimal digits; write % as %25.")
    return check_key(unquote_to_bytes(spelt))
