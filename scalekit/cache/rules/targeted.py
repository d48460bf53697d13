"""
Which directives of an answer count for this cache (RFC 9213).

``CDN-Cache-Control`` is for caches that work on behalf of the origin, as this one does.  Where it is there, is a
structured field and not empty, it replaces Cache-Control and Expires entirely (section 2.2); where it cannot be read
it is not there.
"""

from __future__ import annotations

from scalekit.cache.rules.fields import Directives, directives_of
from scalekit.cache.rules.structured import dictionary
from scalekit.http.heads import Fields, values_of

FIELD = b"cdn-cache-control"

#: Directives whose value is a number; one of another type makes the field unreadable (section 2.1).
_NUMBERS = (b"max-age", b"s-maxage", b"stale-while-revalidate", b"stale-if-error")


def controls(fields: Fields) -> tuple[Directives, bool]:
    """The directives of an answer, and whether they are targeted: then Expires and Pragma do not count."""
    values = values_of(fields, FIELD)
    if values:
        targeted = _targeted(b",".join(values))
        if targeted:
            return targeted, True
    return directives_of(values_of(fields, b"cache-control")), False


def _targeted(value: bytes) -> Directives | None:
    members = dictionary(value)
    if members is None:
        return None
    found: Directives = {}
    for name, member in members.items():
        if name in _NUMBERS:
            if isinstance(member, bool) or not isinstance(member, int):
                return None
            found[name] = b"%d" % member
        elif member is not False:
            found[name] = (
                b"" if isinstance(member, bool) else str(member).encode() if isinstance(member, int) else member
            )
    return found
