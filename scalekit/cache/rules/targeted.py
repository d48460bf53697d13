"""
Which directives of an answer count for this cache.

``CDN-Cache-Control`` (RFC 9213) is for caches that work on behalf of the origin, as this one does.  Where it is there,
is a structured field and not empty, it replaces Cache-Control and Expires entirely (section 2.2); where it cannot be
read it is not there.  So does ``Surrogate-Control``, from which it came (W3C note "Edge Architecture Specification",
2001), and which apps still send that have been behind Varnish or Fastly: ``max-age=600``, ``no-store``; a parameter
means that a directive is for somebody else, and a second number in ``max-age=600+60`` how long it may be stale.
"""

from __future__ import annotations

from scalekit.cache.rules.fields import Directives, Values, directives, directives_of, elements
from scalekit.cache.rules.structured import dictionary

_TARGETED = b"cdn-cache-control"
_SURROGATE = b"surrogate-control"
#: The fields that `controls` looks at.
CONTROLS = frozenset((_TARGETED, _SURROGATE, b"cache-control"))

#: Directives whose value is a number; one of another type makes the field unreadable (section 2.1).
_NUMBERS = (b"max-age", b"s-maxage", b"stale-while-revalidate", b"stale-if-error")

#: What it may say of keeping an answer; ``private`` and the like are of Cache-Control, and are taken at their word.
_OF_SURROGATES = frozenset((*_NUMBERS, b"no-store", b"no-cache", b"private", b"must-revalidate"))


def controls(found: Values) -> tuple[Directives, bool]:
    """The directives of an answer, and whether they are targeted: then Expires and Pragma do not count."""
    for field, read in ((_TARGETED, _targeted), (_SURROGATE, _surrogate)):
        if field in found:
            targeted = read(b",".join(found[field]))
            if targeted:
                return targeted, True
    return directives_of(found.get(b"cache-control", ())), False


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


def _surrogate(value: bytes) -> Directives:
    ours = dict(directives(b",".join(one for one in elements(value) if b";" not in one)))
    fresh, plus, stale = ours.get(b"max-age", b"").partition(b"+")
    if plus:
        ours |= {b"max-age": fresh, b"stale-while-revalidate": stale}
    # Others say what the answer holds ("content="), not how long it may be kept.
    return {name: said for name, said in ours.items() if name in _OF_SURROGATES}
