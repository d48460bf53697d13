"""
Asking the origin whether what is stored is still good, and what its answer makes of it (RFC 9111 section 4.3).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from scalekit.cache.rules.asking import CONDITIONAL, Asked
from scalekit.cache.rules.stored import Stored
from scalekit.cache.rules.storing import ABOUT_ASKING, USUAL, Policy, Refusal, plan_store
from scalekit.http.heads import RequestHead, ResponseHead, values_of

#: Fields that say what the stored bytes are: a 304 cannot make them others (section 3.2), nor their tag.
_OF_BYTES = frozenset(
    b"etag content-encoding content-range content-length content-md5 digest content-digest repr-digest".split()
)

#: App servers take 8 KiB of head at least, cookies included; 32 variants of usual tags are 2 KiB.
_TAGS_BYTES = 2048


class Outgoing(NamedTuple):
    """
    :ivar head: what to send to the origin.
    :ivar is_validating: its conditions are ours: a 304 is for `plan_refresh`; else it is the client's.
    """

    head: RequestHead
    is_validating: bool


def outgoing(asked: Asked, stored: Stored | None, variants: Sequence[Stored]) -> Outgoing:
    """
    The request that is sent on.

    Where something can be validated our conditions take the place of the client's, and all of it is asked for: If-None-
    Match with the tag of every variant (section 4.3.1), so that the origin may choose any of them.

    :param stored: what is to be validated; None for a miss, whose variants may still be chosen.
    """
    if asked.head.method != b"GET" or (stored is None and (asked.conditions or asked.no_cache)):
        return Outgoing(asked.head, False)
    tags = _tags([one for one in variants if not (one.is_implicit and asked.has_cookie)])
    since = stored.last_modified if stored is not None else b""
    if not tags and not since:
        return Outgoing(asked.head, False)
    fields = [pair for pair in asked.head.fields if pair[0].lower() not in CONDITIONAL]
    if tags:
        fields.append((b"If-None-Match", b", ".join(tags)))
    if since:
        fields.append((b"If-Modified-Since", since))
    return Outgoing(asked.head.with_fields(fields), True)


def _tags(variants: Sequence[Stored]) -> list[bytes]:
    """Those of the newest, as far as they fit."""
    tags: dict[bytes, None] = {}
    room = _TAGS_BYTES
    for one in variants:
        if one.etag and one.etag not in tags:
            room -= len(one.etag)
            if room < 0:
                break
            tags[one.etag] = None
    return list(tags)


def unconditional(asked: Asked) -> RequestHead:
    """The request without any condition, for when the origin's 304 was about nothing that is here."""
    return asked.head.with_fields([pair for pair in asked.head.fields if pair[0].lower() not in CONDITIONAL])


class Refresh(NamedTuple):
    """
    What a 304 has made of a stored answer.

    :ivar matched: the one that it was about: its body is good.
    :ivar head: as it is now, to answer with.
    :ivar stored: what is kept of it now, with the body of ``matched`` and in the place of what suits this request; or
        why it is not kept any longer.
    """

    matched: Stored
    head: ResponseHead
    stored: Stored | Refusal


def plan_refresh(
    variants: Sequence[Stored],
    asked: Asked,
    head: ResponseHead,
    requested_at: float,
    received_at: float,
    policy: Policy = USUAL,
) -> Refresh | None:
    """
    What a 304 to conditions of ours makes of the variants, newest first (section 4.3.4).

    None if it is about none of them: then ask again, with `unconditional`.
    """
    matched = _selected(variants, asked, head)
    if matched is None:
        return None
    merged = _merged(matched, head, received_at)
    return Refresh(matched, merged, plan_store(asked, merged, requested_at, received_at, policy))


def after_head(
    asked: Asked,
    stored: Stored,
    size: int,
    head: ResponseHead,
    requested_at: float,
    received_at: float,
    policy: Policy = USUAL,
) -> Stored | None:
    """
    What a 200 to a HEAD makes of what a GET would have been answered with (section 4.3.5); None: it is good no longer.

    :param size: bytes of the stored body.
    """
    if head.status != 200:
        return stored
    etag, changed = values_of(head.fields, b"etag"), values_of(head.fields, b"last-modified")
    is_same = (
        stored.status == 200
        and (not etag or etag[0] == stored.etag)
        and (not changed or changed[0] == stored.last_modified)
        and head.length in (None, size)
    )
    if not is_same:
        return None
    as_get = Asked(asked.head.with_fields(asked.head.fields, b"GET"), asked.is_secure, own_cookie=asked.own_cookie)
    kept = plan_store(as_get, _merged(stored, head, received_at), requested_at, received_at, policy)
    return kept if isinstance(kept, Stored) else stored if kept in ABOUT_ASKING else None


def _selected(variants: Sequence[Stored], asked: Asked, head: ResponseHead) -> Stored | None:
    etag = values_of(head.fields, b"etag")
    changed = values_of(head.fields, b"last-modified")
    if etag:
        opaque = etag[0].removeprefix(b"W/")
        return next((one for one in variants if one.etag.removeprefix(b"W/") == opaque), None)
    # Without a tag it is about the one that would be chosen, unless its date says that it is another.
    suiting = [one for one in variants if one.suits(asked.head)] or list(variants)
    return next((one for one in suiting if not changed or one.last_modified == changed[0]), None)


def _merged(stored: Stored, head: ResponseHead, received_at: float) -> ResponseHead:
    """The stored head with the fields of the new one in the place of its own (section 3.2)."""
    fresh = [pair for pair in head.fields if pair[0].lower() not in _OF_BYTES]
    # Without a Date the new one was made now: the old one's would make it old at once.
    replaced = {name.lower() for name, _ in fresh} | {b"date"}
    kept = [pair for pair in stored.fields if pair[0].lower() not in replaced]
    return ResponseHead(stored.status, kept + fresh, None, stored.reason, head.has_date)
