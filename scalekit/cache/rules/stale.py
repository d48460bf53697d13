"""
When an answer may be served beyond its freshness (RFC 9111 section 4.2.4, RFC 5861).

Never if it says no-cache, must-revalidate, proxy-revalidate or s-maxage: `Stored` has no windows then.
"""

from __future__ import annotations

from scalekit.cache.rules.asking import Asked
from scalekit.cache.rules.stored import Stored

#: What counts as an error for stale-if-error (RFC 5861 section 4).
ERRORS = frozenset((500, 502, 503, 504))


def covers_refresh(stored: Stored, now: float) -> bool:
    """Whether it may be answered with now, while it is being refreshed (RFC 5861 section 3)."""
    return now < stored.revalidates_until


def covers_error(stored: Stored, asked: Asked, status: int | None, now: float) -> bool:
    """
    Whether it may be answered with where asking the origin came to this status; None: no answer came, and the error is
    one of our own.

    The request's own stale-if-error counts too, where the answer forbids nothing.
    """
    if status is not None and status not in ERRORS:
        return False
    if stored.must_validate or stored.must_revalidate or asked.no_cache or not stored.serves(asked):
        return False
    if now < stored.revalidates_until or now < (stored.lost_until if status is None else stored.fails_until):
        return True
    return asked.stale_if_error is not None and now < stored.fresh_until + asked.stale_if_error


def covers_request(stored: Stored, asked: Asked, now: float) -> bool:
    """Whether this request takes it stale by itself: max-stale (RFC 9111 section 5.2.1.2)."""
    return (
        asked.max_stale is not None
        and not (stored.must_validate or stored.must_revalidate)
        and now < stored.fresh_until + asked.max_stale
    )
