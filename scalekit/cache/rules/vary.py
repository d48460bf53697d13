"""
For which requests of one key an answer is (RFC 9111 section 4.1): the values of the fields in its Vary are compared.

Values are normalised as far as they mean the same (RFC 9110 section 5.3): fields of one name are one list, white space
around its commas is nothing; the order, the case and the repetition of weighted lists are nothing either.  They are
compared as values, not as hashes: two requests never share an answer by accident.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from scalekit.cache.rules.fields import REMEMBERED_BYTES
from scalekit.http.heads import Fields

#: What is in the way of any reuse.
STAR = (b"*",)

Variant = tuple[bytes | None, ...]

_AROUND_COMMAS = re.compile(rb"[ \t]*,[ \t,]*")
_SPACE = re.compile(rb"[ \t]+")
#: Lists of case-insensitive items of which only the weight says which is better (RFC 9110 sections 12.4.2, 12.5).
_WEIGHTED = frozenset((b"accept-encoding", b"accept-language", b"accept-charset"))
_ONE = re.compile(rb";q=1(?:\.0{0,3})?\Z")


def nominated(fields: Iterable[bytes]) -> tuple[bytes, ...]:
    """
    The names that the values of Vary nominate: in lower case, sorted, each once; `STAR` if any of them is ``*``.
    """
    names = {name for value in fields for raw in value.split(b",") if (name := raw.strip(b" \t").lower())}
    return STAR if b"*" in names else tuple(sorted(names))


def variant_of(names: tuple[bytes, ...], fields: Fields) -> Variant:
    """The values of the nominated fields in a request, normalised; None for one that is absent."""
    if not names:
        return ()
    found: dict[bytes, list[bytes]] = {}
    for raw, value in fields:
        name = raw.lower()
        if name in names:
            found.setdefault(name, []).append(value)
    return tuple(None if name not in found else _normal(name, b",".join(found[name])) for name in names)


def _normal(name: bytes, value: bytes) -> bytes:
    return _made(name, value) if len(value) <= REMEMBERED_BYTES else _made.__wrapped__(name, value)


@lru_cache(1024)  # browsers send a handful of them; the bound is for those that make them up
def _made(name: bytes, value: bytes) -> bytes:
    if b'"' in value:
        return value  # a comma in a quoted string is no separator
    value = _AROUND_COMMAS.sub(b",", value).strip(b" \t,")
    if name not in _WEIGHTED:
        return value
    return b",".join(sorted({_ONE.sub(b"", _SPACE.sub(b"", item)) for item in value.lower().split(b",")}))
