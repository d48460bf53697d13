"""
What an answer makes invalid (RFC 9111 section 4.4, RFC 9875 section 3).
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import urljoin

from scalekit.cache.labels import tags_of
from scalekit.cache.rules.asking import SAFE, Asked
from scalekit.cache.rules.key import key_of_url, origin_of, scoped
from scalekit.errors import ClientFault
from scalekit.http.heads import ResponseHead, values_of


class Invalidation(NamedTuple):
    """
    :ivar keys: whose answers are good no longer, all variants.
    :ivar tags: the same of tags, see `scalekit.cache.rules.stored.Stored`.
    """

    keys: tuple[bytes, ...]
    tags: tuple[bytes, ...]


NOTHING = Invalidation((), ())


def plan_invalidation(asked: Asked, head: ResponseHead) -> Invalidation:
    """
    What a final answer makes invalid: nothing if the method is safe.

    A success of any other, known or not, invalidates its target and what Location and Content-Location name at the same
    origin; others could be used to empty somebody else's cache.
    """
    if asked.head.method in SAFE:
        return NOTHING
    tags = _groups(asked, head)
    if not 200 <= head.status < 400:
        return Invalidation((), tags) if tags else NOTHING
    keys = [asked.key]
    origin = origin_of(asked.key) if asked.head.target.startswith(b"/") else b""
    for name in (b"location", b"content-location"):
        for reference in values_of(head.fields, name):
            key = _resolved(asked.key, reference)
            if key is not None and origin and origin_of(key) == origin:
                keys.append(key)
    return Invalidation(tuple(dict.fromkeys(keys)), tags)


def _groups(asked: Asked, head: ResponseHead) -> tuple[bytes, ...]:
    values = values_of(head.fields, b"cache-group-invalidation")
    if not values:
        return ()
    try:
        return scoped(tags_of(values, ()), asked.key)
    except ClientFault:
        return ()  # RFC 9651 section 4.2: a field that cannot be read is not there


def _resolved(key: bytes, reference: bytes) -> bytes | None:
    """The key of a URI reference (RFC 3986 section 5) in the answer to this key; None if it is no http(s) URL."""
    try:
        return key_of_url(urljoin(key.decode("latin-1"), reference.decode("latin-1")).encode("latin-1"))
    except ValueError:
        return None
