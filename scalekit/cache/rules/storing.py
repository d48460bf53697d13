"""
What a shared cache keeps of an answer, or why it keeps nothing (RFC 9111 section 3).
"""

from __future__ import annotations

from email.utils import formatdate
from enum import Enum

import msgspec

from scalekit.cache.labels import tags_of
from scalekit.cache.rules.asking import Asked
from scalekit.cache.rules.fields import Directives, Values, seconds, values_by_name
from scalekit.cache.rules.freshness import HEURISTIC, TIMES, age_on_arrival, guess, lifetime
from scalekit.cache.rules.key import scoped
from scalekit.cache.rules.stored import Stored
from scalekit.cache.rules.targeted import CONTROLS, controls
from scalekit.cache.rules.vary import STAR, nominated, variant_of
from scalekit.errors import ClientFault
from scalekit.http.heads import Fields, ResponseHead


class Policy(msgspec.Struct, frozen=True):
    """
    What the standards leave to whoever runs a cache.

    :ivar stores_cookies: answers that set a cookie are kept even if they do not say ``public`` or ``s-maxage``.  RFC
        9111 section 7.3 allows it; an app that forgets ``private`` on a login then shares the session.
    :ivar guesses: how long something is fresh may be guessed by Last-Modified (section 4.2.2).
    :ivar if_error: seconds for which an answer may be stale where the origin answers with an error, if it does not say
        so itself (RFC 5861 section 4).
    :ivar if_lost: the same where no answer comes (RFC 9111 section 4.2.4): it is better than an error of ours, and
        after an hour somebody knows.
    :ivar keeps_validated: seconds for which what has to be validated is kept.
    """

    stores_cookies: bool = False
    guesses: bool = True
    if_error: float = 0.0
    if_lost: float = 3600.0
    keeps_validated: float = 3600.0


USUAL = Policy()


class Refusal(Enum):
    """Why an answer is not stored; the value is the ``detail`` of Cache-Status."""

    METHOD = "method"
    REQUEST = "request-no-store"
    STATUS = "status"
    PARTIAL = "partial"
    NO_STORE = "no-store"
    PRIVATE = "private"
    AUTHORIZATION = "authorization"
    COOKIE = "set-cookie"
    #: The request has a cookie, and the answer does not say that it may be kept: many an app makes pages for those who
    #: have logged in, puts Last-Modified on them, and has never heard of ``private``.
    KNOWN = "request-cookie"
    VARY = "vary-star"
    UNDERSTOOD = "must-understand"
    NO_FRESHNESS = "no-freshness"
    TAGS = "bad-tags"


#: Those that are about who has asked: what is here already is as good for others as before.
ABOUT_ASKING = frozenset((Refusal.REQUEST, Refusal.AUTHORIZATION, Refusal.KNOWN))

#: Whose rules of caching are implemented here (must-understand, section 5.2.2.3): those of RFC 9110 and RFC 7725.
_UNDERSTOOD = frozenset(
    (200, 203, 204, *range(300, 304), 307, 308, *range(400, 418), 421, 422, 426, 451, *range(500, 506))
)

#: Of one hop, or of us; Age is said anew each time (sections 3.1 and 4).
_NEVER_KEPT = frozenset(
    b"connection keep-alive proxy-connection te transfer-encoding upgrade trailer "
    b"proxy-authenticate proxy-authentication-info proxy-authorization age cache-status".split()
)

#: Directives by which somebody who knows of caches says that this may be kept, freshness aside.
_SAYS_SO = (b"public", b"no-cache", b"must-revalidate", b"proxy-revalidate")

_LOOKED_AT = CONTROLS | TIMES | frozenset(b"vary etag pragma set-cookie cache-groups surrogate-key".split())


