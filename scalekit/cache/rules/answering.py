"""
The answer to one request out of a stored one: the client's conditions and ranges (RFC 9110 sections 13 and 14, RFC 9111
section 4.3.2).
"""

from __future__ import annotations

from typing import NamedTuple

from scalekit.cache.rules.asking import Asked
from scalekit.cache.rules.fields import http_date
from scalekit.cache.rules.stored import Stored
from scalekit.http.conditional import is_none_match_hit
from scalekit.http.heads import Fields, ResponseHead
from scalekit.http.ranges import UnsatisfiableRange, byte_range

#: Of the content: a 304 has none, and what it has for the cache to update is all the rest (RFC 9110 section 15.4.5).
_OF_CONTENT = frozenset(
    b"content-type content-encoding content-language content-range content-disposition content-md5 digest "
    b"content-digest repr-digest accept-ranges".split()
)


class Answer(NamedTuple):
    """
    :ivar head: with Age; its length is that of what is sent.  The caller adds Cache-Status.
    :ivar first: and ``last``: the bytes of the body to send, both inclusive; ``last < first``: none.
    """

    head: ResponseHead
    first: int
    last: int


def answer(stored: Stored, asked: Asked, size: int, now: float) -> Answer:
    """
    The answer of a GET or HEAD.

    :param size: bytes of the body that is stored.
    """
    age = (b"Age", b"%d" % stored.age(now))
    # Conditions are for what would be a success (RFC 9110 section 13.2.1).
    if asked.conditions and 200 <= stored.status < 300:
        if is_not_modified(stored, asked):
            kept = [pair for pair in stored.fields if pair[0].lower() not in _OF_CONTENT]
            return Answer(_head(304, [*kept, age], None), 0, -1)
        if b"range" in asked.conditions and stored.status == 200 and asked.head.method == b"GET":
            try:
                part = byte_range(asked.conditions[b"range"], size) if _is_still_it(stored, asked) else None
            except UnsatisfiableRange:
                return Answer(_head(416, [(b"Content-Range", b"bytes */%d" % size), *_dates(stored), age], 0), 0, -1)
            if part is not None:
                first, last = part
                place = (b"Content-Range", b"bytes %d-%d/%d" % (first, last, size))
                return Answer(_head(206, [*stored.fields, place, age], last - first + 1), first, last)
    return Answer(_head(stored.status, [*stored.fields, age], size, stored.reason), 0, size - 1)


def is_not_modified(stored: Stored, asked: Asked) -> bool:
    """Whether the client has it already.  If-None-Match wins over If-Modified-Since (RFC 9110 section 13.2.2)."""
    tags = asked.conditions.get(b"if-none-match")
    if tags is not None:
        # Several fields of it are one list.
        tags = asked.head.get(b"if-none-match") or tags
        # With "*" whatever is there will do, a tag or not (RFC 9110 section 13.1.2).
        return is_none_match_hit(tags, stored.etag)
    since = asked.conditions.get(b"if-modified-since")
    if since is None:
        return False
    had = http_date(since)
    # Without Last-Modified its Date stands in for it (RFC 9111 section 4.3.2).
    changed = http_date(stored.last_modified or stored.date)
    return had is not None and changed is not None and changed <= had


def _is_still_it(stored: Stored, asked: Asked) -> bool:
    """Whether If-Range, if it is there, names just this one: by a strong tag, or a date that is strong."""
    condition = asked.conditions.get(b"if-range")
    if condition is None:
        return True
    if condition.endswith(b'"'):
        return condition == stored.etag and not condition.startswith(b"W/")
    changed, made = http_date(stored.last_modified), http_date(stored.date)
    # What was changed in the second in which it was sent may have been changed again (RFC 9110 section 8.8.2.2).
    return condition == stored.last_modified and changed is not None and made is not None and made - changed >= 1


def _dates(stored: Stored) -> Fields:
    return [(b"Date", stored.date)] if stored.date else []


def _head(status: int, fields: Fields, length: int | None, reason: bytes = b"") -> ResponseHead:
    # Whatever is stored has a Date.
    return ResponseHead(status, fields, length, reason, True)
