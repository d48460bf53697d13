"""
Answers to plain requests for values: what is found out about a request once, and heads that are ready.

A client asks for the same again and again, and the same bytes come as the same `RequestHead`; what has been found out
about one stays with it.  The head of an answer changes once a second, as the value's age does.
"""

from __future__ import annotations

import msgspec

from scalekit.cache.ageing import takes_stale
from scalekit.cache.conditions import etag_of
from scalekit.cache.entry import Entry
from scalekit.cache.labels import groups_field
from scalekit.cache.store import Window
from scalekit.http.heads import Fields, RequestHead, ResponseHead, values_of

# Some 700 bytes each.  They are for what is asked for many times a second; the others are made anew.
MOST_HEADS = 1024
_CONDITIONS = frozenset((b"if-match", b"if-none-match", b"range"))
TYPE: Fields = [
    (b"Content-Type", b"application/octet-stream"),
    # What is stored may be a page that somebody else wrote; it is not to run in the browser of who looks here.
    (b"X-Content-Type-Options", b"nosniff"),
]


class Sought(msgspec.Struct, frozen=True):
    """
    What a request is about.

    :ivar is_plain: whether that is all: a GET without a body, that wants no lease.
    :ivar is_whole: whether the value is wanted whole, and whatever the client has already.
    :ivar lease: what it says about one; None: nothing.
    :ivar window: how stale it takes a value.
    """

    key: bytes
    is_plain: bool
    is_whole: bool
    lease: bytes | None
    window: Window


def sought(head: RequestHead, key: bytes) -> Sought:
    """Find out what a request is about."""
    is_whole = _CONDITIONS.isdisjoint([name.lower() for name, _ in head.fields])
    lease = head.get(b"cache-lease")
    return Sought(
        key,
        is_whole and lease is None and head.length == 0 and head.method == b"GET",
        is_whole,
        lease,
        Window.FAILING if takes_stale(values_of(head.fields, b"cache-control")) else Window.REVALIDATING,
    )


class _Ready(msgspec.Struct, frozen=True):
    etag: bytes
    expires: float
    until: float
    head: ResponseHead


class ReadyHeads:
    """Heads of answers with fresh values."""

    def __init__(self) -> None:
        self._heads: dict[bytes, _Ready] = {}

    def of(self, entry: Entry, now: float) -> ResponseHead:
        """The head of an answer with this value, which is fresh."""
        ready = self._heads.get(entry.key)
        # The tag as an object: each entry has its own, and this one cannot be another's as long as it is held here.
        if ready is None or ready.etag is not entry.etag or now >= ready.until or ready.expires != entry.expires:
            ready = self._made(entry, now)
        return ready.head

    def _made(self, entry: Entry, now: float) -> _Ready:
        if len(self._heads) >= MOST_HEADS:
            self._heads.clear()
        fields = hit_fields(entry, now)
        older, shorter = (now - entry.stored) // 1 + 1, (entry.expires - now) // 1
        until = min(entry.stored + older, entry.expires - shorter)
        ready = self._heads[entry.key] = _Ready(etag_of(entry), entry.expires, until, ResponseHead(200, TYPE + fields))
        return ready

    def __repr__(self) -> str:
        return f"<ReadyHeads {len(self._heads)}>"


def hit_fields(entry: Entry, now: float, has_waited: bool = False) -> Fields:
    """
    What is said of a value that is there.

    :param has_waited: whether somebody else has made it meanwhile.
    """
    left = entry.expires - now
    fields = [
        (b"ETag", etag_of(entry)),
        (b"Age", b"%d" % (now - entry.stored)),
        (b"Cache-Control", b"max-age=%d" % max(0.0, left)),
        (b"Cache-Status", b"scalekit-cache;hit;ttl=%d" % (left // 1) + (b";collapsed" if has_waited else b"")),
    ]
    if entry.tags:
        fields.append((b"Cache-Groups", groups_field(tag.name for tag in entry.tags)))
    return fields