def plan_store(
    asked: Asked, head: ResponseHead, requested_at: float, received_at: float, policy: Policy = USUAL
) -> Stored | Refusal:
    """
    What is kept of a final answer that came from the origin at ``received_at`` to what was sent at ``requested_at``.

    The body must come whole: one that was cut is not to be stored whatever stands here (section 3.3).
    """
    if asked.head.method != b"GET" or not asked.is_lookup:
        return Refusal.METHOD
    found = values_by_name(head.fields, _LOOKED_AT)
    said, is_targeted = controls(found)
    refusal = _refusal(asked, head.status, found, said, policy)
    if refusal is not None:
        return refusal
    fresh = lifetime(found, said, is_targeted, received_at)
    is_implicit = fresh is None and said.keys().isdisjoint(_SAYS_SO)
    if is_implicit and asked.has_cookie:
        return Refusal.KNOWN
    if fresh is None and policy.guesses:
        fresh = guess(head.status, found, said, is_targeted, received_at)
    must_validate = said.get(b"no-cache") == b"" or (
        not is_targeted and not said and any(b"no-cache" in value.lower() for value in found.get(b"pragma", ()))
    )
    must_revalidate = not said.keys().isdisjoint((b"must-revalidate", b"proxy-revalidate", b"s-maxage"))
    can_validate = b"etag" in found or b"last-modified" in found
    if fresh is None and not (can_validate and head.status in HEURISTIC):
        return Refusal.NO_FRESHNESS
    tags = _tags(found, asked.key)
    if tags is None:
        return Refusal.TAGS
    names = nominated(found[b"vary"]) if b"vary" in found else ()
    if names is STAR:
        return Refusal.VARY
    age = age_on_arrival(found, requested_at, received_at)
    while_revalidating = _window(said, b"stale-while-revalidate", 0.0)
    if_error = _window(said, b"stale-if-error", policy.if_error)
    usable = 0.0 if must_validate else (fresh or 0.0) + (0.0 if must_revalidate else max(while_revalidating, if_error))
    if age >= usable and not can_validate:
        return Refusal.NO_FRESHNESS
    return Stored(
        head.status,
        head.reason,
        kept_fields(head.fields, said) if b"date" in found else [*kept_fields(head.fields, said), _date(received_at)],
        received_at,
        age=age,
        lifetime=fresh or 0.0,
        is_implicit=is_implicit,
        must_validate=must_validate,
        must_revalidate=must_revalidate,
        while_revalidating=while_revalidating,
        if_error=if_error,
        if_lost=policy.if_lost,
        keeps=policy.keeps_validated if can_validate else 0.0,
        names=names,
        variant=variant_of(names, asked.head.fields),
        tags=tags,
    )


def _refusal(asked: Asked, status: int, found: Values, said: Directives, policy: Policy) -> Refusal | None:
    if asked.no_store:
        return Refusal.REQUEST
    if status in (206, 416):
        return Refusal.PARTIAL
    # The last two are about conditions of this request, which are no part of the key.
    if not 200 <= status <= 599 or status in (304, 412):
        return Refusal.STATUS
    if b"must-understand" in said:
        # no-store beside it is for caches that do not know the directive (section 5.2.2.3).
        if status not in _UNDERSTOOD:
            return Refusal.UNDERSTOOD
    elif b"no-store" in said:
        return Refusal.NO_STORE
    if said.get(b"private") is not None:
        # The form that names fields is treated as the other, as section 5.2.2.7 says that many do.
        return Refusal.PRIVATE
    is_shared = b"public" in said or b"s-maxage" in said
    if asked.has_authorization and not is_shared and b"must-revalidate" not in said:
        return Refusal.AUTHORIZATION
    if not is_shared and not policy.stores_cookies and b"set-cookie" in found:
        return Refusal.COOKIE
    return None


def kept_fields(fields: Fields, said: Directives) -> Fields:
    """
    The fields that are kept (section 3.1).

    Those of Connection are gone already (`scalekit.http.responses`); ``no-cache="field"`` takes others (section
    5.2.2.4).
    """
    named = said.get(b"no-cache")
    dropped = _NEVER_KEPT if not named else _NEVER_KEPT | {name.strip(b" \t").lower() for name in named.split(b",")}
    return [pair for pair in fields if pair[0].lower() not in dropped]


def _date(received_at: float) -> tuple[bytes, bytes]:
    """The Date that whoever takes in an answer without one writes (RFC 9110 section 6.6.1)."""
    return b"Date", formatdate(received_at, usegmt=True).encode()


def _window(said: Directives, name: bytes, usual: float) -> float:
    """Seconds that it says; what is no number is none."""
    return float(seconds(said[name]) or 0) if name in said else usual


def _tags(found: Values, key: bytes) -> tuple[bytes, ...] | None:
    """What it can be purged by; None if that cannot be known: it would stay when it is to go."""
    groups, surrogates = found.get(b"cache-groups", ()), found.get(b"surrogate-key", ())
    if not groups and not surrogates:
        return ()
    try:
        in_groups = tags_of(groups, ())
    except ClientFault as fault:
        if fault.reason != "bad-groups":
            return None
        in_groups = ()  # RFC 9651 section 4.2: a field that cannot be read is not there
    try:
        named = tags_of((), surrogates)
    except ClientFault:
        return None
    return (*dict.fromkeys((*in_groups, *named)), *scoped(in_groups, key))
