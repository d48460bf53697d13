"""Entity tags of what is stored, and the conditions that requests make of them (RFC 9110 section 13)."""

from __future__ import annotations

from hashlib import blake2b

from scalekit.cache.entry import Entry
from scalekit.errors import ClientFault
from scalekit.http.conditional import is_match_hit, is_none_match_hit
from scalekit.http.heads import RequestHead


def etag_of(entry: Entry) -> bytes:
    """Its strong entity tag, a digest of the value: the same value made anew is still the same."""
    if not entry.etag:
        entry.etag = etag(entry.value)
    return entry.etag


def etag(value: bytes) -> bytes:
    """The same of a value."""
    return b'"%s"' % blake2b(value, digest_size=8).hexdigest().encode()


def is_conditional(head: RequestHead) -> bool:
    """Whether a PUT or DELETE has conditions."""
    return head.get(b"if-match") is not None or head.get(b"if-none-match") is not None


def check_change(head: RequestHead, entry: Entry | None) -> None:
    """
    Raises `ClientFault` 412 where the conditions of a PUT or DELETE do not hold.

    :param entry: what is stored, stale or not; None: nothing.
    """
    if_match, if_none_match = head.get(b"if-match"), head.get(b"if-none-match")
    if if_match is None and if_none_match is None:
        return
    current = b"" if entry is None else etag_of(entry)
    if if_match is not None:
        if not is_match_hit(if_match, current):
            raise unmatched()
    elif if_none_match is not None and current and is_none_match_hit(if_none_match, current):
        raise unmatched()


def unmatched() -> ClientFault:
    """The 412."""
    return ClientFault(412, "unmatched", "What is stored under this key is not what the condition names.")
