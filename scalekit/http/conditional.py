"""Entity tags and the conditions made of them (RFC 9110 sections 8.8.3 and 13.1)."""

from __future__ import annotations

import re

_ENTITY_TAG = re.compile(rb'(W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_TAG_LIST = re.compile(rb'[ \t,]*(?:(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"[ \t]*(?:,[ \t,]*|\Z))+\Z')


def entity_tags(value: bytes) -> list[tuple[bool, bytes]] | None:
    """
    The tags of an If-Match or If-None-Match as ``(is_weak, opaque tag with its quotes)``.

    None if the value breaks the grammar; ``*`` is not a tag and for the caller to see to.
    """
    if not _TAG_LIST.match(value):
        return None
    return [(bool(weak), opaque) for weak, opaque in _ENTITY_TAG.findall(value)]


def is_none_match_hit(if_none_match: bytes, etag: bytes) -> bool:
    """Whether If-None-Match names this entity tag, by weak comparison (RFC 9110 section 13.1.2): a 304 then."""
    if if_none_match.strip(b" \t") == b"*":
        return True
    opaque = etag.removeprefix(b"W/")
    return any(tag == opaque for _, tag in entity_tags(if_none_match) or ())


def is_match_hit(if_match: bytes, etag: bytes) -> bool:
    """
    Whether If-Match names this entity tag, by strong comparison (RFC 9110 section 13.1.1): if not, a 412.

    ``*`` is there for whatever has a current representation; an empty tag says that there is none.
    """
    if not etag:
        return False
    if if_match.strip(b" \t") == b"*":
        return True
    return any(not is_weak and tag == etag for is_weak, tag in entity_tags(if_match) or ())


def weakened(etag: bytes) -> bytes:
    """The weak form of an entity tag: the content means the same, its bytes are others."""
    return etag if etag.startswith(b"W/") else b"W/" + etag
