"""
The tags in a request: ``Cache-Groups`` (RFC 9875) or, as content delivery networks have it, ``Surrogate-Key``.

``Cache-Groups: "posts", "post:1"`` is a list of strings (RFC 9651); parameters of a member are left aside.
``Surrogate-Key: posts post:1`` is words between spaces.  Where both are given, both count.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from scalekit.errors import ClientFault

# RFC 9875 section 2.1 asks for 32 of 32 characters at least; each costs a row in memory.
MOST_TAGS = 128
LONGEST_TAG_BYTES = 256

_STRING = rb'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*+)"'
_PARAMETERS = rb'(?:;[ ]*+[a-z*][a-z0-9_.*-]*+(?:=(?:"(?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*+"|[^\s",;]++))?+)*+'
_MEMBER = re.compile(rb"[ \t]*+" + _STRING + _PARAMETERS + rb"[ \t]*+(,[ \t]*+(?!\Z)|\Z)")


def tags_of(groups: Iterable[bytes], surrogates: Iterable[bytes]) -> tuple[bytes, ...]:
    """
    The tags, each once.

    :param groups: the values of all Cache-Groups fields; ``surrogates``: of all Surrogate-Key fields.
    :raises ClientFault: 400 if a field cannot be read, a tag is empty or too long, or there are too many.
    """
    tags = dict.fromkeys(_strings(b",".join(groups)))
    for value in surrogates:
        tags.update(dict.fromkeys(value.split()))
    for tag in tags:
        check_tag(tag)
    if len(tags) > MOST_TAGS:
        raise ClientFault(400, "too-many-tags", f"One entry may bear {MOST_TAGS} tags.")
    return tuple(tags)


def check_tag(tag: bytes) -> None:
    """Raises `ClientFault` 400 if this cannot be a tag."""
    if not 0 < len(tag) <= LONGEST_TAG_BYTES or not tag.isascii() or not tag.decode().isprintable():
        raise ClientFault(400, "bad-tag", f"A tag is 1 to {LONGEST_TAG_BYTES} printable ASCII characters.")


def groups_field(tags: Iterable[bytes]) -> bytes:
    """The value of a Cache-Groups field with these tags."""
    return b", ".join(b'"' + re.sub(rb'(["\\])', rb"\\\1", tag) + b'"' for tag in tags)


def _strings(value: bytes) -> list[bytes]:
    if not value.strip(b" \t"):
        return []
    strings, place = [], 0
    while place < len(value):
        member = _MEMBER.match(value, place)
        if member is None:
            raise ClientFault(400, "bad-groups", f"Cache-Groups is no list of strings from its byte {place} on.")
        strings.append(re.sub(rb'\\(["\\])', rb"\1", member[1]))
        place = member.end()
    return strings
